"""A store in this process's memory: as fast as it gets, gone when the process ends."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tagent.exceptions import StoreError, nearest
from tagent.ports.store import Batch, ConflictError, Record, RunRecord, UnknownRunError


@dataclass(slots=True)
class _Journal:
    pipeline: str
    epoch: int = 1
    records: list[Record] = field(default_factory=list)


class MemoryStore:
    """Journals in a dict. A batch is checked before any of it is written."""

    def __init__(self) -> None:
        self._journals: dict[str, _Journal] = {}
        self._is_closed = False

    async def create_run(self, run_id: str, *, pipeline: str) -> RunRecord:
        """Begin an empty journal and claim it with epoch 1."""
        self._check_open()
        if run_id in self._journals:
            raise ConflictError(run_id, expected="its beginning", found="an existing run")
        self._journals[run_id] = _Journal(pipeline)
        return self._record(run_id)

    async def commit(self, batch: Batch) -> None:
        """Append the batch's records."""
        self._check_open()
        journal = self._journal(batch.run_id)
        if batch.epoch != journal.epoch:
            raise ConflictError(batch.run_id, expected=f"epoch {batch.epoch}", found=f"epoch {journal.epoch}")
        last = len(journal.records)
        if batch.records and batch.records[0].seq != last + 1:
            raise ConflictError(batch.run_id, expected=f"record {batch.records[0].seq - 1}", found=f"record {last}")
        journal.records.extend(batch.records)

    async def run(self, run_id: str) -> RunRecord:
        """Return what is known of the run."""
        self._check_open()
        return self._record(run_id)

    async def runs(self) -> Sequence[RunRecord]:
        """Return every run, the newest first."""
        self._check_open()
        return [self._record(run_id) for run_id in reversed(self._journals)]

    async def records(self, run_id: str, *, after_seq: int = 0) -> Sequence[Record]:
        """Return the journal's records behind `after_seq`, in order."""
        self._check_open()
        return self._journal(run_id).records[after_seq:]

    async def close(self) -> None:
        """Refuse every further call."""
        self._is_closed = True

    def _record(self, run_id: str) -> RunRecord:
        journal = self._journal(run_id)
        return RunRecord(run_id, journal.pipeline, journal.epoch, len(journal.records))

    def _journal(self, run_id: str) -> _Journal:
        if run_id not in self._journals:
            raise UnknownRunError(run_id, suggestion=nearest(run_id, self._journals))
        return self._journals[run_id]

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError("The store is closed.")
