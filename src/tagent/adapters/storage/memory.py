"""A store in this process's memory: as fast as it gets, gone when the process ends."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from tagent.adapters.storage.changes import NO_CHANGES, Changes
from tagent.adapters.storage.deciding import decided
from tagent.adapters.storage.kept_effects import KeptEffects
from tagent.exceptions import StoreError, nearest
from tagent.ports.documents import Document, DocumentQuery, ScopeUsage
from tagent.ports.effects import Effects, Swept, Written, required_prefix
from tagent.ports.messages import Cursor, Message, Topic
from tagent.ports.records import NEWEST, Batch, Blob, NewRun, Record, RunQuery, RunRecord, RunSummary, begun, summarized
from tagent.ports.store_errors import ConflictError, MissingBlobError, RunHeldError, RunUnfinishedError, UnknownRunError


@dataclass(slots=True)
class _Journal:
    run: RunRecord
    lease_ends: float
    records: list[Record] = field(default_factory=list)
    blobs: set[str] = field(default_factory=set)
    text: str = ""


class MemoryStore:
    """Everything in dicts. A batch is checked before any of it is written.

    Args:
        monotonic: The store's own clock for leases, in seconds.
        now: Its clock for documents and messages, in seconds since 1970-01-01 UTC.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,  # noqa: TID251 - the store's own clock, as a server has one
    ) -> None:
        self._journals: dict[str, _Journal] = {}
        self._definitions: dict[str, bytes] = {}
        self._blobs: dict[str, bytes] = {}
        self._effects = KeptEffects()
        self._monotonic = monotonic
        self._now = now
        self._version = 1
        self._watchers: set[asyncio.Future[None]] = set()
        self._is_closed = False

    async def create_run(self, run: NewRun) -> RunRecord:
        """Begin a journal with the run's first records and claim it with epoch 1."""
        self._check_open()
        if run.run_id in self._journals:
            raise ConflictError(run.run_id, expected="its beginning", found="an existing run")
        self._require_content(run.blobs)
        changes = self._decided(run.effects)
        record = begun(run)
        journal = _Journal(record, self._monotonic() + run.lease_seconds)
        self._journals[run.run_id] = journal
        self._definitions[run.definition_hash] = run.definition
        self._write(journal, run.records, run.blobs, run.summary, changes)
        return record

    async def claim(
        self, run_id: str, *, owner: str, lease_seconds: float, is_gone: Callable[[str], bool]
    ) -> RunRecord:
        """Take the run and return it with its new epoch."""
        self._check_open()
        journal = self._journal(run_id)
        seconds_left = journal.lease_ends - self._monotonic()
        holder = journal.run.owner
        if holder and seconds_left > 0 and not is_gone(holder):
            raise RunHeldError(run_id, owner=holder, seconds_left=seconds_left)
        journal.run = replace(journal.run, epoch=journal.run.epoch + 1, owner=owner)
        journal.lease_ends = self._monotonic() + lease_seconds
        return self._record(journal)

    def renew(self, run_id: str, *, epoch: int, lease_seconds: float) -> None:
        """Move the lease's end to `lease_seconds` from now."""
        self._check_open()
        journal = self._journal(run_id)
        if journal.run.epoch != epoch:
            raise ConflictError(run_id, expected=f"epoch {epoch}", found=f"epoch {journal.run.epoch}")
        journal.lease_ends = self._monotonic() + lease_seconds

    async def release(self, run_id: str, *, epoch: int) -> None:
        """Give the run up; does nothing under another epoch."""
        self._check_open()
        journal = self._journal(run_id)
        if journal.run.epoch == epoch:
            journal.run = replace(journal.run, owner="")

    async def commit(self, batch: Batch) -> None:
        """Append the batch's records."""
        self._check_open()
        journal = self._journal(batch.run_id)
        run = journal.run
        if batch.epoch != run.epoch:
            raise ConflictError(batch.run_id, expected=f"epoch {batch.epoch}", found=f"epoch {run.epoch}")
        last = len(journal.records)
        if batch.records and batch.records[0].seq != last + 1:
            raise ConflictError(batch.run_id, expected=f"record {batch.records[0].seq - 1}", found=f"record {last}")
        if batch.blobs:
            self._require_content(batch.blobs)
        changes = self._decided(batch.effects)
        if batch.summary is not None:
            journal.run = summarized(run, batch.summary)
        self._write(journal, batch.records, batch.blobs, batch.summary, changes)

    async def run(self, run_id: str) -> RunRecord:
        """Return what is known of the run."""
        self._check_open()
        return self._record(self._journal(run_id))

    async def runs(self, query: RunQuery = NEWEST) -> Sequence[RunRecord]:
        """Return the runs that fit, the newest first."""
        self._check_open()
        fitting = [self._record(it) for it in self._journals.values() if query.fits(it.run, it.text)]
        return sorted(fitting, key=lambda run: (run.created_at, run.run_id), reverse=True)[: query.limit]

    async def records(self, run_id: str, *, after_seq: int = 0) -> Sequence[Record]:
        """Return the journal's records behind `after_seq`, in order."""
        self._check_open()
        return self._journal(run_id).records[after_seq:]

    async def definition(self, definition_hash: str) -> bytes:
        """Return the definition with this hash."""
        self._check_open()
        if definition_hash not in self._definitions:
            raise StoreError(f"No definition has the hash {definition_hash!r}.")
        return self._definitions[definition_hash]

    async def blob(self, blob_hash: str) -> bytes:
        """Return the content of the blob with this hash."""
        self._check_open()
        if blob_hash not in self._blobs:
            raise MissingBlobError(blob_hash)
        return self._blobs[blob_hash]

    async def delete(self, run_id: str) -> None:
        """Delete a finished run, and every definition and blob that no other run needs."""
        self._check_open()
        journal = self._journal(run_id)
        if journal.run.finished_at is None:
            raise RunUnfinishedError(run_id)
        seconds_left = journal.lease_ends - self._monotonic()
        if journal.run.owner and seconds_left > 0:
            raise RunHeldError(run_id, owner=journal.run.owner, seconds_left=seconds_left)
        del self._journals[run_id]
        for blob_hash in journal.blobs.difference(*(other.blobs for other in self._journals.values())):
            del self._blobs[blob_hash]
        if all(other.run.definition_hash != journal.run.definition_hash for other in self._journals.values()):
            del self._definitions[journal.run.definition_hash]
        self._tell()

    async def write(self, effects: Effects) -> Written:
        """Write effects that belong to no run."""
        self._check_open()
        changes, written = decided(effects, self._effects, now=self._now())
        self._effects.apply(changes)
        self._tell()
        return written

    async def document(self, scope: str, key: str) -> Document | None:
        """Return a document; None if there is none, or it has expired."""
        self._check_open()
        return self._effects.document(scope, key, now=self._now())

    async def documents(self, query: DocumentQuery) -> Sequence[Document]:
        """Return the documents that fit, by key."""
        self._check_open()
        return self._effects.documents(query, now=self._now())

    async def scopes(self, prefix: str = "") -> Sequence[ScopeUsage]:
        """Return the scopes that hold something and whose names begin with `prefix`, by name."""
        self._check_open()
        return self._effects.scopes(prefix)

    async def topics(self, prefix: str = "") -> Sequence[Topic]:
        """Return the topics whose names begin with `prefix`, by name."""
        self._check_open()
        return self._effects.topics(prefix)

    async def messages(self, topic: str, *, after_seq: int = 0, limit: int = 100) -> Sequence[Message]:
        """Return the messages of a topic behind `after_seq`, in order."""
        self._check_open()
        return self._effects.messages(topic, after_seq=after_seq, limit=limit)

    async def unread(self, subscriber: str, topics: Sequence[str], *, limit: int = 100) -> Sequence[Message]:
        """Return what the subscriber has not read of these topics, by time."""
        self._check_open()
        return self._effects.unread(subscriber, topics, limit=limit)

    async def cursors(self, *, subscriber: str = "", topic: str = "") -> Sequence[Cursor]:
        """Return how far everybody has read; restricted to those named."""
        self._check_open()
        return self._effects.cursors(subscriber=subscriber, topic=topic)

    async def forget(self, prefix: str) -> None:
        """Delete every scope, topic and subscriber whose name begins with `prefix`."""
        self._check_open()
        self._effects.forget(required_prefix(prefix))
        self._tell()

    async def sweep(self, *, messages_older_than_seconds: float) -> Swept:
        """Delete the documents that have expired, and the messages that are older."""
        self._check_open()
        now = self._now()
        swept = self._effects.sweep(now=now, messages_before=now - messages_older_than_seconds)
        self._tell()
        return swept

    async def wait_for_change(self, seen: int, *, seconds: float) -> int:
        """Return as soon as anything was committed since this returned `seen`."""
        self._check_open()
        if self._version == seen:
            watcher = asyncio.get_running_loop().create_future()
            self._watchers.add(watcher)
            try:
                await asyncio.wait([watcher], timeout=seconds)
            finally:
                self._watchers.discard(watcher)
        return self._version

    async def close(self) -> None:
        """Refuse every further call."""
        self._is_closed = True

    def _write(
        self,
        journal: _Journal,
        records: Sequence[Record],
        blobs: Iterable[Blob],
        summary: RunSummary | None,
        changes: Changes,
    ) -> None:
        journal.records.extend(records)
        for blob in blobs:
            journal.blobs.add(blob.hash)
            if blob.content is not None:
                self._blobs[blob.hash] = blob.content
        if summary is not None and summary.text is not None:
            journal.text = summary.text
        if changes:
            self._effects.apply(changes)
        self._tell()

    def _decided(self, effects: Effects) -> Changes:
        """Return what the effects of a run's write come to, which mostly has none."""
        return decided(effects, self._effects, now=self._now())[0] if effects else NO_CHANGES

    def _tell(self) -> None:
        self._version += 1
        for watcher in self._watchers:
            if not watcher.done():
                watcher.get_loop().call_soon_threadsafe(_wake, watcher)

    def _require_content(self, blobs: Iterable[Blob]) -> None:
        for blob in blobs:
            if blob.content is None and blob.hash not in self._blobs:
                raise MissingBlobError(blob.hash)

    @staticmethod
    def _record(journal: _Journal) -> RunRecord:
        return replace(journal.run, last_seq=len(journal.records))

    def _journal(self, run_id: str) -> _Journal:
        if run_id not in self._journals:
            raise UnknownRunError(run_id, suggestion=nearest(run_id, self._journals))
        return self._journals[run_id]

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError("The store is closed.")


def _wake(watcher: asyncio.Future[None]) -> None:
    if not watcher.done():
        watcher.set_result(None)
