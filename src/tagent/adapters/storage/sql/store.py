"""`SqlStore`: the store in a SQL database. It writes through one writer and reads beside it."""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial

from sqlalchemy import ColumnElement, Connection, bindparam, literal, select

from tagent.adapters.storage.sql.changes import Changes
from tagent.adapters.storage.sql.driver import Cursor
from tagent.adapters.storage.sql.readers import Readers
from tagent.adapters.storage.sql.statements import NEWEST_IDS, Position
from tagent.adapters.storage.sql.tables import RUN_RECORD, blob, definition, event, run, run_record
from tagent.adapters.storage.sql.writer import GroupWriter
from tagent.adapters.storage.sql.writes import JournalWrites
from tagent.adapters.storage.writing import WritingStore
from tagent.exceptions import StoreError, nearest
from tagent.ports.records import NEWEST, Record, RunQuery, RunRecord
from tagent.ports.store_errors import MissingBlobError, UnknownRunError

_SELECT_RUN = select(*RUN_RECORD).where(run.c.run_id == bindparam("this_run"))
_SELECT_RUNS = select(*RUN_RECORD).order_by(run.c.created_at.desc(), run.c.run_id.desc())
_SELECT_BLOB = select(blob.c.content).where(blob.c.hash == bindparam("this_hash"))
_SELECT_RECORDS = (
    select(event.c.seq, event.c.kind, event.c.at, event.c.payload)
    .where(event.c.run_id == bindparam("this_run"), event.c.seq > bindparam("after_seq"))
    .order_by(event.c.seq)
)
_SELECT_DEFINITION = select(definition.c.spec).where(definition.c.hash == bindparam("this_hash"))


class SqlStore(WritingStore[Cursor]):
    """Journals in a SQL database; opened by `open_sqlite` or `open_postgresql`.

    Args:
        writes: What is written, in the database's own words.
        writer: Its one writer.
        readers: Its read connections.
        changes: Tells that something was committed.
    """

    def __init__(self, writes: JournalWrites, *, writer: GroupWriter, readers: Readers, changes: Changes) -> None:
        super().__init__(writes, writer)
        self._readers = readers
        self._changes = changes

    async def run(self, run_id: str) -> RunRecord:
        """Return what is known of the run."""
        return await self._readers.read(partial(_read_run, run_id=run_id))

    async def runs(self, query: RunQuery = NEWEST) -> Sequence[RunRecord]:
        """Return the runs that fit, the newest first."""
        statement = _SELECT_RUNS.where(*_conditions(query)).limit(query.limit)
        rows = await self._readers.read(lambda connection: connection.execute(statement).all())
        return [run_record(row) for row in rows]

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

    async def blob(self, blob_hash: str) -> bytes:
        """Return the content of the blob with this hash."""
        values = {"this_hash": blob_hash}
        content = await self._readers.read(lambda connection: connection.execute(_SELECT_BLOB, values).scalar())
        if content is None:
            raise MissingBlobError(blob_hash)
        return bytes(content)

    async def wait_for_change(self, seen: int, *, seconds: float) -> int:
        """Return as soon as anything may have been committed since this returned `seen`."""
        return await self._changes.wait(seen, seconds=seconds)

    async def close(self) -> None:
        """Finish the writes that wait, then let go of every connection."""
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._readers.close)
        await asyncio.to_thread(self._changes.close)


def _conditions(query: RunQuery) -> Iterator[ColumnElement[bool]]:
    if query.statuses:
        yield run.c.status.in_(query.statuses)
    if query.pipelines:
        yield run.c.pipeline.in_(query.pipelines)
    if query.since is not None:
        yield run.c.created_at >= query.since
    if query.until is not None:
        yield run.c.created_at < query.until
    for name, value in query.labels.items():
        yield run.c.labels[name].as_string() == value
    for word in query.words:
        yield Position(run.c.text, literal(word)) > 0


def _read_run(connection: Connection, *, run_id: str) -> RunRecord:
    row = connection.execute(_SELECT_RUN, {"this_run": run_id}).one_or_none()
    if row is None:
        raise UnknownRunError(run_id, suggestion=nearest(run_id, connection.execute(NEWEST_IDS).scalars()))
    return run_record(row)


def _read_records(connection: Connection, *, run_id: str, after_seq: int) -> Sequence[Record]:
    rows = connection.execute(_SELECT_RECORDS, {"this_run": run_id, "after_seq": after_seq}).all()
    if not rows:
        _read_run(connection, run_id=run_id)
    return [Record(*row) for row in rows]
