"""Cancelling runs from anywhere, and how their drivers notice. Time for that is real, and made short."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from builders import CONCURRENT, Recorder, chain, raising, returning, services
from crashes import everybody_is_gone
from tagent import acancel, arun_pipeline, cancel
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.exceptions import ungrouped
from tagent.pipeline import (
    ExecutionMode,
    Pipeline,
    PipelineExecutor,
    PipelineResult,
    RunStatus,
    StepContext,
    StepStatus,
)
from tagent.pipeline.answering.answering import open_approvals
from tagent.pipeline.answering.documents import SCOPE
from tagent.pipeline.driving.cancelling import Cancellation, RunEndedError, cancel_run
from tagent.pipeline.events import RunFinished, RunHalted, StepCancelled
from tagent.pipeline.journal import claim_watch as watching
from tagent.pipeline.journal import lease
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.persistence import RunJournal
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.transfer.forking import fork_run
from tagent.ports import Batch, RunRecord, Services
from tagent.ports.documents import DocumentQuery
from tagent.ports.store_errors import ConflictError, StoreUnavailableError, UnknownRunError
from workers import until

STUCK_SECONDS = 60.0
"""After this long something is stuck, and the test fails instead of waiting for ever."""


@pytest.fixture(autouse=True)
def _only_looking_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, and renew nothing: renewing would tell as well, much later."""
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(lease.keeper, "keep", lambda _: None)


