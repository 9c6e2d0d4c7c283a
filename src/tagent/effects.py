"""What an attempt wants to change besides its output: gathered while it works, written with its success."""

import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol, TypeVar

from tagent.exceptions import TAgentError
from tagent.names import is_cache
from tagent.payloads import decoded, encoded
from tagent.ports.documents import Document, Put, version_of
from tagent.ports.effect_errors import DocumentConflictError, QuotaExceededError
from tagent.ports.effects import Effects
from tagent.ports.messages import NewMessage, Receipt, Subscription
from tagent.values import value

Result = TypeVar("Result")

logger = logging.getLogger("tagent")

Merge = Callable[[object, object], object]
"""What is there, and what was to be written -> what is written. Both are JSON values."""


class Documents(Protocol):
    """Where the documents to merge are read: a store."""

    async def document(self, scope: str, key: str) -> Document | None:
        """Return a document; None if there is none."""
        ...


MOST_MERGES = 20
"""How often a write is merged anew because somebody else was faster."""


class MergeNotKeptError(TAgentError):
    """What is remembered is to be merged where it waits in the journal, which can hold no function.

    So it is for the tools of agents, and for steps whose output has to be approved.

    Attributes:
        key: What it wants to remember.
    """

    code = "memory.merge_not_kept"

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"The memory {key!r} cannot be merged here: what is written waits in the journal, which holds no function.",
            hint="Merge in a function step whose output needs no approval, or put with expected_version.",
        )


@value
class PendingPut:
    """A document to be written, and what is done if it is not as it was.

    Attributes:
        put: The document.
        merge: Makes the value from the one that is there; None writes it as it is.
    """

    put: Put
    merge: Merge | None = None


