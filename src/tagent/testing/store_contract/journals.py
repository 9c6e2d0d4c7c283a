"""Beginning a run, and committing to its journal."""

import asyncio
from contextlib import suppress
from functools import partial

import pytest

from tagent.exceptions import StoreError
from tagent.ports.records import RunRecord, RunSummary
from tagent.ports.store import Store
from tagent.ports.store_errors import ConflictError
from tagent.testing.store_contract.opening import OpenedStore
from tagent.testing.store_contract.samples import at_once, batch, claim, new_run, seqs


class Journals(OpenedStore):
    """A journal grows by whole batches, from one writer at a time."""

    async def test_a_new_run_is_empty_and_claimed(self, store: Store) -> None:
        """Whoever begins a run goes on to write it; nobody may come between."""
        created = await store.create_run(new_run("r", pipeline="tea", at=12.5))
        assert created == RunRecord("r", "tea", "hash", "running", 1, 0, "me", 12.5, 12.5, None, 0.0)
        assert await store.run("r") == created
        assert list(await store.records("r")) == []

    async def test_a_new_run_begins_with_its_first_records(self, store: Store) -> None:
        """A process killed at its beginning must not leave a run of which nobody knows the inputs."""
        begins = batch("r", 1, 3, summary=RunSummary("waiting", 2.0, 0.5))
        created = await store.create_run(new_run("r", begins=begins))
        assert created == RunRecord("r", "p", "hash", "waiting", 1, 3, "me", 1.0, 2.0, None, 0.5)
        assert await store.run("r") == created
        assert tuple(await store.records("r")) == begins.records
        await store.commit(batch("r", 4, 4))
        assert await seqs(store, "r") == [1, 2, 3, 4]

    async def test_a_run_that_exists_keeps_its_beginning(self, store: Store) -> None:
        """Not a record of the refused one may be left."""
        await store.create_run(new_run("r", begins=batch("r", 1, 1, kind="first")))
        with pytest.raises(ConflictError):
            await store.create_run(new_run("r", begins=batch("r", 1, 2, kind="second")))
        assert [record.kind for record in await store.records("r")] == ["first"]

    async def test_a_run_cannot_begin_twice(self, store: Store) -> None:
        """The journal that is there must not be started over."""
        await store.create_run(new_run("r"))
        await store.commit(batch("r", 1, 2))
        with pytest.raises(ConflictError, match="nothing was written"):
            await store.create_run(new_run("r", pipeline="other", definition_hash="another"))
        assert (await store.run("r")).pipeline == "p"
        assert await seqs(store, "r") == [1, 2]
        with pytest.raises(StoreError):
            await store.definition("another")

    async def test_of_many_who_begin_the_same_run_one_does(self, store: Store) -> None:
        """Two processes may draw the same id."""
        outcomes = await at_once([partial(store.create_run, new_run("r"))] * 20)
        assert sorted(outcomes) == ["ConflictError"] * 19 + ["done"]

    async def test_a_definition_is_kept_for_each_hash(self, store: Store) -> None:
        """A run goes on with the definition with which it began."""
        for run_id, definition_hash in (("a", "h1"), ("b", "h1"), ("c", "h2")):
            await store.create_run(
                new_run(run_id, definition_hash=definition_hash, definition=definition_hash.encode())
            )
        assert await store.definition("h1") == b"h1"
        assert await store.definition("h2") == b"h2"
        with pytest.raises(StoreError, match="'h3'"):
            await store.definition("h3")

    async def test_records_come_back_as_they_were_written_and_in_order(self, store: Store) -> None:
        """A resumed run is a fold over them."""
        await store.create_run(new_run("r"))
        first, second = batch("r", 1, 3), batch("r", 4, 5)
        await store.commit(first)
        await store.commit(second)
        assert tuple(await store.records("r")) == first.records + second.records
        assert tuple(await store.records("r", after_seq=2)) == first.records[2:] + second.records
        assert list(await store.records("r", after_seq=5)) == []
        assert (await store.run("r")).last_seq == 5

    @pytest.mark.parametrize("first", [1, 2, 4, 9])
    async def test_a_batch_that_does_not_follow_the_last_record_writes_nothing(self, store: Store, first: int) -> None:
        """Two writers must not both believe that they continue the journal."""
        await store.create_run(new_run("r"))
        await store.commit(batch("r", 1, 2))
        before = await store.run("r")
        with pytest.raises(ConflictError, match="at record 2, not at record"):
            await store.commit(batch("r", first, first + 2, summary=RunSummary("failed", 9.0, 9.0)))
        assert await store.run("r") == before
        assert await seqs(store, "r") == [1, 2]

    async def test_of_many_who_write_the_same_place_one_does(self, store: Store) -> None:
        """All of a batch is there, or nothing of it."""
        await store.create_run(new_run("r"))
        writes = [batch("r", 1, 2, kind=f"writer {number}") for number in range(20)]
        outcomes = await at_once([partial(store.commit, it) for it in writes])
        assert sorted(outcomes) == ["ConflictError"] * 19 + ["done"]
        assert tuple(await store.records("r")) == writes[outcomes.index("done")].records

    async def test_many_runs_write_at_once(self, store: Store) -> None:
        """What one run writes, or fails to write, does not disturb another."""

        async def chain(run_id: str) -> None:
            await store.create_run(new_run(run_id))
            for seq in range(1, 6):
                await store.commit(batch(run_id, seq, seq))
                with pytest.raises(ConflictError):
                    await store.commit(batch(run_id, seq, seq))

        names = [f"r{number}" for number in range(50)]
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(chain(name))
        assert [await seqs(store, name) for name in names] == [[1, 2, 3, 4, 5]] * 50

    async def test_a_cancelled_write_is_whole_or_not_there(self, store: Store) -> None:
        """A run may be stopped at any moment."""
        await store.create_run(new_run("r"))
        writing = asyncio.ensure_future(store.commit(batch("r", 1, 2)))
        await asyncio.sleep(0)
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        last_seq = (await claim(store, "r", gone="me")).last_seq
        assert last_seq in (0, 2)
        await store.commit(batch("r", last_seq + 1, 3, epoch=2))
        assert await seqs(store, "r") == [1, 2, 3]
