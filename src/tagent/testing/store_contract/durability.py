"""What a durable store promises on top."""

from functools import partial
from pathlib import Path

import pytest

from tagent.ports.documents import DocumentQuery, Put
from tagent.ports.effects import Effects
from tagent.ports.messages import NewMessage, Receipt
from tagent.ports.records import Blob, RunSummary
from tagent.ports.store import Store
from tagent.ports.store_errors import ConflictError, RunHeldError
from tagent.testing.store_contract.opening import OpenedStore
from tagent.testing.store_contract.samples import DEFINITION, at_once, batch, claim, end, new_run, seqs


class Durability(OpenedStore):
    """What was committed outlives the process, and every process sees it."""

    async def test_what_was_written_is_there_after_reopening(self, tmp_path: Path) -> None:
        """A crash loses nothing that was committed, nor who held what."""
        store = await self.open_store(tmp_path)
        await store.create_run(new_run("r", owner="the holder"))
        await store.commit(batch("r", 1, 3, summary=RunSummary("waiting", 5.0, 1.5)))
        before = await store.run("r"), list(await store.records("r"))
        await store.close()
        store = await self.open_store(tmp_path)
        try:
            assert (await store.run("r"), list(await store.records("r"))) == before
            assert await store.definition("hash") == DEFINITION
            with pytest.raises(RunHeldError, match="the holder"):
                await claim(store, "r")
            await store.commit(batch("r", 4, 4))
            assert await seqs(store, "r") == [1, 2, 3, 4]
        finally:
            await store.close()

    async def test_memory_and_messages_are_there_after_reopening(self, tmp_path: Path) -> None:
        """What a pipeline knows and what waits for it outlives every process."""
        store = await self.open_store(tmp_path)
        messages = (NewMessage("t", b"1", "key"), NewMessage("t", b"2", "", "somebody", "answers"))
        await store.write(Effects((Put("s", "k", b"1", "text", ttl_seconds=3600.0), Put("s", "l", b"2")), messages))
        await store.write(Effects((Put("s", "l", None),), (), (Receipt("me", "t", 0, 1, 2),)))

        async def everything(store: Store) -> list[object]:
            found = await store.documents(DocumentQuery("s", words=("text",))), await store.scopes()
            return [*found, await store.messages("t"), await store.topics(), await store.cursors()]

        before = await everything(store)
        await store.close()
        store = await self.open_store(tmp_path)
        try:
            assert await everything(store) == before
            assert (await store.write(Effects((Put("s", "l", b"3"),), messages))).seqs == (1, 3)
            assert [it.version for it in await store.documents(DocumentQuery("s"))] == [1, 3]
        finally:
            await store.close()

    async def test_writes_that_wait_when_the_store_closes_are_finished_or_refused(self, tmp_path: Path) -> None:
        """Nobody may be left waiting, and what was acknowledged is there."""
        store = await self.open_store(tmp_path)
        names = [f"r{number}" for number in range(20)]
        await at_once([partial(store.create_run, new_run(name)) for name in names])
        writes = [partial(store.commit, batch(name, 1, 2)) for name in names]
        *outcomes, closed = await at_once([*writes, store.close])
        assert closed == "done"
        assert set(outcomes) <= {"done", "StoreError"}
        store = await self.open_store(tmp_path)
        try:
            written = [len(await seqs(store, name)) for name in names]
        finally:
            await store.close()
        assert all(count == 2 for count, outcome in zip(written, outcomes, strict=True) if outcome == "done")
        assert set(written) <= {0, 2}

    async def test_two_openings_of_one_place_are_one_store(self, tmp_path: Path) -> None:
        """Processes share a store; each must see what the other has committed, and be fenced by it."""
        ours, theirs = await self.open_store(tmp_path), await self.open_store(tmp_path)
        try:
            await ours.create_run(new_run("r"))
            await ours.commit(batch("r", 1, 1))
            assert await seqs(theirs, "r") == [1]
            outcomes = await at_once([partial(claim, it, "r", gone="me") for it in (ours, theirs) * 5])
            assert sorted(outcomes) == ["RunHeldError"] * 9 + ["done"]
            with pytest.raises(ConflictError):
                await ours.commit(batch("r", 2, 2))
            seen = await ours.wait_for_change(0, seconds=60)
            await theirs.commit(batch("r", 2, 2, epoch=2, blobs=(Blob("tea", b"green"),)))
            assert await ours.wait_for_change(seen, seconds=60) != seen
            assert await seqs(ours, "r") == [1, 2]
            assert await ours.blob("tea") == b"green"
            await theirs.commit(end("r", 3, epoch=2))
            await ours.delete("r")
            await ours.write(Effects((Put("s", "k", b"1"),), (NewMessage("t", b"1"),)))
            await theirs.write(Effects((Put("s", "k", b"2"),), (NewMessage("t", b"2"),), (Receipt("me", "t", 0, 1),)))
            found = await ours.document("s", "k")
            assert found is not None
            assert (found.version, found.value) == (2, b"2")
            assert [it.payload for it in await ours.unread("me", ["t"])] == [b"2"]
            assert list(await theirs.runs()) == []
        finally:
            await ours.close()
            await theirs.close()
