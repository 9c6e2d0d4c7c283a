"""Work of this process that several want done at once: one does it, the others wait for what it gives.

They may be in different threads and event loops. What was given is known until it is committed, as it is in no store
before; of what never is, as long as somebody still holds the flight.
"""

import asyncio
import os
import threading
from collections.abc import Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

Result = TypeVar("Result")


class Flight(Generic[Result]):
    """One piece of work on its way.

    Attributes:
        name: What the work is.
        loop: The event loop of whoever does it.
        result: What it gave; None while it is under way, and if it gave nothing.
        landed_at: When it ended, in seconds since 1970-01-01 UTC.
    """

    def __init__(self, name: Hashable, loop: asyncio.AbstractEventLoop) -> None:
        self.name = name
        self.loop = loop
        self.result: Result | None = None
        self.landed_at = 0.0
        self._lock = threading.Lock()
        self._has_landed = False
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def is_over(self) -> bool:
        """Whether the work has ended and gave nothing."""
        with self._lock:
            return self._has_landed and self.result is None

    async def landed(self) -> Result | None:
        """Wait until the work has ended, and return what it gave; None if it gave nothing."""
        waiting = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._has_landed:
                return self.result
            self._waiting.append(waiting)
        await waiting
        return self.result

    def land(self, result: Result | None, *, at: float) -> None:
        """Say that the work has ended, and what it gave; a second time does nothing. From any thread.

        Args:
            result: What it gave; None for nothing, then somebody else may do it.
            at: Now.
        """
        with self._lock:
            if self._has_landed:
                return
            self.result, self.landed_at, self._has_landed = result, at, True
            waiting, self._waiting = self._waiting, []
        for future in waiting:
            try:
                future.get_loop().call_soon_threadsafe(_settle, future)
            except RuntimeError:  # its loop has closed: nobody waits any more
                continue


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Flights(Generic[Result]):
    """Flights by name. One that nobody holds any more is forgotten by itself.

    Example:
        >>> async def twice() -> list[object]:
        ...     flights: Flights[str] = Flights()
        ...     mine, is_mine = flights.board("a")
        ...     other, is_others = flights.board("a")
        ...     mine.land("done", at=0.0)
        ...     return [is_mine, is_others, await other.landed()]
        >>> asyncio.run(twice())
        [True, False, 'done']
    """

    def __init__(self) -> None:
        self._forget()
        if hasattr(os, "register_at_fork"):
            # A forked child does none of the work, and may have been given a lock that nobody releases.
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.RLock()  # the collector may let go of a flight in here
        self._flights: WeakValueDictionary[Hashable, Flight[Result]] = WeakValueDictionary()

    def board(self, name: Hashable, *, but: Flight[Result] | None = None) -> tuple[Flight[Result], bool]:
        """Return the flight of this name, and whether it is the caller's: then he does the work, and lets it land.

        One that has landed and gave nothing is followed by another one.

        Args:
            name: What the work is.
            but: One that is not wanted.
        """
        with self._lock:
            found = self._flights.get(name)
            if found is not None and found is not but and not found.is_over:
                return found, False
            mine: Flight[Result] = Flight(name, asyncio.get_running_loop())
            self._flights[name] = mine
            return mine, True

    def forget(self, flight: Flight[Result]) -> None:
        """Have nobody board this flight any more; does nothing if another one has taken its place. From any thread."""
        with self._lock:
            if self._flights.get(flight.name) is flight:
                del self._flights[flight.name]
