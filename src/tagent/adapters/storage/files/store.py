"""`FileStore`: the store in a directory. It writes through one thread and reads beside it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from tagent.adapters.storage.files.directory import create_directory
from tagent.adapters.storage.files.errors import translated
from tagent.adapters.storage.files.index import ContentKey, Index
from tagent.adapters.storage.files.log import Log
from tagent.adapters.storage.files.operations import BatchCommitted, ContentWritten, RunCreated, decoded
from tagent.adapters.storage.files.segment import Spot
from tagent.adapters.storage.files.writer import LogWriter
from tagent.adapters.storage.files.writes import JournalWrites
from tagent.exceptions import StoreError
from tagent.ports.records import NEWEST, Batch, NewRun, Record, RunQuery, RunRecord
from tagent.ports.store_errors import MissingBlobError, RunHeldError

Result = TypeVar("Result")

SEGMENT_BYTES = 2**25
"""How large a file of the log grows before the next one is begun."""

POLL_SECONDS = 0.01
"""How often the log is looked at for what others have written: it takes microseconds."""


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


class FileStore:
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
        self._log = log
        self._writes = JournalWrites(now)
        self._writer = LogWriter(log)
        self._is_closed = False

    async def create_run(self, run: NewRun) -> RunRecord:
        """Begin a journal with the run's first records and claim it with epoch 1."""
        return await self._writer.submit(partial(self._writes.create_run, run=run))

    async def claim(
        self, run_id: str, *, owner: str, lease_seconds: float, is_gone: Callable[[str], bool]
    ) -> RunRecord:
        """Take the run and return it with its new epoch."""
        gone = ""
        while True:
            work = partial(self._writes.claim, run_id=run_id, owner=owner, lease_seconds=lease_seconds, gone=gone)
            try:
                return await self._writer.submit(work)
            except RunHeldError as held:
                # Asked here, not in the writer: it may take its time, and everybody's writes would wait for it.
                if held.owner == gone or not is_gone(held.owner):
                    raise
                gone = held.owner

    def renew(self, run_id: str, *, epoch: int, lease_seconds: float) -> None:
        """Move the lease's end to `lease_seconds` from now. Blocks; may be called from any thread."""
        self._writer.run(partial(self._writes.renew, run_id=run_id, epoch=epoch, lease_seconds=lease_seconds))

    async def release(self, run_id: str, *, epoch: int) -> None:
        """Give the run up; does nothing under another epoch."""
        await self._writer.submit(partial(self._writes.release, run_id=run_id, epoch=epoch))

    async def commit(self, batch: Batch) -> None:
        """Append the batch's records."""
        await self._writer.submit(partial(self._writes.commit, batch=batch))

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

    async def delete(self, run_id: str) -> None:
        """Delete a finished run, and every definition and blob that no other run needs."""
        await self._writer.submit(partial(self._writes.delete, run_id=run_id))

    async def wait_for_change(self, seen: int, *, seconds: float) -> int:
        """Return as soon as anything was committed since this returned `seen`."""
        clock = asyncio.get_running_loop()
        ends = clock.time() + seconds
        while True:
            position, left = await self._position(), ends - clock.time()
            if position != seen or left <= 0:
                return position
            await asyncio.sleep(min(left, POLL_SECONDS))

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
