"""`tagent runs`: durable runs as people handle them, each command a process of its own."""

import json
import signal
from pathlib import Path

import pytest

from commands import start, tagent
from endpoints import Endpoint, failure

PIPELINE = """
import os, pathlib, time
from pydantic import BaseModel
from tagent.pipeline import Pipeline
from tagent.testing import ScriptedModel

class First(BaseModel):
    n: int

def first() -> First:
    with open("calls", "a") as log: log.write("first\\n")
    return First(n=1)

def gate(first: First) -> int:
    with open("calls", "a") as log: log.write("gate\\n")
    while not pathlib.Path("open").exists():
        time.sleep(0.01)
    return first.n + 1

pipeline = (
    Pipeline("gated")
    .step("first", run=first)
    .step("gate", run=gate)
    .step("said", "Say {gate}", read_data=["first.n"], model=ScriptedModel(lambda request: "It is two."))
)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gated.py").write_text(PIPELINE)
    return tmp_path


def listed(folder: Path) -> list[dict[str, object]]:
    runs: list[dict[str, object]] = json.loads(tagent("runs", "list", "--json", cwd=folder).stdout)
    return runs


def stopped(folder: Path, how: signal.Signals) -> tuple[str, str]:
    """Start the pipeline, stop it at its gate, and return the run's id and what was said."""
    process = start("run", "gated.py", cwd=folder)
    calls = folder / "calls"
    while not (calls.exists() and "gate" in calls.read_text()):
        assert process.poll() is None
    process.send_signal(how)
    _, talk = process.communicate(timeout=60)
    (folder / "open").touch()
    return str(listed(folder)[0]["run_id"]), talk


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_prints_the_command_that_finishes_it(folder: Path, how: signal.Signals) -> None:
    """And that very command does."""
    run_id, talk = stopped(folder, how)
    command = next(line for line in talk.splitlines() if "tagent runs resume" in line).split("tagent ")[1]
    assert command == f"runs resume {run_id}"
    resumed = tagent(*command.split(), cwd=folder)
    assert (resumed.returncode, resumed.stdout) == (0, "It is two.\n")
    assert (folder / "calls").read_text() == "first\ngate\ngate\n"


def test_a_killed_run_goes_on_at_once_and_says_what_is_reused(folder: Path) -> None:
    """Nobody waits for the lease of a process that is gone."""
    run_id, _ = stopped(folder, signal.SIGKILL)
    assert listed(folder)[0]["status"] == "interrupted"
    resumed = tagent("runs", "resume", run_id, "--json", cwd=folder)
    assert json.loads(resumed.stdout)["step_outputs"] == {"first": {"n": 1}, "gate": 2, "said": "It is two."}
    assert "Reused: first\nGoes on: gate (0 finished calls reused)\nStill to do: said\n" in resumed.stderr
    assert "3/3 steps" in resumed.stderr
    assert (folder / "calls").read_text() == "first\ngate\ngate\n"


def test_runs_are_listed_newest_first_and_shown_with_their_steps(folder: Path) -> None:
    """For people and for programs."""
    (folder / "open").touch()
    for _ in range(2):
        assert tagent("run", "gated.py", cwd=folder).returncode == 0
    runs = listed(folder)
    assert [run["status"] for run in runs] == ["completed", "completed"]
    assert str(runs[0]["created_at"]) > str(runs[1]["created_at"])
    assert runs[0].keys() == {
        "run_id", "pipeline", "status", "created_at", "updated_at", "finished_at", "cost_usd", "labels", "parent",
    }  # fmt: skip
    run_id = str(runs[0]["run_id"])
    assert run_id in tagent("runs", "list", cwd=folder).stdout
    assert "✓ gate" in tagent("runs", "show", run_id, cwd=folder).stdout
    assert tagent("runs", "show", run_id, "--step", "said", cwd=folder).stdout == "It is two.\n"
    shown = json.loads(tagent("runs", "show", run_id, "--json", cwd=folder).stdout)
    assert shown["steps"]["gate"]["output"] == 2
    logged = tagent("runs", "logs", run_id, cwd=folder).stdout
    assert [line.split()[2] for line in logged.splitlines()][:3] == ["RunStarted", "StepStarted", "StepCompleted"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["runs", "resume", "nothing"], 1, "error[store.unknown_run]: No run has the id 'nothing'."),
        (["runs", "show", "nothing"], 1, "error[store.unknown_run]"),
        (["runs", "logs", "nothing"], 1, "error[store.unknown_run]"),
        (["runs", "list", "--store", "mongo://x"], 4, "error[configuration]: No store is called 'mongo'."),
        (["runs", "list", "--store", "sqlite:////dev/null/x.db"], 1, "error[store.unavailable]"),
        (["runs", "lst"], 2, "No such command 'lst'"),
    ],
)
def test_bad_input_gets_a_clear_error(folder: Path, arguments: list[str], code: int, said: str) -> None:
    """Never a traceback."""
    ran = tagent(*arguments, cwd=folder)
    assert (ran.returncode, said in ran.stderr, "Traceback" in ran.stderr) == (code, True, False), ran.stderr


def test_a_run_of_a_goal_is_resumed_without_any_file(folder: Path) -> None:
    """`tagent run GOAL` is a run like any other."""
    with Endpoint(failure(404)) as endpoint:
        env = {"OPENAI_BASE_URL": endpoint.base_url, "OPENAI_API_KEY": "none"}
        failed = tagent("run", "Say it", "--model", "openai-chat:x", cwd=folder, env=env)
        assert failed.returncode == 1, failed.stderr
        run_id = str(listed(folder)[0]["run_id"])
        again = tagent("runs", "resume", run_id, "--model", "openai-chat:x", cwd=folder, env=env)
    assert "Still to do: goal" in again.stderr


