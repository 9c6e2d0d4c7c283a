"""Generated pipelines: whatever they look like and whatever fails, the promises hold."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import CONCURRENT, run, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent.config import TAgentConfig
from tagent.pipeline import (
    ExecutionMode,
    Pipeline,
    PipelineExecutor,
    PipelineResult,
    PipelineState,
    StepContext,
    StepStatus,
)
from tagent.pipeline.course.commands import SkipStep, StartStep
from tagent.pipeline.events import RunEvent, StepCompleted, StepFailed, StepSkipped, StepStarted
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.journal.serialization import event_of, record_of
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.scheduler import next_commands, ready_steps
from tagent.pipeline.state import apply, fold


@dataclass(frozen=True)
class StepPlan:
    """How a generated step behaves: whom it waits for, how often it fails, how long it takes."""

    before: frozenset[int]
    mode: ExecutionMode
    failures: int
    is_broken: bool
    turns: int


@st.composite
def step_plans(draw: st.DrawFn) -> tuple[StepPlan, ...]:
    """Draw a directed acyclic graph of up to 12 steps: each may only wait for earlier ones."""
    size = draw(st.integers(1, 12))
    return tuple(
        StepPlan(
            before=frozenset(draw(st.sets(st.integers(0, place - 1), max_size=4)) if place else ()),
            mode=draw(st.sampled_from([ExecutionMode.SERIAL, CONCURRENT])),
            failures=draw(st.integers(0, 3)),
            is_broken=draw(st.booleans()) and draw(st.booleans()),
            turns=draw(st.integers(0, 3)),
        )
        for place in range(size)
    )


def behaviour(plan: StepPlan, place: int) -> Callable[[StepContext], Awaitable[dict[str, int]]]:
    """Return a step function that takes its turns, fails in its first attempts, then gives its place."""

    async def work(run: StepContext) -> dict[str, int]:
        for _ in range(plan.turns):
            await asyncio.sleep(0)
        if plan.is_broken:
            raise TypeError("broken")
        if run.attempt <= plan.failures:
            raise RuntimeError("flaky")
        return {"place": place}

    return work


def build(plans: tuple[StepPlan, ...]) -> Pipeline:
    """Return a pipeline of these steps, named s0, s1, ... by place, each with two retries."""
    pipeline = Pipeline("generated")
    for place, plan in enumerate(plans):
        before = [f"s{n}" for n in sorted(plan.before)]
        work = behaviour(plan, place)
        pipeline.step(f"s{place}", run=work, depends_on=before, execution_mode=plan.mode, max_retries=2)
    return pipeline


def expected(plans: tuple[StepPlan, ...]) -> dict[str, StepStatus]:
    """Return the final statuses as a reader of the rules would work them out."""
    statuses: dict[str, StepStatus] = {}
    for place, plan in enumerate(plans):
        if any(statuses[f"s{n}"] is not StepStatus.COMPLETED for n in plan.before):
            statuses[f"s{place}"] = StepStatus.SKIPPED
        else:
            works = not plan.is_broken and plan.failures <= 2
            statuses[f"s{place}"] = StepStatus.COMPLETED if works else StepStatus.FAILED
    return statuses


def journal_of(plans: tuple[StepPlan, ...]) -> tuple[Pipeline, list[RunEvent]]:
    pipeline = build(plans)
    return pipeline, asyncio.run(run(pipeline)).events


@settings(max_examples=120, deadline=None)
@given(step_plans())
def test_every_run_ends_with_the_statuses_that_the_rules_give(plans: tuple[StepPlan, ...]) -> None:
    """One final status with a reason for every step, whatever failed in whichever order."""
    result = asyncio.run(run(build(plans))).result
    assert {name: meta["status"] for name, meta in result.step_metadata.items()} == expected(plans)
    for metadata in result.step_metadata.values():
        assert bool(metadata["reason"]) is (metadata["status"] is not StepStatus.COMPLETED)


@settings(max_examples=120, deadline=None)
@given(step_plans())
def test_folding_the_journal_gives_the_live_state(plans: tuple[StepPlan, ...]) -> None:
    """Promise 4: after a crash, what is read from the records is what was in memory."""
    pipeline = build(plans)
    ran = asyncio.run(run(pipeline))
    read_back = [event_of(record_of(event, seq)) for seq, event in enumerate(ran.events, 1)]
    state = fold(ExecutionGraph.build(pipeline), read_back)
    assert state.statuses == ran.executor.scheduler.step_status
    assert state.status is ran.result.status
    assert {n: r.output for n, r in state.steps.items() if r.output is not None} == ran.result.step_outputs
    assert {n: r.attempts for n, r in state.steps.items()} == {
        n: meta["attempts"] for n, meta in ran.result.step_metadata.items()
    }


@settings(max_examples=120, deadline=None)
@given(step_plans())
def test_no_step_starts_before_what_it_depends_on_is_committed(plans: tuple[StepPlan, ...]) -> None:
    """Promises 1 and 2: the journal's order is the order in which things were allowed to happen."""
    _, events = journal_of(plans)
    completed: set[str] = set()
    started: list[tuple[str, int]] = []
    serial_running: str = ""
    for event in events:
        match event:
            case StepStarted(step, attempt):
                plan = plans[int(step[1:])]
                assert {f"s{n}" for n in plan.before} <= completed
                started.append((step, attempt))
                if plan.mode is ExecutionMode.SERIAL:
                    assert not serial_running, "SERIAL steps overlap"
                    serial_running = step
            case StepCompleted(step) | StepFailed(step):
                assert any(name == step for name, _ in started), "an outcome without a start"
                serial_running = "" if serial_running == step else serial_running
                if isinstance(event, StepCompleted):
                    completed.add(step)
            case _:
                pass
    assert len(set(started)) == len(started), "an attempt started twice"


