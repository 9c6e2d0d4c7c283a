"""Sync calls where an event loop is already running: what reaches the other thread, and what an interrupt ends."""

import asyncio
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Never

import pytest

from agent_runs import call
from tagent import run_agent
from tagent.config import TAgentConfig
from tagent.testing import ScriptedModel

PATIENCE_SECONDS = 10
"""After so long a test gives up on another thread; only a broken agent comes near it."""


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test."""
    monkeypatch.chdir(tmp_path)
    for name in TAgentConfig.model_fields:
        monkeypatch.delenv(f"TAGENT_{name.upper()}", raising=False)
    monkeypatch.delenv("TAGENT_CONFIG", raising=False)


async def test_the_sync_form_works_where_a_loop_is_running() -> None:
    """A notebook cell runs inside a loop."""
    assert run_agent("Say hello", model=ScriptedModel(["Hello."])).output == "Hello."


async def test_context_variables_reach_the_tools_where_a_loop_is_running() -> None:
    """A trace that breaks in notebooks only is hard to find."""
    trace: ContextVar[str] = ContextVar("trace", default="none")
    trace.set("t-1")

    def current_trace() -> str:
        return trace.get()

    result = run_agent("g", model=ScriptedModel([[call("current_trace")], "done"]), tools=[current_trace])
    assert result.tasks[0].output == "t-1"


def test_an_interrupt_where_a_loop_is_running_ends_the_agent() -> None:
    """Stopping a notebook cell must not leave an agent that spends money in the background."""
    is_cancelled = threading.Event()

    async def interrupted() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            is_cancelled.set()
            raise

    async def cell() -> None:
        run_agent("g", model=ScriptedModel([[call("interrupted")]]), tools=[interrupted])

    loop = asyncio.new_event_loop()  # not asyncio.run, which takes the interrupt for itself
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(cell())
    finally:
        loop.close()
    assert is_cancelled.wait(PATIENCE_SECONDS)


def test_an_interrupt_before_the_agent_has_begun_leaves_nothing_that_begins_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The impatient are right too: no call is made that nobody waits for."""
    late: list[Callable[[], object]] = []

    class SlowToStart(ThreadPoolExecutor):
        def submit(self, function: Callable[..., object], /, *arguments: object) -> Never:  # type: ignore[override]  # it never returns
            late.append(partial(function, *arguments))
            raise KeyboardInterrupt

    monkeypatch.setattr("tagent.blocking.ThreadPoolExecutor", SlowToStart)
    model = ScriptedModel(["never asked"])

    async def cell() -> None:
        run_agent("g", model=model)

    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(cell())
    finally:
        loop.close()
    with pytest.raises(asyncio.CancelledError):
        late[0]()
    assert model.requests == []
