"""What the writer does to the tables: each function here is a piece of work inside a transaction.

What raises an error of ours has changed nothing: the statement that would have is refused by its own
condition, and only then the reason is looked up.
"""

import json
from collections.abc import Iterable, Sequence

from tagent.adapters.storage.sql.driver import Cursor
from tagent.adapters.storage.sql.effect_draft import Decision
from tagent.adapters.storage.sql.effect_statements import EffectStatements
from tagent.adapters.storage.sql.effect_writes import EffectWrites
from tagent.adapters.storage.sql.reads import JournalReads
from tagent.adapters.storage.sql.statements import RUN_RECORD, Statements
from tagent.ports.records import Batch, Blob, NewRun, Record, RunRecord, RunSummary, begun
from tagent.ports.store_errors import ConflictError, MissingBlobError, RunHeldError, RunUnfinishedError


class JournalWrites(EffectWrites):
    """The writes of a store: those of journals, and of what changes with them.

    Args:
        statements: In the words of the database.
    """

    def __init__(self, statements: Statements) -> None:
        super().__init__(EffectStatements(statements.dialect))
        self._statements = statements
        self._reads = JournalReads(statements)

    def create_run(self, cursor: Cursor, *, run: NewRun) -> RunRecord:
        """Insert the run with its first records, and its definition if it is new."""
        self._keep_deletions_out(cursor)
        decision = self._decide_on_beginning(cursor, run) if run.effects else None
        self._require(cursor, run.blobs)
        record = begun(run)
        values = {name: getattr(record, name) for name in RUN_RECORD}
        values["labels"] = json.dumps(run.labels)
        values["text"] = (run.summary and run.summary.text) or ""
        cursor.execute(self._statements.insert_run, values | {"lease_seconds": run.lease_seconds})
        if cursor.rowcount == 0:
            raise _exists(run)
        cursor.execute(self._statements.insert_definition, {"hash": run.definition_hash, "spec": run.definition})
        self._append(cursor, run.run_id, record.epoch, run.records)
        self._keep(cursor, run.run_id, run.blobs)
        if decision is not None:
            self._draft(cursor).apply(decision)
        return record

    def claim(self, cursor: Cursor, *, run_id: str, owner: str, lease_seconds: float, gone: str) -> RunRecord:
        """Give the run to `owner` if it is free, or held by `gone`, whose process is known not to exist."""
        values = {"this_run": run_id, "new_owner": owner, "lease_seconds": lease_seconds, "gone_owner": gone}
        cursor.execute(self._statements.claim, values)
        was_free = cursor.rowcount == 1
        found = self._reads.run(cursor, run_id=run_id)
        if was_free:
            return found
        raise self._held(cursor, found)

    def renew(self, cursor: Cursor, *, run_id: str, epoch: int, lease_seconds: float) -> None:
        """Move the lease's end."""
        values = {"this_run": run_id, "this_epoch": epoch, "lease_seconds": lease_seconds}
        cursor.execute(self._statements.renew, values)
        if cursor.rowcount == 0:
            raise _fenced(self._reads.run(cursor, run_id=run_id), epoch)

    def release(self, cursor: Cursor, *, run_id: str, epoch: int) -> None:
        """Leave the run to nobody, unless another epoch has begun."""
        cursor.execute(self._statements.release, {"this_run": run_id, "this_epoch": epoch})
        if cursor.rowcount == 0:
            self._reads.run(cursor, run_id=run_id)

    def commit(self, cursor: Cursor, *, batch: Batch) -> None:
        """Move the journal's end, then fill the place that this has made."""
        if batch.blobs:
            self._keep_deletions_out(cursor)
        decision = self._decide_on_growth(cursor, batch) if batch.effects else None
        self._require(cursor, batch.blobs)
        self._extend(cursor, batch)
        if batch.records:
            self._append(cursor, batch.run_id, batch.epoch, batch.records)
        self._keep(cursor, batch.run_id, batch.blobs)
        if decision is not None:
            self._draft(cursor).apply(decision)

    def delete(self, cursor: Cursor, *, run_id: str) -> None:
        """Delete a finished run that nobody holds, and what no other run needs."""
        if keep_others_out := self._statements.dialect.keep_others_out:
            cursor.execute(keep_others_out)
        found = self._reads.run(cursor, run_id=run_id)
        this_run = {"this_run": run_id}
        cursor.execute(self._statements.delete_run, this_run | {"gone_owner": ""})
        if cursor.rowcount == 0:
            if found.finished_at is None:
                raise RunUnfinishedError(run_id)
            raise self._held(cursor, found)
        cursor.execute(self._statements.delete_events, this_run)
        cursor.execute(self._statements.delete_blobs, this_run)
        cursor.execute(self._statements.delete_run_blobs, this_run)
        cursor.execute(self._statements.delete_definition, {"this_hash": found.definition_hash})

    def _keep_deletions_out(self, cursor: Cursor) -> None:
        """Let no other process delete what this transaction comes to need; comes before every other lock."""
        if keep_deletions_out := self._statements.dialect.keep_deletions_out:
            cursor.execute(keep_deletions_out)

    def _decide_on_beginning(self, cursor: Cursor, run: NewRun) -> Decision:
        """Decide on a run's effects, unless the run cannot begin anyway."""
        cursor.execute(self._statements.select_run, {"this_run": run.run_id})
        if cursor.fetchall():
            raise _exists(run)
        return self._draft(cursor).decide(run.effects)

    def _decide_on_growth(self, cursor: Cursor, batch: Batch) -> Decision:
        """Decide on a batch's effects, unless it does not continue the journal anyway."""
        found = self._reads.run(cursor, run_id=batch.run_id)
        if found.epoch != batch.epoch or (batch.records and found.last_seq != batch.records[0].seq - 1):
            raise _conflict(found, batch)
        return self._draft(cursor).decide(batch.effects)

    def _extend(self, cursor: Cursor, batch: Batch) -> None:
        """Move the journal's end and change what lists show, if the batch continues the journal."""
        values: dict[str, object] = {"this_run": batch.run_id, "this_epoch": batch.epoch}
        if batch.summary is not None:
            values |= _values_of(batch.summary)
        if batch.records:
            values["expected_seq"] = batch.records[0].seq - 1
            values["new_seq"] = batch.records[-1].seq
            extend, summarize = self._statements.extend, self._statements.extend_and_summarize
        else:
            extend, summarize = self._statements.keep, self._statements.summarize
        cursor.execute(extend if batch.summary is None else summarize, values)
        if cursor.rowcount == 0:
            raise _conflict(self._reads.run(cursor, run_id=batch.run_id), batch)

    def _append(self, cursor: Cursor, run_id: str, epoch: int, records: Sequence[Record]) -> None:
        rows = [(run_id, it.seq, epoch, it.at, it.kind, it.payload) for it in records]
        if len(rows) == 1:  # as most batches have it; psycopg prepares much for many
            cursor.execute(self._statements.insert_event, rows[0])
        else:
            cursor.executemany(self._statements.insert_event, rows)

    def _require(self, cursor: Cursor, blobs: Sequence[Blob]) -> None:
        """Refuse blobs without content that are not there; comes first, because what is refused writes nothing."""
        for it in _in_order(blobs):
            if it.content is None:
                cursor.execute(self._statements.keep_blob, {"this_hash": it.hash})
                if cursor.rowcount == 0:
                    raise MissingBlobError(it.hash)

    def _keep(self, cursor: Cursor, run_id: str, blobs: Sequence[Blob]) -> None:
        for it in _in_order(blobs):
            if it.content is not None:
                cursor.execute(self._statements.insert_blob, {"hash": it.hash, "content": it.content})
            cursor.execute(self._statements.insert_run_blob, {"run_id": run_id, "hash": it.hash})

    def _held(self, cursor: Cursor, found: RunRecord) -> RunHeldError:
        cursor.execute(self._statements.select_seconds_left, {"this_run": found.run_id})
        ((seconds_left,),) = cursor.fetchall()
        return RunHeldError(found.run_id, owner=found.owner, seconds_left=seconds_left)


def _exists(run: NewRun) -> ConflictError:
    return ConflictError(run.run_id, expected="its beginning", found="an existing run")


def _fenced(found: RunRecord, epoch: int) -> ConflictError:
    return ConflictError(found.run_id, expected=f"epoch {epoch}", found=f"epoch {found.epoch}")


def _conflict(found: RunRecord, batch: Batch) -> ConflictError:
    """Return why the batch does not continue the journal."""
    if found.epoch != batch.epoch:
        return _fenced(found, batch.epoch)
    expected = f"record {batch.records[0].seq - 1}"
    return ConflictError(found.run_id, expected=expected, found=f"record {found.last_seq}")


def _in_order(blobs: Iterable[Blob]) -> list[Blob]:
    """Return them in one order for everybody: two who write the same ones then do not wait for each other."""
    return sorted(blobs, key=lambda it: it.hash)


def _values_of(summary: RunSummary) -> dict[str, object]:
    return {
        "new_status": summary.status,
        "new_updated_at": summary.at,
        "new_finished_at": summary.at if summary.is_finished else None,
        "new_cost_usd": summary.cost_usd,
        "new_text": summary.text,
    }