class EffectBuffer:
    """Gathers effects. A key's last put counts; may be used from any thread.

    Args:
        before: What was gathered earlier and can be read through this one.
        may_merge: Whether puts may be merged. What is journalled before it is written can hold no function.
    """

    def __init__(self, before: "EffectBuffer | None" = None, *, may_merge: bool = True) -> None:
        self._before = before
        self._may_merge = may_merge
        self._lock = threading.Lock()
        self._puts: dict[tuple[str, str], PendingPut] = {}
        self._messages: list[NewMessage] = []
        self._receipts: dict[tuple[str, str], Receipt] = {}
        self._subscriptions: list[Subscription] = []
        self._has_reached_out = False
        self._on_written: list[Callable[[], None]] = []

    @property
    def has_reached_out(self) -> bool:
        """Whether somebody read memory or mail through it, or did at once what waits for no commit.

        What comes of that depends on more than what the attempt was given.
        """
        return self._has_reached_out

    def reach_out(self) -> None:
        """Note that somebody does so."""
        self._has_reached_out = True
        if self._before is not None:
            self._before.reach_out()

    def when_written(self, callback: Callable[[], None]) -> None:
        """Have `callback` called once this is written; it is held until then, or until this is given up."""
        self._on_written.append(callback)

    def __bool__(self) -> bool:
        """Whether anything was gathered here."""
        return bool(self._puts or self._messages or self._receipts or self._subscriptions)

    @property
    def is_spare(self) -> bool:
        """Whether all that was gathered can be done without, so that it may be written with whatever else there is."""
        return is_spare(self.effects)

    def join(self, other: "EffectBuffer") -> None:
        """Gather what was gathered in another one, which is written with this one."""
        self.absorb(other.effects)
        self.when_written(other.tell_written)

    def put(self, put: Put, *, merge: Merge | None = None) -> None:
        """Write a document. What its first put expected to find counts: the later ones have found that one.

        Raises:
            MergeNotKeptError: If it is to be merged and cannot be.
        """
        if merge is not None and not self._may_merge:
            raise MergeNotKeptError(put.key)
        with self._lock:
            earlier = self._puts.get((put.scope, put.key))
            if earlier is not None:
                put = replace(put, expected_version=earlier.put.expected_version)
            self._puts[put.scope, put.key] = PendingPut(put, merge)

    def send(self, message: NewMessage) -> None:
        """Send a message."""
        with self._lock:
            self._messages.append(message)

    def receive(self, receipt: Receipt) -> None:
        """Note that a subscriber has read on."""
        with self._lock:
            reader = receipt.subscriber, receipt.topic
            earlier = self._receipts.get(reader)
            expected = receipt.expected_seq if earlier is None else earlier.expected_seq
            self._receipts[reader] = replace(receipt, expected_seq=expected)

    def written(self, scope: str, key: str) -> PendingPut | None:
        """Return the put of this document, if there is one."""
        self.reach_out()
        found = self._puts.get((scope, key))
        if found is None and self._before is not None:
            return self._before.written(scope, key)
        return found

    def written_in(self, scope: str) -> dict[str, PendingPut]:
        """Return the puts of a scope, by key."""
        self.reach_out()
        found = {} if self._before is None else self._before.written_in(scope)
        with self._lock:
            found |= {key: pending for (of, key), pending in self._puts.items() if of == scope}
        return found

    def read_up_to(self, subscriber: str, topic: str, *, seq: int) -> int:
        """Return up to where the subscriber has read when it is `seq` in the store."""
        self.reach_out()
        found = self._receipts.get((subscriber, topic))
        if found is None:
            return seq if self._before is None else self._before.read_up_to(subscriber, topic, seq=seq)
        return max(seq, found.seq)

    def absorb(self, effects: Effects) -> None:
        """Gather what was gathered elsewhere."""
        for put in effects.puts:
            self.put(put)
        for message in effects.messages:
            self.send(message)
        for receipt in effects.receipts:
            self.receive(receipt)
        with self._lock:
            self._subscriptions += effects.subscriptions

    @property
    def effects(self) -> Effects:
        """What was gathered here, as if nothing had to be merged."""
        with self._lock:
            puts = tuple([pending.put for pending in self._puts.values()])
            receipts, subscriptions = tuple(self._receipts.values()), tuple(self._subscriptions)
            return Effects(puts, tuple(self._messages), receipts, subscriptions)

    async def write(self, store: Documents, write: Callable[[Effects], Awaitable[Result]]) -> Result:
        """Return what `write` returns for the effects, in which what is to be merged is merged.

        What is only kept to be used again is left out where its scope is full: nothing fails for that.

        Args:
            store: Where the documents to merge are read.
            write: Writes all or nothing.

        Raises:
            DocumentConflictError: If a document is not as it was expected and is not to be merged, or others
                were faster every time.
        """
        for attempt in range(1, MOST_MERGES + 1):
            effects = await self._merged(store)
            try:
                result = await write(effects)
            except DocumentConflictError as error:
                pending = self._puts.get((error.scope, error.key))
                if pending is None or pending.merge is None or attempt == MOST_MERGES:
                    raise
            except QuotaExceededError as error:
                if not self._drop_cached(error.scope):
                    raise
                logger.warning("An output is not kept to be used again: %s", error.message)
            else:
                self.tell_written()
                return result
        raise AssertionError("the last attempt returns or raises")

    def tell_written(self) -> None:
        """Call, each once, what waits for this to be written."""
        callbacks, self._on_written = self._on_written, []
        for callback in callbacks:
            callback()

    def _drop_cached(self, scope: str) -> bool:
        """Let go of what would be put into a full scope; return whether anything was that can be done without."""
        going = [place for place in self._puts if place[0] == scope] if is_cache(scope) else []
        for place in going:
            del self._puts[place]
        return bool(going)

    async def _merged(self, store: Documents) -> Effects:
        effects = self.effects
        pending = [self._puts[put.scope, put.key] for put in effects.puts]
        return replace(effects, puts=tuple([await _merged(it.put, it.merge, store) for it in pending]))


def is_spare(effects: Effects) -> bool:
    """Return whether all of these can be done without: they only keep outputs to be used again."""
    others = effects.messages or effects.receipts or effects.subscriptions
    return not others and all(is_cache(put.scope) for put in effects.puts)


def without_spare(effects: Effects) -> Effects:
    """Return these without those that only keep outputs to be used again."""
    return replace(effects, puts=tuple([put for put in effects.puts if not is_cache(put.scope)]))


async def _merged(put: Put, merge: Merge | None, store: Documents) -> Put:
    if merge is None:
        return put
    found = await store.document(put.scope, put.key)
    if found is None or put.value is None:
        return replace(put, expected_version=version_of(found))
    what = f"The document {put.key!r}"
    merged = merge(decoded(found.value, what=what), decoded(put.value, what=what))
    return replace(put, value=encoded(merged, what=what), expected_version=found.version)
