"""Cancelling runs that other processes drive, on every durable store."""

import asyncio
import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from commands import environment, start, tagent
from postgres import server
from redis_server import redis_server
from tagent import cancel
from tagent.pipeline.communication import PipelineCommunicator
from tagent.pipeline.driving.cancelling import RunEndedError
from tagent.pipeline.events import RunEvent, RunFinished, RunHalted, StepCancelled, StepStarted
from tagent.pipeline.journal.loading import load_events
from tagent.ports.records import RunRecord
from tagent.runtime import open_services_on

STORES: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite:///{folder / 'runs.db'}",
    "files": lambda folder: f"file:///{folder / 'runs'}",
    "postgresql": lambda folder: server().place(folder),
    "redis": lambda folder: redis_server().url(folder.name),
}

PIPELINE = """
import asyncio, threading
from tagent.pipeline import Pipeline, StepContext
from tagent.pipeline.journal import lease

lease.keeper.keep = lambda lease: None  # nothing is renewed, so renewing cannot tell that the claim is lost

def note(line: str) -> None:
    with open("notes", "a") as log:
        log.write(line + chr(10))

def done() -> int:
    return 7

async def waiting(context: StepContext) -> None:
    note(f"{context.run_id} waits")
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        note("stopped")
        raise

def blocking(context: StepContext) -> None:
    note(f"{context.run_id} blocks")
    threading.Event().wait(3600)

async def after() -> None:
    note("after")

pipeline = Pipeline("held", default_mode="concurrent").step("done", run=done)
pipeline.step("waiting", run=waiting, depends_on=["done"]).step("blocking", run=blocking, depends_on=["done"])
pipeline.step("after", run=after, depends_on=["waiting", "blocking"])
"""

MANY = """
import asyncio, os, random, sys
from tagent import run_pipeline
from tagent.pipeline import Pipeline, RetryPolicy, StepContext

effects = os.open("effects", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

async def work(context: StepContext) -> str:
    os.write(effects, f"{context.run_id} {context.step} {context.attempt}\\n".encode())
    await asyncio.sleep(random.random() * 0.004)
    if random.random() < 0.1:
        raise OSError("flaky")
    return context.step

pipeline = Pipeline("many", default_mode="concurrent")
for number in range(60):
    before = [f"s{n}" for n in {number - 3, number - 4} if n >= 0]
    pipeline.step(f"s{number}", run=work, depends_on=before, retry=RetryPolicy(0.001, 0.002))
for _ in range(int(sys.argv[2])):
    print(run_pipeline(pipeline, store=sys.argv[1]).status.value, flush=True)
"""


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return STORES[request.param](tmp_path)


