"""A journal while its store is in trouble, and the claim that keeps others out."""

import threading
from collections.abc import Callable, Sequence

import pytest

from builders import chain, run, services
from tagent.adapters.storage.memory import MemoryStore
from tagent.pipeline.events import RunStarted
from tagent.pipeline.journal.lease import Lease, LeaseKeeper
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.journal.patience import PATIENCE_SECONDS
from tagent.pipeline.models import Pipeline
from tagent.pipeline.persistence import RunJournal
from tagent.pipeline.stored.definition import Definition, Origin
from tagent.ports import Batch
from tagent.ports.records import NewRun, Record, RunRecord
from tagent.ports.store_errors import ConflictError, StoreUnavailableError
from tagent.testing import ManualClock

STARTED = RunStarted("run-1", "p", {}, {}, 0.0)


class Unsteady(MemoryStore):
    """Cannot be written for its first commits; with `is_lost` it writes, and only the answer is lost."""

    def __init__(self, failures: float, *, is_lost: bool = False) -> None:
        super().__init__()
        self.failures = failures
        self.is_lost = is_lost

    async def commit(self, batch: Batch) -> None:
        if self.failures > 0:
            self.failures -= 1
            if self.is_lost:
                await super().commit(batch)
            raise StoreUnavailableError("The database is locked.")
        await super().commit(batch)


async def begun(store: MemoryStore, clock: ManualClock) -> RunJournal:
    opened = services(store=store, clock=clock)
    journal = RunJournal.begin(opened, Definition.of(chain("a"), Origin()), run_id="run-1", lease_seconds=15, labels={})
    await journal.commit([STARTED])
    return journal


async def test_a_store_that_is_away_for_a_while_delays_the_run_and_loses_nothing() -> None:
    """A lock that somebody holds is no reason to fail."""
    clock = ManualClock()
    ran = await run(chain("a", "b"), store=Unsteady(3), clock=clock)
    assert ran.result.success
    assert clock.waits[:3] == [0.05, 0.1, 0.2]


async def test_a_store_that_stays_away_ends_the_run_which_can_be_resumed() -> None:
    """Nothing is acknowledged that is not written, and nobody waits for ever."""
    clock, store = ManualClock(), Unsteady(float("inf"))
    with pytest.raises(StoreUnavailableError, match="locked"):
        await run(chain("a"), store=store, clock=clock)
    assert PATIENCE_SECONDS <= clock.now() < 2 * PATIENCE_SECONDS
    assert [record.kind for record in await store.records("run-1")] == ["RunStarted", "StepStarted"]
    assert (await store.run("run-1")).owner == ""


async def test_the_time_that_tries_take_counts_as_waiting() -> None:
    """A connection that cannot be made takes its time to say so; a minute is a minute."""
    clock = ManualClock()

    class Slow(Unsteady):
        async def commit(self, batch: Batch) -> None:
            clock.advance(25)
            await super().commit(batch)

    journal = await begun(Slow(float("inf")), clock)
    with pytest.raises(StoreUnavailableError):
        await journal.commit([STARTED])
    assert PATIENCE_SECONDS <= clock.now() < PATIENCE_SECONDS + 25


async def test_a_store_that_is_away_at_the_beginning_is_told_at_once() -> None:
    """Nothing has run that could be lost, and somebody may be watching."""

    class Away(MemoryStore):
        async def create_run(self, run: NewRun) -> RunRecord:
            raise StoreUnavailableError("The disk is full.")

    clock, store, calls = ManualClock(), Away(), list[str]()
    pipeline = Pipeline("p")
    pipeline.step("a", run=lambda: calls.append("a"))
    with pytest.raises(StoreUnavailableError, match="full"):
        await run(pipeline, store=store, clock=clock)
    assert (clock.waits, calls, await store.runs()) == ([], [], [])


async def test_a_lost_answer_is_harmless() -> None:
    """The next try finds its own records and goes on."""
    clock, store = ManualClock(), Unsteady(1, is_lost=True)
    journal = await begun(store, clock)
    await journal.commit([STARTED])
    await journal.commit([STARTED])
    assert list(await load_events(store, "run-1")) == [STARTED] * 3


async def test_a_store_that_goes_away_again_while_the_lost_answer_is_looked_for_is_waited_for_too() -> None:
    """The commit that came through must not end the run as one that failed."""

    class Flickering(Unsteady):
        looks = 0

        async def records(self, run_id: str, *, after_seq: int = 0) -> Sequence[Record]:
            self.looks += 1
            if self.looks == 1:
                raise StoreUnavailableError("The server restarts.")
            return await super().records(run_id, after_seq=after_seq)

    clock, store = ManualClock(), Flickering(1, is_lost=True)
    journal = await begun(store, clock)
    await journal.commit([STARTED])
    await journal.commit([STARTED])
    assert list(await load_events(store, "run-1")) == [STARTED] * 3


async def test_a_conflict_after_a_failure_is_not_mistaken_for_a_lost_answer() -> None:
    """Somebody else's records in the same place are somebody else's."""
    clock, store = ManualClock(), Unsteady(0)
    ours = await begun(store, clock)
    theirs = RunJournal(store, clock, "run-1", epoch=1, last_seq=1, lease_seconds=15)
    await theirs.commit([RunStarted("run-1", "another", {}, {}, 0.0)])
    store.failures = 1
    with pytest.raises(ConflictError):
        await ours.commit([STARTED])


class Watched(MemoryStore):
    """Tells when it was renewed, and may refuse."""

    def __init__(self, *refusals: Exception) -> None:
        super().__init__()
        self.refusals = list(refusals)
        self.renewed = threading.Semaphore(0)

    def renew(self, run_id: str, *, epoch: int, lease_seconds: float) -> None:
        self.renewed.release()
        if self.refusals:
            raise self.refusals.pop(0)


def lease(store: MemoryStore, on_lost: Callable[[ConflictError], None]) -> Lease:
    return Lease(store, "run-1", 1, 0.03, on_lost)


def test_a_claim_is_renewed_until_it_is_dropped_also_after_the_store_was_away() -> None:
    """A store that is away for one renewal does not cost the run."""
    store, keeper = Watched(StoreUnavailableError("locked")), LeaseKeeper()
    lost: list[ConflictError] = []
    kept = lease(store, lost.append)
    keeper.keep(kept)
    for _ in range(3):
        assert store.renewed.acquire(timeout=30)
    keeper.drop(kept)
    assert lost == []


def test_a_claim_that_somebody_else_has_taken_is_told_and_renewed_no_more() -> None:
    """The run must stop its steps soon, not at its next write."""
    taken = ConflictError("run-1", expected="epoch 1", found="epoch 2")
    store, keeper, told = Watched(taken), LeaseKeeper(), threading.Event()
    lost: list[ConflictError] = []

    def on_lost(error: ConflictError) -> None:
        lost.append(error)
        told.set()

    keeper.keep(lease(Watched(), lost.append))
    keeper.keep(lease(store, on_lost))
    assert told.wait(30)
    assert lost == [taken]
