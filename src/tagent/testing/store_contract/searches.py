"""Which runs are found."""

from dataclasses import replace

import pytest

from tagent.ports.records import Batch, RunQuery, RunSummary
from tagent.ports.store import Store
from tagent.testing.store_contract.opening import OpenedStore
from tagent.testing.store_contract.samples import batch, new_run

QUERIES = {
    "all": (RunQuery(), ["r4", "r3", "r2", "r1"]),
    "the newest": (RunQuery(limit=1), ["r4"]),
    "a status": (RunQuery(statuses=("failed",)), ["r2"]),
    "one of several": (RunQuery(statuses=("failed", "completed")), ["r3", "r2"]),
    "a pipeline": (RunQuery(pipelines=("tea",)), ["r4", "r1"]),
    "since": (RunQuery(since=3.0), ["r4", "r3"]),
    "until": (RunQuery(until=3.0), ["r2", "r1"]),
    "a label": (RunQuery(labels={"team": "blue"}), ["r3", "r1"]),
    "all of several": (RunQuery(labels={"team": "blue", "stage": "1"}), ["r1"]),
    "a label that none has": (RunQuery(labels={"nobody": "blue"}), []),
    "a value that is only alike": (RunQuery(labels={"team": "blu"}), []),
    "a word": (RunQuery(words=("green",)), ["r2", "r1"]),
    "every word": (RunQuery(words=("green", "tea")), ["r1"]),
    "part of a word": (RunQuery(words=("ree",)), ["r2", "r1"]),
    "another script": (RunQuery(words=("綠",)), ["r3"]),
    "a pattern is no pattern": (RunQuery(words=("%",)), ["r4"]),
    "letter by letter": (RunQuery(words=("GREEN",)), []),
    "everything at once": (RunQuery(statuses=("running",), pipelines=("tea",), words=("tea",), limit=5), ["r1"]),
}


class Searches(OpenedStore):
    """Lists show what was asked for."""

    @pytest.mark.parametrize(("query", "found"), QUERIES.values(), ids=QUERIES)
    async def test_a_query_finds_what_fits(self, store: Store, query: RunQuery, found: list[str]) -> None:
        """Somebody looks for one run among thousands."""
        for number, pipeline, labels, text in (
            (1, "tea", {"team": "blue", "stage": "1"}, "green tea"),
            (2, "coffee", {"team": "red"}, "green coffee"),
            (3, "coffee", {"team": "blue"}, "綠茶"),
            (4, "tea", {}, "100 %"),
        ):
            begins = batch(f"r{number}", 1, 1, summary=RunSummary("running", 1.0, text=text))
            run = new_run(f"r{number}", pipeline=pipeline, at=float(number), labels=labels, begins=begins)
            assert (await store.create_run(run)).labels == labels
        await store.commit(batch("r2", 2, 2, summary=RunSummary("failed", 2.0)))
        await store.commit(batch("r3", 2, 2, summary=RunSummary("completed", 2.0)))
        runs = await store.runs(query)
        assert [run.run_id for run in runs] == found
        assert list(runs) == [await store.run(run_id) for run_id in found]

    async def test_the_text_is_that_of_the_last_summary_that_had_one(self, store: Store) -> None:
        """What a run is found by grows with it, and is not lost by a change of its status."""
        await store.create_run(new_run("r", begins=Batch("r", 1, (), RunSummary("running", 1.0, text="first"))))
        await store.commit(batch("r", 1, 1, summary=RunSummary("running", 2.0)))
        assert len(await store.runs(RunQuery(words=("first",)))) == 1
        await store.commit(batch("r", 2, 2, summary=RunSummary("running", 2.0, text="second")))
        assert len(await store.runs(RunQuery(words=("first",)))) == 0
        assert len(await store.runs(RunQuery(words=("second",)))) == 1

    async def test_a_fork_names_its_parent(self, store: Store) -> None:
        """Whoever looks at a run wants to know where it came from."""
        await store.create_run(new_run("r", begins=batch("r", 1, 3)))
        created = await store.create_run(replace(new_run("s", begins=batch("s", 1, 2)), parent="r", forked_seq=2))
        assert (created.parent, created.forked_seq) == ("r", 2)
        assert await store.run("s") == created
        assert ((await store.run("r")).parent, (await store.run("r")).forked_seq) == ("", 0)
