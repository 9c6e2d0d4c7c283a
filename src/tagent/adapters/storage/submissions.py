"""One thread that writes for everybody: what waits at the same moment is carried out together.

A commit costs an fsync, and a message a way to the server, however much they hold; sharing them is what makes
many writers fast. Nobody is answered before his work is done.
"""

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from tagent.exceptions import StoreError

Work = TypeVar("Work")

logger = logging.getLogger(__name__)


class Submitted(Generic[Work]):
    """A piece of work on its way, and what came of it.

    Attributes:
        work: What is to be done.
        value: The answer.
        error: Why there is none; None when there is one.
    """

    __slots__ = ("error", "future", "loop", "value", "work")

    def __init__(
        self,
        work: Work,
        future: asyncio.Future[Any] | concurrent.futures.Future[Any],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.work = work
        self.future = future
        self.loop = loop
        """None when a thread waits for it."""
        self.value: object = None
        self.error: StoreError | None = None


class Submissions(Generic[Work]):
    """A daemon thread and the queue that it serves.

    Args:
        carry_out: Does a group of works and puts into each its value or its error; never raises.
        afterwards: What is left to do once the group is answered.
        at_end: Lets go of what the thread holds.
    """

    def __init__(
        self,
        carry_out: Callable[[list[Submitted[Work]]], None],
        *,
        afterwards: Callable[[], object] = bool,
        at_end: Callable[[], object] = bool,
    ) -> None:
        self._carry_out = carry_out
        self._afterwards = afterwards
        self._at_end = at_end
        self._queue: SimpleQueue[list[Submitted[Work]] | None] = SimpleQueue()
        self._gathered: dict[asyncio.AbstractEventLoop, list[Submitted[Work]]] = {}
        self._lock = threading.Lock()
        self.is_closed = False
        self._thread = threading.Thread(target=self._serve, name="tagent-store-writer", daemon=True)
        self._thread.start()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for the thread."""
        return self._queue.empty()

    def submit(self, work: Work) -> asyncio.Future[Any]:
        """Return the future of the answer to `work`.

        Raises:
            StoreError: At once, if it is closed; later, by the future, if nothing was done.
        """
        loop = asyncio.get_running_loop()
        submitted = Submitted(work, loop.create_future(), loop)
        with self._lock:
            self._require_open()
            gathered = self._gathered.get(loop)
            if gathered is None:  # what else this turn of the loop submits goes along: fewer, fuller groups
                self._gathered[loop] = [submitted]
                loop.call_soon(self._hand_over, loop)
            else:
                gathered.append(submitted)
        return submitted.future  # type: ignore[return-value]  # just made

    def run(self, work: Work) -> Any:
        """Return the answer to `work`. Blocks; may be called from any thread.

        Raises:
            StoreError: If it is closed, or nothing was done.
        """
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._lock:
            self._require_open()
            self._queue.put([Submitted(work, future, None)])
        return future.result()

    def close(self) -> None:
        """Finish what waits, answer it and end the thread. Blocks until then; closing twice does no harm."""
        with self._lock:
            if not self.is_closed:
                self.is_closed = True
                for gathered in self._gathered.values():
                    self._queue.put(gathered)
                self._gathered.clear()
                self._queue.put(None)
        self._thread.join()

    def _require_open(self) -> None:
        """Called with the lock, so that nothing can come behind the end."""
        if self.is_closed:
            raise StoreError("The store is closed.")

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            if gathered := self._gathered.pop(loop, None):  # closing hands over what it finds
                self._queue.put(gathered)

    def _serve(self) -> None:
        is_open = True
        while is_open:
            waiting = [self._queue.get()]
            waiting.extend(self._queue.get() for _ in range(self._queue.qsize()))
            is_open = waiting[-1] is not None
            group = [submitted for gathered in waiting if gathered is not None for submitted in gathered]
            if group:
                self._carry_out(group)
                _answer(group)
            del waiting, group  # an idle thread must not keep the last payloads alive
            self._afterwards()
        self._at_end()


def _answer(group: Iterable[Submitted[Any]]) -> None:
    """Give every work its answer, waking each event loop once."""
    of_loop: dict[asyncio.AbstractEventLoop, list[Submitted[Any]]] = {}
    for submitted in group:
        if submitted.loop is None:
            _settle((submitted,))
        else:
            of_loop.setdefault(submitted.loop, []).append(submitted)
    for loop, waiting in of_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, waiting)
        except RuntimeError:  # the loop has closed: nobody waits any more
            logger.debug("%d writes were done after their event loop had closed.", len(waiting))


def _settle(answered: Iterable[Submitted[Any]]) -> None:
    for submitted in answered:
        future = submitted.future
        if future.done():  # whoever waited was cancelled
            continue
        if submitted.error is None:
            future.set_result(submitted.value)
        else:
            future.set_exception(submitted.error)
