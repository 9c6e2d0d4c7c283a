"""The embedded model for real: its answers, its process, and the end of both.

Its answers fit what was asked for; nothing here depends on what they say.
"""

import os
import select
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import BaseModel

from tagent import arun_agent, arun_pipeline, run_agent
from tagent.adapters.models import embedded
from tagent.adapters.models.embedded import EmbeddedServer
from tagent.adapters.models.weights import weights
from tagent.pipeline import ExecutionMode, Pipeline, RunStatus
from tagent.ports import ModelRejectedError, ModelUnavailableError

NAME = "embedded:SmolLM2-135M-Instruct"
FAIL_SECONDS = 60


class Rating(BaseModel):
    stars: int


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The installed weights, and no setting of the machine."""
    monkeypatch.delenv("TAGENT_LOCAL_MODEL", raising=False)
    monkeypatch.chdir(tmp_path)


# Answers


def test_gives_the_type_that_was_asked_for() -> None:
    """Typed answers from the first command on, with no key and no network."""
    result = run_agent("Rate the tea: 'Very good.'", model="embedded", output_format=Rating)
    assert isinstance(result.output, Rating)
    assert result.models == (NAME,)
    assert result.token_usage.requests == 1
    assert result.token_usage.output_tokens > 0
    assert (result.total_cost, result.unpriced_calls) == (0.0, 0)


async def test_answers_the_steps_of_a_pipeline_at_once() -> None:
    """The smallest model carries a whole pipeline, and each step says what answered it."""
    pipeline = (
        Pipeline("ratings", default_mode=ExecutionMode.CONCURRENT)
        .step("tea", "Rate the tea: 'Very good.'", output_schema=Rating)
        .step("cake", "Rate the cake: 'Dry.'", output_schema=Rating)
        .step("sum", run=lambda tea, cake: tea.stars + cake.stars)
    )
    result = await arun_pipeline(pipeline, model="embedded")
    assert result.status is RunStatus.COMPLETED
    assert all(isinstance(result.step_outputs[step], Rating) for step in ("tea", "cake"))
    assert {result.step_metadata[step]["model"] for step in ("tea", "cake")} == {NAME}
    assert isinstance(result.final_output, int)
    assert result.total_cost == 0.0


def test_serves_one_event_loop_after_another() -> None:
    """Each call of a sync function has a loop of its own; all share one process."""
    socket = embedded.server.started().socket
    for _ in range(2):
        assert run_agent("Rate the tea: 'Good.'", model="embedded", output_format=Rating).output is not None
    assert embedded.server.started().socket == socket


async def test_answers_inside_a_running_loop() -> None:
    """A notebook has a loop already, and people call the sync function there."""
    result = run_agent("Rate the tea: 'Good.'", model="embedded", output_format=Rating)
    assert isinstance(result.output, Rating)


async def test_says_that_a_prompt_is_too_long() -> None:
    """Its context is small; the setting that helps is named."""
    with pytest.raises(ModelRejectedError, match="too long") as raised:
        await arun_agent("Count the words: " + "word " * 5000, model="embedded")
    assert raised.value.spent is not None
    assert raised.value.spent.model == NAME


# The process


def test_threads_that_ask_together_get_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a gigabyte once, however many agents begin at the same moment."""
    server = EmbeddedServer()
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path: the path of a socket must be short
        monkeypatch.setattr(tempfile, "tempdir", folder)
        with ThreadPoolExecutor(8) as pool:
            running = set(pool.map(lambda _: server.started(), range(8)))
        folders = list(Path(folder).iterdir())
        server.stop()
        assert [str(folder / "model.sock") for folder in folders] == [model.socket for model in running]
        assert list(Path(folder).iterdir()) == []


def test_a_process_that_died_is_replaced() -> None:
    """The system may kill it when memory is short; the next run works all the same."""
    server = EmbeddedServer()
    first = server.started()
    assert server._process is not None
    server._process.kill()
    server._process.wait()
    second = server.started()
    server.stop()
    assert second.socket != first.socket
    assert not Path(first.socket).parent.exists()


def test_says_that_a_file_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Half a download looks like a model; nothing of the attempt is left behind."""
    whole = weights()
    assert whole is not None
    half = tmp_path / "half.gguf"
    with whole.open("rb") as file:
        half.write_bytes(file.read(100_000))
    monkeypatch.setenv("TAGENT_LOCAL_MODEL", str(half))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ModelUnavailableError, match=r"half\.gguf"):
        EmbeddedServer().started()
    assert list(tmp_path.iterdir()) == [half]


KILLED_WHILE_IT_RUNS = """
from tagent.adapters.models import embedded
embedded.server.started()
print(embedded.server._process.pid, embedded.server._running.socket, flush=True)
input()
"""

KILLED_WHILE_IT_LOADS = """
from tagent.adapters.models import embedded
def ready(process):
    print(process.pid, embedded.server._running.socket, flush=True)
    input()
embedded.server._is_ready = ready
embedded.server.started()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux can wait for a process that is not its child")
@pytest.mark.parametrize("program", [KILLED_WHILE_IT_RUNS, KILLED_WHILE_IT_LOADS], ids=["running", "loading"])
def test_ends_with_the_program_that_started_it(program: str) -> None:
    """A program that is killed cleans up nothing, and still no process and no folder stay behind."""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid, socket = parent.stdout.readline().split()
        child = os.pidfd_open(int(pid))
        parent.send_signal(signal.SIGKILL)
    try:
        assert select.select([child], [], [], FAIL_SECONDS)[0], "the model's process goes on"
    finally:
        os.close(child)
    assert not Path(socket.decode()).parent.exists()


def test_ends_when_the_program_ends() -> None:
    """Also a program that just comes to its end leaves nothing behind."""
    program = "from tagent.adapters.models import embedded; print(embedded.server.started().socket)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    assert not Path(ended.stdout.strip()).parent.exists()
