"""`tagent worker` as a process: events, health, a graceful stop, and a kill after which another one goes on."""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from commands import start, tagent
from tagent.pipeline.communication import PipelineCommunicator

PIPELINE = """
import asyncio, pathlib
from pydantic import BaseModel
from tagent.pipeline import Pipeline, on_event

class Order(BaseModel):
    id: int

async def gate(id: int) -> int:
    with open("calls", "a") as log: log.write(f"gate {id}\\n")
    while not pathlib.Path("open").exists():
        await asyncio.sleep(0.01)
    return id

async def ship(gate: int) -> int:
    with open("calls", "a") as log: log.write(f"ship {gate}\\n")
    return gate

pipeline = Pipeline("orders", inputs=Order, triggers=[on_event("orders.*")])
pipeline.step("gate", run=gate).step("ship", run=ship)
"""


class Workers:
    """Worker processes in one folder, on one SQLite file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = f"sqlite:///{folder / 'runs.db'}"
        self._processes: list[subprocess.Popen[str]] = []

    def hire(self, *arguments: str) -> "WorkerProcess":
        """Return a worker that has begun to work."""
        process = start("worker", "orders.py", "--store", self.store, "--json", *arguments, cwd=self.folder)
        self._processes.append(process)
        hired = WorkerProcess(process)
        hired.says("ready")
        return hired

    def send(self, *orders: object) -> None:
        """Send orders."""
        with PipelineCommunicator("shop", store=self.store) as communicator:
            for order in orders:
                communicator.broadcast("orders.new", order)

    def calls(self) -> list[str]:
        """Return the calls of steps so far."""
        log = self.folder / "calls"
        return log.read_text().splitlines() if log.exists() else []

    def open_gate(self) -> None:
        """Let runs through."""
        (self.folder / "open").touch()

    def runs(self) -> list[dict[str, object]]:
        """Return the runs."""
        listed: list[dict[str, object]] = json.loads(
            tagent("runs", "list", "--store", self.store, "--json", cwd=self.folder).stdout
        )
        return listed

    def end(self) -> None:
        """Kill what is still there."""
        for process in self._processes:
            process.kill()
            process.communicate()


class WorkerProcess:
    """A worker, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[dict[str, object]] = []

    def says(self, event: str) -> dict[str, object]:
        """Return the next line about an event, as soon as it is said."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(json.loads(line))
            if self.said[-1]["event"] == event:
                return self.said[-1]
        raise AssertionError(f"It ended without {event}: {self.said}")

    def stop(self) -> int:
        """Ask it to stop and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    (tmp_path / "orders.py").write_text(PIPELINE)
    workers = Workers(tmp_path)
    yield workers
    workers.end()


def health(port: object) -> dict[str, object]:
    """Return what the endpoint tells."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/health") as answer:
            told: dict[str, object] = json.load(answer)
    except HTTPError as error:
        told = json.load(error)
    return told


def test_events_start_runs_and_a_stop_leaves_them_to_another(workers: Workers) -> None:
    """The whole life of a worker: it listens, tells how it is, and hands over what it cannot end."""
    first = workers.hire("--health-port", "0", "--grace", "0")
    (port,) = [line["port"] for line in first.said if line["event"] == "health"]
    workers.send({"id": 1}, {"id": "many"}, {"id": 2})
    first.says("run_started")
    assert first.says("message_refused")["code"] == "pipeline.inputs"
    first.says("run_started")
    told = health(port)
    assert (told["status"], told["runs"], told["started"]) == ("working", 2, 2)
    assert first.stop() == 0
    second = workers.hire()
    second.says("run_resumed")
    second.says("run_resumed")
    workers.open_gate()
    ended = [second.says("run_ended") for _ in range(2)]
    assert {line["status"] for line in ended} == {"completed"}
    assert second.stop() == 0
    assert sorted(workers.calls()) == ["gate 1", "gate 1", "gate 2", "gate 2", "ship 1", "ship 2"]
    assert len(workers.runs()) == 2


def test_what_a_killed_worker_leaves_is_taken_up_by_one_that_lives(workers: Workers) -> None:
    """Nobody waits for its lease, and no message starts a second run."""
    victim, survivor = workers.hire(), workers.hire()
    workers.send(*({"id": number} for number in range(6)))
    while len([call for call in workers.calls() if call.startswith("gate")]) < 6:
        pass
    victim.process.kill()
    workers.open_gate()
    for _ in range(6):
        survivor.says("run_ended")
    assert survivor.stop() == 0
    assert sorted(call for call in workers.calls() if call.startswith("ship")) == [f"ship {n}" for n in range(6)]
    runs = workers.runs()
    assert len(runs) == 6
    assert {run["status"] for run in runs} == {"completed"}


def test_what_is_named_wrongly_is_told_before_anything_begins(tmp_path: Path) -> None:
    """A worker without its triggers would look healthy and do nothing."""
    wrong = tagent("worker", "orders.py", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "There is no file 'orders.py'" in wrong.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        busy = tagent("worker", "--store", "memory://", "--health-port", port, cwd=tmp_path)
    assert busy.returncode == 2
    assert "address already in use" in busy.stderr
    goal = tagent("worker", "do something", cwd=tmp_path)
    assert goal.returncode == 2
    assert "no Python file" in goal.stderr
