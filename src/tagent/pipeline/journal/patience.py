"""Waiting for a store that cannot be reached now: it is restarted, locked or full, and mostly soon is not."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from tagent.ports.clock import Clock
from tagent.ports.documents import Document, DocumentQuery
from tagent.ports.effects import Effects, Written
from tagent.ports.messages import Cursor, Message, Topic
from tagent.ports.store import Store
from tagent.ports.store_errors import StoreUnavailableError

Result = TypeVar("Result")

PATIENCE_SECONDS = 60.0
"""How long a run waits for a store, from the first try on."""

FIRST_WAIT_SECONDS = 0.05


async def patiently(
    work: Callable[[], Awaitable[Result]], *, clock: Clock, again: Callable[[], Awaitable[Result]] | None = None
) -> Result:
    """Return what `work` returns, tried again while the store is unavailable.

    Args:
        work: Asks the store.
        clock: Tells the time.
        again: What is done instead of `work` from the second time on.

    Raises:
        StoreUnavailableError: If it stays so.
    """
    until, wait = clock.now() + PATIENCE_SECONDS, FIRST_WAIT_SECONDS
    while True:
        try:
            return await work()
        except StoreUnavailableError:
            if clock.now() >= until:
                raise
        await clock.sleep(wait)
        wait = min(wait * 2, PATIENCE_SECONDS / 10)
        work = again or work


class PatientStore:
    """A store as steps reach it for memory and mail: while it is away they wait, instead of failing.

    What is written has keys or expected versions, so that it may be written again by whoever got no answer.

    Args:
        store: The store.
        clock: Tells the time.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def write(self, effects: Effects) -> Written:
        """Write effects that belong to no run."""
        return await patiently(partial(self._store.write, effects), clock=self._clock)

    async def document(self, scope: str, key: str) -> Document | None:
        """Return a document."""
        return await patiently(partial(self._store.document, scope, key), clock=self._clock)

    async def documents(self, query: DocumentQuery) -> Sequence[Document]:
        """Return the documents that fit."""
        return await patiently(partial(self._store.documents, query), clock=self._clock)

    async def topics(self, prefix: str = "") -> Sequence[Topic]:
        """Return topics."""
        return await patiently(partial(self._store.topics, prefix), clock=self._clock)

    async def messages(self, topic: str, *, after_seq: int = 0, limit: int = 100) -> Sequence[Message]:
        """Return messages."""
        asked = partial(self._store.messages, topic, after_seq=after_seq, limit=limit)
        return await patiently(asked, clock=self._clock)

    async def unread(self, subscriber: str, topics: Sequence[str], *, limit: int = 100) -> Sequence[Message]:
        """Return what was not read."""
        return await patiently(partial(self._store.unread, subscriber, topics, limit=limit), clock=self._clock)

    async def cursors(self, *, subscriber: str = "", topic: str = "") -> Sequence[Cursor]:
        """Return how far was read."""
        return await patiently(partial(self._store.cursors, subscriber=subscriber, topic=topic), clock=self._clock)

    async def forget(self, prefix: str) -> None:
        """Delete what begins so."""
        await patiently(partial(self._store.forget, prefix), clock=self._clock)

    async def wait_for_change(self, seen: int, *, seconds: float) -> int:
        """Return as soon as anything may have been committed."""
        return await patiently(partial(self._store.wait_for_change, seen, seconds=seconds), clock=self._clock)
