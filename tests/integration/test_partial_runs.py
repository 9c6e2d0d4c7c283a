"""Runs that do a part of their pipeline: on every durable store, and on the command line."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import environment, tagent
from postgres import server
from redis_server import redis_server
from tagent import arun_pipeline, fork, resume, run_pipeline, stream
from tagent.pipeline import Pipeline, PipelineResult
from tagent.pipeline.events import StepGiven
from tagent.ports.store_errors import UnknownRunError

STORES: dict[str, Callable[[Path], str]] = {
    "memory": lambda _: "memory://",
    "sqlite": lambda folder: f"sqlite:///{folder / 'runs.db'}",
    "files": lambda folder: f"file:///{folder / 'runs'}",
    "postgresql": lambda folder: server().place(folder),
    "redis": lambda folder: redis_server().url(folder.name),
}

LARGE = "hill " * 20_000


def report(*, facts: object = "", is_broken: bool = False) -> Pipeline:
    """Return facts -> text -> end; the first one gives a large output unless it is to give another."""

    def text(facts: str) -> str:
        return f"{facts[:4]}: {len(facts)}"

    def end(text: str) -> str:
        if is_broken:
            raise TypeError(text)
        return f"{text}!"

    pipeline = Pipeline("report").step("facts", run=lambda: facts or LARGE).step("text", run=text)
    return pipeline.step("end", run=end, max_retries=0)


@pytest.mark.parametrize("kind", STORES)
def test_outputs_are_given_by_hand_on_every_store(kind: str, tmp_path: Path) -> None:
    """Also large ones, which are beside the journal there."""
    result = run_pipeline(report(), start_from="text", outputs={"facts": "bay " * 20_000}, store=STORES[kind](tmp_path))
    assert (result.final_output, result.step_outputs["facts"]) == ("bay : 80000!", "bay " * 20_000)


@pytest.mark.parametrize("kind", [kind for kind in STORES if kind != "memory"])
def test_outputs_of_an_earlier_run_are_used_on_every_store(kind: str, tmp_path: Path) -> None:
    """Of one that failed too, and by a run that fails and is taken up again."""
    store = STORES[kind](tmp_path)
    first = run_pipeline(report(is_broken=True), store=store)
    again = run_pipeline(report(facts="x", is_broken=True), start_from="text", from_run=first.run_id, store=store)
    assert (again.success, again.step_metadata["facts"]["given_by"]) == (False, first.run_id)
    result = resume(again.run_id, report(facts="x"), store=store)
    assert (result.final_output, result.step_outputs["facts"]) == ("hill: 100000!", LARGE)
    assert result.step_metadata["facts"]["given_by"] == first.run_id
    with pytest.raises(UnknownRunError):
        run_pipeline(report(), start_from="text", from_run="nowhere", store=store)


@pytest.mark.parametrize("kind", [kind for kind in STORES if kind != "memory"])
def test_large_outputs_that_nobody_reads_stay_where_they_are(kind: str, tmp_path: Path) -> None:
    """They need not come into memory once more, and are kept when the earlier run is deleted."""
    store = STORES[kind](tmp_path)
    pipeline = report().step("other", run=lambda: "tram " * 20_000)
    first = run_pipeline(pipeline, store=store)
    again = run_pipeline(pipeline, start_from="end", from_run=first.run_id, store=store)
    assert again.step_metadata["other"]["given_by"] == first.run_id
    assert tagent("runs", "delete", first.run_id, "--yes", "--store", store, cwd=tmp_path).returncode == 0
    assert (again.step_outputs["other"], again.step_outputs["facts"]) == ("tram " * 20_000, LARGE)
    assert resume(again.run_id, pipeline, store=store).step_outputs["other"] == "tram " * 20_000


def test_an_earlier_run_in_memory_is_gone() -> None:
    """Its store went with it."""
    first = run_pipeline(report())
    with pytest.raises(UnknownRunError):
        run_pipeline(report(), start_from="text", from_run=first.run_id)


def test_a_given_output_is_of_the_run_that_has_it(tmp_path: Path) -> None:
    """The earlier run may be deleted: what was taken of it stays."""
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    first = run_pipeline(report(), store=store)
    again = run_pipeline(report(), start_from="text", from_run=first.run_id, store=store)
    assert tagent("runs", "delete", first.run_id, "--yes", "--store", store, cwd=tmp_path).returncode == 0
    assert again.step_outputs["facts"] == LARGE
    assert resume(again.run_id, report(), store=store).step_outputs["facts"] == LARGE


def test_a_fork_of_a_part_stays_a_part(tmp_path: Path) -> None:
    """From a step that ran: what was given is reused, what was not to run is not."""
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    first = run_pipeline(report(), only="text", outputs={"facts": "tram"}, store=store)
    new = fork(first.run_id, {"store": store}, from_step="text")
    assert (new.reused, new.again) == (("facts",), ("text",))
    result = resume(new.run_id, report(), store=store)
    assert (result.final_output, result.step_metadata["end"]["code"]) == ("tram: 4", "not_selected")


async def test_the_stream_shows_what_is_given() -> None:
    """Before anything runs."""
    events = stream(report(), only="text", outputs={"facts": "tram"})
    given = [event async for event in events if isinstance(event, StepGiven)]
    assert [(event.step, event.output) for event in given] == [("facts", "tram")]
    assert events.result.final_output == "tram: 4"


async def test_agents_and_goals_take_no_part() -> None:
    """A part is one of a pipeline."""
    result: PipelineResult = await arun_pipeline(report(), only=["facts"])
    assert result.final_output == LARGE


FILE = """
from tagent.pipeline import Pipeline