def test_the_database_says_which_schema_it_has(folder: Path) -> None:
    """Before and after the first run."""
    assert "no database yet" in tagent("db", "current", cwd=folder).stdout
    assert tagent("db", "upgrade", cwd=folder).returncode == 0
    assert "up to date" in tagent("db", "current", cwd=folder).stdout


def test_a_file_that_is_no_database_is_a_clear_error(folder: Path) -> None:
    """And it is left as it is."""
    (folder / ".tagent").mkdir()
    (folder / ".tagent" / "runs.db").write_text("no database at all, but long enough to look like one" * 40)
    ran = tagent("runs", "list", cwd=folder)
    assert (ran.returncode, "Traceback" in ran.stderr, "runs.db" in ran.stderr) == (1, False, True)
    assert (folder / ".tagent" / "runs.db").read_text().startswith("no database at all")


FLOW = """
import pathlib
from tagent.pipeline import ExecutionMode, Pipeline

def item_of(item):
    if item == 2:
        raise TypeError("two is broken")
    return item

def sold(items):
    if not pathlib.Path("mended").exists():
        raise TypeError("sold out")
    return "sold"

flow = (
    Pipeline("flow", on_failure="rollback")
    .step("numbers", run=lambda: [1, 2, 3], compensate=lambda: None)
    .step("items", run=item_of, for_each="numbers", execution_mode=ExecutionMode.PARALLEL_MERGE, min_success=2)
    .step("high", run=lambda: 1, condition="steps.numbers[0] > 5")
    .step("sold", run=sold)
)
"""


def test_a_run_that_does_not_complete_is_explained_at_once_and_later(tmp_path: Path) -> None:
    """Why, without looking for it: after the run, in `runs show`, in its JSON, and in `runs logs`."""
    (tmp_path / "flow.py").write_text(FLOW)
    ran = tagent("run", "flow.py", cwd=tmp_path)
    assert ran.returncode == 1, ran.stderr
    explained = [
        "The run of 'flow' failed [run.rollback]: The step 'sold' failed, so the run is rolled back.",
        "- 'numbers' was undone.",
        "- 'items' completed without 1 of its 3 parts:",
        "    part '1' failed [step.failed]: The step 'items' raised TypeError: two is broken (flow.py, line 7)",
        "- 'high' was skipped [condition_false]: steps.numbers[0] > 5 is false: steps.numbers[0] is 1",
        "- 'sold' failed [step.failed]: The step 'sold' raised TypeError: sold out (flow.py, line 12)",
    ]
    assert ran.stderr.splitlines()[-len(explained) :] == explained
    run_id = str(listed(tmp_path)[0]["run_id"])
    assert tagent("runs", "show", run_id, cwd=tmp_path).stdout.splitlines()[-len(explained) :] == explained
    shown = json.loads(tagent("runs", "show", run_id, "--json", cwd=tmp_path).stdout)
    assert (shown["code"], shown["explanation"]) == ("run.rollback", explained)
    assert shown["steps"]["items"]["parts"]["1"]["code"] == "step.failed"
    assert shown["steps"]["high"]["condition"]["holds"] is False
    logged = tagent("runs", "logs", run_id, cwd=tmp_path).stdout
    assert "PartFailed  items/1 (attempt 1)  [step.failed]" in logged

    (tmp_path / "mended").touch()
    fork = tagent("runs", "fork", run_id, "--from", "sold", cwd=tmp_path)
    assert "Reused: items\nRuns again: numbers, high, sold\n" in fork.stderr
    resumed = tagent("runs", "resume", fork.stdout.strip(), cwd=tmp_path)
    assert (resumed.returncode, resumed.stdout) == (0, "sold\n"), resumed.stderr
    compared = tagent("runs", "diff", run_id, fork.stdout.strip(), cwd=tmp_path, env={"COLUMNS": "200"}).stdout
    assert "failed [run.rollback]" in compared
    assert "completed 2/3 parts" in compared


CASES = """
import pathlib
from tagent.pipeline import Pipeline

def draft(case: int) -> int:
    return case

def send(draft: int) -> int:
    if draft == 3 and not pathlib.Path("mended").exists():
        raise TypeError("no")
    return draft

inner = Pipeline("inner").step("draft", run=draft).step("send", run=send, max_retries=0)
options = {"pipeline": inner, "for_each": "n", "inputs": {"case": "item"}, "max_concurrency": 1, "max_retries": 0}
pipeline = Pipeline("cases").step("n", run=lambda: [1, 2, 3]).step("cases", **options)
"""


def test_steps_inside_and_parts_that_are_done_are_told_on_a_resume(tmp_path: Path) -> None:
    """What was paid for is not said to be lost."""
    (tmp_path / "cases.py").write_text(CASES)
    assert tagent("run", "cases.py", cwd=tmp_path).returncode != 0
    run_id = str(listed(tmp_path)[0]["run_id"])
    logged = tagent("runs", "logs", run_id, cwd=tmp_path).stdout.splitlines()
    [at] = [n for n, line in enumerate(logged, 1) if "PartCompleted  cases/1" in line]
    fork = tagent("runs", "fork", run_id, "--at", str(at), cwd=tmp_path)
    (tmp_path / "mended").touch()
    resumed = tagent("runs", "resume", run_id, cwd=tmp_path)
    assert "Reused: n\nStill to do: cases (1 step inside reused, 2 of 3 parts reused)\n" in resumed.stderr
    forked = tagent("runs", "resume", fork.stdout.strip(), cwd=tmp_path)
    assert "Still to do: cases (2 parts reused)\n" in forked.stderr, forked.stderr
