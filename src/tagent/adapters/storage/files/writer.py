"""Group commit: one thread writes for everybody, and what waits at the same moment shares one fsync.

Nobody is answered before what he wrote is on the disk.
"""

import asyncio
import concurrent.futures
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from typing import TypeVar

from tagent.adapters.storage.files.draft import Draft
from tagent.adapters.storage.files.errors import translated
from tagent.adapters.storage.files.log import Log
from tagent.exceptions import StoreError

Result = TypeVar("Result")
Work = Callable[[Draft], Result]
"""Adds to a draft and returns an answer. A `StoreError` is an answer too: what raises one has added nothing."""

CLEANS_AGAIN_SECONDS = 60.0
"""How long the writer lets a file be that could not be cleaned."""

logger = logging.getLogger(__name__)


class _Submitted:
    """A piece of work on its way through the writer. `loop` is None when a thread waits for it."""

    __slots__ = ("error", "future", "loop", "value", "work")

    def __init__(
        self,
        work: Work[object],
        future: asyncio.Future[object] | concurrent.futures.Future[object],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.work = work
        self.future = future
        self.loop = loop
        self.value: object = None
        self.error: StoreError | None = None


class LogWriter:
    """The one writer of a log in this process: a daemon thread and a queue.

    Args:
        log: What it writes.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._queue: SimpleQueue[list[_Submitted] | None] = SimpleQueue()
        self._gathered: dict[asyncio.AbstractEventLoop, list[_Submitted]] = {}
        self._lock = threading.Lock()
        self._is_closed = False
        self._cleans_at = 0.0
        self._thread = threading.Thread(target=self._serve, name="tagent-store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work[Result]) -> asyncio.Future[Result]:
        """Return the future of what `work` returns; it is done when that is on the disk.

        Raises:
            StoreError: At once, if the writer is closed; later, by the future, if nothing was written.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        submitted = _Submitted(work, future, loop)  # type: ignore[arg-type]  # a future of one result takes it as an object
        with self._lock:
            self._require_open()
            gathered = self._gathered.get(loop)
            if gathered is None:  # what else this turn of the loop submits goes along: fewer, fuller commits
                self._gathered[loop] = [submitted]
                loop.call_soon(self._hand_over, loop)
            else:
                gathered.append(submitted)
        return future

    def run(self, work: Work[Result]) -> Result:
        """Return what `work` returns once it is on the disk. Blocks; may be called from any thread.

        Raises:
            StoreError: If the writer is closed, or nothing was written.
        """
        future: concurrent.futures.Future[Result] = concurrent.futures.Future()
        submitted = _Submitted(work, future, None)  # type: ignore[arg-type]  # a future of one result takes it as an object
        with self._lock:
            self._require_open()
            self._queue.put([submitted])
        return future.result()

    def close(self) -> None:
        """Finish what waits, answer it and end the thread. Blocks until then; closing twice does no harm."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                for gathered in self._gathered.values():
                    self._queue.put(gathered)
                self._gathered.clear()
                self._queue.put(None)
        self._thread.join()

    def _require_open(self) -> None:
        """Called with the lock, so that nothing can come behind the end."""
        if self._is_closed:
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
                self._write(group)
                _answer(group)
            del waiting, group  # an idle thread must not keep the last payloads alive
            self._clean()

    def _write(self, group: Sequence[_Submitted]) -> None:
        """Write all works together; if the disk objects, each alone."""
        has_begun = False
        try:
            with self._log.writing() as draft:
                has_begun = True
                for submitted in group:
                    _carry_out(submitted, draft)
                self._log.append(draft)
        except Exception as error:  # noqa: BLE001 - it becomes the answer of those who wait
            if not has_begun or len(group) == 1:  # no work is to blame, and each alone would only wait as long again
                self._fail(group, error)
                return
            for submitted in group:
                self._write([submitted])

    def _fail(self, group: Iterable[_Submitted], error: Exception) -> None:
        for submitted in group:
            own = translated(error, store=self._log.directory)
            submitted.error = own if own is not error else _copy_of(own)
            submitted.error.__cause__ = error

    def _clean(self) -> None:
        """Give room back while nobody waits; a file that cannot be cleaned is left for later."""
        if time.monotonic() < self._cleans_at:
            return
        try:
            while self._log.clean() and self._queue.empty():
                pass
        except Exception as error:  # noqa: BLE001 - nobody waits for it, and nothing is lost
            self._cleans_at = time.monotonic() + CLEANS_AGAIN_SECONDS
            logger.warning("What was deleted still takes room: %s", translated(error, store=self._log.directory))


def _carry_out(submitted: _Submitted, draft: Draft) -> None:
    submitted.value = submitted.error = None
    try:
        submitted.value = submitted.work(draft)
    except StoreError as refusal:
        submitted.error = refusal


def _copy_of(error: StoreError) -> StoreError:
    """Return an error that says the same: each who waits has his own, so that tracebacks do not grow together."""
    copy = type(error).__new__(type(error))
    copy.__dict__.update(error.__dict__)
    copy.args = error.args
    return copy


def _answer(group: Iterable[_Submitted]) -> None:
    """Give every work its answer, waking each event loop once."""
    of_loop: dict[asyncio.AbstractEventLoop, list[_Submitted]] = {}
    for submitted in group:
        if submitted.loop is None:
            _settle((submitted,))
        else:
            of_loop.setdefault(submitted.loop, []).append(submitted)
    for loop, waiting in of_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, waiting)
        except RuntimeError:  # the loop has closed: nobody waits any more
            logger.debug("%d writes were committed after their event loop had closed.", len(waiting))


def _settle(answered: Iterable[_Submitted]) -> None:
    for submitted in answered:
        future = submitted.future
        if future.done():  # whoever waited was cancelled
            continue
        if submitted.error is None:
            future.set_result(submitted.value)
        else:
            future.set_exception(submitted.error)
