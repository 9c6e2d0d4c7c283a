"""Reads, beside the writer: in threads, on pooled connections that cannot write."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from tagent.exceptions import StoreError

Result = TypeVar("Result")


class Readers:
    """The read connections of a database.

    Args:
        engine: Opens and pools them.
        translated: Makes our error of one of the driver's.
    """

    def __init__(self, engine: Engine, *, translated: Callable[[Exception], StoreError]) -> None:
        self._engine = engine
        self._translated = translated
        self._changed = threading.Condition()
        self._reading = 0
        self._is_closed = False

    async def read(self, query: Callable[[Connection], Result]) -> Result:
        """Return what `query` returns.

        Raises:
            StoreError: If the database cannot be read, or the readers are closed.
        """
        return await asyncio.to_thread(self._read, query)

    def close(self) -> None:
        """Wait for the reads that are under way, then close every connection. Blocks until then."""
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: self._reading == 0)
        self._engine.dispose()

    def _read(self, query: Callable[[Connection], Result]) -> Result:
        with self._changed:
            if self._is_closed:
                raise StoreError("The store is closed.")
            self._reading += 1
        try:
            with self._engine.connect() as connection:
                return query(connection)
        except (SQLAlchemyError, UnicodeEncodeError) as error:
            raise self._translated(error) from error
        finally:
            with self._changed:
                self._reading -= 1
                self._changed.notify_all()