class Held:
    """Step functions that begin and do not end by themselves."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.was_cut_off = False

    async def wait(self) -> None:
        """Wait for ever."""
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cut_off = True
            raise


def held() -> tuple[Pipeline, Held]:
    """Return a pipeline with a step that is done, one that runs for ever, and one behind it."""
    hold = Held()
    pipeline = Pipeline("held").step("done", run=returning("done")).step("long", run=hold.wait, depends_on=["done"])
    return pipeline.step("after", run=returning("after"), depends_on=["long"]), hold


def ended_well() -> Pipeline:
    """Return the same pipeline, in which what is done must not be done again and the long step ends."""
    pipeline = Pipeline("held").step("done", run=raising(ValueError("It is done.")))
    pipeline.step("long", run=returning("long"), depends_on=["done"])
    return pipeline.step("after", run=returning("after"), depends_on=["long"])


@asynccontextmanager
async def driven(
    pipeline: Pipeline, opened: Services, began: asyncio.Event
) -> AsyncIterator[asyncio.Task[PipelineResult]]:
    """Give the task that runs `pipeline`, once its step has begun."""
    with ungrouped():
        async with asyncio.timeout(STUCK_SECONDS), asyncio.TaskGroup() as group:
            task = group.create_task(PipelineExecutor(pipeline, services=opened).execute())
            await began.wait()
            yield task


def found(result: PipelineResult) -> dict[str, tuple[str, str]]:
    """Return step name -> its status and code."""
    return {name: (str(step["status"]), step["code"]) for name, step in result.step_metadata.items()}


async def test_a_cancelled_run_stops_its_steps_and_its_driver_returns_what_it_came_to() -> None:
    """Whoever waits for it learns why it ended, and what is done."""
    pipeline, hold = held()
    recorder = Recorder()
    opened = services(sinks=(recorder,))
    async with driven(pipeline, opened, hold.began) as task:
        cancelled = await cancel_run("run-1", opened, reason="It costs too much.")
    assert cancelled == Cancellation("run-1", "held", ("done",), ("long",), ("after",))
    assert hold.was_cut_off
    result = task.result()
    assert (result.status, result.success, result.step_outputs) == (RunStatus.CANCELLED, False, {"done": "done"})
    assert found(result) == {
        "done": ("completed", ""),
        "long": ("cancelled", "run.cancelled"),
        "after": ("cancelled", "run.cancelled"),
    }
    events = await load_events(opened.store, "run-1")
    (halted,) = [event for event in events if isinstance(event, RunHalted)]
    assert (halted.code, halted.reason) == ("run.cancelled", "It costs too much.")
    assert halted.actor == opened.processes.user()
    assert [type(event) for event in events[events.index(halted) :]] == [
        RunHalted, StepCancelled, StepCancelled, RunFinished
    ]  # fmt: skip
    assert recorder.events == list(events), "whoever watches sees the end, and nothing twice"
    run = await opened.store.run("run-1")
    assert (run.status, run.owner, run.finished_at is None) == ("cancelled", "", False)


async def test_a_run_that_nobody_drives_is_cancelled_too() -> None:
    """Else a worker would take it up."""
    opened = services()
    await PipelineExecutor(chain("a", "b"), services=opened).execute()
    fork = await fork_run("run-1", opened, from_step="b")
    assert (await cancel_run(fork.run_id, opened)).left == ("b",)
    assert (await opened.store.run(fork.run_id)).status == "cancelled"


async def test_a_cancel_of_a_run_that_is_driven_leaves_no_question_open() -> None:
    """Its driver looks for answers all the time, and must not ask anew what it finds taken back."""
    hold = Held()
    inner = Pipeline("inner").step("pay", run=returning("paid"), approval=True)
    pipeline = Pipeline("asks", default_mode=CONCURRENT).step("long", run=hold.wait)
    pipeline.step("numbers", run=returning([1, 2])).step("each", pipeline=inner, for_each="numbers")
    pipeline.step("start", run=returning(1), approval=True).step("draft", run=returning(2), approval="output")
    opened = services()
    async with driven(pipeline, opened, hold.began) as task:
        while len(asked := await open_approvals(opened)) < 4:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        assert {it.step for it in asked} == {"each/0/pay", "each/1/pay", "start", "draft"}
        await cancel_run("run-1", opened)
    assert task.result().status is RunStatus.CANCELLED
    assert await opened.store.documents(DocumentQuery(SCOPE)) == []


async def test_a_step_that_waits_for_its_next_attempt_gets_none() -> None:
    """A run may wait for hours between two attempts."""
    tried = asyncio.Event()

    async def fail() -> None:
        tried.set()
        raise OSError("no")

    class Stopped:
        """A clock on which nothing is ever due."""

        def now(self) -> float:
            """Return the time."""
            return 0.0

        async def sleep(self, seconds: float) -> None:
            """Sleep for ever."""
            await asyncio.sleep(10**6 * seconds)

        def timeout(self, seconds: float | None) -> asyncio.Timeout:
            """Wait for ever."""
            return asyncio.timeout(None if seconds is None else 10**6 * seconds)

    recorder = Recorder()
    opened = services(clock=Stopped(), sinks=(recorder,))
    async with driven(Pipeline("p").step("a", run=fail), opened, tried) as task:
        await until(lambda: "StepFailed" in recorder.kinds())
        assert (await cancel_run("run-1", opened)).stopped == ("a",)
    assert found(task.result()) == {"a": ("cancelled", "run.cancelled")}


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED])
async def test_a_run_that_has_ended_cannot_be_cancelled(status: RunStatus) -> None:
    """Its end is on record, and somebody may have acted on it."""
    opened = services()
    pipeline = (
        Pipeline("p").step("a", run=raising(ValueError("no")), max_retries=0) if status != "completed" else chain("a")
    )
    await PipelineExecutor(pipeline, services=opened).execute()
    run_id = "run-1"
    if status is RunStatus.CANCELLED:
        run_id = (await fork_run("run-1", opened, from_step="a")).run_id
        await cancel_run(run_id, opened)
    before = await opened.store.records(run_id)
    epoch = (await opened.store.run(run_id)).epoch
    with pytest.raises(RunEndedError, match=str(status)) as raised:
        await cancel_run(run_id, opened)
    assert (raised.value.status, raised.value.run_id) == (status, run_id)
    assert await opened.store.records(run_id) == before
    assert (await opened.store.run(run_id)).epoch == epoch, "nobody who resumes it is in the way"


async def test_an_unknown_run_is_named_with_the_nearest() -> None:
    """Ids are typed by people."""
    opened = services()
    await PipelineExecutor(chain("a"), services=opened).execute()
    with pytest.raises(UnknownRunError, match="Did you mean 'run-1'"):
        await cancel_run("run-l", replace(opened, store_url="lasting://"))


class Slow:
    """A store whose every call takes its time, as if on another machine."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        method = getattr(self._store, name)

        async def call(*arguments: object, **options: object) -> object:
            await asyncio.sleep(0)
            return await method(*arguments, **options)

        return call


def elsewhere(store: object) -> Services:
    """Return the services of somebody who has a way of his own to the store."""
    return replace(services(store=store), store_url="lasting://")  # type: ignore[arg-type]  # it passes all on


async def test_of_several_who_cancel_at_once_one_wins() -> None:
    """The others are told that it is cancelled; the journal holds one end."""
    pipeline, hold = held()
    store = MemoryStore()
    outcomes: list[object] = []

    async def one(number: int) -> None:
        opened = replace(elsewhere(Slow(store)), random=lambda: number / 10)
        try:
            outcomes.append(await cancel_run("run-1", opened))
        except RunEndedError as error:
            outcomes.append(error.status)

    async with driven(pipeline, services(store=store), hold.began) as task, asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(one(number))
    assert sum(isinstance(outcome, Cancellation) for outcome in outcomes) == 1
    assert outcomes.count(RunStatus.CANCELLED) == 7
    assert task.result().status is RunStatus.CANCELLED
    assert sum(isinstance(event, RunFinished) for event in await load_events(store, "run-1")) == 1


