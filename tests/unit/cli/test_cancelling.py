"""`tagent runs cancel`: which runs it takes, and what it says."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from builders import returning
from tagent import fork, run_pipeline
from tagent.cli.runs.cancelling import OPEN, cancel_command
from tagent.cli.runs.options import FINISHED, STATUSES
from tagent.pipeline import Pipeline
from tagent.ports.records import RunRecord
from tagent.runtime import open_services_on


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"file:///{tmp_path}"


def cancels(store: str, *arguments: str) -> Result:
    """Call the command."""
    return CliRunner().invoke(cancel_command, [*arguments, "--store", store], standalone_mode=False)


def waiting(store: str, name: str = "chain", **labels: str) -> str:
    """Return the id of a run that nobody drives yet, its first step completed."""
    pipeline = Pipeline(name).step("a", run=returning(1)).step("b", run=returning(2), depends_on=["a"])
    run = run_pipeline(pipeline, {"store": store}, labels=labels)
    return fork(run.run_id, {"store": store}, from_step="b").run_id


def stands(store: str, run_id: str) -> str:
    """Return where the run stands."""

    async def look() -> RunRecord:
        async with open_services_on(store) as services:
            return await services.store.run(run_id)

    return asyncio.run(look()).status


def test_named_runs_are_cancelled_and_the_rest_of_the_names_refused(store: str) -> None:
    """One mistyped id does not keep the others running."""
    run_id = waiting(store)
    done = cancels(store, run_id, "nonsense", run_id, "--yes", "--json", "--reason", "No.")
    told = json.loads(done.stdout)
    assert told["cancelled"] == [
        {"run_id": run_id, "pipeline": "chain", "status": "cancelled", "completed": ["a"], "stopped": [], "left": ["b"]}
    ]
    assert [refused["code"] for refused in told["refused"]] == ["store.unknown_run"]
    assert done.return_value == 1
    assert stands(store, run_id) == "cancelled"


def test_runs_are_found_by_what_they_are(store: str) -> None:
    """All of the options apply; what has ended is never among them."""
    one, other = waiting(store, "one", team="blue"), waiting(store, "other", team="blue")
    assert cancels(store, "--pipeline", "one", "--label", "team=red", "--yes").stdout == "0 runs cancelled\n"
    assert cancels(store, "--status", "running", "--yes").stdout == "0 runs cancelled\n"
    done = cancels(store, "--pipeline", "one", "--label", "team=blue", "--status", "interrupted", "--yes")
    assert done.stdout.splitlines() == [f"{one}  one  1 completed, 0 stopped, 1 not begun", "1 run cancelled"]
    assert (stands(store, one), stands(store, other)) == ("cancelled", "running")
    assert cancels(store, "--until", "1h", "--yes").stdout == "0 runs cancelled\n"
    assert cancels(store, "--since", "1h", "--yes").stdout.splitlines()[-1] == "1 run cancelled"


def test_a_run_that_is_named_is_cancelled_without_a_question(store: str) -> None:
    """Whoever writes the id means it; an alarm at night has no terminal to answer at."""
    one, other = waiting(store), waiting(store)
    done = cancels(store, one, other, "--reason", "wrong inputs")
    assert (done.return_value, done.stdout.splitlines()[-1]) == (0, "2 runs cancelled")
    assert (stands(store, one), stands(store, other)) == ("cancelled", "cancelled")
    again = cancels(store, one)
    assert (again.return_value, again.stdout) == (1, "0 runs cancelled\n")
    assert one in again.stderr


def test_what_is_only_found_is_cancelled_if_somebody_agrees(store: str) -> None:
    """There may be more of it than one thinks; and without a terminal nobody can agree."""
    run_id = waiting(store)
    refused = cancels(store, "--pipeline", "chain")
    assert run_id in refused.stderr
    assert "Nothing was cancelled: there is no terminal" in str(refused.exception)
    assert stands(store, run_id) == "running"


@pytest.mark.parametrize("arguments", [(), ("0a1b", "--pipeline", "one")])
def test_runs_are_named_in_one_way(store: str, arguments: tuple[str, ...]) -> None:
    """A name and a filter together could mean either."""
    assert "Name runs by their ids, or by --status" in str(cancels(store, *arguments, "--yes").exception)


def test_a_run_stands_somewhere_or_has_ended() -> None:
    """Where a run may stand that can be cancelled is what is left."""
    assert set(OPEN) == set(STATUSES) - set(FINISHED)
