"""`tagent db prune`: what has expired, and what is kept to be used again."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tagent import run_pipeline
from tagent.cli.db import db
from tagent.pipeline import Pipeline


@pytest.fixture
def store(tmp_path: Path) -> str:
    """Return a store with three outputs that all runs may use again, one of them for no time worth mentioning."""
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    pipeline = Pipeline("p").step("a", run=lambda n: n, cache="forever").step("b", run=lambda n: [n], cache=1e-6)
    for n in (1, 2):
        run_pipeline(Pipeline("p", steps=pipeline.steps[: 3 - n]), inputs={"n": n}, store=url)
    return url


def prune(*options: str) -> tuple[int, str]:
    """Return the exit code of `tagent db prune`, and what it said."""
    ran = CliRunner().invoke(db, ["prune", *options])
    return ran.exit_code, ran.output.strip()


def test_what_has_expired_is_deleted(store: str) -> None:
    """The disk must not fill with what nobody may use."""
    assert prune("--expired", "--dry-run", "--store", store) == (0, "What has expired would be deleted")
    assert prune("--expired", "--store", store) == (0, "1 expired documents deleted")
    assert prune("--expired", "--store", store) == (0, "0 expired documents deleted")


def test_all_kept_outputs_are_forgotten_when_somebody_agrees(store: str) -> None:
    """Whoever has mended something that no key can see wants to begin anew."""
    prune("--expired", "--store", store)
    assert prune("--cache", "--dry-run", "--store", store) == (0, "2 outputs would be deleted")
    assert prune("--cache", "--yes", "--json", "--store", store)[0] == 0
    assert json.loads(prune("--cache", "--yes", "--json", "--store", store)[1]) == {"dry_run": False, "outputs": 0}


def test_runs_and_outputs_are_not_pruned_in_one_breath(store: str) -> None:
    """Who says --keep 5 --cache may mean anything."""
    code, told = prune("--cache", "--keep", "5", "--store", store)
    assert code == 2
    assert "--cache is about no runs" in told
