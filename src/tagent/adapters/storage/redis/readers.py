"""Reads, beside the writer: in threads, each on a connection of its own, which the next one uses again."""

import asyncio
import threading
from collections.abc import Callable

from redis.exceptions import RedisError, ResponseError

from tagent.adapters.storage.redis.link import Link, Reply
from tagent.adapters.storage.redis.scripts import Command
from tagent.exceptions import StoreError

IDLE_LINKS = 8
"""So many connections are kept for later."""


class Readers:
    """The connections on which is read.

    Args:
        connect: Opens one.
        translated: Makes our error of one of redis-py's.
    """

    def __init__(self, connect: Callable[[], Link], *, translated: Callable[[Exception], StoreError]) -> None:
        self._connect = connect
        self._translated = translated
        self._changed = threading.Condition()
        self._idle: list[Link] = []
        self._reading = 0
        self._is_closed = False

    async def read(self, *commands: Command) -> list[Reply]:
        """Return the answers to `commands`.

        Raises:
            StoreError: If the server cannot be reached or reports an error, or the readers are closed.
        """
        return await asyncio.to_thread(self.read_now, *commands)

    def read_now(self, *commands: Command) -> list[Reply]:
        """Do the same and block; may be called from any thread."""
        with self._changed:
            if self._is_closed:
                raise StoreError("The store is closed.")
            self._reading += 1
        link: Link | None = None
        try:
            link = self._taken() or self._connect()
            replies = link.exchange(commands)
        except (RedisError, OSError) as error:
            link = None  # it has closed itself
            raise self._translated(error) from error
        finally:
            self._give_back(link)
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise self._translated(reply) from reply
        return replies

    def close(self) -> None:
        """Wait for the reads that are under way, then close every connection. Blocks until then."""
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: self._reading == 0)
            idle, self._idle = self._idle, []
        for link in idle:
            link.close()

    def _taken(self) -> Link | None:
        while True:
            with self._changed:
                if not self._idle:
                    return None
                link = self._idle.pop()
            if link.is_of_use():
                return link
            link.close()

    def _give_back(self, link: Link | None) -> None:
        with self._changed:
            if link is not None and len(self._idle) < IDLE_LINKS:
                self._idle.append(link)
                link = None
            self._reading -= 1
            self._changed.notify_all()
        if link is not None:
            link.close()
