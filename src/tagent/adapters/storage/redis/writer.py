"""One thread writes for everybody: what waits at the same moment goes to the server in one message.

The server carries out the scripts of a message one after the other, each whole, and makes one fsync for
all of them (`appendfsync always`) before it answers any. So many writers are as fast as a few.
"""

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import SimpleQueue

from redis.exceptions import ResponseError

from tagent.adapters.storage.redis.link import Link, Reply
from tagent.adapters.storage.redis.scripts import Command
from tagent.exceptions import StoreError

MESSAGE_BYTES = 32 * 2**20
"""A message ends with the command that makes it this large: a server drops who sends it more than 1 GB."""

logger = logging.getLogger(__name__)


class _Submitted:
    """A command on its way through the writer. `loop` is None when a thread waits for it."""

    __slots__ = ("command", "error", "future", "loop", "reply")

    def __init__(
        self,
        command: Command,
        future: asyncio.Future[Reply] | concurrent.futures.Future[Reply],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.command = command
        self.future = future
        self.loop = loop
        self.reply: Reply = None
        self.error: StoreError | None = None


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
        self._queue: SimpleQueue[list[_Submitted] | None] = SimpleQueue()
        self._gathered: dict[asyncio.AbstractEventLoop, list[_Submitted]] = {}
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._serve, name="tagent-redis-writer", daemon=True)
        self._thread.start()

    def submit(self, command: Command) -> asyncio.Future[Reply]:
        """Return the future of the server's answer.

        Raises:
            StoreError: At once, if the writer is closed; later, by the future, if the server cannot be
                reached or reports an error.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        submitted = _Submitted(command, future, loop)
        with self._lock:
            self._require_open()
            gathered = self._gathered.get(loop)
            if gathered is None:  # what else this turn of the loop submits goes along: fewer, fuller messages
                self._gathered[loop] = [submitted]
                loop.call_soon(self._hand_over, loop)
            else:
                gathered.append(submitted)
        return future

    def run(self, command: Command) -> Reply:
        """Return the server's answer. Blocks; may be called from any thread.

        Raises:
            StoreError: If the writer is closed, the server cannot be reached, or it reports an error.
        """
        future: concurrent.futures.Future[Reply] = concurrent.futures.Future()
        with self._lock:
            self._require_open()
            self._queue.put([_Submitted(command, future, None)])
        return future.result()

    def close(self) -> None:
        """Finish what waits, answer it and end the thread. Blocks until then; closing twice does no harm."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                for gathered in self._gathered.values():
                    self._queue.put(gathered)
                self._gathered.clear()
                self._queue.put(None)
        self._thread.join()

    def _require_open(self) -> None:
        """Called with the lock, so that nothing can come behind the end."""
        if self._is_closed:
            raise StoreError("The store is closed.")

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            if gathered := self._gathered.pop(loop, None):  # closing hands over what it finds
                self._queue.put(gathered)

    def _serve(self) -> None:
        is_open = True
        while is_open:
            waiting = [self._queue.get()]
            waiting.extend(self._queue.get() for _ in range(self._queue.qsize()))
            is_open = waiting[-1] is not None
            group = [submitted for gathered in waiting if gathered is not None for submitted in gathered]
            for message in _messages(group):
                self._exchange(message)
                _answer(message)
                message.clear()  # an idle thread must not keep the last payloads alive
            del waiting, group
        if self._link is not None:
            self._link.close()

    def _exchange(self, message: Sequence[_Submitted]) -> None:
        try:
            replies = self._connected().exchange([submitted.command for submitted in message])
        except Exception as error:  # noqa: BLE001 - it becomes the answer of those who wait
            self._link = None
            for submitted in message:
                submitted.error = self._of(error)
            return
        for submitted, reply in zip(message, replies, strict=True):
            submitted.reply = reply
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


def _messages(group: Iterable[_Submitted]) -> Iterator[list[_Submitted]]:
    message: list[_Submitted] = []
    size = 0
    for submitted in group:
        message.append(submitted)
        size += sum(map(len, submitted.command))
        if size >= MESSAGE_BYTES:
            yield message
            message, size = [], 0
    if message:
        yield message


def _answer(group: Iterable[_Submitted]) -> None:
    """Give every command its answer, waking each event loop once."""
    of_loop: dict[asyncio.AbstractEventLoop, list[_Submitted]] = {}
    for submitted in group:
        if submitted.loop is None:
            _settle((submitted,))
        else:
            of_loop.setdefault(submitted.loop, []).append(submitted)
    for loop, waiting in of_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, waiting)
        except RuntimeError:  # the loop has closed: nobody waits any more
            logger.debug("%d writes were answered after their event loop had closed.", len(waiting))


def _settle(answered: Iterable[_Submitted]) -> None:
    for submitted in answered:
        future = submitted.future
        if future.done():  # whoever waited was cancelled
            continue
        if submitted.error is None:
            future.set_result(submitted.reply)
        else:
            future.set_exception(submitted.error)
