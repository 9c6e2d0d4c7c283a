"""Waiting for async work in sync code; also where an event loop is already running, as in a notebook."""

import asyncio
import contextvars
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tagent.threads import standing_still

Result = TypeVar("Result")


def run_to_end(work: Coroutine[object, object, Result]) -> Result:
    """Return what `work` returns, on a loop of its own: here, or in a thread when this one has a running loop."""
    return _run_in_thread(work) if _is_inside_a_loop() else asyncio.run(work)


def _is_inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run_in_thread(work: Coroutine[object, object, Result]) -> Result:
    """Return what `work` returns on a loop in another thread; interrupting the wait cancels it."""
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Result]]] = Future()

    async def main() -> Result:
        if not started.set_running_or_notify_cancel():  # interrupted before it began
            work.close()
            raise asyncio.CancelledError
        task = asyncio.current_task()
        started.set_result((asyncio.get_running_loop(), task))  # type: ignore[arg-type]  # inside a task there is one
        return await work

    with standing_still(), ThreadPoolExecutor(1, thread_name_prefix="tagent-loop") as pool:
        try:  # from the start: the interrupt may come before `submit` returns
            return pool.submit(contextvars.copy_context().run, asyncio.run, main()).result()
        except KeyboardInterrupt:
            if not started.cancel():
                loop, task = started.result()
                loop.call_soon_threadsafe(task.cancel)
            raise
