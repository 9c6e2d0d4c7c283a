"""Promise 8 on generated pipelines: whenever a cancel comes, no step starts behind it, and nothing is lost."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import CONCURRENT, services
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
from tagent.pipeline.driving.cancelling import RunEndedError, cancel_run
from tagent.pipeline.events import RunFinished, RunHalted, StepCancelled, StepCompleted, StepStarted
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.state import fold
from tagent.ports import Batch, Services
from tagent.ports.store_errors import UnknownRunError


@dataclass(frozen=True)
class StepPlan:
    """How a generated step behaves: whom it waits for, how often it fails, how long it takes."""

    before: frozenset[int]
    mode: ExecutionMode
    failures: int
    turns: int


@st.composite
def step_plans(draw: st.DrawFn) -> tuple[StepPlan, ...]:
    """Draw a directed acyclic graph of up to 12 steps: each may only wait for earlier ones."""
    return tuple(
        StepPlan(
            before=frozenset(draw(st.sets(st.integers(0, place - 1), max_size=3)) if place else ()),
            mode=draw(st.sampled_from([ExecutionMode.SERIAL, CONCURRENT])),
            failures=draw(st.integers(0, 1)),
            turns=draw(st.integers(0, 3)),
        )
        for place in range(draw(st.integers(1, 12)))
    )


class Effects:
    """What the steps have really done, in all lives of the run."""

    def __init__(self) -> None:
        self.begun: Counter[tuple[str, int]] = Counter()

    def pipeline(self, plans: tuple[StepPlan, ...]) -> Pipeline:
        """Return a pipeline of these steps, named s0, s1, ... by place, each with two retries."""
        pipeline = Pipeline("generated")
        for place, plan in enumerate(plans):
            before = [f"s{n}" for n in sorted(plan.before)]
            work = self._work(plan)
            pipeline.step(f"s{place}", run=work, depends_on=before, execution_mode=plan.mode, max_retries=2)
        return pipeline

    def _work(self, plan: StepPlan) -> Callable[[StepContext], Awaitable[int]]:
        async def work(run: StepContext) -> int:
            self.begun[run.step, run.attempt] += 1
            for _ in range(plan.turns):
                await asyncio.sleep(0)
            if run.attempt <= plan.failures:
                raise RuntimeError("flaky")
            return run.attempt

        return work


class SlowStore(MemoryStore):
    """Takes a few turns of the loop before it writes, and a few before it answers: anything may happen in between."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self._turns = turns

    async def commit(self, batch: Batch) -> None:
        """Append the batch's records; answer later."""
        await self._take_time()
        await super().commit(batch)
        await self._take_time()

    async def _take_time(self) -> None:
        for _ in range(self._turns):
            await asyncio.sleep(0)


async def cancelled_after(
    turns: int, opened: Services, drive: Callable[[], Coroutine[None, None, PipelineResult]]
) -> PipelineResult:
    """Drive a run, and let somebody cancel it after so many turns of the loop, if there is anything to cancel."""

    async def cancel() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        with suppress(UnknownRunError, RunEndedError):
            await cancel_run("run-1", opened)

    with ungrouped():
        async with asyncio.TaskGroup() as group:
            running = group.create_task(drive())
            group.create_task(cancel())
    return running.result()


@settings(max_examples=150, deadline=None)
@given(step_plans(), st.integers(0, 60), st.integers(0, 3))
def test_no_step_starts_behind_a_committed_cancel(
    plans: tuple[StepPlan, ...], cancel_after: int, slowness: int
) -> None:
    """Promise 8: every effect is of a start that was committed before the cancel, and no start comes behind it."""
    effects = Effects()
    opened = services(store=SlowStore(slowness))
    pipeline = effects.pipeline(plans)
    result = asyncio.run(cancelled_after(cancel_after, opened, PipelineExecutor(pipeline, services=opened).execute))
    events = asyncio.run(load_events(opened.store, "run-1"))
    started = Counter((event.step, event.attempt) for event in events if isinstance(event, StepStarted))
    assert effects.begun <= started, "nothing happened whose start is not on record"
    halts = [place for place, event in enumerate(events) if isinstance(event, RunHalted)]
    assert bool(halts) is (result.status is RunStatus.CANCELLED)
    for place in halts:
        assert all(isinstance(event, StepCancelled | RunFinished) for event in events[place + 1 :])
    statuses = fold(ExecutionGraph.build(pipeline), events).statuses
    assert statuses == {name: step["status"] for name, step in result.step_metadata.items()}
    assert set(statuses.values()) <= {StepStatus.COMPLETED, StepStatus.CANCELLED}
    for step in result.step_metadata.values():
        assert bool(step["reason"]) is (step["status"] is StepStatus.CANCELLED)


@settings(max_examples=60, deadline=None)
@given(step_plans(), st.lists(st.integers(0, 60), min_size=1, max_size=4), st.integers(0, 3))
def test_a_run_that_is_cancelled_and_resumed_again_and_again_comes_to_its_end(
    plans: tuple[StepPlan, ...], cancels: list[int], slowness: int
) -> None:
    """What is completed stays so, whatever comes in between."""
    opened = services(store=SlowStore(slowness))
    pipeline = Effects().pipeline(plans)
    resume = partial(resume_run, "run-1", opened, TAgentConfig(), pipeline=pipeline)

    async def work() -> PipelineResult:
        drive = PipelineExecutor(pipeline, services=opened).execute
        for turns in cancels:
            if (await cancelled_after(turns, opened, drive)).success:
                break
            drive = resume
        return await resume()

    assert asyncio.run(work()).status is RunStatus.COMPLETED
    events = asyncio.run(load_events(opened.store, "run-1"))
    completed = Counter(event.step for event in events if isinstance(event, StepCompleted))
    assert completed == Counter(step.name for step in pipeline.steps), "each step is completed once"
