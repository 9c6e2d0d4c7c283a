"""A process that is killed in the middle of a repetition: what the next one does, on every durable store."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import start, tagent
from postgres import server
from redis_server import redis_server

STORES: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite:///{folder / 'runs.db'}",
    "files": lambda folder: f"file:///{folder / 'runs'}",
    "postgresql": lambda folder: server().place(folder),
    "redis": lambda folder: redis_server().url(folder.name),
}

PIPELINE = """
import os, signal
from pathlib import Path
from tagent.pipeline import Pipeline, PipelineStep, repeat, when

def note(line: str) -> None:
    with open("notes", "a") as log:
        log.write(line + chr(10))

def is_long(plan: int) -> bool:
    note("asked")
    return plan > 2

def work(previous: int | None, round: int) -> int:
    note(f"round {round} of {previous}")
    if round == 3 and not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return round * 10

pipeline = Pipeline("p").step("plan", run=lambda: 5)
pipeline.add_step(when(is_long, name="long").then("loop").otherwise("short"))
pipeline.add_step(repeat(PipelineStep(name="loop", run=work), until="output >= steps.plan * 10", max_times=9))
pipeline.step("short", run=lambda: note("short")).step("last", run=lambda loop=None, short=None: f"it came to {loop}")
"""


@pytest.mark.parametrize("store", STORES)
def test_after_a_kill_in_a_round_only_that_round_is_done_again(store: str, tmp_path: Path) -> None:
    """Neither the decision before it nor the rounds before it."""
    (tmp_path / "looping.py").write_text(PIPELINE, encoding="utf-8")
    url = STORES[store](tmp_path)
    process = start("run", "looping.py", "--store", url, cwd=tmp_path)
    process.communicate(timeout=60)
    assert process.returncode == -9
    listed = tagent("runs", "list", "--json", "--store", url, cwd=tmp_path)
    [run] = json.loads(listed.stdout)
    resumed = tagent("runs", "resume", run["run_id"], "--store", url, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "it came to 50" in resumed.stdout
    assert (tmp_path / "notes").read_text(encoding="utf-8").splitlines() == [
        "asked",
        "round 1 of None",
        "round 2 of 10",
        "round 3 of 20",
        "round 3 of 20",
        "round 4 of 30",
        "round 5 of 40",
    ]
