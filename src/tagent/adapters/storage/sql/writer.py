"""Group commit: what waits at the same moment shares one transaction, and nobody is answered before it is on disk."""

import logging
from collections.abc import Callable, Iterable

from tagent.adapters.storage.sql.driver import Cursor, DriverConnection
from tagent.adapters.storage.submissions import Submitted
from tagent.adapters.storage.writing import Work, WorkWriter, carry_out
from tagent.exceptions import StoreError

logger = logging.getLogger(__name__)


class GroupWriter(WorkWriter[Cursor]):
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
        super().__init__()

    def _write(self, group: list[Submitted[Work[Cursor, object]]]) -> None:
        """Carry out all works in one transaction; if the database objects, each in one of its own."""
        try:
            cursor = self._begun()
        except Exception as error:  # noqa: BLE001 - it becomes the answer of those who wait
            self._roll_back()
            self._fail(group, error)  # no work is to blame, and each alone would only wait as long again
            return
        try:
            for submitted in group:
                carry_out(submitted, cursor)
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

    def _afterwards(self) -> None:
        """Tell other processes of the commit."""
        if not self._after_commit or self._connection is None:
            return
        try:
            cursor = self._connection.cursor()
            cursor.execute(self._after_commit)
            cursor.close()
        except Exception as error:  # noqa: BLE001 - it was a hint; what is the matter, the next write finds
            logger.debug("Nobody was told of a commit: %s", self._translated(error))

    def _fail(self, group: Iterable[Submitted[Work[Cursor, object]]], error: Exception) -> None:
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

    def _at_end(self) -> None:
        self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
