"""Where journals, memory and messages live. A store moves versioned JSON and has never heard of a step.

A run is driven by one holder at a time. Holding is a lease: it has an epoch, which grows by one each
time the run changes hands, and an end, by the store's own clock, which the holder moves on. Every
write names the epoch it was made under; one from an older epoch is refused.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from tagent.ports.documents import Document, DocumentQuery, ScopeUsage
from tagent.ports.effects import Effects, Swept, Written
from tagent.ports.messages import Cursor, Message, Topic
from tagent.ports.records import NEWEST, Batch, NewRun, Record, RunQuery, RunRecord


class Store(Protocol):
    """Keeps journals, memory and messages. Every write is all or nothing; safe to use from many tasks at once.

    Example:
        >>> import asyncio
        >>> from tagent.adapters.storage.memory import MemoryStore
        >>> async def journal(store: Store) -> list[str]:
        ...     new = NewRun("1f2e", "report", b"{}", "0a1b", owner="me", lease_seconds=15, at=0.0)
        ...     run = await store.create_run(new)
        ...     await store.commit(Batch(run.run_id, run.epoch, (Record(1, "run_started", 0.0, b"{}"),)))
        ...     return [record.kind for record in await store.records(run.run_id)]
        >>> asyncio.run(journal(MemoryStore()))
        ['run_started']
    """

    async def create_run(self, run: NewRun) -> RunRecord:
        """Begin a journal with the run's first records, all or nothing, and claim it with epoch 1.

        Raises:
            ConflictError: If the run exists already.
            DocumentConflictError: As for `write`, like the other errors of effects.
            StoreUnavailableError: As for `commit`.
        """
        ...

    async def claim(
        self, run_id: str, *, owner: str, lease_seconds: float, is_gone: Callable[[str], bool]
    ) -> RunRecord:
        """Take the run and return it with its new epoch.

        It is free when nobody holds it, when its lease has ended, or when `is_gone(holder)` says that
        the holder's process no longer exists. Of several who claim at once, one gets it.

        Raises:
            UnknownRunError: If the run does not exist.
            RunHeldError: If somebody else holds it.
        """
        ...

    def renew(self, run_id: str, *, epoch: int, lease_seconds: float) -> None:
        """Move the lease's end to `lease_seconds` from now. Blocks; may be called from any thread.

        Raises:
            ConflictError: If the run has another epoch by now.
        """
        ...

    async def release(self, run_id: str, *, epoch: int) -> None:
        """Give the run up, so that the next claim need not wait; does nothing under another epoch.

        Raises:
            UnknownRunError: If the run does not exist.
        """
        ...

    async def commit(self, batch: Batch) -> None:
        """Append the batch's records; when this returns they are as durable as the store promises.

        A summary that says the run is finished gives the claim up as well.

        Raises:
            UnknownRunError: If the run does not exist.
            ConflictError: If the epoch is not the run's, or the first `seq` does not follow the last.
            MissingBlobError: If a blob without content is not there.
            DocumentConflictError: As for `write`, like the other errors of effects. A write that does not
                continue the journal is a `ConflictError`, whatever its effects.
            StoreUnavailableError: If nothing could be written now, or nobody knows whether it was: the
                answer may have been lost. The next try with the same batch finds out.
        """
        ...

    async def run(self, run_id: str) -> RunRecord:
        """Return what is known of the run.

        Raises:
            UnknownRunError: If it does not exist; the message names the nearest id.
        """
        ...

    async def runs(self, query: RunQuery = NEWEST) -> Sequence[RunRecord]:
        """Return the runs that fit, the newest first; without a query the newest 100."""
        ...

    async def records(self, run_id: str, *, after_seq: int = 0) -> Sequence[Record]:
        """Return the journal's records behind `after_seq`, in order.

        Raises:
            UnknownRunError: If the run does not exist.
        """
        ...

    async def definition(self, definition_hash: str) -> bytes:
        """Return the definition with this hash.

        Raises:
            StoreError: If there is none.
        """
        ...

    async def blob(self, blob_hash: str) -> bytes:
        """Return the content of the blob with this hash.

        Raises:
            MissingBlobError: If there is none.
        """
        ...

    async def delete(self, run_id: str) -> None:
        """Delete a finished run, and every definition and blob that no other run needs; all or nothing.

        Raises:
            UnknownRunError: If the run does not exist.
            RunUnfinishedError: If it has not come to its end.
            RunHeldError: If somebody holds it, to take it up again.
        """
        ...

    async def write(self, effects: Effects) -> Written:
        """Write effects that belong to no run, all or nothing.

        Raises:
            DocumentConflictError: If a document is not of the version that is expected.
            CursorConflictError: If a subscriber does not stand where he is expected to.
            QuotaExceededError: If a scope would hold more than it may.
            StoreUnavailableError: As for `commit`. Messages with keys and puts with an expected version may
                be written again without harm.
        """
        ...

    async def document(self, scope: str, key: str) -> Document | None:
        """Return a document; None if there is none, or it has expired."""
        ...

    async def documents(self, query: DocumentQuery) -> Sequence[Document]:
        """Return the documents that fit, by key."""
        ...

    async def scopes(self, prefix: str = "") -> Sequence[ScopeUsage]:
        """Return the scopes that hold something and whose names begin with `prefix`, by name."""
        ...

    async def topics(self, prefix: str = "") -> Sequence[Topic]:
        """Return the topics whose names begin with `prefix`, by name."""
        ...

    async def messages(self, topic: str, *, after_seq: int = 0, limit: int = 100) -> Sequence[Message]:
        """Return the messages of a topic behind `after_seq`, in order; none if there is no such topic."""
        ...

    async def unread(self, subscriber: str, topics: Sequence[str], *, limit: int = 100) -> Sequence[Message]:
        """Return what the subscriber has not read of these topics, by time, those of a topic in its order.

        Args:
            subscriber: Who reads.
            topics: The names of what he reads.
            limit: How many at most, of each topic.
        """
        ...

    async def cursors(self, *, subscriber: str = "", topic: str = "") -> Sequence[Cursor]:
        """Return how far everybody has read, by subscriber and topic; restricted to those named."""
        ...

    async def forget(self, prefix: str) -> None:
        """Delete every scope, topic and subscriber whose name begins with `prefix`.

        Raises:
            ValueError: If the prefix is empty.
        """
        ...

    async def sweep(self, *, messages_older_than_seconds: float) -> Swept:
        """Delete the documents that have expired, and the messages that are older; topics keep their places."""
        ...

    async def wait_for_change(self, seen: int, *, seconds: float) -> int:
        """Return as soon as anything may have been committed since this returned `seen`, by any process.

        A hint, and no more: it may come without a change, and a commit may be told of late; what was
        committed, reading tells.

        Args:
            seen: What the last call returned; 0 for the first, which returns at once.
            seconds: The longest wait.
        """
        ...

    async def close(self) -> None:
        """Let go of what is held open; a closed store refuses every call."""
        ...
