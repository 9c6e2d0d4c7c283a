"""Outputs that several processes use again, on every store that they can share."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from postgres import server
from redis_server import redis_server
from tagent import run_pipeline
from tagent.pipeline import Pipeline, PipelineResult

PROGRAM = """
import sys, time
from pathlib import Path
from tagent import run_pipeline
from tagent.pipeline import Pipeline

folder, store, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])

def work(n: int) -> int:
    with (folder / "calls").open("a") as calls:
        calls.write("x")
    (folder / f"began-{sys.argv[4]}").touch()
    time.sleep(seconds)
    return n * 2

result = run_pipeline(Pipeline("p").step("a", run=work, cache="forever"), inputs={"n": 3}, store=store)
print(result.final_output, result.step_metadata["a"]["cached"])
"""

STORES: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite:///{folder / 'runs.db'}",
    "file": lambda folder: f"file:///{folder / 'runs'}",
    "postgresql": lambda folder: server().place(folder),
    "redis": lambda folder: redis_server().url(folder.name),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty store."""
    return STORES[request.param](tmp_path)


@contextmanager
def process(folder: Path, store: str, *, seconds: float, name: str) -> Iterator[subprocess.Popen[str]]:
    """Run the program in a process of its own; whatever becomes of the test, it does not outlive it."""
    (folder / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(folder / "program.py"), str(folder), store, str(seconds), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def until(path: Path) -> None:
    """Return once the file is there."""
    for _ in range(6000):
        if path.exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"{path.name} was waited for in vain.")


def said(running: subprocess.Popen[str]) -> str:
    """Return what a process printed in the end."""
    printed, _ = running.communicate(timeout=120)
    assert running.returncode == 0
    return printed.strip()


def test_an_output_is_used_again_in_another_process(tmp_path: Path, store: str) -> None:
    """A program that is started again finds what it had paid for."""
    found = []
    for number in (1, 2):
        with process(tmp_path, store, seconds=0, name=str(number)) as running:
            found.append(said(running))
    assert found == ["6 False", "6 True"]
    assert (tmp_path / "calls").read_text() == "x"


def test_two_processes_that_want_the_same_at_once_do_it_once(tmp_path: Path, store: str) -> None:
    """Two workers take up two orders of the same at the same moment."""
    with (
        process(tmp_path, store, seconds=1, name="1") as first,
        process(tmp_path, store, seconds=1, name="2") as second,
    ):
        assert sorted([said(first), said(second)]) == ["6 False", "6 True"]
    assert (tmp_path / "calls").read_text() == "x"


def test_what_a_killed_process_was_at_another_one_does(tmp_path: Path, store: str) -> None:
    """Whoever waits for somebody dead must not wait for ever, nor for his lease."""
    with process(tmp_path, store, seconds=600, name="1") as first:
        until(tmp_path / "began-1")
        with process(tmp_path, store, seconds=0, name="2") as second:
            os.kill(first.pid, signal.SIGKILL)
            first.wait()
            assert said(second) == "6 False"
    assert (tmp_path / "calls").read_text() == "xx"


def test_items_of_one_run_are_used_again_on_every_store(store: str) -> None:
    """Within a run there is no claim, and no other process to wait for."""
    pipeline = Pipeline("p").step("found", run=lambda: [1, 2, 1])
    pipeline.step("a", run=lambda item: item * 2, for_each="found", cache="run")
    result: PipelineResult = run_pipeline(pipeline, store=store)
    assert result.final_output == [2, 4, 2]
