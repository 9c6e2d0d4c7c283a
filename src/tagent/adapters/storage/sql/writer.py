"""Group commit: what waits at the same moment shares one transaction, and nobody is answered before it is on disk."""

import logging
import time
from collections.abc import Callable, Iterable

from tagent.adapters.storage.sql.driver import Cursor, DriverConnection
from tagent.adapters.storage.submissions import Submitted
from tagent.adapters.storage.writing import Work, WorkWriter, carry_out
from tagent.exceptions import StoreError

TRANSACTION_SECONDS = 0.25
"""How long works are added to a transaction: other processes wait for its locks, and not for ever."""

TRIES = 5
"""How often a work is done that the database undid for the sake of another's."""

logger = logging.getLogger(__name__)


class GroupWriter(WorkWriter[Cursor]):
    """The one writer of a database: a thread and its connection.

    Args:
        connect: Opens the connection on which nobody else writes; called in the thread.
        begin: Begins a transaction that may write.
        translated: Makes our error of one of the driver's.
        before_commit: Executes what the works of a transaction have left for its end.
        after_commit: A statement that tells other processes of a commit; "" for none. Nobody waits for it.
        is_lost: Whether the database is not at the other end of the connection any more, as far as is known.
        is_undone: Whether an error says that the database undid a transaction because it stood in another's way.
    """

    def __init__(
        self,
        connect: Callable[[], DriverConnection],
        *,
        begin: str,
        translated: Callable[[Exception], StoreError],
        before_commit: Callable[[Cursor], object] = bool,
        after_commit: str = "",
        is_lost: Callable[[DriverConnection], bool] = lambda _: False,
        is_undone: Callable[[Exception], bool] = lambda _: False,
    ) -> None:
        self._connect = connect
        self._begin = begin
        self._translated = translated
        self._before_commit = before_commit
        self._after_commit = after_commit
        self._is_lost = is_lost
        self._is_undone = is_undone
        self._connection: DriverConnection | None = None
        super().__init__()

    def _write(self, group: list[Submitted[Work[Cursor, object]]]) -> None:
        """Carry out all works, many in one transaction; those to which the database objects, each in one of its own."""
        waiting = group
        while waiting:
            waiting = waiting[self._write_together(waiting) :]

    def _write_together(self, works: list[Submitted[Work[Cursor, object]]]) -> int:
        """Carry out the first of the works in one transaction; return how many have their answer now."""
        try:
            cursor = self._begun()
        except Exception as error:  # noqa: BLE001 - it becomes the answer of those who wait
            self._roll_back()
            self._fail(works, error)  # no work is to blame, and each alone would only wait as long again
            return len(works)
        carried: list[Submitted[Work[Cursor, object]]] = []
        try:
            self._commit_first(works, cursor, carried=carried)
        except Exception as error:  # noqa: BLE001 - it becomes the answer of those who wait
            if not self._roll_back():  # nobody knows what was committed
                self._fail(works, error)
                return len(works)
            for submitted in carried:
                self._write_alone(submitted, error if len(carried) == 1 else None)
        return len(carried)

    def _write_alone(self, submitted: Submitted[Work[Cursor, object]], error: Exception | None) -> None:
        """Carry out a work in a transaction of its own, unless that is what came to `error`.

        What the database has undone for the sake of another's transaction is done again.
        """
        tries = 0
        while error is None or (self._is_undone(error) and tries < TRIES):
            tries += 1
            try:
                self._commit_first([submitted], self._begun(), carried=[])
            except Exception as again:  # noqa: BLE001 - it becomes the answer of who waits
                self._roll_back()
                error = again
            else:
                return
        self._fail([submitted], error)

    def _commit_first(
        self,
        works: list[Submitted[Work[Cursor, object]]],
        cursor: Cursor,
        *,
        carried: list[Submitted[Work[Cursor, object]]],
    ) -> None:
        """Carry out the first of the works, until it is time, and commit; put into `carried` which those are."""
        ends = time.monotonic() + TRANSACTION_SECONDS
        for submitted in works:
            carried.append(submitted)
            carry_out(submitted, cursor)
            if time.monotonic() >= ends:
                break
        self._before_commit(cursor)
        cursor.close()
        self._connected().commit()

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