@settings(max_examples=120, deadline=None)
@given(step_plans(), st.randoms())
def test_the_counting_state_agrees_with_the_rule_as_a_reader_states_it(
    plans: tuple[StepPlan, ...], chance: object
) -> None:
    """`apply` counts down what `ready_steps` works out afresh; they must never differ."""
    graph = ExecutionGraph.build(build(plans))
    state = PipelineState(graph)
    running: list[str] = []
    for now in itertools.count():
        commands = next_commands(state, now)
        starts = [command.step for command in commands if isinstance(command, StartStep)]
        skips = [command for command in commands if isinstance(command, SkipStep)]
        for skip in skips:
            apply(state, StepSkipped(skip.step, skip.code, skip.reason, now))
        if skips:
            continue  # the scheduler is asked again before anything starts
        assert starts == list(ready_steps(graph, state.statuses))
        for name in starts:
            apply(state, StepStarted(name, 1, "key", now))
            running.append(name)
        if not state.unfinished:
            break
        if running:
            name = running.pop(chance.randrange(len(running)))  # type: ignore[attr-defined]  # a random.Random
            broken = plans[int(name[1:])].is_broken
            apply(state, StepFailed(name, 1, "c", "r", None, now) if broken else StepCompleted(name, 1, None, now))


@settings(max_examples=150, deadline=None)
@given(step_plans(), st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=3))
def test_crashes_anywhere_and_a_resume_give_what_no_crash_gives(
    plans: tuple[StepPlan, ...], crashes: list[tuple[int, bool]]
) -> None:
    """Promise 4: the process dies before or after any commits, again and again, and the end is the same."""

    async def disturbed() -> PipelineResult | None:
        store = CrashingStore()
        opened = everybody_is_gone(services(store=store))
        for number, (at, is_written) in enumerate([*crashes, (10**9, True)]):
            store.arm(at, is_written=is_written)
            pipeline = build(plans)
            try:
                if number == 0:
                    return await PipelineExecutor(pipeline, services=opened).execute()
                return await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline)
            except Crash:
                if not await store.runs() or (await store.records("run-1"))[-1].kind == "RunFinished":
                    return None  # it did not begin, or was at its end: resuming that is another matter
        raise AssertionError("the last round does not crash")

    undisturbed = asyncio.run(run(build(plans))).result
    result = asyncio.run(disturbed())
    if result is not None:
        assert result.step_outputs == undisturbed.step_outputs
        assert result.status is undisturbed.status
        attempts = [{n: m["attempts"] for n, m in r.step_metadata.items()} for r in (result, undisturbed)]
        assert attempts[0] == attempts[1]


@settings(max_examples=60, deadline=None)
@given(step_plans(), st.lists(st.integers(0, 3), min_size=12, max_size=12))
def test_the_order_in_which_steps_finish_does_not_change_the_result(
    plans: tuple[StepPlan, ...], turns: list[int]
) -> None:
    """Promise 13: the same steps at other speeds give the same statuses and outputs."""
    others = tuple(StepPlan(p.before, p.mode, p.failures, p.is_broken, t) for p, t in zip(plans, turns, strict=False))
    one, other = (asyncio.run(run(build(chosen))).result for chosen in (plans, others))
    assert one.step_outputs == other.step_outputs
    assert one.status is other.status
    assert one.final_output == other.final_output
