"""Writing a run's journal: begin, claim, commit. Events count only once they are committed."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Protocol, Self

from tagent.exceptions import StoreError
from tagent.pipeline.events import RunEvent, StepCompleted, StepGiven, StepSubstituted
from tagent.pipeline.journal import lease as leases
from tagent.pipeline.journal.blobs import StoredOutput, named, split, stored_output
from tagent.pipeline.journal.claim_watch import watched
from tagent.pipeline.journal.patience import patiently
from tagent.pipeline.journal.serialization import record_of
from tagent.pipeline.stored.definition import Definition
from tagent.ports.clock import Clock
from tagent.ports.effects import NO_EFFECTS, Effects
from tagent.ports.records import Batch, Blob, NewRun, Record, RunSummary
from tagent.ports.services import Services
from tagent.ports.store import Store
from tagent.ports.store_errors import ConflictError, UnknownRunError

logger = logging.getLogger(__name__)


class Journal(Protocol):
    """Where whoever drives a run writes what happens in it.

    Attributes:
        run_id: The run.
        place: Where it is, for people: its run, and of one inside a step the way there, like `RUN/outer/2`.
        is_inner: Whether it is part of the journal of another run.
    """

    run_id: str
    is_inner: bool

    @property
    def place(self) -> str:
        """Where the run is, for people."""
        ...

    def hold(self, *, on_lost: Callable[[ConflictError], None]) -> None:
        """Keep the claim alive until `release`; `on_lost` is called from another thread if it is lost."""
        ...

    def watched(self, group: asyncio.TaskGroup) -> AbstractContextManager[None]:
        """Notice during the block that the claim is lost."""
        ...

    async def release(self) -> None:
        """Give the claim up."""
        ...

    async def commit(
        self, events: Sequence[RunEvent], summary: RunSummary | None = None, effects: Effects = NO_EFFECTS
    ) -> Mapping[str, StoredOutput]:
        """Append `events` together, with their effects, all or nothing.

        Returns:
            Step name -> what stands for its output, for large ones that need not stay in memory.

        Raises:
            StoreError: If nothing could be written.
        """
        ...


class RunJournal:
    """The journal of one run, held by its one writer.

    Args:
        store: Where it is.
        clock: Says how long a store that cannot be written is waited for.
        run_id: The run.
        epoch: The writer's claim.
        last_seq: The place of the newest committed record.
        lease_seconds: How long the claim lasts unless it is renewed.
        new: The run, if its first commit is to create it; None for one that is in the store.

    Attributes:
        run_id: The run.
        epoch: The writer's claim; the store refuses an older one.
        last_seq: The place of the newest committed record.
        is_inner: Whether it is part of the journal of another run.
    """

    is_inner = False

    def __init__(
        self,
        store: Store,
        clock: Clock,
        run_id: str,
        *,
        epoch: int,
        last_seq: int,
        lease_seconds: float,
        new: NewRun | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._lease: leases.Lease | None = None
        self._new = new
        self._is_released = False
        self.run_id = run_id
        self.epoch = epoch
        self.last_seq = last_seq

    @classmethod
    def begin(
        cls,
        services: Services,
        definition: Definition,
        *,
        run_id: str,
        lease_seconds: float,
        labels: Mapping[str, str],
        effects: Effects = NO_EFFECTS,
    ) -> Self:
        """Return the journal of a new run. Its first commit creates the run: one that exists has begun.

        Args:
            services: Where it will be, and all else.
            definition: What is stored of its pipeline.
            run_id: Its id.
            lease_seconds: How long the claim lasts unless it is renewed.
            labels: Names and values to find it by.
            effects: What else becomes true with its beginning.
        """
        new = NewRun(
            run_id,
            str(definition.spec["name"]),
            definition.payload,
            definition.hash,
            services.processes.this_process(),
            lease_seconds,
            services.clock.now(),
            labels=labels,
            effects=effects,
        )
        return cls(services.store, services.clock, run_id, epoch=1, last_seq=0, lease_seconds=lease_seconds, new=new)

    @classmethod
    async def claim(cls, services: Services, run_id: str, *, lease_seconds: float, by_force: bool = False) -> Self:
        """Take over the journal of an existing run and return it.

        Args:
            services: Where it is, and all else.
            run_id: The run.
            lease_seconds: How long the claim lasts unless it is renewed.
            by_force: Whether to take it from a live process too; whatever that writes is refused from then on.

        Raises:
            UnknownRunError: If no run has this id.
            RunHeldError: If a live process holds it.
        """
        run = await services.store.claim(
            run_id,
            owner=services.processes.this_process(),
            lease_seconds=lease_seconds,
            is_gone=(lambda _: True) if by_force else services.processes.is_gone,
        )
        return cls(
            services.store,
            services.clock,
            run_id,
            epoch=run.epoch,
            last_seq=run.last_seq,
            lease_seconds=lease_seconds,
        )

    @property
    def place(self) -> str:
        """The run: it is inside no other."""
        return self.run_id

    @property
    def has_begun(self) -> bool:
        """Whether the run is in the store."""
        return self._new is None

    def hold(self, *, on_lost: Callable[[ConflictError], None]) -> None:
        """Keep the claim alive until `release`; `on_lost` is called from another thread if it is lost."""
        self._lease = leases.Lease(self._store, self.run_id, self.epoch, self._lease_seconds, on_lost)
        if self._new is None:
            leases.keeper.keep(self._lease)

    def watched(self, group: asyncio.TaskGroup) -> AbstractContextManager[None]:
        """Notice within half a second, during the block and after `hold`, that the claim is lost.

        Args:
            group: Owns the task that looks.
        """
        return nullcontext() if self._lease is None else watched(self._lease, group)

    async def release(self) -> None:
        """Give the claim up, so that whoever resumes need not wait for it to end; a second time does nothing."""
        if self._is_released:
            return
        self._let_go()
        try:
            await self._store.release(self.run_id, epoch=self.epoch)
        except UnknownRunError:  # it was never created
            return
        except StoreError as error:  # the lease ends by itself
            logger.warning("The claim on run %s could not be given up: %s", self.run_id, error)

    async def commit(
        self, events: Sequence[RunEvent], summary: RunSummary | None = None, effects: Effects = NO_EFFECTS
    ) -> Mapping[str, StoredOutput]:
        """Append `events` together, with their effects, all or nothing; when this returns, they are what happened.

        The first commit of a new run creates it, or fails at once. Later ones, while the store cannot be
        written, wait and try again, for as long as `patience` says. One that says the run is finished gives
        the claim up.

        Returns:
            Step name -> what stands for its output, for the steps that gave a large one.

        Raises:
            ConflictError: If another process has taken the run over; nothing was written.
            DocumentConflictError: If an effect cannot be had, like the other errors of effects; likewise.
            StoreError: If nothing could be written; the journal is as before and can be resumed.
        """
        records, blobs = journalled(events, after_seq=self.last_seq)
        batch = Batch(self.run_id, self.epoch, records, summary, blobs, effects)
        if self._new is not None:
            await self._create(self._new, batch)
        else:
            again = partial(self._commit_again, batch)
            await patiently(partial(self._store.commit, batch), again=again, clock=self._clock)
        self.last_seq += len(records)
        if summary is not None and summary.is_finished:
            self._let_go()
        return _stored(events, records) if blobs else {}

    async def _create(self, new: NewRun, batch: Batch) -> None:
        effects = new.effects.plus(batch.effects)
        await self._store.create_run(
            replace(new, records=batch.records, summary=batch.summary, blobs=batch.blobs, effects=effects)
        )
        self._new = None
        if self._lease is not None:
            leases.keeper.keep(self._lease)

    def _let_go(self) -> None:
        self._is_released = True
        if self._lease is not None:
            leases.keeper.drop(self._lease)

    async def _commit_again(self, batch: Batch) -> None:
        """Commit a batch that an earlier try may have written, of which only the answer was lost."""
        try:
            await self._store.commit(batch)
        except ConflictError:
            found = await self._store.records(self.run_id, after_seq=self.last_seq)
            if tuple(found[: len(batch.records)]) != batch.records:
                raise


def journalled(events: Iterable[RunEvent], *, after_seq: int) -> tuple[tuple[Record, ...], tuple[Blob, ...]]:
    """Return the records of `events` behind the place `after_seq`, and the blobs that they name."""
    records: list[Record] = []
    blobs: list[Blob] = []
    for seq, event in enumerate(events, after_seq + 1):
        record = record_of(event, seq)
        if isinstance(event, StepGiven) and isinstance(event.output, StoredOutput):
            record, beside = named(record, event.output)
        else:
            record, beside = split(record)
        records.append(record)
        blobs += beside
    return tuple(records), tuple(blobs)


def _stored(events: Sequence[RunEvent], records: Sequence[Record]) -> dict[str, StoredOutput]:
    pairs = zip(events, records, strict=True)
    completed = [
        (event.step, stored_output(record))
        for event, record in pairs
        if isinstance(event, StepCompleted | StepSubstituted | StepGiven)
    ]
    return {step: stored for step, stored in completed if stored is not None}
