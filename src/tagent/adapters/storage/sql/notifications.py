"""PostgreSQL tells of commits: LISTEN and NOTIFY, a hint that may be lost, so it is asked now and then as well."""

import asyncio
import logging
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TypeAlias

import psycopg

from tagent.exceptions import StoreError

CHANNEL = "tagent"

NOTIFY = f"NOTIFY {CHANNEL}"
"""Executed behind a commit, not in it: there it would hold a lock of the whole server while the commit waits
for the disk, and the commits of all processes would follow one another."""

POLL_SECONDS = 1.0
"""How often the server is asked: a process may end between its commit and its NOTIFY."""

_SNAPSHOT = b"SELECT pg_current_snapshot()::text"
"""Which transactions are over; it changes with every commit, by whomever."""

Connection: TypeAlias = "psycopg.Connection[tuple[object, ...]]"
Waiter: TypeAlias = "asyncio.Future[None]"

logger = logging.getLogger(__name__)


class Notifications:
    """Listens on a connection of its own, in a daemon thread that the first who waits starts.

    While the connection is lost it wakes everybody now and then: who wants to know can only ask.

    Args:
        connect: Opens a connection that commits each statement.
        translated: Makes our error of one of the driver's.
    """

    def __init__(self, connect: Callable[[], Connection], *, translated: Callable[[Exception], StoreError]) -> None:
        self._connect = connect
        self._translated = translated
        self._lock = threading.Lock()
        self._version = 1
        self._waiters: set[Waiter] = set()
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._ringer: socket.socket | None = None

    async def wait(self, seen: int, *, seconds: float) -> int:
        """Return as soon as something may have been committed since this returned `seen`, or after `seconds`.

        Raises:
            StoreError: If the store is closed.
        """
        waiter: Waiter = asyncio.get_running_loop().create_future()
        with self._lock:
            self._require_open()
            self._start()
            if self._version != seen:
                return self._version
            self._waiters.add(waiter)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await waiter
        finally:
            with self._lock:
                self._waiters.discard(waiter)
        with self._lock:
            self._require_open()
            return self._version

    def close(self) -> None:
        """End the thread and its connection; whoever waits gets an error. Closing twice does no harm."""
        with self._lock:
            is_first, self._is_closed = not self._is_closed, True
        if not is_first:
            return
        self._tell()
        if self._thread is not None and self._ringer is not None:
            self._ringer.close()
            self._thread.join()

    def _require_open(self) -> None:
        if self._is_closed:
            raise StoreError("The store is closed.")

    def _start(self) -> None:
        if self._thread is None:
            alarm, self._ringer = socket.socketpair()
            self._thread = threading.Thread(
                target=self._serve, args=(alarm,), name="tagent-store-listener", daemon=True
            )
            self._thread.start()

    def _tell(self) -> None:
        """Wake everybody; each in its own event loop."""
        with self._lock:
            self._version += 1
            waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            with suppress(RuntimeError):  # the loop has closed: nobody waits any more
                waiter.get_loop().call_soon_threadsafe(_wake, waiter)

    def _serve(self, alarm: socket.socket) -> None:
        """Listen until the other end of `alarm` is closed."""
        with alarm, selectors.DefaultSelector() as selector:
            selector.register(alarm, selectors.EVENT_READ)
            while not self._is_closed:
                try:
                    with closing(self._connect()) as connection:
                        self._listen(connection, selector)
                except psycopg.Error as error:
                    logger.info("Changes are not told of at once: %s", self._translated(error))
                    self._tell()
                    selector.select(POLL_SECONDS)

    def _listen(self, connection: Connection, selector: selectors.BaseSelector) -> None:
        connection.execute(f"LISTEN {CHANNEL}".encode())
        seen = None  # what was committed before it listened, nobody has told of
        descriptor = connection.fileno()
        selector.register(descriptor, selectors.EVENT_READ)
        try:
            while not self._is_closed:
                is_told = any(True for _ in connection.notifies(timeout=0))
                snapshot = connection.execute(_SNAPSHOT).fetchone()
                if is_told or snapshot != seen:
                    self._tell()
                seen = snapshot
                selector.select(POLL_SECONDS)
        finally:
            selector.unregister(descriptor)


def _wake(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_result(None)
