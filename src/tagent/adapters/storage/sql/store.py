"""`SqlStore`: the store in a SQL database. It writes through one writer and reads beside it."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.engine.interfaces import DBAPICursor

from tagent.adapters.storage.sql.readers import Readers
from tagent.adapters.storage.sql.statements import NEWEST_IDS, Statements
from tagent.adapters.storage.sql.tables import RUN_RECORD, definition, event, run
from tagent.adapters.storage.sql.writer import GroupWriter
from tagent.exceptions import StoreError, nearest
from tagent.ports.store import Batch, ConflictError, NewRun, Record, RunHeldError, RunRecord, RunSummary, UnknownRunError

_SELECT_RUN = select(*RUN_RECORD).where(run.c.run_id == bindparam("this_run"))
_SELECT_RUNS = select(*RUN_RECORD).order_by(run.c.created_at.desc(), run.c.run_id.desc()).limit(bindparam("most"))
_SELECT_RECORDS = (
    select(event.c.seq, event.c.kind, event.c.at, event.c.payload)
    .where(event.c.run_id == bindparam("this_run"), event.c.seq > bindparam("after_seq"))
    .order_by(event.c.seq)
)
_SELECT_DEFINITION = select(definition.c.spec).where(definition.c.hash == bindparam("this_hash"))


class SqlStore:
    """Journals in a SQL database; opened by `open_sqlite`.

    Args:
        statements: What the writer executes, in the database's own words.
        readers: Its read connections.
        writer: Its one writer.
    """

    def __init__(self, statements: Statements, *, readers: Readers, writer: GroupWriter) -> None:
        self._statements = statements
        self._readers = readers
        self._writer = writer

    async def create_run(self, run: NewRun) -> RunRecord:
        """Begin an empty journal and claim it with epoch 1."""
        return await self._writer.submit(partial(self._create_run, run=run))

    async def claim(
        self, run_id: str, *, owner: str, lease_seconds: float, is_gone: Callable[[str], bool]
    ) -> RunRecord:
        """Take the run and return it with its new epoch."""
        gone = ""
        while True:
            values = {"this_run": run_id, "new_owner": owner, "lease_seconds": lease_seconds, "gone_owner": gone}
            try:
                return await self._writer.submit(partial(self._claim, values=values))
            except RunHeldError as held:
                # Asked here, not in the writer: it may take its time, and everybody's writes would wait for it.
                if held.owner == gone or not is_gone(held.owner):
                    raise
                gone = held.owner

    def renew(self, run_id: str, *, epoch: int, lease_seconds: float) -> None:
        """Move the lease's end to `lease_seconds` from now. Blocks; may be called from any thread."""
        self._writer.run(partial(self._renew, run_id=run_id, epoch=epoch, lease_seconds=lease_seconds))

    async def release(self, run_id: str, *, epoch: int) -> None:
        """Give the run up; does nothing under another epoch."""
        await self._writer.submit(partial(self._release, run_id=run_id, epoch=epoch))

    async def commit(self, batch: Batch) -> None:
        """Append the batch's records."""
        await self._writer.submit(partial(self._commit, batch=batch))

    async def run(self, run_id: str) -> RunRecord:
        """Return what is known of the run."""
        return await self._readers.read(partial(_read_run, run_id=run_id))

    async def runs(self, *, limit: int = 100) -> Sequence[RunRecord]:
        """Return up to `limit` runs, the newest first."""
        rows = await self._readers.read(lambda connection: connection.execute(_SELECT_RUNS, {"most": limit}).all())
        return [RunRecord(*row) for row in rows]

    async def records(self, run_id: str, *, after_seq: int = 0) -> Sequence[Record]:
        """Return the journal's records behind `after_seq`, in order."""
        return await self._readers.read(partial(_read_records, run_id=run_id, after_seq=after_seq))

    async def definition(self, definition_hash: str) -> bytes:
        """Return the definition with this hash."""
        values = {"this_hash": definition_hash}
        spec = await self._readers.read(lambda connection: connection.execute(_SELECT_DEFINITION, values).scalar())
        if spec is None:
            raise StoreError(f"No definition has the hash {definition_hash!r}.")
        return bytes(spec)

    async def close(self) -> None:
        """Finish the writes that wait, then let go of every connection."""
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._readers.close)

    def _create_run(self, cursor: DBAPICursor, *, run: NewRun) -> RunRecord:
        record = RunRecord(
            run_id=run.run_id,
            pipeline=run.pipeline,
            definition_hash=run.definition_hash,
            status="running",
            epoch=1,
            last_seq=0,
            owner=run.owner,
            created_at=run.at,
            updated_at=run.at,
            finished_at=None,
            cost_usd=0.0,
        )
        values = {column.name: getattr(record, column.name) for column in RUN_RECORD}
        cursor.execute(self._statements.insert_run, values | {"lease_seconds": run.lease_seconds})
        if cursor.rowcount == 0:
            raise ConflictError(run.run_id, expected="its beginning", found="an existing run")
        cursor.execute(self._statements.insert_definition, {"hash": run.definition_hash, "spec": run.definition})
        return record

    def _claim(self, cursor: DBAPICursor, *, values: dict[str, object]) -> RunRecord:
        cursor.execute(self._statements.claim, values)
        is_ours = cursor.rowcount == 1
        found = self._existing(cursor, str(values["this_run"]))
        if is_ours:
            return found
        cursor.execute(self._statements.select_seconds_left, {"this_run": found.run_id})
        (seconds_left,) = cursor.fetchall()[0]
        raise RunHeldError(found.run_id, owner=found.owner, seconds_left=seconds_left)

    def _renew(self, cursor: DBAPICursor, *, run_id: str, epoch: int, lease_seconds: float) -> None:
        values = {"this_run": run_id, "this_epoch": epoch, "lease_seconds": lease_seconds}
        cursor.execute(self._statements.renew, values)
        if cursor.rowcount == 0:
            raise self._conflict(cursor, run_id, epoch=epoch)

    def _release(self, cursor: DBAPICursor, *, run_id: str, epoch: int) -> None:
        cursor.execute(self._statements.release, {"this_run": run_id, "this_epoch": epoch})
        if cursor.rowcount == 0:
            self._existing(cursor, run_id)

    def _commit(self, cursor: DBAPICursor, *, batch: Batch) -> None:
        records, epoch = batch.records, batch.epoch
        values: dict[str, object] = {"this_run": batch.run_id, "this_epoch": epoch}
        if records:
            values["expected_seq"] = records[0].seq - 1
            values["new_seq"] = records[-1].seq
        ...
