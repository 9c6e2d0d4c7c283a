"""Which runs may go, and that nothing else goes with them."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import services
from tagent.adapters.storage.memory import MemoryStore
from tagent.adapters.storage.urls import open_store
from tagent.exceptions import StoreError
from tagent.pipeline import Pipeline, PipelineExecutor, RunStatus, StepContext
from tagent.pipeline.journal.paging import every_run
from tagent.pipeline.journal.retention import Retention, delete_run, delete_unchanged, prune
from tagent.ports import Batch, NewRun, Record, RunQuery, RunRecord, RunSummary, Store
from tagent.ports.effects import Effects
from tagent.ports.messages import NewMessage
from tagent.ports.records import Blob
from tagent.ports.store_errors import RunUnfinishedError
from tagent.values import value

NOW = 1_000.0
DAY = 86_400.0
ENDED = (RunStatus.COMPLETED, RunStatus.PARTIAL, RunStatus.FAILED, RunStatus.CANCELLED)


@value
class Life:
    """What somebody did with a run: began it, perhaps ended it, perhaps took it up again."""

    created_at: float
    pipeline: str = "tea"
    status: RunStatus = RunStatus.COMPLETED
    finished_at: float | None = None
    is_held: bool = False
    blob: str = "leaf"


lives = st.builds(
    Life,
    created_at=st.sampled_from([1.0, 2.0, 3.0, 900.0]),
    pipeline=st.sampled_from(["tea", "coffee"]),
    status=st.sampled_from(ENDED),
    finished_at=st.none() | st.sampled_from([3.0, 500.0, 990.0]),
    is_held=st.booleans(),
    blob=st.sampled_from(["leaf", "bean", "milk"]),
)

retentions = st.builds(
    Retention,
    older_than_seconds=st.none() | st.sampled_from([0.0, 10.0, 600.0]),
    keep_newest=st.none() | st.integers(0, 3),
    statuses=st.lists(st.sampled_from(RunStatus), max_size=3).map(tuple),
    pipelines=st.sampled_from([(), ("tea",), ("tea", "coffee")]),
)


async def lived(store: Store, lives: Sequence[Life]) -> None:
    """Put a run for each life into the store, called by its place."""
    for number, life in enumerate(lives):
        run_id = f"r{number}"
        status = RunStatus.RUNNING if life.finished_at is None else life.status
        summary = RunSummary(status, life.finished_at or life.created_at, is_finished=life.finished_at is not None)
        record, blob = Record(1, "Happened", life.created_at, b"{}"), Blob(life.blob, life.blob.encode())
        await store.create_run(NewRun(run_id, life.pipeline, b"{}", "hash", "me", 3600.0, life.created_at))
        await store.commit(Batch(run_id, 1, (record,), summary, (blob,)))
        if life.is_held and life.finished_at is not None:
            await store.claim(run_id, owner="you", lease_seconds=3600.0, is_gone=lambda _: False)
        elif not life.is_held:
            await store.release(run_id, epoch=1)


async def prune_all_but_what_must_stay(store: Store, lives: Sequence[Life], retention: Retention) -> None:
    """Prune, then compare the store with what there was before."""
    await lived(store, lives)
    before = await store.runs(RunQuery(limit=1000))
    planned = await prune(store, retention, now=NOW, dry_run=True)
    assert list(await store.runs(RunQuery(limit=1000))) == list(before), "a dry run deletes nothing"
    gone = await prune(store, retention, now=NOW, dry_run=False)
    held = {f"r{number}" for number, life in enumerate(lives) if life.is_held}
    assert gone == [run for run in planned if run.run_id not in held]
    after = await store.runs(RunQuery(limit=1000))
    assert {run.run_id for run in after} == {run.run_id for run in before} - {run.run_id for run in gone}
    left = {run.run_id for run in after}
    for number, life in enumerate(lives):
        if life.finished_at is None or life.is_held:
            assert f"r{number}" in left
        if f"r{number}" in left:
            assert [record.seq for record in await store.records(f"r{number}")] == [1]
            assert await store.blob(life.blob) == life.blob.encode()
    for blob in {life.blob for life in lives} - {lives[int(run_id[1:])].blob for run_id in left}:
        with pytest.raises(StoreError):
            await store.blob(blob)


@given(st.lists(lives, max_size=12), retentions)
def test_retention_never_takes_an_unfinished_run(lives: list[Life], retention: Retention) -> None:
    """Promise 12: what can still go on is never cleaned away, nor what somebody has just taken up again."""
    asyncio.run(prune_all_but_what_must_stay(MemoryStore(), lives, retention))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(lives, min_size=1, max_size=8), retentions)
def test_retention_never_takes_an_unfinished_run_from_a_database(lives: list[Life], retention: Retention) -> None:
    """The same where deleting is real, with the blobs that other runs still name."""

    async def in_a_file(place: str) -> None:
        store = open_store(f"sqlite:///{place}/runs.db?synchronous=normal")
        try:
            await prune_all_but_what_must_stay(store, lives, retention)
        finally:
            await store.close()

    with tempfile.TemporaryDirectory() as place:
        asyncio.run(in_a_file(place))


async def gone(lives: Sequence[Life], retention: Retention) -> list[str]:
    """Return the ids of the runs that go, the newest first."""
    store = MemoryStore()
    await lived(store, lives)
    return [run.run_id for run in await prune(store, retention, now=NOW, dry_run=False)]


async def test_a_run_is_as_old_as_its_end() -> None:
    """One that took a week and ended a minute ago is not old."""
    lives = [Life(1.0, finished_at=NOW - 5), Life(2.0, finished_at=NOW - 60), Life(3.0, finished_at=NOW - 60.5)]
    assert await gone(lives, Retention(older_than_seconds=60)) == ["r2"]


async def test_the_newest_of_each_pipeline_are_kept() -> None:
    """A busy pipeline does not push out the last run of a rare one."""
    lives = [Life(float(at), pipeline, finished_at=500.0) for at, pipeline in enumerate(["tea", *["coffee"] * 4])]
    assert await gone(lives, Retention(keep_newest=2)) == ["r2", "r1"]


async def test_unfinished_runs_do_not_count_among_the_newest() -> None:
    """They stay anyway; the last good result stays too."""
    lives = [Life(1.0, finished_at=5.0), Life(2.0, finished_at=5.0), Life(3.0), Life(4.0)]
    assert await gone(lives, Retention(keep_newest=1)) == ["r0"]


async def test_the_newest_are_counted_among_those_that_may_go_at_all() -> None:
    """`keep the last failed run` means that, however many good ones followed."""
    lives = [Life(float(n), status=ENDED[2 * (n < 2)], finished_at=500.0) for n in range(4)]
    assert await gone(lives, Retention(keep_newest=1, statuses=(RunStatus.FAILED,))) == ["r0"]


async def test_only_runs_of_the_named_pipelines_go() -> None:
    """The others have rules of their own."""
    lives = [Life(1.0, "tea", finished_at=5.0), Life(2.0, "coffee", finished_at=5.0)]
    assert await gone(lives, Retention(pipelines=("coffee",))) == ["r1"]


async def test_a_run_that_was_used_since_the_plan_is_left() -> None:
    """Between the plan and its end lies a question to a person, who may take his time."""
    store = MemoryStore()
    await lived(store, [Life(float(n), finished_at=5.0) for n in range(4)])
    plan = await prune(store, Retention(keep_newest=0), now=NOW, dry_run=True)
    taken = await store.claim("r0", owner="you", lease_seconds=60.0, is_gone=lambda _: False)
    again = await store.claim("r1", owner="you", lease_seconds=60.0, is_gone=lambda _: False)
    await store.commit(Batch("r1", again.epoch, (), RunSummary("failed", 6.0, is_finished=True)))
    await store.delete("r2")
    assert [run.run_id for run in await delete_unchanged(store, plan)] == ["r3"]
    assert await store.run("r0") == taken
    assert (await store.run("r1")).finished_at == 6.0


async def test_a_finished_run_goes_once_the_lease_of_whoever_took_it_up_and_died_has_ended() -> None:
    """Nobody is left to give it up."""
    now = 0.0
    store = MemoryStore(monotonic=lambda: now)
    await lived(store, [Life(1.0, finished_at=5.0)])
    await store.claim("r0", owner="you", lease_seconds=60.0, is_gone=lambda _: False)
    assert await prune(store, Retention(keep_newest=0), now=NOW, dry_run=False) == []
    now = 61.0
    assert [run.run_id for run in await prune(store, Retention(keep_newest=0), now=NOW, dry_run=False)] == ["r0"]


async def test_who_deletes_an_unfinished_run_is_told_what_can_be_done() -> None:
    """And nothing that cannot."""
    store = MemoryStore()
    await lived(store, [Life(1.0)])
    with pytest.raises(RunUnfinishedError, match=r"Resume it, and delete it once it has ended\."):
        await store.delete("r0")


class TakenUpAtTheLastMoment(MemoryStore):
    """Somebody claims each run after it was read and before it is deleted."""

    async def run(self, run_id: str) -> RunRecord:
        """Return it as it was just before."""
        before = await super().run(run_id)
        await self.claim(run_id, owner="you", lease_seconds=60.0, is_gone=lambda _: False)
        return before


async def test_a_run_that_is_taken_up_at_the_last_moment_is_left() -> None:
    """The store has the last word, and its refusal is no error here."""
    store = TakenUpAtTheLastMoment()
    await lived(store, [Life(1.0, finished_at=5.0)])
    assert await prune(store, Retention(keep_newest=0), now=NOW, dry_run=False) == []
    assert len(await store.runs()) == 1


@given(st.lists(st.sampled_from([1.0, 1.5, 2.0]), max_size=12), st.integers(1, 5))
def test_every_run_comes_once_however_many_began_at_the_same_time(times: list[float], page: int) -> None:
    """A page that ends amid runs of one time loses none of them."""

    async def paged() -> None:
        store = MemoryStore()
        await lived(store, [Life(at) for at in times])
        whole = await store.runs(RunQuery(limit=1000))
        assert [run async for run in every_run(store, RunQuery(limit=1), page=page)] == list(whole)

    asyncio.run(paged())


def test_a_database_is_paged_without_loss(tmp_path: Path) -> None:
    """Its idea of the next greater number is ours."""

    async def paged() -> list[str]:
        store = open_store(f"sqlite:///{tmp_path}/runs.db?synchronous=normal")
        try:
            await lived(store, [Life(1_700_000_000.1 + n // 3 * 1e-6) for n in range(10)])
            return [run.run_id async for run in every_run(store, RunQuery(), page=2)]
        finally:
            await store.close()

    assert asyncio.run(paged()) == [f"r{n}" for n in range(9, -1, -1)]


async def test_a_deleted_run_leaves_no_memory_and_no_mail() -> None:
    """And takes nothing that belongs to its pipeline."""
    opened = services()

    def remember(context: StepContext) -> None:
        for scope in (context.memory.step, context.memory.run, context.memory.pipeline):
            scope.put("k", 1)
        context.messages.send(f"run:{context.run_id}", 1)
        context.messages.receive(source="pipeline", timeout=0)

    await opened.store.write(Effects(messages=(NewMessage("pipeline/p", b'{"v":1,"data":1}'),)))
    result = await PipelineExecutor(Pipeline("p").step("a", run=remember), services=opened).execute()
    assert result.success, result.step_metadata
    await delete_run(opened.store, result.run_id)
    assert [usage.scope for usage in await opened.store.scopes()] == ["pipeline/p"]
    assert [topic.name for topic in await opened.store.topics()] == ["pipeline/p"]
    assert [cursor.subscriber for cursor in await opened.store.cursors()] == ["pipeline/p"]
