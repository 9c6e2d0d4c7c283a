"""The store in memory keeps the promises of the `Store` port."""

from collections.abc import Awaitable, Callable

import pytest

from tagent.adapters.storage.memory import MemoryStore
from tagent.exceptions import StoreError
from tagent.ports.store import Batch, ConflictError, Record, RunRecord, UnknownRunError


def batch(*places: int, run_id: str = "r1", epoch: int = 1) -> Batch:
    """Return a batch with a record at each of `places`."""
    return Batch(run_id, epoch, tuple(Record(place, "Happened", float(place), b"{}") for place in places))


async def store_with(*places: int) -> MemoryStore:
    """Return a store that holds the run r1 with records at `places`."""
    store = MemoryStore()
    await store.create_run("r1", pipeline="p")
    await store.commit(batch(*places))
    return store


async def test_keeps_a_journal_in_order() -> None:
    """A run is the list of its events."""
    store = await store_with(1, 2)
    await store.commit(batch(3))
    assert [record.seq for record in await store.records("r1")] == [1, 2, 3]
    assert [record.seq for record in await store.records("r1", after_seq=2)] == [3]
    assert await store.run("r1") == RunRecord("r1", "p", epoch=1, last_seq=3)


async def test_a_reader_s_list_does_not_grow_while_it_reads() -> None:
    """What was read stays what it was."""
    store = await store_with(1)
    records = await store.records("r1")
    await store.commit(batch(2))
    assert len(records) == 1


async def test_lists_the_newest_run_first() -> None:
    """The one that people look for is the one they have just started."""
    store = await store_with()
    await store.create_run("r2", pipeline="q")
    assert [run.run_id for run in await store.runs()] == ["r2", "r1"]


async def test_refuses_to_begin_a_run_twice() -> None:
    """Two runs must not write into one journal."""
    store = await store_with(1)
    with pytest.raises(ConflictError):
        await store.create_run("r1", pipeline="p")
    assert (await store.run("r1")).last_seq == 1


@pytest.mark.parametrize("stray", [batch(1), batch(3), batch(2, epoch=2), batch(2, epoch=0)])
async def test_writes_nothing_of_a_batch_that_does_not_continue_the_journal(stray: Batch) -> None:
    """Another writer was there, or has taken the run over."""
    store = await store_with(1)
    with pytest.raises(ConflictError):
        await store.commit(stray)
    assert (await store.run("r1")).last_seq == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.run("r11"),
        lambda store: store.records("r11"),
        lambda store: store.commit(batch(1, run_id="r11")),
    ],
)
async def test_suggests_a_run_when_the_one_named_is_unknown(call: Callable[[MemoryStore], Awaitable[object]]) -> None:
    """Ids are long, and typed by hand."""
    with pytest.raises(UnknownRunError, match="Did you mean 'r1'"):
        await call(await store_with())


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.create_run("r2", pipeline="p"),
        lambda store: store.commit(batch(1)),
        lambda store: store.run("r1"),
        lambda store: store.runs(),
        lambda store: store.records("r1"),
    ],
)
async def test_a_closed_store_refuses_every_call(call: Callable[[MemoryStore], Awaitable[object]]) -> None:
    """Work that outlives its run must not seem to be kept."""
    store = await store_with()
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await call(store)
