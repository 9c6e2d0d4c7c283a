"""Tells that something was committed, by this process or another: a hint, which saves asking all the time."""

import asyncio
import logging
import threading
from collections.abc import Callable

from redis.exceptions import RedisError, ResponseError

from tagent.adapters.storage.redis.link import Link, Reply
from tagent.adapters.storage.redis.scripts import Command
from tagent.exceptions import StoreError

BLOCK_MILLISECONDS = b"500"
"""How long the server holds a question back when nothing changes."""

REST_SECONDS = 0.005
"""After a change the next question waits: under load, everybody is woken 200 times a second and not more."""

RECONNECT_SECONDS = 0.5

logger = logging.getLogger(__name__)


class Changes:
    """A daemon thread which, while anybody waits, listens to the Stream to which every commit adds an entry.

    Args:
        connect: Opens a connection; called in the thread.
        stream: The Stream's key.
    """

    def __init__(self, connect: Callable[[], Link], *, stream: bytes) -> None:
        self._connect = connect
        self._stream = stream
        self._lock = threading.Lock()
        self._version = 1
        self._watchers: set[asyncio.Future[None]] = set()
        self._is_wanted = threading.Event()
        self._is_closed = threading.Event()
        self._thread: threading.Thread | None = None

    async def wait(self, seen: int, *, seconds: float) -> int:
        """Return as soon as something may have been committed since this returned `seen`, or after `seconds`.

        Raises:
            StoreError: If the store is closed.
        """
        watcher = asyncio.get_running_loop().create_future()
        with self._lock:
            self._require_open()
            self._listen()
            if self._version != seen:
                return self._version
            self._watchers.add(watcher)
            self._is_wanted.set()
        try:
            await asyncio.wait([watcher], timeout=seconds)
        finally:
            with self._lock:
                self._watchers.discard(watcher)
                if not self._watchers and not self._is_closed.is_set():
                    self._is_wanted.clear()
        self._require_open()
        return self._version

    def close(self) -> None:
        """Wake whoever waits, with an error; the thread ends within half a second."""
        with self._lock:
            self._is_closed.set()
            self._is_wanted.set()
        self._tell()

    def _require_open(self) -> None:
        if self._is_closed.is_set():
            raise StoreError("The store is closed.")

    def _listen(self) -> None:
        """Start the thread with the first who asks; called with the lock."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="tagent-redis-changes", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        while not self._is_closed.is_set():
            try:
                self._follow()
            except (RedisError, OSError) as error:
                logger.debug("Nobody tells of changes in the store: %s", type(error).__name__)
                self._is_closed.wait(RECONNECT_SECONDS)

    def _follow(self) -> None:
        """Tell of changes on one connection until it breaks or the store is closed."""
        link = self._connect()
        try:
            last = _last_id([[self._stream, _answer(link, (b"XREVRANGE", self._stream, b"+", b"-", b"COUNT", b"1"))]])
            self._tell()  # nobody knows what happened before, or between two connections
            while self._is_wanted.wait() and not self._is_closed.is_set():
                found = _answer(link, (b"XREAD", b"BLOCK", BLOCK_MILLISECONDS, b"STREAMS", self._stream, last))
                if found is not None:
                    last = _last_id(found)
                    self._tell()
                    self._is_closed.wait(REST_SECONDS)
        finally:
            link.close()

    def _tell(self) -> None:
        with self._lock:
            self._version += 1
            for watcher in self._watchers:
                try:
                    watcher.get_loop().call_soon_threadsafe(_wake, watcher)
                except RuntimeError:  # the loop has closed: nobody waits any more
                    logger.debug("Somebody stopped waiting for a change together with his event loop.")


def _answer(link: Link, command: Command) -> Reply:
    (reply,) = link.exchange([command])
    if isinstance(reply, ResponseError):
        raise reply
    return reply


def _last_id(streams: Reply) -> bytes:
    """Return the last id in an answer to XREAD from one Stream; if it is empty, one that stands before all others."""
    match streams:
        case [[_, [*_, [bytes(entry_id), _]]]]:
            return entry_id
        case _:
            return b"0-0"


def _wake(watcher: asyncio.Future[None]) -> None:
    if not watcher.done():
        watcher.set_result(None)
