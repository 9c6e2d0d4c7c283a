"""`FileStore`: the store in a directory. It writes through one thread and reads beside it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tagent.adapters.storage.files.directory import create_directory
from tagent.adapters.storage.files.draft import Draft
from tagent.adapters.storage.files.errors import translated
from tagent.adapters.storage.files.index import ContentKey, Index
from tagent.adapters.storage.files.log import Log
from tagent.adapters.storage.files.operations import BatchCommitted, ContentWritten, RunCreated, decoded
from tagent.adapters.storage.files.segment import Spot
from tagent.adapters.storage.files.writer import LogWriter
from tagent.adapters.storage.files.writes import JournalWrites
from tagent.adapters.storage.polling import wait_for_another
from tagent.adapters.storage.writing import WritingStore
from tagent.exceptions import StoreError
from tagent.ports.records import NEWEST, Record, RunQuery, RunRecord
from tagent.ports.store_errors import MissingBlobError

Result = TypeVar("Result")

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
    """Journals in a directory; opened by `open_files`.

    Args:
        log: What is in the directory.
        now: The clock that all processes of the machine share, for leases: seconds since 1970-01-01 UTC.
    """

    def __init__(
        self,
        log: Log,
        *,
        now: Callable[[], float] = time.time,  # noqa: TID251 - leases are the store's own business, and its own clock's
    ) -> None:
        super().__init__(JournalWrites(now), LogWriter(log))
        self._log = log
        self._is_closed = False

    async def run(self, run_id: str) -> RunRecord:
        """Return what is known of the run."""

        def look(index: Index) -> RunRecord:
            state = index.state(run_id)
            if state is None:
                raise index.unknown(run_id)
            return state.run

        return await asyncio.to_thread(self._look, look)

    async def runs(self, query: RunQuery = NEWEST) -> Sequence[RunRecord]:
        """Return the runs that fit, the newest first."""

        def search() -> Sequence[RunRecord]:
            states = self._look(Index.states)
            fitting = [state.run for state in states if query.fits(state.run, state.text)]
            return sorted(fitting, key=lambda run: (run.created_at, run.run_id), reverse=True)[: query.limit]

        return await asyncio.to_thread(search)

    async def records(self, run_id: str, *, after_seq: int = 0) -> Sequence[Record]:
        """Return the journal's records behind `after_seq`, in order."""

        def look(index: Index) -> Sequence[Spot]:
            if index.state(run_id) is None:
                raise index.unknown(run_id)
            return [place.spot() for place in index.places(run_id, after_seq=after_seq)]

        return await asyncio.to_thread(self._read_records, look, after_seq)

    async def definition(self, definition_hash: str) -> bytes:
        """Return the definition with this hash."""
        content = await asyncio.to_thread(self._read_content, ("definition", definition_hash))
        if content is None:
            raise StoreError(f"No definition has the hash {definition_hash!r}.")
        return content

    async def blob(self, blob_hash: str) -> bytes:
        """Return the content of the blob with this hash."""
        content = await asyncio.to_thread(self._read_content, ("blob", blob_hash))
        if content is None:
            raise MissingBlobError(blob_hash)
        return content

    async def wait_for_change(self, seen: int, *, seconds: float) -> int:
        """Return as soon as anything was committed since this returned `seen`."""
        return await wait_for_another(self._position, seen, seconds=seconds)

    async def close(self) -> None:
        """Finish the writes that wait, then refuse every call."""
        await asyncio.to_thread(self._writer.close)
        self._is_closed = True
        self._log.close()

    async def _position(self) -> int:
        self._check_open()
        try:
            is_behind = self._log.is_behind()
        except OSError as error:
            raise translated(error, store=self._log.directory) from error
        if is_behind:
            await asyncio.to_thread(self._look, _nothing)
        return self._log.position

    def _look(self, look: Callable[[Index], Result]) -> Result:
        """Return what `look` finds in the index, with everything that is committed in it."""
        self._check_open()
        try:
            self._log.refresh()
        except OSError as error:
            raise translated(error, store=self._log.directory) from error
        with self._log.reading() as index:
            return look(index)

    def _read_records(self, look: Callable[[Index], Sequence[Spot]], after_seq: int) -> Sequence[Record]:
        records: list[Record] = []
        for spot in self._look(look):
            match decoded(self._read(spot)):
                case RunCreated() | BatchCommitted() as operation:
                    records += [record for record in operation.records if record.seq > after_seq]
                case other:
                    raise AssertionError(f"{type(other).__name__} holds no records")
        return records

    def _read_content(self, key: ContentKey) -> bytes | None:
        def look(index: Index) -> Spot | None:
            place = index.content(key)
            return None if place is None else place.spot()

        spot = self._look(look)
        if spot is None:
            return None
        operation = decoded(self._read(spot))
        if not isinstance(operation, ContentWritten):
            raise AssertionError(f"{type(operation).__name__} is no content")  # noqa: TRY004 - a mistake of ours
        return operation.content

    def _read(self, spot: Spot) -> bytes:
        try:
            return spot.read()
        except OSError as error:
            raise translated(error, store=self._log.directory) from error

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError("The store is closed.")


def _nothing(index: Index) -> None:
    """Look at nothing: what counts is that everything has been read."""
