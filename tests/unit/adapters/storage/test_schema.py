"""The schema: migrations and tables agree, versions are checked, and many may open a new store at once."""

import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from tagent.adapters.storage.sql import schema
from tagent.adapters.storage.sql.schema import REVISIONS
from tagent.adapters.storage.sql.sqlite import open_sqlite
from tagent.adapters.storage.sql.tables import metadata
from tagent.ports.store_errors import StoreVersionError

OPEN_AND_BEGIN_A_RUN = """
import asyncio, sys
from pathlib import Path
from tagent.adapters.storage.sql.sqlite import open_sqlite
from tagent.ports.store import NewRun

async def begin():
    store = open_sqlite(Path(sys.argv[1]))
    await store.create_run(NewRun(sys.argv[2], "p", b"{}", "hash", "me", 60.0, 1.0))
    await store.close()

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(begin())
"""

OPEN_AND_LIST_MODULES = """
import asyncio, json, sys
from tagent.adapters.storage.urls import open_store

asyncio.run(open_store(sys.argv[1]).close())
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def modules_after_opening(url: str) -> list[str]:
    """Return the top-level packages that a fresh process has imported once it has opened and closed the store."""
    command = [sys.executable, "-W", "error", "-c", OPEN_AND_LIST_MODULES, url]
    found: list[str] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


async def test_the_migrations_make_the_tables(tmp_path: Path) -> None:
    """A table changed without its migration would work only for those who have no store yet."""
    await open_sqlite(tmp_path / "runs.db").close()
    engine = create_engine(f"sqlite:///{tmp_path}/runs.db")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_known_revisions_are_the_migrations() -> None:
    """They are written down twice, so that opening a store need not import Alembic."""
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    assert tuple(script.revision for script in scripts)[::-1] == REVISIONS


async def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """Its journals may mean what this version does not understand."""
    path = tmp_path / "runs.db"
    await open_sqlite(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreVersionError, match=r"9999.*Upgrade tagent") as raised:
        open_sqlite(path)
    assert str(path) in raised.value.message
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]


async def test_a_migration_that_was_interrupted_is_done_again(tmp_path: Path) -> None:
    """It is one transaction: a crash leaves an empty file."""
    path = tmp_path / "runs.db"
    path.touch()
    store = open_sqlite(path)
    assert list(await store.runs()) == []
    await store.close()


def test_processes_that_open_a_new_store_at_once_all_get_it(tmp_path: Path) -> None:
    """A script starts several runs in a new directory."""
    path = tmp_path / "new" / "runs.db"
    command = [sys.executable, "-W", "error", "-c", OPEN_AND_BEGIN_A_RUN, str(path)]
    processes = [
        subprocess.Popen(
            [*command, f"r{number}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    errors = [process.communicate()[1].decode() for process in processes]
    assert errors == [""] * 4
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM run").fetchone() == (4,)


@pytest.mark.parametrize("names", [["a.db"] * 4, ["a.db", "b.db", "c.db", "d.db"]], ids=["one file", "four files"])
def test_threads_that_open_new_stores_at_once_all_get_them(tmp_path: Path, names: list[str]) -> None:
    """Alembic keeps its state in globals."""
    stores = []

    def open_it(name: str) -> None:
        stores.append(open_sqlite(tmp_path / name))

    threads = [threading.Thread(target=open_it, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store._writer.close()
        store._readers.close()
    assert len(stores) == 4


async def test_opening_a_store_that_is_up_to_date_imports_no_alembic(tmp_path: Path) -> None:
    """It takes a fifth of a second, and is of use once in the life of a store."""
    await open_sqlite(tmp_path / "runs.db").close()
    modules = modules_after_opening(f"sqlite:///{tmp_path}/runs.db")
    assert "sqlalchemy" in modules
    assert "alembic" not in modules


def test_a_store_in_memory_imports_no_sqlalchemy() -> None:
    """Whoever needs no database does not pay for one."""
    assert "sqlalchemy" not in modules_after_opening("memory://")
