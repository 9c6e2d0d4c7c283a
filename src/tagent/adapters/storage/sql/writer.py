"""Group commit: what waits at the same moment shares one transaction, and nobody is answered before it is on disk."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from tagent.adapters.storage.sql.driver import Cursor, DriverConnection
from tagent.adapters.storage.submissions import Submissions, Submitted
from tagent.exceptions import StoreError

Result = TypeVar("Result")
Work = Callable[[Cursor], Result]
"""Executes statements and returns an answer. A `StoreError` is an answer too: what raises one has written nothing."""

logger = logging.getLogger(__name__)


class GroupWriter:
    """The one writer of a database: a thread and its connection.

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
        self._submissions = Submissions(self._write, afterwards=self._tell, at_end=self._disconnect)

    def submit(self, work: Work[Result]) -> asyncio.Future[Result]:
        """Return the future of what `work` returns; it is done when that is committed.

        Raises:
            StoreError: At once, if the writer is closed; later, by the future, if nothing was written.
        """
        return self._submissions.submit(work)

    def run(self, work: Work[Result]) -> Result:
        """Return what `work` returns once it is committed. Blocks; may be called from any thread.

        Raises:
            StoreError: If the writer is closed, or nothing was written.
        """
        result: Result = self._submissions.run(work)
        return result

    def close(self) -> None:
        """Finish what waits, answer it and end the thread. Blocks until then; closing twice does no harm."""
        self._submissions.close()

    def _write(self, group: list[Submitted[Work[object]]]) -> None:
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

    def _fail(self, group: Iterable[Submitted[Work[object]]], error: Exception) -> None:
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
