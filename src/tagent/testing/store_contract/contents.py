"""What a store can hold, and what lists show of it."""

import json
from functools import partial

import pytest

from tagent.ports.records import Batch, Record, RunQuery, RunSummary
from tagent.ports.store import Store
from tagent.ports.store_errors import UnknownRunError
from tagent.testing.store_contract.opening import OpenedStore
from tagent.testing.store_contract.samples import DEFINITION, at_once, batch, new_run, seqs

AWKWARD_NAMES = {
    "a path upwards": "../../etc/passwd",
    "SQL": "'; DROP TABLE run; --",
    "a pattern": "%_*?[a-z]",
    "an escape": "\x1b[31m\r\n\t\\n",
    "scripts": "naïve ☂ 茶 שלום \u202e 𝄞",
    "blanks": "  ",
    "10 kB": "long name " * 1024,
}


class Contents(OpenedStore):
    """What is written comes back as it was, whatever it is called and however large it is."""

    async def test_a_payload_of_16_mb_fits(self, store: Store) -> None:
        """What a step returns may be large."""
        payload = json.dumps("0123456789abcdef" * 2**20).encode()
        await store.create_run(new_run("r", definition=payload))
        await store.commit(Batch("r", 1, (Record(1, "Large", 1.0, payload),)))
        (record,) = await store.records("r")
        assert record.payload == payload
        assert await store.definition("hash") == payload

    @pytest.mark.parametrize("name", AWKWARD_NAMES.values(), ids=AWKWARD_NAMES)
    async def test_names_are_plain_data(self, store: Store, name: str) -> None:
        """No name may lead out of the store, or change what is done in it."""
        await store.create_run(new_run("r", pipeline=name, definition_hash=name, owner=name))
        record = Record(1, name, 1.0, json.dumps({"step": name + "\0"}).encode())
        await store.commit(Batch("r", 1, (record,), RunSummary(name, 2.0)))
        found = await store.run("r")
        assert (found.pipeline, found.definition_hash, found.owner, found.status) == (name, name, name, name)
        assert list(await store.records("r")) == [record]
        assert await store.definition(name) == DEFINITION
        with pytest.raises(UnknownRunError):
            await store.run(name)

    @pytest.mark.parametrize("run_id", [name for name in AWKWARD_NAMES.values() if len(name) < 100])
    async def test_a_run_id_is_plain_data(self, store: Store, run_id: str) -> None:
        """Ids are drawn by us, but nothing depends on their form."""
        await store.create_run(new_run(run_id))
        await store.commit(batch(run_id, 1, 1))
        assert [run.run_id for run in await store.runs()] == [run_id]
        assert await seqs(store, run_id) == [1]

    async def test_a_summary_is_written_with_its_records(self, store: Store) -> None:
        """Lists must not fold every journal, and must not contradict one."""
        created = await store.create_run(new_run("r", at=1.0))
        await store.commit(batch("r", 1, 1, summary=RunSummary("completed", 7.5, 0.25, is_finished=True)))
        found = await store.run("r")
        assert (found.status, found.updated_at, found.finished_at, found.cost_usd) == ("completed", 7.5, 7.5, 0.25)
        await store.commit(batch("r", 2, 2))
        assert (await store.run("r")).status == "completed", "without a summary the last one stays"
        await store.commit(Batch("r", 1, (), RunSummary("running", 8.0, 0.5)))
        found = await store.run("r")
        assert (found.status, found.updated_at, found.finished_at, found.cost_usd) == ("running", 8.0, None, 0.5)
        assert (found.created_at, found.last_seq) == (created.created_at, 2)

    async def test_runs_are_listed_newest_first(self, store: Store) -> None:
        """What somebody looks for is mostly what has just run."""
        for run_id, at in (("old", 1.0), ("new", 3.0), ("middle", 2.0)):
            await store.create_run(new_run(run_id, at=at))
        await store.commit(batch("old", 1, 1, summary=RunSummary("failed", 9.0, 0.125)))
        assert [run.run_id for run in await store.runs()] == ["new", "middle", "old"]
        assert [run.run_id for run in await store.runs(RunQuery(limit=2))] == ["new", "middle"]
        assert list(await store.runs()) == [await store.run(name) for name in ("new", "middle", "old")]

    async def test_100_runs_are_listed_unless_more_are_asked_for(self, store: Store) -> None:
        """A list must not grow with the age of the store."""
        assert list(await store.runs()) == []
        await at_once([partial(store.create_run, new_run(f"r{at}", at=at)) for at in range(101)])
        assert len(await store.runs()) == 100
        assert len(await store.runs(RunQuery(limit=1000))) == 101
