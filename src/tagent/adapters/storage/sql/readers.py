"""Reads, beside the writer: in threads, on connections that cannot write and are kept for the next read."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import closing
from queue import Empty, LifoQueue
from typing import TypeVar

from tagent.adapters.storage.sql.driver import Cursor, DriverConnection
from tagent.exceptions import StoreError

Result = TypeVar("Result")

CONNECTIONS = 10
"""How many are open at most; who finds none free waits."""

WAIT_SECONDS = 30.0
"""How long he waits."""


class Readers:
    """The read connections of a database.

    Args:
        connect: Opens a connection that commits each statement.
        error: What all errors of the driver are.
        translated: Makes our error of one of the driver's.
        is_lost: Whether the database is not at the other end of the connection any more, as far as is known.
    """

    def __init__(
        self,
        connect: Callable[[], DriverConnection],
        *,
        error: type[Exception],
        translated: Callable[[Exception], StoreError],
        is_lost: Callable[[DriverConnection], bool] = lambda _: False,
    ) -> None:
        self._connect = connect
        self._error = error
        self._translated = translated
        self._is_lost = is_lost
        self._places: LifoQueue[DriverConnection | None] = LifoQueue()
        """Each holds an idle connection, or None where none was opened yet. The last used is on top, still warm."""
        for _ in range(CONNECTIONS):
            self._places.put(None)
        self._is_closed = False
        self._closing = threading.Lock()

    async def read(self, query: Callable[[Cursor], Result]) -> Result:
        """Return what `query` returns. If it finds its connection lost, it is asked once more.

        Raises:
            StoreError: If the database cannot be read, or the readers are closed.
        """
        return await asyncio.to_thread(self._read, query)

    def close(self) -> None:
        """Wait for the reads that are under way, then close every connection. Blocks until then."""
        self._is_closed = True
        with self._closing:
            places = [self._places.get() for _ in range(CONNECTIONS)]
            for connection in places:
                if connection is not None:
                    connection.close()
                self._places.put(None)  # for who waits for it, to hear that all is over

    def _read(self, query: Callable[[Cursor], Result]) -> Result:
        try:
            connection = self._places.get(timeout=WAIT_SECONDS)
        except Empty as error:
            raise self._translated(error) from error
        try:
            if self._is_closed:
                raise StoreError("The store is closed.")
            if connection is not None:
                try:
                    return _asked(connection, query)
                except self._error:
                    if not self._is_lost(connection):
                        raise
                    connection = None  # the server was started anew while it lay idle
            connection = self._connect()
            return _asked(connection, query)
        except (self._error, UnicodeEncodeError) as error:
            raise self._translated(error) from error
        finally:
            is_of_use = connection is not None and not self._is_lost(connection)
            self._places.put(connection if is_of_use else None)


def _asked(connection: DriverConnection, query: Callable[[Cursor], Result]) -> Result:
    with closing(connection.cursor()) as cursor:
        return query(cursor)
