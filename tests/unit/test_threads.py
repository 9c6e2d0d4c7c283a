"""Daemon threads: blocking work never holds up the loop, a timeout or the end of the process."""

import asyncio
import gc
import logging
import os
import threading
import warnings
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from queue import SimpleQueue

import pytest

from tagent.threads import DaemonThreads, ThreadedCall

PATIENCE_SECONDS = 10
"""After so long a thread that waits for another gives up; only a broken pool comes near it."""


async def eventually(condition: Callable[[], bool]) -> None:
    """Return once `condition()` holds; a thread's last bookkeeping takes a moment."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came true")


async def cancelled_while_blocked(
    threads: DaemonThreads, *, release: threading.Event, on_abandon: Callable[[ThreadedCall], None] | None = None
) -> None:
    """Start work that blocks until `release`, then cancel the waiting for it."""
    is_running = threading.Event()

    def block() -> None:
        is_running.set()
        release.wait(PATIENCE_SECONDS)

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(threads.run(block, on_abandon=on_abandon))
        await eventually(is_running.is_set)
        waiting.cancel()


async def test_returns_what_the_work_returns_from_a_daemon_thread() -> None:
    """A thread that is no daemon would keep the process alive at its end."""
    thread = await DaemonThreads().run(threading.current_thread)
    assert thread is not threading.current_thread()
    assert thread.daemon


async def test_raises_what_the_work_raises() -> None:
    """The caller sees the user's own exception."""

    def fail() -> None:
        raise KeyError("missing")

    with pytest.raises(KeyError, match="missing"):
        await DaemonThreads().run(fail)


async def test_a_stop_iteration_becomes_an_error_that_a_future_can_hold() -> None:
    """Else the waiting would never end."""
    with pytest.raises(RuntimeError, match="StopIteration"):
        await DaemonThreads().run(lambda: next(iter(())))


async def test_a_generator_exit_does_not_close_whoever_waits() -> None:
    """A future that raises it closes all coroutines up to its task, which cannot even clean up then."""
    seen: list[str] = []

    async def waits() -> None:
        try:
            await DaemonThreads().run(lambda: (_ for _ in ()).throw(GeneratorExit))
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    with pytest.raises(RuntimeError, match="The work raised GeneratorExit"):
        await waits()
    assert seen == ["cleaned up"]


async def test_the_work_sees_the_callers_context_variables_and_cannot_change_them() -> None:
    """Trace ids and the like reach the tools of users."""
    request: ContextVar[str] = ContextVar("request")
    request.set("r-1")

    def work() -> str:
        seen = request.get()
        request.set("changed")
        return seen

    assert await DaemonThreads().run(work) == "r-1"
    assert request.get() == "r-1"


async def test_works_run_at_the_same_time() -> None:
    """Two blocking tools must not wait for each other."""
    threads = DaemonThreads()
    meeting = threading.Barrier(2)
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(threads.run(lambda: meeting.wait(PATIENCE_SECONDS)))


async def test_work_does_not_queue_behind_a_thread_that_has_just_taken_up_other_work() -> None:
    """An idle thread counted twice would let one blocking tool hold up another while threads are free."""
    took = threading.Event()

    class SlowToReport(SimpleQueue[ThreadedCall]):
        def get(self, block: bool = True, timeout: float | None = None) -> ThreadedCall:  # noqa: FBT001, FBT002
            call = super().get(block, timeout)
            took.set()
            threading.Event().wait(0.01)
            return call

    threads = DaemonThreads()
    threads._queue = SlowToReport()
    await threads.run(lambda: None)
    took.clear()
    meeting = threading.Barrier(2)
    async with asyncio.TaskGroup() as group:
        group.create_task(threads.run(lambda: meeting.wait(PATIENCE_SECONDS)))
        await eventually(took.is_set)
        group.create_task(threads.run(lambda: meeting.wait(PATIENCE_SECONDS)))


async def test_at_the_limit_work_waits_its_turn_in_the_same_thread() -> None:
    """The machine's threads are bounded, and reused."""
    threads = DaemonThreads(limit=1)
    order: list[int] = []

    def work(number: int) -> int:
        order.append(number)
        return threading.get_ident()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(threads.run(lambda number=number: work(number))) for number in range(3)]  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    assert order == [0, 1, 2]
    assert len({task.result() for task in tasks}) == 1