async def test_a_cancelled_run_can_be_resumed_and_does_what_was_left() -> None:
    """A cancel takes nothing away for good."""
    pipeline, hold = held()
    opened = services()
    async with driven(pipeline, opened, hold.began):
        await cancel_run("run-1", opened)
    result = await resume_run("run-1", opened, TAgentConfig(), pipeline=ended_well())
    assert (result.status, result.final_output) == (RunStatus.COMPLETED, "after")
    assert result.step_metadata["done"]["attempts"] == 1


async def test_who_cancels_and_dies_before_he_has_written_it_has_not_cancelled() -> None:
    """The old driver is out all the same; the run is there to be resumed."""
    pipeline, hold = held()
    opened = services()
    other = everybody_is_gone(opened)
    with pytest.raises(ConflictError):
        async with driven(pipeline, replace(opened, processes=other.processes), hold.began):
            await RunJournal.claim(opened, "run-1", lease_seconds=15, by_force=True)
    assert hold.was_cut_off
    assert (await opened.store.run("run-1")).status == "running"


async def test_a_driver_waits_for_the_word_of_who_took_its_run() -> None:
    """Between the taking over and the end that is written, a long journal may have to be read."""
    pipeline, hold = held()
    asked = 0

    class Asked(MemoryStore):
        async def run(self, run_id: str) -> RunRecord:
            nonlocal asked
            asked += hold.was_cut_off
            return await super().run(run_id)

        async def commit(self, batch: Batch) -> None:
            """Let whoever cancels hesitate."""
            if batch.epoch > 1:
                await until(lambda: asked > 1, turns=10**9)
            await super().commit(batch)

    opened = services(store=Asked())
    async with driven(pipeline, opened, hold.began) as task:
        await cancel_run("run-1", opened)
    assert task.result().status is RunStatus.CANCELLED


async def test_a_run_that_ends_just_before_it_is_taken_over_has_ended() -> None:
    """Whoever cancels learns it from the journal, and leaves nothing behind."""
    pipeline, hold = held()
    store = MemoryStore()

    class EndsFirst(Slow):
        async def claim(self, run_id: str, **options: object) -> object:
            other = everybody_is_gone(services(store=store))
            await resume_run(run_id, other, TAgentConfig(), pipeline=ended_well())
            return await store.claim(run_id, **options)  # type: ignore[arg-type]  # passes all on

    with suppress(ConflictError):  # it was taken from its driver, to go on with it
        async with driven(pipeline, services(store=store), hold.began):
            with pytest.raises(RunEndedError, match="completed"):
                await cancel_run("run-1", elsewhere(EndsFirst(store)))
    run = await store.run("run-1")
    assert (run.status, run.owner) == ("completed", "")


async def test_a_driver_whose_run_was_cancelled_and_resumed_tells_of_the_cancel() -> None:
    """What became of the run later is not what became of his."""
    pipeline, hold = held()
    opened = services()
    async with driven(pipeline, opened, hold.began) as task:
        await cancel_run("run-1", opened)
        assert (await resume_run("run-1", opened, TAgentConfig(), pipeline=ended_well())).success
    assert task.result().status is RunStatus.CANCELLED
    assert found(task.result())["after"] == ("cancelled", "run.cancelled")


async def test_a_run_that_was_taken_over_to_go_on_with_it_is_not_taken_for_cancelled() -> None:
    """Its old driver must not tell anybody that it has ended."""
    pipeline, hold = held()
    opened = services()
    with pytest.raises(ConflictError):
        async with driven(pipeline, opened, hold.began):
            assert (await resume_run("run-1", everybody_is_gone(opened), TAgentConfig(), pipeline=ended_well())).success


async def test_a_store_that_is_away_is_asked_again() -> None:
    """Looking whether the claim still holds must not end a run that could go on."""
    looks = 0
    open_gate = asyncio.Event()

    class Away(MemoryStore):
        async def run(self, run_id: str) -> RunRecord:
            nonlocal looks
            looks += 1
            if looks == 3:
                open_gate.set()
            raise StoreUnavailableError("It is away.")

    async def gate() -> str:
        await open_gate.wait()
        return "through"

    result = await PipelineExecutor(Pipeline("p").step("gate", run=gate), services=services(store=Away())).execute()
    assert result.success


