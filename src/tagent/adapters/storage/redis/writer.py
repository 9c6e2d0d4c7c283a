"""One thread writes for everybody: what waits at the same moment goes to the server in one message.

The server carries out the scripts of a message one after the other, each whole, and makes one fsync for
all of them (`appendfsync always`) before it answers any. So many writers are as fast as a few.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

from redis.exceptions import ResponseError

from tagent.adapters.storage.redis.link import Link, Reply
from tagent.adapters.storage.redis.scripts import Command
from tagent.adapters.storage.submissions import Submissions, Submitted
from tagent.exceptions import StoreError

MESSAGE_BYTES = 32 * 2**20
"""A message ends with the command that makes it this large: a server drops who sends it more than 1 GB."""

logger = logging.getLogger(__name__)


class Writer:
    """A daemon thread, its connection, and a queue.

    Args:
        connect: Opens a connection; called in the thread.
        translated: Makes our error of one of redis-py's.
    """

    def __init__(self, connect: Callable[[], Link], *, translated: Callable[[Exception], StoreError]) -> None:
        self._connect = connect
        self._translated = translated
        self._link: Link | None = None
        self._submissions = Submissions(self._carry_out, at_end=self._disconnect)

    def submit(self, command: Command) -> asyncio.Future[Reply]:
        """Return the future of the server's answer.

        Raises:
            StoreError: At once, if the writer is closed; later, by the future, if the server cannot be
                reached or reports an error.
        """
        return self._submissions.submit(command)

    def run(self, command: Command) -> Reply:
        """Return the server's answer. Blocks; may be called from any thread.

        Raises:
            StoreError: If the writer is closed, the server cannot be reached, or it reports an error.
        """
        reply: Reply = self._submissions.run(command)
        return reply

    def close(self) -> None:
        """Finish what waits, answer it and end the thread. Blocks until then; closing twice does no harm."""
        self._submissions.close()

    def _carry_out(self, group: list[Submitted[Command]]) -> None:
        for message in _messages(group):
            self._exchange(message)

    def _disconnect(self) -> None:
        if self._link is not None:
            self._link.close()

    def _exchange(self, message: Sequence[Submitted[Command]]) -> None:
        try:
            replies = self._connected().exchange([submitted.work for submitted in message])
        except Exception as error:  # noqa: BLE001 - it becomes the answer of those who wait
            self._link = None
            for submitted in message:
                submitted.error = self._of(error)
            return
        for submitted, reply in zip(message, replies, strict=True):
            submitted.value = reply
            if isinstance(reply, ResponseError):
                submitted.error = self._of(reply)

    def _connected(self) -> Link:
        # A server that has restarted since the last message must not cost the next one, which cannot be sent
        # twice: asked first, it is sent on a new connection.
        if self._link is not None and not self._link.is_of_use():
            logger.warning("The connection to the store is lost; another one is opened.")
            self._link.close()
            self._link = None
        if self._link is None:
            self._link = self._connect()
        return self._link

    def _of(self, error: Exception) -> StoreError:
        ours = self._translated(error)
        ours.__cause__ = error
        return ours


def _messages(group: Iterable[Submitted[Command]]) -> Iterator[list[Submitted[Command]]]:
    message: list[Submitted[Command]] = []
    size = 0
    for submitted in group:
        message.append(submitted)
        size += sum(map(len, submitted.work))
        if size >= MESSAGE_BYTES:
            yield message
            message, size = [], 0
    if message:
        yield message
