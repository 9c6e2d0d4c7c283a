"""Group commit: one thread writes for everybody, and what waits at the same moment shares one commit.

A commit costs an fsync however much it holds, so sharing it is what makes many writers fast. Nobody
is answered before the commit that holds their work is on disk.
"""

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import TypeVar

from tagent.adapters.storage.sql.driver import Cursor, DriverConnection
from tagent.exceptions import StoreError

Result = TypeVar("Result")
Work = Callable[[Cursor], Result]
"""Executes statements and returns an answer. A `StoreError` is an answer too: what raises one has written nothing."""

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


class GroupWriter:
    """The one writer of a database: a daemon thread, its connection, and a queue.

    Args:
        connect: Opens the connection on which nobody else writes; called in the thread.
        begin: Begins a transaction that may write.
        translated: Makes our error of one of the driver's.
        after_commit: A statement that tells other processes of a commit; "" for none. Nobody waits for it.
        is_lost: Whether the database is not at the other end of the connection any more, as far as is known.
    """

    def __init__(
        self,
        connect: Callable[[], DriverConnection],
        *,
        begin: str,
        translated: Callable[[Exception], StoreError],
        after_commit: str = "",
        is_lost: Callable[[DriverConnection], bool] = lambda _: False,
    ) -> None:
        self._connect = connect
        self._begin = begin
        self._translated = translated
        self._after_commit = after_commit
        self._is_lost = is_lost
        self._connection: DriverConnection | None = None
        self._queue: SimpleQueue[list[_Submitted] | None] = SimpleQueue()
        self._gathered: dict[asyncio.AbstractEventLoop, list[_Submitted]] = {}
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._serve, name="tagent-store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work[Result]) -> asyncio.Future[Result]:
        """Return the future of what `work` returns; it is done when that is committed.

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
        """Return what `work` returns once it is committed. Blocks; may be called from any thread.

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
                self._tell()
            del waiting, group  # an idle thread must not keep the last payloads alive
        self._disconnect()

    def _write(self, group: list[_Submitted]) -> None:
        """Carry out all works in one transaction; if the database objects, each in one of its own."""
        try:
            cursor = self._begun()
        except Exception as error:  # noqa: BLE001 - it becomes the answer of those who wait
            self._roll_back()
            self._fail(group, error)  # no work is to blame, and each alone would only wait as long again
            return
        try:
            for submitted in group:
                submitted.value = submitted.error = None
                try:
                    submitted.value = submitted.work(cursor)
                except StoreError as refusal:
                    submitted.error = refusal
            cursor.close()
            self._connected().commit()
        except Exception as error:  # noqa: BLE001 - it becomes the answer of those who wait
            if not self._roll_back() or len(group) == 1:  # without a connection nobody knows what was committed
                self._fail(group, error)
                return
            for submitted in group:
                self._write([submitted])

    def _begun(self) -> Cursor:
        """Return a cursor in a new transaction, on a new connection if the last one was lost since it was used."""
        before = self._connection
        try:
            cursor = self._connected().cursor()
            cursor.execute(self._begin)
        except Exception:
            if before is None or not self._is_lost(before):
                raise
            self._disconnect()  # nothing was begun on it, so nothing can have been written
            cursor = self._connected().cursor()
            cursor.execute(self._begin)
        return cursor

    def _tell(self) -> None:
        if not self._after_commit or self._connection is None:
            return
        try:
            cursor = self._connection.cursor()
            cursor.execute(self._after_commit)
            cursor.close()
        except Exception as error:  # noqa: BLE001 - it was a hint; what is the matter, the next write finds
            logger.debug("Nobody was told of a commit: %s", self._translated(error))

    def _fail(self, group: Iterable[_Submitted], error: Exception) -> None:
        for submitted in group:
            submitted.error = self._translated(error)
            submitted.error.__cause__ = error

    def _connected(self) -> DriverConnection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _roll_back(self) -> bool:
        """Undo what was begun; return whether the connection is still of use. If not, the next group gets another."""
        if self._connection is None:
            return False
        try:
            self._connection.rollback()
        except Exception as error:  # noqa: BLE001 - why does not matter to those who wait
            logger.warning("The connection to the store is lost: %s", self._translated(error))
            self._disconnect()
            return False
        return True

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


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
