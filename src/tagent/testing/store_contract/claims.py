"""Who holds a run."""

import asyncio
from functools import partial

import pytest

from tagent.ports.records import Batch, RunSummary
from tagent.ports.store import Store
from tagent.ports.store_errors import ConflictError, RunHeldError
from tagent.testing.store_contract.opening import OpenedStore
from tagent.testing.store_contract.samples import LONG, SHORT, at_once, batch, claim, new_run, seqs


class Claims(OpenedStore):
    """Exactly one live process drives a run; a stale one is fenced by its epoch."""

    async def test_a_held_run_cannot_be_claimed(self, store: Store) -> None:
        """Exactly one live process drives a run."""
        created = await store.create_run(new_run("r", owner="the holder"))
        with pytest.raises(RunHeldError, match="the holder") as raised:
            await claim(store, "r")
        assert raised.value.owner == "the holder"
        assert 0 < raised.value.seconds_left <= LONG
        assert await store.run("r") == created

    async def test_a_claim_begins_a_new_epoch_and_fences_the_old_one(self, store: Store) -> None:
        """A stale executor is refused, and learns it."""
        await store.create_run(new_run("r"))
        await store.commit(batch("r", 1, 1))
        await store.release("r", epoch=1)
        claimed = await claim(store, "r", owner="you")
        assert (claimed.epoch, claimed.owner, claimed.last_seq) == (2, "you", 1)
        assert await store.run("r") == claimed
        for stale in (batch("r", 2, 2), Batch("r", 1, ()), Batch("r", 1, (), RunSummary("failed", 9.0))):
            with pytest.raises(ConflictError, match="at epoch 2, not at epoch 1"):
                await store.commit(stale)
        with pytest.raises(ConflictError, match="at epoch 2, not at epoch 1"):
            store.renew("r", epoch=1, lease_seconds=LONG)
        await store.release("r", epoch=1)
        assert await store.run("r") == claimed, "giving up a lost claim takes nothing from its new holder"
        await store.commit(batch("r", 2, 2, epoch=2))
        assert await seqs(store, "r") == [1, 2]

    async def test_an_epoch_that_has_not_begun_cannot_write(self, store: Store) -> None:
        """An epoch is granted by the store."""
        await store.create_run(new_run("r"))
        with pytest.raises(ConflictError):
            await store.commit(batch("r", 1, 1, epoch=2))
        assert await seqs(store, "r") == []

    async def test_a_released_run_is_free_at_once(self, store: Store) -> None:
        """The next claim need not wait for the lease."""
        await store.create_run(new_run("r"))
        await store.release("r", epoch=1)
        assert (await store.run("r")).owner == ""
        assert (await claim(store, "r")).epoch == 2

    async def test_a_finished_run_is_held_by_nobody(self, store: Store) -> None:
        """Its last commit gives it up: a commit less, and none that can fail after the end."""
        at_its_end = batch("s", 1, 1, summary=RunSummary("completed", 2.0, is_finished=True))
        assert (await store.create_run(new_run("s", begins=at_its_end))).owner == ""
        await store.create_run(new_run("r"))
        await store.commit(batch("r", 1, 1, summary=RunSummary("running", 2.0)))
        assert (await store.run("r")).owner == "me"
        await store.commit(batch("r", 2, 2, summary=RunSummary("failed", 3.0, is_finished=True)))
        for run_id in "r", "s":
            assert (await store.run(run_id)).owner == ""
            assert (await claim(store, run_id)).epoch == 2

    async def test_of_20_who_claim_at_once_one_gets_the_run(self, store: Store) -> None:
        """Two processes that resume the same run must not both drive it."""
        await store.create_run(new_run("r"))
        await store.release("r", epoch=1)
        outcomes = await at_once([partial(claim, store, "r")] * 20)
        assert sorted(outcomes) == ["RunHeldError"] * 19 + ["done"]
        assert (await store.run("r")).epoch == 2

    async def test_a_run_whose_holder_is_gone_is_taken_over_at_once(self, store: Store) -> None:
        """After a crash on the same machine nobody waits for the lease; still only one gets the run."""
        await store.create_run(new_run("r", owner="dead"))
        asked: list[str] = []

        def is_gone(owner: str) -> bool:
            asked.append(owner)
            return owner == "dead"

        outcomes = await at_once([lambda: store.claim("r", owner="alive", lease_seconds=LONG, is_gone=is_gone)] * 20)
        assert sorted(outcomes) == ["RunHeldError"] * 19 + ["done"]
        assert set(asked) <= {"dead", "alive"}
        assert (await store.run("r")).epoch == 2

    async def test_a_run_is_free_when_its_lease_has_ended(self, store: Store) -> None:
        """A holder on another machine, of which nothing is heard, may be dead."""
        await store.create_run(new_run("r", lease_seconds=SHORT))
        await self.let_pass(2 * SHORT)
        assert (await claim(store, "r")).epoch == 2
        with pytest.raises(RunHeldError):
            await claim(store, "r")

    async def test_renewing_moves_the_end_of_the_lease(self, store: Store) -> None:
        """A holder that lives keeps its run."""
        await store.create_run(new_run("r", lease_seconds=SHORT))
        store.renew("r", epoch=1, lease_seconds=LONG)
        await self.let_pass(2 * SHORT)
        with pytest.raises(RunHeldError):
            await claim(store, "r")
        store.renew("r", epoch=1, lease_seconds=SHORT)
        await self.let_pass(2 * SHORT)
        assert (await claim(store, "r")).epoch == 2

    async def test_a_lease_that_has_ended_still_writes_until_somebody_claims(self, store: Store) -> None:
        """What fences is the epoch; a slow holder loses nothing as long as nobody wants its run."""
        await store.create_run(new_run("r", lease_seconds=SHORT))
        await self.let_pass(2 * SHORT)
        await store.commit(batch("r", 1, 1))
        assert await seqs(store, "r") == [1]

    async def test_renewing_works_from_a_thread_while_the_loop_writes(self, store: Store) -> None:
        """The event loop may be kept busy for longer than a lease."""
        await store.create_run(new_run("r"))
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(asyncio.to_thread(store.renew, "r", epoch=1, lease_seconds=LONG))
            for seq in range(1, 6):
                await store.commit(batch("r", seq, seq))
        assert await seqs(store, "r") == [1, 2, 3, 4, 5]