async def test_a_cancel_stops_the_waiting_at_once_and_the_thread_is_counted_until_it_ends() -> None:
    """A timeout must not last as long as the tool that it is meant to limit."""
    threads, release, abandoned = DaemonThreads(), threading.Event(), list[ThreadedCall]()
    await cancelled_while_blocked(threads, release=release, on_abandon=abandoned.append)
    assert threads.abandoned == 1
    assert [(call.is_abandoned, call.has_ended) for call in abandoned] == [(True, False)]
    release.set()
    await eventually(lambda: abandoned[0].has_ended)
    assert threads.abandoned == 0


async def test_nobody_needs_to_be_told_of_an_abandoned_call() -> None:
    """`on_abandon` is for those who want to know."""
    threads, release = DaemonThreads(), threading.Event()
    await cancelled_while_blocked(threads, release=release)
    assert threads.abandoned == 1
    release.set()
    await eventually(lambda: threads.abandoned == 0)


async def test_work_that_is_cancelled_before_its_turn_never_starts_and_is_not_abandoned() -> None:
    """A step whose function never began may safely be tried again."""
    threads, release = DaemonThreads(limit=1), threading.Event()
    started: list[str] = []
    abandoned: list[ThreadedCall] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(threads.run(release.wait))
        await asyncio.sleep(0)
        queued = group.create_task(threads.run(lambda: started.append("queued"), on_abandon=abandoned.append))
        await asyncio.sleep(0)
        queued.cancel()
        await asyncio.sleep(0)
        release.set()
    assert (abandoned, threads.abandoned) == ([], 0)
    await threads.run(lambda: started.append("next"))
    assert started == ["next"]


async def test_abandoned_threads_take_no_place_from_others() -> None:
    """Else as many hung calls as there are places would stop every later step of the process."""
    threads, release = DaemonThreads(limit=1), threading.Event()
    await cancelled_while_blocked(threads, release=release)
    assert await threads.run(lambda: "goes on") == "goes on"
    release.set()


async def test_work_inside_work_has_a_place_of_its_own() -> None:
    """A step that runs a pipeline waits for it in a thread; its steps must not wait for that thread."""
    threads = DaemonThreads(limit=1)

    def outer() -> str:
        return asyncio.run(threads.run(lambda: "inner"))

    assert await threads.run(outer) == "inner"


async def test_a_forked_child_has_threads_of_its_own() -> None:
    """Servers fork after they have loaded, and perhaps used, everything."""
    threads = DaemonThreads()
    await threads.run(lambda: None)
    with warnings.catch_warnings(action="ignore"):
        child = os.fork()
    if child == 0:
        value = 1
        try:
            loop = asyncio.new_event_loop()
            asyncio.events._set_running_loop(None)
            value = 0 if loop.run_until_complete(asyncio.wait_for(threads.run(lambda: "here"), 20)) == "here" else 1
        finally:
            os._exit(value)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


async def test_a_cancel_at_the_very_end_of_the_work_leaves_nothing_abandoned() -> None:
    """Outcome and cancel may meet: neither may be taken for the other, nor be counted for ever."""
    threads, loop = DaemonThreads(), asyncio.get_running_loop()
    errors: list[object] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(threads.run(lambda: loop.call_soon_threadsafe(waiting.cancel)))
    assert waiting.cancelled()
    await eventually(lambda: threads.abandoned == 0)
    await asyncio.sleep(0.001)
    assert errors == []


def test_a_thread_that_outlives_its_loop_is_harmless_and_serves_the_next_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A tool that never listens may end long after `run_agent` has returned."""
    caplog.set_level(logging.DEBUG, logger="tagent.threads")
    threads, release = DaemonThreads(limit=1), threading.Event()
    asyncio.run(cancelled_while_blocked(threads, release=release))
    release.set()
    assert asyncio.run(threads.run(lambda: 42)) == 42
    assert "after its event loop had closed" in caplog.text


async def test_an_idle_thread_does_not_keep_the_last_works_values_alive() -> None:
    """A pipeline's large outputs must be freed when nobody needs them."""

    class Large: ...

    large = Large()
    reference = weakref.ref(large)
    threads = DaemonThreads(limit=1)
    await threads.run(lambda value=large: None)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    del large

    def is_freed() -> bool:
        gc.collect()
        return reference() is None

    await eventually(is_freed)
