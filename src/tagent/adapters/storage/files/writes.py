"""The writes of a store, each as the lines that it adds to the log. What raises an error of ours has added none."""

from collections.abc import Callable, Iterable

from tagent.adapters.storage.changes import NO_CHANGES, Changes
from tagent.adapters.storage.deciding import decided
from tagent.adapters.storage.files.draft import Draft
from tagent.adapters.storage.files.operations import (
    BatchCommitted,
    ChangesWritten,
    ContentWritten,
    Forgotten,
    RunCreated,
    RunDeleted,
    RunHeld,
)
from tagent.adapters.storage.files.states import RunState
from tagent.ports.effects import Effects, Swept, Written
from tagent.ports.records import Batch, Blob, NewRun, RunRecord, begun
from tagent.ports.store_errors import ConflictError, MissingBlobError, RunHeldError, RunUnfinishedError


class JournalWrites:
    """The writes of a store.

    Args:
        now: The clock that all processes of the machine share, for leases, documents and messages:
            seconds since 1970-01-01 UTC.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    def create_run(self, draft: Draft, *, run: NewRun) -> RunRecord:
        """Begin a journal, and claim it with epoch 1."""
        if draft.find(run.run_id) is not None:
            raise ConflictError(run.run_id, expected="its beginning", found="an existing run")
        contents = _new_blobs(draft, run.blobs)
        if not draft.has(("definition", run.definition_hash)):
            contents.append(ContentWritten("definition", run.definition_hash, run.definition))
        changes = self._decided(draft, run.effects)
        record = begun(run)
        text = (run.summary and run.summary.text) or ""
        lease_ends = self._now() + run.lease_seconds
        creation = RunCreated(record, lease_ends, text, run.records, _hashes(run.blobs))
        draft.add(*contents, ChangesWritten(changes, creation) if changes else creation)
        return record

    def claim(self, draft: Draft, *, run_id: str, owner: str, lease_seconds: float, gone: str) -> RunRecord:
        """Give the run to `owner` if it is free, or held by `gone`, whose process is known not to exist."""
        state = draft.state(run_id)
        holder = state.run.owner
        if holder and holder != gone:
            self._require_free(state)
        draft.add(RunHeld(run_id, state.run.epoch + 1, owner, self._now() + lease_seconds))
        return draft.state(run_id).run

    def renew(self, draft: Draft, *, run_id: str, epoch: int, lease_seconds: float) -> None:
        """Move the lease's end."""
        run = draft.state(run_id).run
        if run.epoch != epoch:
            raise ConflictError(run_id, expected=f"epoch {epoch}", found=f"epoch {run.epoch}")
        draft.add(RunHeld(run_id, epoch, run.owner, self._now() + lease_seconds))

    def release(self, draft: Draft, *, run_id: str, epoch: int) -> None:
        """Leave the run to nobody, unless another epoch has begun."""
        state = draft.state(run_id)
        if state.run.epoch == epoch and state.run.owner:
            draft.add(RunHeld(run_id, epoch, "", state.lease_ends))

    def commit(self, draft: Draft, *, batch: Batch) -> None:
        """Let a journal grow."""
        run = draft.state(batch.run_id).run
        if run.epoch != batch.epoch:
            raise ConflictError(batch.run_id, expected=f"epoch {batch.epoch}", found=f"epoch {run.epoch}")
        if batch.records and batch.records[0].seq != run.last_seq + 1:
            before = batch.records[0].seq - 1
            raise ConflictError(batch.run_id, expected=f"record {before}", found=f"record {run.last_seq}")
        contents = _new_blobs(draft, batch.blobs)
        changes = self._decided(draft, batch.effects)
        if batch.records or batch.summary is not None or batch.blobs or changes:
            commit = BatchCommitted(batch.run_id, batch.records, batch.summary, _hashes(batch.blobs))
            draft.add(*contents, ChangesWritten(changes, commit) if changes else commit)

    def delete(self, draft: Draft, *, run_id: str) -> None:
        """Delete a finished run that nobody holds."""
        state = draft.state(run_id)
        if state.run.finished_at is None:
            raise RunUnfinishedError(run_id)
        if state.run.owner:
            self._require_free(state)
        draft.add(RunDeleted(run_id))

    def write(self, draft: Draft, *, effects: Effects) -> Written:
        """Write effects that belong to no run."""
        changes, written = decided(effects, draft.changes, now=self._now())
        if changes:
            draft.add(ChangesWritten(changes))
        return written

    def forget(self, draft: Draft, *, prefix: str) -> None:
        """Delete every scope, topic and subscriber whose name begins with `prefix`."""
        if draft.changes.has(prefix):
            draft.add(Forgotten(prefix))

    def sweep(self, draft: Draft, *, messages_older_than_seconds: float) -> Swept:
        """Delete the documents that have expired, and the messages that are older."""
        now = self._now()
        changes, swept = draft.changes.sweep(now=now, messages_before=now - messages_older_than_seconds)
        if changes:
            draft.add(ChangesWritten(changes))
        return swept

    def _decided(self, draft: Draft, effects: Effects) -> Changes:
        """Return what the effects of a run's write come to, which mostly has none."""
        return decided(effects, draft.changes, now=self._now())[0] if effects else NO_CHANGES

    def _require_free(self, state: RunState) -> None:
        seconds_left = state.lease_ends - self._now()
        if seconds_left > 0:
            raise RunHeldError(state.run.run_id, owner=state.run.owner, seconds_left=seconds_left)


def _new_blobs(draft: Draft, blobs: Iterable[Blob]) -> list[ContentWritten]:
    """Return those that are not there yet.

    Raises:
        MissingBlobError: If one of them has no content.
    """
    new: dict[str, ContentWritten] = {}
    for blob in blobs:
        if blob.hash in new or draft.has(("blob", blob.hash)):
            continue
        if blob.content is None:
            raise MissingBlobError(blob.hash)
        new[blob.hash] = ContentWritten("blob", blob.hash, blob.content)
    return list(new.values())


def _hashes(blobs: Iterable[Blob]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(blob.hash for blob in blobs))
