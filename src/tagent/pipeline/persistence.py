"""A run's journal: events in, records in a store out. Events count only once they are committed."""

from collections.abc import Sequence
from typing import Self

from tagent.pipeline.events import RunEvent
from tagent.pipeline.serialization import event_of, record_of
from tagent.ports.store import Batch, Store


class RunJournal:
    """The journal of one run, held by its one writer.

    Attributes:
        run_id: The run.
        epoch: The writer's claim; the store refuses an older one.
        last_seq: The place of the newest committed record.
    """

    def __init__(self, store: Store, run_id: str, *, epoch: int, last_seq: int) -> None:
        self._store = store
        self.run_id = run_id
        self.epoch = epoch
        self.last_seq = last_seq

    @classmethod
    async def create(cls, store: Store, run_id: str, *, pipeline: str) -> Self:
        """Begin the journal of a new run and return it.

        Raises:
            StoreError: If the store cannot, or the run exists already.
        """
        run = await store.create_run(run_id, pipeline=pipeline)
        return cls(store, run_id, epoch=run.epoch, last_seq=run.last_seq)

    async def commit(self, events: Sequence[RunEvent]) -> None:
        """Append `events` together, all or none; when this returns, they are what happened.

        Raises:
            StoreError: If nothing was written; the journal is as before.
        """
        records = tuple([record_of(event, seq) for seq, event in enumerate(events, self.last_seq + 1)])
        await self._store.commit(Batch(self.run_id, self.epoch, records))
        self.last_seq += len(records)


async def load_events(store: Store, run_id: str) -> tuple[RunEvent, ...]:
    """Return the events of a run, in order.

    Raises:
        UnknownRunError: If no run has this id.
        JournalFormatError: If a record cannot be read.
    """
    return tuple(event_of(record) for record in await store.records(run_id))