class Processes:
    """Processes in one folder, which end with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command."""
        return self._kept(start(*arguments, cwd=self.folder))

    def start_script(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a Python script."""
        command = [sys.executable, *arguments]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=self.folder, env=environment(), stdout=pipe, stderr=pipe, text=True)
        return self._kept(process)

    def end(self) -> None:
        """Kill what is still there."""
        for process in self._started:
            process.kill()
            process.communicate()

    def _kept(self, process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        self._started.append(process)
        return process


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.end()


def notes(folder: Path) -> list[str]:
    """Return what the steps have noted."""
    file = folder / "notes"
    return file.read_text().splitlines() if file.exists() else []


def looked_at(store: str, run_id: str) -> tuple[RunRecord, Sequence[RunEvent]]:
    """Return a run and its journal."""

    async def look() -> tuple[RunRecord, Sequence[RunEvent]]:
        async with open_services_on(store) as services:
            return await services.store.run(run_id), await load_events(services.store, run_id)

    return asyncio.run(look())


def begun(store: str) -> set[str]:
    """Return the runs that are there."""

    async def look() -> set[str]:
        async with open_services_on(store) as services:
            return {run.run_id for run in await services.store.runs()}

    return asyncio.run(look())


def test_a_run_of_another_process_is_cancelled_and_its_steps_stop(
    tmp_path: Path, processes: Processes, store: str
) -> None:
    """That process finds out by itself, soon, also where it is not writing; nobody there waits for a blocking step."""
    (tmp_path / "held.py").write_text(PIPELINE)
    process = processes.start("run", "held.py", "--store", store, "--json")
    while len(notes(tmp_path)) < 2:
        assert process.poll() is None, process.communicate()
    cancelled = cancel(notes(tmp_path)[0].split()[0], {"store": store}, reason="It is too late.")
    told, talk = process.communicate(timeout=60)
    assert process.returncode == 1, talk
    result = json.loads(told)
    assert (result["run_id"], result["status"]) == (cancelled.run_id, "cancelled")
    steps = {name: (step["status"], step["reason"]) for name, step in result["step_metadata"].items()}
    assert steps.pop("done") == ("completed", "")
    assert set(steps.values()) == {("cancelled", "It is too late.")}
    assert notes(tmp_path)[2:] == ["stopped"]
    run, events = looked_at(store, cancelled.run_id)
    assert (run.status, run.owner) == ("cancelled", "")
    assert isinstance(events[-1], RunFinished)


RUNS = 6


def test_no_step_starts_behind_a_cancel_that_comes_at_any_moment(
    tmp_path: Path, processes: Processes, store: str
) -> None:
    """Promise 8: in the journal nothing begins behind it, and nothing happens whose start is not in the journal."""
    moments = random.Random(8)  # noqa: S311 - nothing is secret about it
    (tmp_path / "many.py").write_text(MANY)
    process = processes.start_script("many.py", store, str(RUNS))
    seen: set[str] = set()
    cancelled: list[str] = []
    while len(seen) < RUNS:
        assert process.poll() is None or begun(store) - seen, process.communicate()
        for run_id in begun(store) - seen:
            seen.add(run_id)
            threading.Event().wait(moments.random() * 0.08)
            with suppress(RunEndedError):
                cancelled.append(cancel(run_id, {"store": store}).run_id)
    told, talk = process.communicate(timeout=120)
    assert process.returncode == 0, talk
    assert told.split().count("cancelled") == len(cancelled) > 0
    happened = [line.split() for line in (tmp_path / "effects").read_text().splitlines()]
    for run_id in cancelled:
        _, events = looked_at(store, run_id)
        halted = next(place for place, event in enumerate(events) if isinstance(event, RunHalted))
        assert all(isinstance(event, StepCancelled | RunFinished) for event in events[halted + 1 :])
        starts = {(event.step, event.attempt) for event in events[:halted] if isinstance(event, StepStarted)}
        effects = [(step, int(attempt)) for run, step, attempt in happened if run == run_id]
        assert set(effects) <= starts
        assert len(set(effects)) == len(effects)


def test_a_cancelled_run_is_shown_and_can_be_resumed(tmp_path: Path, processes: Processes) -> None:
    """With the words that people type: what was done is not done again."""
    (tmp_path / "held.py").write_text(PIPELINE)
    process = processes.start("run", "held.py")
    while len(notes(tmp_path)) < 2:
        assert process.poll() is None, process.communicate()
    cancelled = tagent("runs", "cancel", "--pipeline", "held", "--reason", "Not now.", "--yes", cwd=tmp_path)
    run_id = notes(tmp_path)[0].split()[0]
    assert (cancelled.returncode, cancelled.stdout.splitlines()) == (
        0,
        [f"{run_id}  held  1 completed, 2 stopped, 1 not begun", "1 run cancelled"],
    ), cancelled.stderr
    process.communicate(timeout=60)
    assert process.returncode == 1
    shown = json.loads(tagent("runs", "show", run_id, "--json", cwd=tmp_path).stdout)
    assert (shown["status"], shown["steps"]["after"]["reason"]) == ("cancelled", "Not now.")
    again = tagent("runs", "cancel", run_id, "--yes", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (1, "0 runs cancelled\n")
    assert "cancelled already" in again.stderr
    (tmp_path / "held.py").write_text(PIPELINE.replace("3600", "0"))
    resumed = tagent("runs", "resume", run_id, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "Reused: done\n" in resumed.stderr
    assert notes(tmp_path)[-1] == "after"


def test_a_worker_that_drives_a_cancelled_run_goes_on(tmp_path: Path, processes: Processes) -> None:
    """One run that is not wanted any more must not end the others."""
    (tmp_path / "orders.py").write_text(
        PIPELINE.replace('Pipeline("held",', 'Pipeline("orders", triggers=[on_event("orders.*")],').replace(
            "import Pipeline,", "import Pipeline, on_event,"
        )
    )
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    process = processes.start("worker", "orders.py", "--store", store, "--json")
    assert process.stderr is not None
    said = (json.loads(line) for line in process.stderr)
    assert any(line["event"] == "ready" for line in said)
    for number in range(2):
        with PipelineCommunicator("shop", store=store) as communicator:
            communicator.broadcast("orders.new", {"id": number})
        run_id = next(line["run_id"] for line in said if line["event"] == "run_started")
        while len([note for note in notes(tmp_path) if note.startswith(str(run_id))]) < 2:
            assert process.poll() is None
        cancel(str(run_id), {"store": store})
        ended = next(line for line in said if line["event"] == "run_ended")
        assert (ended["run_id"], ended["status"]) == (run_id, "cancelled")
