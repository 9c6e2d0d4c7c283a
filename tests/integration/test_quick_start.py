"""What a command does not import, so that it answers at once: a test of time would depend on the machine."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from commands import environment
from tagent.adapters.storage.sql.sqlite import open_sqlite
from tagent.ports.records import NewRun, RunSummary

SEARCH_AND_LIST_MODULES = """
import json, sys
from tagent.cli.main import cli

cli.main(["runs", "list", "--search", "needle 77", *sys.argv[1:]], standalone_mode=False)
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one run in the default store."""

    async def begin_a_run() -> None:
        store = open_sqlite(tmp_path / ".tagent" / "runs.db")
        found = RunSummary("running", 1.0, text="a needle, 77 of them")
        await store.create_run(NewRun("aaaa", "p", b"{}", "hash", "me", 60.0, 1.0, summary=found))
        await store.close()

    asyncio.run(begin_a_run())
    return tmp_path


@pytest.mark.parametrize("options", [[], ["--store", "sqlite:///.tagent/runs.db"]], ids=["default", "named"])
def test_a_search_of_runs_imports_neither_what_migrates_nor_what_runs_pipelines(
    folder: Path, options: list[str]
) -> None:
    """Each takes longer to import than ten thousand runs to be searched."""
    command = [sys.executable, "-W", "error", "-c", SEARCH_AND_LIST_MODULES, *options]
    ran = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=True)
    *table, modules = ran.stdout.splitlines()
    assert table[-1].startswith("aaaa")
    needless = {
        "sqlalchemy",
        "alembic",
        "psycopg",
        "rich",
        "pydantic",
        "pydantic_ai",
        "tagent.agent",
        "tagent.pipeline.executor",
        "tagent.adapters.models.opening",
    }
    assert not needless & set(json.loads(modules))