def facts(city: str) -> dict[str, object]:
    print("facts are looked for")
    return {"city": city, "hills": 7}

def text(facts: dict[str, object]) -> str:
    return f"{facts['city']} has {facts['hills']} hills."

pipeline = Pipeline("report").step("facts", run=facts).step("text", run=text).step("end", run=lambda text: text.upper())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the file of a pipeline."""
    (tmp_path / "report.py").write_text(FILE, encoding="utf-8")
    return tmp_path


def test_the_command_runs_a_part(folder: Path) -> None:
    """Steps by name, outputs by hand as JSON, as text or from a file, or of an earlier run."""
    first = tagent("run", "report.py", "--input", "city=Lisbon", "--json", cwd=folder)
    run_id = json.loads(first.stdout)["run_id"]
    again = tagent("run", "report.py", "--start-from", "text", "--from-run", run_id, cwd=folder)
    assert (again.returncode, again.stdout) == (0, "LISBON HAS 7 HILLS.\n"), again.stderr
    assert "facts are looked for" not in again.stderr
    assert f"given: run {run_id}" in again.stderr
    given = tagent("run", "report.py", "--only", "text", "--output", 'facts={"city": "Rome", "hills": 8}', cwd=folder)
    assert (given.returncode, given.stdout) == (0, "Rome has 8 hills.\n"), given.stderr
    (folder / "facts.json").write_text('{"city": "Bath", "hills": 9}', encoding="utf-8")
    given = tagent("run", "report.py", "--only", "text,end", "--output", "facts=@facts.json", cwd=folder)
    assert (given.returncode, given.stdout) == (0, "BATH HAS 9 HILLS.\n"), given.stderr
    text = tagent("run", "report.py", "--only", "end", "--output", "text=it is said", cwd=folder)
    assert (text.returncode, text.stdout) == (0, "IT IS SAID\n"), text.stderr
    assert "given by hand" in text.stderr


def test_the_command_says_what_is_missing(folder: Path) -> None:
    """As a mistake in its use."""
    refused = tagent("run", "report.py", "--only", "text", "--json", cwd=folder)
    assert (refused.returncode, json.loads(refused.stdout)["error"]["code"]) == (2, "run.selection")
    assert "'text' needs the output of 'facts'" in refused.stderr
    assert "give it by hand (--output STEP=JSON), or take it from an earlier run (--from-run ID)" in refused.stderr
    unknown = tagent("run", "report.py", "--start-from", "text", "--from-run", "nowhere", cwd=folder)
    assert (unknown.returncode, "store.unknown_run" in unknown.stderr) == (1, True)  # as for every command
    for options in (["--output", "facts"], ["--output", "facts=@nowhere.json"], ["--only", "txt"]):
        wrong = tagent("run", "report.py", *options, cwd=folder)
        assert (wrong.returncode, "Traceback" in wrong.stderr) == (2, False), wrong.stderr
    goal = tagent("run", "Say hello", "--only", "goal", cwd=folder)
    assert (goal.returncode, "A goal is run as a whole" in goal.stderr) == (2, True)


def test_the_run_shows_what_it_was_a_part_of(folder: Path) -> None:
    """Where each output came from, and what was not to run, in a line each."""
    run = tagent(
        "run", "report.py", "--only", "text", "--output", 'facts={"city": "Rome", "hills": 8}', "--json", cwd=folder
    )
    run_id = json.loads(run.stdout)["run_id"]
    shown = tagent("runs", "show", run_id, cwd=folder)
    assert "given by hand" in shown.stdout
    facts = json.loads(tagent("runs", "show", run_id, "--json", cwd=folder).stdout)["steps"]
    assert (facts["facts"]["given_by"], facts["end"]["code"]) == ("by hand", "not_selected")
    logs = tagent("runs", "logs", run_id, cwd=folder).stdout
    assert "StepGiven" in logs
    assert "given by hand" in logs


def test_the_example_does_its_end_again() -> None:
    """As a reader starts it."""
    example = Path(__file__).parents[2] / "examples" / "newsletter.py"
    ran = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, check=True, env=environment())
    told = ran.stdout.splitlines()
    assert told[1] == "<p>November: 12,400 readers. November was the best issue so far.</p>"
    assert told[3].endswith(": 'figures', 'interviews'.")
    assert "12,401 readers" in told[4]
    assert told[-2] == "'draft' needs the output of 'interviews', which is not to run."
