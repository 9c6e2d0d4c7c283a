"""Tells that something was committed, by this process or another: a hint, which saves asking all the time."""

import sqlite3
from collections.abc import Callable
from typing import Protocol

from tagent.adapters.storage.polling import Polling
from tagent.exceptions import StoreError


class Changes(Protocol):
    """Tells of commits."""

    async def wait(self, seen: int, *, seconds: float) -> int:
        """Return as soon as something may have been committed since this returned `seen`, or after `seconds`."""
        ...

    def close(self) -> None:
        """Let go of what is held open."""
        ...


class DataVersion:
    """Asks SQLite for its `data_version`, a number that changes with every commit of another connection.

    Args:
        connect: Opens the connection to ask on, on which nothing is written; called when it is first needed.
        translated: Makes our error of one of the driver's.
    """

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], *, translated: Callable[[Exception], StoreError]
    ) -> None:
        self._connect = connect
        self._translated = translated
        self._connection: sqlite3.Connection | None = None
        self._is_closed = False
        self._polling = Polling(self._version)

    async def wait(self, seen: int, *, seconds: float) -> int:
        """Return as soon as something was committed since this returned `seen`, or after `seconds`.

        Raises:
            StoreError: If the store is closed or cannot be read.
        """
        return await self._polling.wait(seen, seconds=seconds)

    def close(self) -> None:
        """Close the connection; whoever waits gets an error."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.close()

    async def _version(self) -> int:
        if self._is_closed:
            raise StoreError("The store is closed.")
        try:
            if self._connection is None:
                self._connection = self._connect()
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error as error:
            raise self._translated(error) from error
        return int(version)
