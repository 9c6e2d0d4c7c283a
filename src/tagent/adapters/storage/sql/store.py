"""`SqlStore`: the store in a SQL database. It writes through one writer and reads beside it."""

import asyncio
from collections.abc import Sequence
from functools import partial

from tagent.adapters.storage.sql import driver
from tagent.adapters.storage.sql.changes import Changes
from tagent.adapters.storage.sql.effect_reads import EffectReads
from tagent.adapters.storage.sql.effect_statements import EffectStatements
from tagent.adapters.storage.sql.readers import Readers
from tagent.adapters.storage.sql.reads import JournalReads
from tagent.adapters.storage.sql.statements import Statements
from tagent.adapters.storage.sql.writer import GroupWriter
from tagent.adapters.storage.sql.writes import JournalWrites
from tagent.adapters.storage.writing import WritingStore
from tagent.ports.documents import Document, DocumentQuery, ScopeUsage
from tagent.ports.messages import Cursor, Message, Topic
from tagent.ports.records import NEWEST, Record, RunQuery, RunRecord


class SqlStore(WritingStore[driver.Cursor]):
    """Journals, memory and messages in a SQL database; opened by `open_sqlite` or `open_postgresql`.

    Args:
        statements: In the words of the database.
        writes: What its writer does.
        writer: Its one writer.
        readers: Its read connections.
        changes: Tells that something was committed.
    """

    def __init__(
        self, statements: Statements, *, writes: JournalWrites, writer: GroupWriter, readers: Readers, changes: Changes
    ) -> None:
        super().__init__(writes, writer)
        self._reads = JournalReads(statements)
        self._effect_reads = EffectReads(EffectStatements(statements.dialect))
        self._readers = readers
        self._changes = changes

    async def run(self, run_id: str) -> RunRecord:
        """Return what is known of the run."""
        return await self._readers.read(partial(self._reads.run, run_id=run_id))

    async def runs(self, query: RunQuery = NEWEST) -> Sequence[RunRecord]:
        """Return the runs that fit, the newest first."""
        return await self._readers.read(partial(self._reads.runs, query=query))

    async def records(self, run_id: str, *, after_seq: int = 0) -> Sequence[Record]:
        """Return the journal's records behind `after_seq`, in order."""
        return await self._readers.read(partial(self._reads.records, run_id=run_id, after_seq=after_seq))

    async def definition(self, definition_hash: str) -> bytes:
        """Return the definition with this hash."""
        return await self._readers.read(partial(self._reads.definition, definition_hash=definition_hash))

    async def blob(self, blob_hash: str) -> bytes:
        """Return the content of the blob with this hash."""
        return await self._readers.read(partial(self._reads.blob, blob_hash=blob_hash))

    async def document(self, scope: str, key: str) -> Document | None:
        """Return a document; None if there is none, or it has expired."""
        return await self._readers.read(partial(self._effect_reads.document, scope=scope, key=key))

    async def documents(self, query: DocumentQuery) -> Sequence[Document]:
        """Return the documents that fit, by key."""
        return await self._readers.read(partial(self._effect_reads.documents, query=query))

    async def scopes(self, prefix: str = "") -> Sequence[ScopeUsage]:
        """Return the scopes that hold something and whose names begin with `prefix`, by name."""
        return await self._readers.read(partial(self._effect_reads.scopes, prefix=prefix))

    async def topics(self, prefix: str = "") -> Sequence[Topic]:
        """Return the topics whose names begin with `prefix`, by name."""
        return await self._readers.read(partial(self._effect_reads.topics, prefix=prefix))

    async def messages(self, topic: str, *, after_seq: int = 0, limit: int = 100) -> Sequence[Message]:
        """Return the messages of a topic behind `after_seq`, in order."""
        read = partial(self._effect_reads.messages, topic=topic, after_seq=after_seq, limit=limit)
        return await self._readers.read(read)

    async def unread(self, subscriber: str, topics: Sequence[str], *, limit: int = 100) -> Sequence[Message]:
        """Return what the subscriber has not read of these topics, by time."""
        read = partial(self._effect_reads.unread, subscriber=subscriber, topics=topics, limit=limit)
        return await self._readers.read(read)

    async def cursors(self, *, subscriber: str = "", topic: str = "") -> Sequence[Cursor]:
        """Return how far everybody has read; restricted to those named."""
        return await self._readers.read(partial(self._effect_reads.cursors, subscriber=subscriber, topic=topic))

    async def wait_for_change(self, seen: int, *, seconds: float) -> int:
        """Return as soon as anything may have been committed since this returned `seen`."""
        return await self._changes.wait(seen, seconds=seconds)

    async def close(self) -> None:
        """Finish the writes that wait, then let go of every connection."""
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._readers.close)
        await asyncio.to_thread(self._changes.close)