async def test_a_short_run_never_looks_at_its_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """What only long runs need, short ones do not pay for."""
    monkeypatch.setattr(watching, "LOOK_SECONDS", 60.0)

    class NotLookedAt(MemoryStore):
        async def run(self, run_id: str) -> RunRecord:
            raise AssertionError(run_id)

    assert (await PipelineExecutor(chain("a", "b"), services=services(store=NotLookedAt())).execute()).success


async def test_a_run_in_memory_is_cancelled_from_another_thread() -> None:
    """Its store belongs to the loop that drives it; a blocking step is told by its context."""
    told: list[bool] = []

    def blocking(context: StepContext) -> None:
        cancelled = cancel(context.run_id, reason="Enough.")
        assert cancelled.stopped == ("blocking",)
        while not context.cancelled:
            pass
        told.append(True)

    pipeline = Pipeline("p").step("blocking", run=blocking).step("after", run=returning(1), depends_on=["blocking"])
    result = await arun_pipeline(pipeline, store="memory://")
    assert found(result) == {"blocking": ("cancelled", "run.cancelled"), "after": ("cancelled", "run.cancelled")}
    assert result.step_metadata["after"]["reason"] == "Enough."
    await until(lambda: told)


async def test_a_run_in_memory_is_cancelled_from_its_own_loop() -> None:
    """Waiting there for the loop that waits would never end."""

    async def stop(context: StepContext) -> None:
        cancel(context.run_id)
        await asyncio.Event().wait()

    assert (await arun_pipeline(Pipeline("p").step("stop", run=stop), store="memory://")).status == "cancelled"


async def test_a_run_in_the_memory_of_another_process_is_refused_clearly() -> None:
    """Nobody can reach it."""
    with pytest.raises(UnknownRunError, match="known only in the process that drives it"):
        await acancel("0a1b", {"store": "memory://"})


async def test_concurrent_steps_are_all_stopped() -> None:
    """Not only the first that is found."""
    holds = [Held() for _ in range(5)]
    pipeline = Pipeline("p", default_mode=CONCURRENT)
    for number, hold in enumerate(holds):
        pipeline.step(f"s{number}", run=hold.wait)
    opened = services()
    async with driven(pipeline, opened, holds[-1].began) as task:
        assert len((await cancel_run("run-1", opened)).stopped) == 5
    assert all(hold.was_cut_off for hold in holds)
    assert {status for status, _ in found(task.result()).values()} == {StepStatus.CANCELLED}


async def test_the_parts_of_a_step_are_stopped_and_those_that_are_done_are_kept() -> None:
    """Of a thousand items the work of nine hundred is not thrown away."""
    hold = Held()
    is_mended = False
    calls: list[int] = []

    async def work(item: int) -> int:
        calls.append(item)
        if item >= 2 and not is_mended:
            await hold.wait()
        return item * 10

    pipeline = (
        Pipeline("p")
        .step("items", run=returning([0, 1, 2, 3, 4]))
        .step("each", run=work, for_each="items", execution_mode=ExecutionMode.PARALLEL_MERGE, max_concurrency=2)
    )
    pipeline.step("last", run=returning("last"), depends_on=["each"], condition="size(steps.each) > 0")
    opened = services()
    async with driven(pipeline, opened, hold.began) as task:
        cancelled = await cancel_run("run-1", opened)
    assert (cancelled.stopped, cancelled.left) == (("each",), ("last",))
    parts = task.result().step_metadata["each"]["parts"]
    assert {part: str(it["status"]) for part, it in parts.items()} == {
        "0": "completed", "1": "completed", "2": "cancelled", "3": "cancelled"
    }  # fmt: skip
    is_mended = True
    result = await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline)
    assert (result.final_output, result.step_outputs["each"]) == ("last", [0, 10, 20, 30, 40])
    assert calls == [0, 1, 2, 3, 2, 3, 4]


async def test_a_run_that_is_being_rolled_back_is_cancelled_too() -> None:
    """A compensation that does not end must not keep a run for ever."""
    hold = Held()
    pipeline = Pipeline("p", on_failure="rollback").step("paid", run=returning(1), compensate=hold.wait)
    pipeline.step("fails", run=raising(ValueError("no")), max_retries=0, depends_on=["paid"])
    opened = services()
    async with driven(pipeline, opened, hold.began) as task:
        await cancel_run("run-1", opened)
    assert hold.was_cut_off
    assert task.result().status is RunStatus.CANCELLED
    assert found(task.result())["paid"][0] == "completed"
