"""`FileStore`: the store in a directory. It writes through one thread and reads beside it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tagent.adapters.storage.changes import is_over
from tagent.adapters.storage.files.changes_index import KeptDocument, KeptMessage
from tagent.adapters.storage.files.directory import create_directory
from tagent.adapters.storage.files.draft import Draft
from tagent.adapters.storage.files.errors import translated
from tagent.adapters.storage.files.index import Index
from tagent.adapters.storage.files.log import Log
from tagent.adapters.storage.files.reader import LogReader
from tagent.adapters.storage.files.writer import LogWriter
from tagent.adapters.storage.files.writes import JournalWrites
from tagent.adapters.storage.polling import Polling
from tagent.adapters.storage.writing import WritingStore
from tagent.exceptions import StoreError
from tagent.ports.documents import Document, DocumentQuery, ScopeUsage
from tagent.ports.messages import Cursor, Message, Topic
from tagent.ports.records import NEWEST, Record, RunQuery, RunRecord
from tagent.ports.store_errors import MissingBlobError

SEGMENT_BYTES = 2**25
"""How large a file of the log grows before the next one is begun."""


def open_files(path: Path, *, segment_bytes: int = SEGMENT_BYTES) -> "FileStore":
    """Return the store in the directory at `path`; creates it, for its owner only, with the ones above it.

    Args:
        path: The directory.
        segment_bytes: How large a file of the log grows before the next one is begun.

    Raises:
        StoreUnavailableError: If the directory cannot be opened, created or written now.
        StoreVersionError: If a newer tagent wrote the store.
        DamagedLogError: If a line of the log is not what was written.
    """
    path = path.absolute()  # the process may change its directory
    try:
        create_directory(path)
        log = Log(path, segment_bytes=segment_bytes)
    except OSError as error:
        raise translated(error, store=path) from error
    return FileStore(log)


class FileStore(WritingStore[Draft]):
    """Journals, memory and messages in a directory; opened by `open_files`.

    Args:
        log: What is in the directory.
        now: The clock that all processes of the machine share, for leases, documents and messages:
            seconds since 1970-01-01 UTC.
    """

    def __init__(
        self,
        log: Log,
        *,
        now: Callable[[], float] = time.time,  # noqa: TID251 - leases are the store's own business, and its own clock's
    ) -> None:
        super().__init__(JournalWrites(now), LogWriter(log))
        self._log = log
        self._reader = LogReader(log)
        self._now = now
        self._polling = Polling(self._position)

    async def run(self, run_id: str) -> RunRecord:
        """Return what is known of the run."""

        def look(index: Index) -> RunRecord:
            state = index.state(run_id)
            if state is None:
                raise index.unknown(run_id)
            return state.run

        return await asyncio.to_thread(self._reader.look, look)

    async def runs(self, query: RunQuery = NEWEST) -> Sequence[RunRecord]:
        """Return the runs that fit, the newest first."""

        def search() -> Sequence[RunRecord]:
            states = self._reader.look(Index.states)
            fitting = [state.run for state in states if query.fits(state.run, state.text)]
            return sorted(fitting, key=lambda run: (run.created_at, run.run_id), reverse=True)[: query.limit]

        return await asyncio.to_thread(search)

    async def records(self, run_id: str, *, after_seq: int = 0) -> Sequence[Record]:
        """Return the journal's records behind `after_seq`, in order."""
        return await asyncio.to_thread(self._reader.records, run_id, after_seq=after_seq)

    async def definition(self, definition_hash: str) -> bytes:
        """Return the definition with this hash."""
        content = await asyncio.to_thread(self._reader.content, ("definition", definition_hash))
        if content is None:
            raise StoreError(f"No definition has the hash {definition_hash!r}.")
        return content

    async def blob(self, blob_hash: str) -> bytes:
        """Return the content of the blob with this hash."""
        content = await asyncio.to_thread(self._reader.content, ("blob", blob_hash))
        if content is None:
            raise MissingBlobError(blob_hash)
        return content

    async def document(self, scope: str, key: str) -> Document | None:
        """Return a document; None if there is none, or it has expired."""

        def find(index: Index) -> Iterable[tuple[str, KeptDocument]]:
            kept = index.changes.document(scope, key)
            return [] if kept is None or is_over(kept.state.expires_at, self._now()) else [(key, kept)]

        found = await asyncio.to_thread(self._reader.documents, find, scope=scope)
        return found[0] if found else None

    async def documents(self, query: DocumentQuery) -> Sequence[Document]:
        """Return the documents that fit, by key."""

        def find(index: Index) -> Iterable[tuple[str, KeptDocument]]:
            return index.changes.documents(query, now=self._now())

        return await asyncio.to_thread(self._reader.documents, find, scope=query.scope)

    async def scopes(self, prefix: str = "") -> Sequence[ScopeUsage]:
        """Return the scopes that hold something and whose names begin with `prefix`, by name."""
        return await asyncio.to_thread(self._reader.look, lambda index: index.changes.scopes(prefix))

    async def topics(self, prefix: str = "") -> Sequence[Topic]:
        """Return the topics whose names begin with `prefix`, by name."""
        return await asyncio.to_thread(self._reader.look, lambda index: index.changes.topics(prefix))

    async def messages(self, topic: str, *, after_seq: int = 0, limit: int = 100) -> Sequence[Message]:
        """Return the messages of a topic behind `after_seq`, in order."""

        def find(index: Index) -> Iterable[tuple[str, KeptMessage]]:
            return [(topic, kept) for kept in index.changes.messages(topic, after_seq=after_seq, limit=limit)]

        return await asyncio.to_thread(self._reader.messages, find)

    async def unread(self, subscriber: str, topics: Sequence[str], *, limit: int = 100) -> Sequence[Message]:
        """Return what the subscriber has not read of these topics, by time."""

        def find(index: Index) -> Iterable[tuple[str, KeptMessage]]:
            for topic in topics:
                cursor = index.changes.cursor(subscriber, topic)
                after_seq = 0 if cursor is None else cursor.seq
                for kept in index.changes.messages(topic, after_seq=after_seq, limit=limit):
                    yield topic, kept

        return await asyncio.to_thread(self._reader.messages, find)

    async def cursors(self, *, subscriber: str = "", topic: str = "") -> Sequence[Cursor]:
        """Return how far everybody has read; restricted to those named."""
        return await asyncio.to_thread(
            self._reader.look, lambda index: index.changes.cursors(subscriber=subscriber, topic=topic)
        )

    async def wait_for_change(self, seen: int, *, seconds: float) -> int:
        """Return as soon as anything was committed since this returned `seen`."""
        return await self._polling.wait(seen, seconds=seconds)

    async def close(self) -> None:
        """Finish the writes that wait, then refuse every call."""
        await asyncio.to_thread(self._writer.close)
        self._log.close()

    async def _position(self) -> int:
        try:
            is_behind = self._log.is_behind()
        except OSError as error:
            raise translated(error, store=self._log.directory) from error
        if is_behind:
            await asyncio.to_thread(self._reader.look, _nothing)
        return self._log.position


def _nothing(index: Index) -> None:
    """Look at nothing: what counts is that everything has been read."""
