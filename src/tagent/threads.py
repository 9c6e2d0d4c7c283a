"""Daemon threads for the blocking work of users: sync tools and sync steps.

Not `asyncio.to_thread`: its pool is small, and the event loop waits for it when it closes. Here a
timeout or a cancel abandons the thread at once, and leaving the process does not wait for it.
"""

import asyncio
import contextvars
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from queue import SimpleQueue
from typing import TypeVar
from weakref import WeakMethod

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


_here = threading.local()

_waited_for: "set[ThreadedCall]" = set()

_standing: ContextVar[tuple[asyncio.AbstractEventLoop, ...]] = ContextVar("_standing", default=())
"""The event loops that wait for the work of this context and do nothing else meanwhile."""


def calls_waited_for() -> "frozenset[ThreadedCall]":
    """Return the blocking work of this process that is under way, and that somebody waits for."""
    return frozenset(_waited_for)


def stands_still(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether this event loop does nothing before the work of this context has ended."""
    return loop in _standing.get()


@contextmanager
def standing_still() -> Iterator[None]:
    """Say that this thread's event loop, if one is running, does nothing until the block ends.

    A task of another loop that is waited for here must not wait for this one.
    """
    try:
        token = _standing.set((*_standing.get(), asyncio.get_running_loop()))
    except RuntimeError:  # none is running
        yield
        return
    try:
        yield
    finally:
        _standing.reset(token)


class ThreadedCall:
    """One piece of blocking work on its way through a thread.

    Attributes:
        has_started: True once a thread has taken it up.
        has_ended: True once the work has returned or raised, or never will start.
        is_abandoned: True once it goes on although nobody waits for it any more.
    """

    def __init__(self, work: Callable[[], object], loop: asyncio.AbstractEventLoop) -> None:
        self._context = contextvars.copy_context()
        self._work = work
        self._loop = loop
        self.outcome: asyncio.Future[object] = loop.create_future()
        self.has_started = False
        self.has_ended = False
        self.is_abandoned = False

    def run(self) -> None:
        """Do the work in the calling thread and hand its outcome to the waiting loop."""
        value: object = None
        error: BaseException | None = None
        try:
            value = self._context.run(self._work)
        except BaseException as caught:  # noqa: BLE001 - it is raised again where the work is awaited
            error = caught
        try:
            self._loop.call_soon_threadsafe(self._settle, value, error)
        except RuntimeError:  # the loop has closed: nobody waits for an abandoned thread
            logger.debug("A thread ended after its event loop had closed.")

    def _settle(self, value: object, error: BaseException | None) -> None:
        if self.outcome.done():
            return
        if error is None:
            self.outcome.set_result(value)
        elif isinstance(error, StopIteration | GeneratorExit):  # a future refuses the one; the other closes who waits
            self.outcome.set_exception(RuntimeError(f"The work raised {type(error).__name__}."))
        else:
            self.outcome.set_exception(error)


class DaemonThreads:
    """Up to `limit` reusable daemon threads.

    Two kinds of work do not wait for a place, or they would wait for ever: threads that were given up do
    not count, and work that is asked for from inside one of these threads gets one of its own.

    Attributes:
        limit: The most threads at work at once, from 1. Work beyond it waits its turn.

    Example:
        >>> asyncio.run(DaemonThreads().run(lambda: 6 * 7))
        42
    """

    def __init__(self, limit: int = 64) -> None:
        self.limit = limit
        self._forget()
        if hasattr(os, "register_at_fork"):
            # A forked child has none of the threads, and perhaps a lock that nobody will release.
            forget = WeakMethod(self._forget)
            os.register_at_fork(after_in_child=lambda: (alive := forget()) and alive())

    def _forget(self) -> None:
        """Have no threads and no work."""
        self._queue: SimpleQueue[ThreadedCall] = SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._unfinished = 0
        self._abandoned = 0

    @property
    def abandoned(self) -> int:
        """The number of threads whose work goes on although nobody waits for it any more."""
        return self._abandoned

    async def run(
        self, work: Callable[[], Result], *, on_abandon: Callable[[ThreadedCall], None] | None = None
    ) -> Result:
        """Return what `work()` returns in a thread, in a copy of the caller's context variables.

        When the caller is cancelled, it stops waiting at once; the thread goes on until `work` returns.

        Args:
            work: Takes nothing; whatever it raises is raised here.
            on_abandon: Told of the call when the waiting for running work is given up, to ask it later
                `has_ended`.
        """
        call = ThreadedCall(work, asyncio.get_running_loop())
        _waited_for.add(call)
        self._submit(call)
        try:
            return await call.outcome  # type: ignore[return-value]  # the future holds what `work` returned
        except asyncio.CancelledError:
            with self._lock:
                call.has_ended = call.has_ended or not call.has_started
                call.is_abandoned = not call.has_ended
                self._abandoned += call.is_abandoned
            if call.is_abandoned and on_abandon:
                on_abandon(call)
            raise
        finally:
            _waited_for.discard(call)

    def _submit(self, call: ThreadedCall) -> None:
        with self._lock:
            self._unfinished += 1
            at_work = self._started - self._abandoned
            is_nested = getattr(_here, "is_ours", False)
            start_another = is_nested or at_work < min(self._unfinished - self._abandoned, self.limit)
            if start_another:
                self._started += 1
                number = self._started
            self._queue.put(call)
        if start_another:
            threading.Thread(target=self._serve, name=f"tagent-{number}", daemon=True).start()

    def _serve(self) -> None:
        _here.is_ours = True
        while True:
            call = self._queue.get()
            with self._lock:
                call.has_started = not call.has_ended
            if call.has_started:
                call.run()
            with self._lock:
                call.has_ended = True
                self._unfinished -= 1
                self._abandoned -= call.is_abandoned
            del call  # an idle thread must not keep the last work's values alive
