"""Blobs, and what goes with the last run that needs it."""

import asyncio
from functools import partial

import pytest

from tagent.exceptions import StoreError
from tagent.ports.records import Batch, Blob
from tagent.ports.store import Store
from tagent.ports.store_errors import MissingBlobError, RunHeldError, RunUnfinishedError, UnknownRunError
from tagent.testing.store_contract.opening import OpenedStore
from tagent.testing.store_contract.samples import DEFINITION, at_once, batch, claim, end, new_run, seqs

TEA, COFFEE = Blob("tea", b"\x00green\xff"), Blob("coffee", b"black")
TEA_AGAIN = Blob("tea", None)


class Deletions(OpenedStore):
    """Nothing that a run needs is deleted, and nothing that none needs stays."""

    async def test_a_blob_is_written_with_the_records_that_name_it(self, store: Store) -> None:
        """A record that names what is not there would be a lost output."""
        await store.create_run(new_run("r", begins=batch("r", 1, 1, blobs=(TEA,))))
        await store.commit(batch("r", 2, 2, blobs=(COFFEE, TEA)))
        assert [await store.blob(name) for name in ("tea", "coffee")] == [TEA.content, COFFEE.content]
        with pytest.raises(MissingBlobError, match="'milk'"):
            await store.blob("milk")

    async def test_a_blob_of_a_refused_write_is_not_kept(self, store: Store) -> None:
        """All of a batch is there, or nothing of it."""
        await store.create_run(new_run("r", begins=batch("r", 1, 1)))
        with pytest.raises(StoreError):
            await store.commit(batch("r", 1, 1, blobs=(TEA,)))
        with pytest.raises(StoreError):
            await store.create_run(new_run("r", begins=batch("r", 1, 1, blobs=(TEA,))))
        with pytest.raises(MissingBlobError):
            await store.blob("tea")

    async def test_a_blob_that_is_there_need_not_be_sent_again(self, store: Store) -> None:
        """A fork shares what its parent has written."""
        await store.create_run(new_run("r", begins=batch("r", 1, 1, blobs=(TEA,))))
        await store.create_run(new_run("s", begins=batch("s", 1, 1, blobs=(TEA_AGAIN,))))
        with pytest.raises(MissingBlobError, match="'milk'"):
            await store.create_run(new_run("t", begins=batch("t", 1, 1, blobs=(Blob("milk", None),))))
        with pytest.raises(MissingBlobError, match="'milk'"):
            await store.commit(batch("s", 2, 2, blobs=(TEA_AGAIN, Blob("milk", None))))
        assert await seqs(store, "s") == [1]
        assert len(await store.runs()) == 2

    async def test_a_deleted_run_is_gone(self, store: Store) -> None:
        """With its journal, its definition and its blobs."""
        await store.create_run(new_run("r", begins=batch("r", 1, 1, blobs=(TEA,))))
        await store.commit(end("r", 2))
        await store.delete("r")
        assert list(await store.runs()) == []
        for look in (store.run, store.records, store.delete):
            with pytest.raises(UnknownRunError):
                await look("r")
        with pytest.raises(MissingBlobError):
            await store.blob("tea")
        with pytest.raises(StoreError):
            await store.definition("hash")
        await store.create_run(new_run("r", begins=batch("r", 1, 1)))
        assert await seqs(store, "r") == [1], "the id is free again, and nothing of the old run comes back"

    async def test_what_another_run_needs_stays(self, store: Store) -> None:
        """The last one takes it along."""
        for run_id in ("r", "s"):
            await store.create_run(new_run(run_id, begins=batch(run_id, 1, 1, blobs=(TEA,))))
            await store.commit(end(run_id, 2))
        await store.delete("r")
        assert (await store.blob("tea"), await store.definition("hash")) == (TEA.content, DEFINITION)
        assert await seqs(store, "s") == [1, 2]
        await store.delete("s")
        with pytest.raises(MissingBlobError):
            await store.blob("tea")

    async def test_an_unfinished_run_is_not_deleted(self, store: Store) -> None:
        """What can still go on is not cleaned away."""
        await store.create_run(new_run("r", begins=batch("r", 1, 1, blobs=(TEA,))))
        await store.release("r", epoch=1)
        with pytest.raises(RunUnfinishedError, match="nothing was deleted"):
            await store.delete("r")
        assert (await seqs(store, "r"), await store.blob("tea")) == ([1], TEA.content)

    async def test_a_run_that_is_taken_up_again_is_not_deleted(self, store: Store) -> None:
        """Somebody resumes a failed run while somebody else cleans up."""
        await store.create_run(new_run("r", begins=batch("r", 1, 1)))
        await store.commit(end("r", 2))
        await claim(store, "r", owner="you")
        with pytest.raises(RunHeldError, match="you"):
            await store.delete("r")
        await store.commit(batch("r", 3, 3, epoch=2))

    async def test_of_many_who_delete_a_run_one_does(self, store: Store) -> None:
        """Two clean-ups may meet."""
        await store.create_run(new_run("r"))
        await store.commit(end("r", 1))
        outcomes = await at_once([partial(store.delete, "r")] * 10)
        assert sorted(outcomes) == ["UnknownRunError"] * 9 + ["done"]

    async def test_forks_and_deletions_at_once_lose_no_blob(self, store: Store) -> None:
        """A fork that succeeds finds what it shares, whoever deletes the parent meanwhile."""
        for number in range(10):
            await store.create_run(new_run(f"r{number}", begins=batch("r", 1, 1, blobs=(Blob(f"b{number}", b"x"),))))
            await store.commit(end(f"r{number}", 2))

        def fork(number: int) -> Batch:
            return batch("s", 1, 1, blobs=(Blob(f"b{number}", None),))

        forks = [partial(store.create_run, new_run(f"s{number}", begins=fork(number))) for number in range(10)]
        deletions = [partial(store.delete, f"r{number}") for number in range(10)]
        outcomes = await at_once([call for pair in zip(forks, deletions, strict=True) for call in pair])
        for number, outcome in enumerate(outcomes[::2]):
            if outcome == "done":
                assert await store.blob(f"b{number}") == b"x"
            else:
                assert outcome == "MissingBlobError"

    async def test_a_change_wakes_whoever_waits_for_one(self, store: Store) -> None:
        """Whoever follows a run need not ask all the time."""
        seen = await store.wait_for_change(0, seconds=60)
        waiting = asyncio.ensure_future(store.wait_for_change(seen, seconds=60))
        await asyncio.sleep(0.02)
        await store.create_run(new_run("r"))
        assert await asyncio.wait_for(waiting, 30) != seen

    async def test_a_change_between_reading_and_waiting_is_not_missed(self, store: Store) -> None:
        """Else it would be seen only with the next one."""
        seen = await store.wait_for_change(0, seconds=60)
        await store.create_run(new_run("r"))
        assert await asyncio.wait_for(store.wait_for_change(seen, seconds=60), 30) != seen

    async def test_nobody_waits_longer_than_he_wants(self, store: Store) -> None:
        """A change may never come."""
        seen = 0
        for _ in range(100):  # what was done before may be told of late
            if (found := await store.wait_for_change(seen, seconds=0.02)) == seen:
                return
            seen = found
        pytest.fail("nothing changes, and changes are told of again and again")
