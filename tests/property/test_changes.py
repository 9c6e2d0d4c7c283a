"""Random changes of random pipelines: what the fold makes of them is what the changed pipeline is, crash or not."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import CONCURRENT, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent.config import TAgentConfig
from tagent.pipeline import (
    Dependency,
    DependencyType,
    Fallback,
    Pipeline,
    PipelineExecutor,
    PipelineResult,
    PipelineStep,
    StepContext,
    repeat,
    when,
)
from tagent.pipeline.course.reopening import recount
from tagent.pipeline.course.run_state import PipelineState
from tagent.pipeline.events import RunEvent, StepCompleted
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.kinds import StepStatus
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.state import apply, fold
from tagent.pipeline.stored.changed import with_changes
from tagent.pipeline.stored.definition import Definition, Origin, outline
from tagent.testing import ScriptedModel

CALLS: Counter[str] = Counter()


async def say(context: StepContext) -> str:
    """Give the name of the step."""
    CALLS[context.step] += 1
    return context.step


async def fail() -> str:
    """Fail."""
    raise TypeError("no")


async def shout(item: str) -> str:
    """Give an item in capitals."""
    return item.upper()


@dataclass(frozen=True)
class Move:
    """One call of a plan; what it names is chosen among the steps that there are, or are to be."""

    kind: str
    first: int
    second: int
    option: int


@dataclass(frozen=True)
class World:
    """A pipeline, and what its steps change.

    Attributes:
        kinds: What each step is.
        before: For each step, which of the earlier ones it depends on, as bits.
        plans: Step -> what it changes.
    """

    kinds: tuple[int, ...]
    before: tuple[int, ...]
    plans: tuple[tuple[int, tuple[Move, ...]], ...]


moves = st.builds(
    Move,
    st.sampled_from(["step", "step", "depend", "undepend", "enable", "disable"]),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Return a world of a few steps, of which one or two change others."""
    count = draw(st.integers(2, 5))
    kinds = tuple(draw(st.lists(st.integers(0, 9), min_size=count, max_size=count)))
    bits = draw(st.lists(st.integers(0, 31), min_size=count, max_size=count))
    makers = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=2, unique=True))
    if draw(st.integers(0, 4)):  # mostly what is changed has not begun
        bits = [it | sum(1 << m for m in makers if m < place) for place, it in enumerate(bits)]
    before = tuple(bits)
    return World(kinds, before, tuple((m, tuple(draw(st.lists(moves, min_size=1, max_size=5)))) for m in makers))


def step_of(name: str, kind: int, depends_on: list[str | Dependency]) -> PipelineStep:
    """Return a step of one of ten kinds."""
    step = PipelineStep(name=name, run=say, depends_on=depends_on, execution_mode=CONCURRENT, max_retries=0)
    first = next((dep for dep in depends_on if isinstance(dep, str)), "")
    match kind:
        case 1:
            return replace(step, run=fail, optional=True)
        case 2:
            return replace(step, run=fail, on_error=Fallback(output="instead"))
        case 3:
            return replace(step, enabled=False)
        case 4:
            return replace(step, condition="inputs.n > 1")
        case 5:
            return replace(step, condition="inputs.n > 2")
        case 6 if first:
            return replace(step, run=None, goal=f"Tell {{{first}}}")
        case 7:
            return repeat(step, max_times=2)
        case 8 if first:
            return replace(step, depends_on=[*depends_on, Dependency(first, DependencyType.SOFT, wait_seconds=0)])
        case 9:
            return replace(step, execution_mode="serial")  # type: ignore[arg-type]  # as a file has it
        case _:
            return step


def carry_out(context: StepContext, world: World, plan: tuple[Move, ...]) -> None:
    """Make the calls of a plan; most of them fit."""
    names = [f"s{n}" for n in range(len(world.kinds))]
    behind = names[names.index(context.step) + 1 :]
    for place, move in enumerate(plan):
        if move.kind == "step":
            name = f"{context.step}_{place}"
            some = list(dict.fromkeys(names[at % len(names)] for at in (move.first, move.second)))
            context.plan.add(step_of(name, move.option, [*some]))
            if move.option == 5:
                context.plan.add(step_of(f"{name}_then", 0, []))
                context.plan.add(when("inputs.n > 1", name=f"{name}_when").then(f"{name}_then"))
            names.append(name)
            continue
        if not behind:
            continue
        target = behind[move.first % len(behind)]
        at = names.index(target)
        bits = world.before[at]
        if move.kind == "depend" and move.option:
            new = [it for it in names if "_" in it] or [it for n, it in enumerate(names[:at]) if not bits >> n & 1]
            for source in new[move.second % len(new) :][:1] if new else []:
                context.plan.depend(target, on=Dependency(source, list(DependencyType)[move.option % 2]))
        elif move.kind == "undepend":
            old = [it for n, it in enumerate(names[:at]) if bits >> n & 1]
            for source in old[move.second % len(old) :][:1] if old else []:
                context.plan.undepend(target, on=source)
        elif move.kind == "enable":
            context.plan.enable(target)
        else:
            context.plan.disable(target)


def pipeline_of(world: World) -> Pipeline:
    """Return its pipeline."""
    pipeline = Pipeline("world")
    plans = dict(world.plans)
    for place, (kind, bits) in enumerate(zip(world.kinds, world.before, strict=True)):
        before: list[str | Dependency] = [f"s{n}" for n in range(place) if bits >> n & 1]
        step = step_of(f"s{place}", kind if place not in plans else 0, before)
        if place in plans:
            step.run = maker_of(world, plans[place])
        pipeline.add_step(step)
    return pipeline


def maker_of(world: World, plan: tuple[Move, ...]) -> Callable[..., object]:
    """Return the function of a step that changes others."""

    async def make(context: StepContext) -> str:
        CALLS[context.step] += 1
        carry_out(context, world, plan)
        return context.step

    return make


def comparable(graph: ExecutionGraph) -> ExecutionGraph:
    """Return the graph without the outputs of fallbacks, which are JSON values as long as they are only stored."""
    special = {
        name: replace(rules, fallback=rules.fallback and replace(rules.fallback, output=None))
        for name, rules in graph.special.items()
    }
    return replace(graph, special=special)


def waiting(state: PipelineState) -> dict[str, object]:
    """Return what a state counts, which has to be what counting afresh gives."""
    begun = {StepStatus.PENDING}
    return {
        "unmet": {name: state.unmet[name] for name, status in state.statuses.items() if status in begun},
        "ready": sorted(state.ready),
        "serial": sorted(state.ready_serial),
        "doomed": dict(state.doomed),
        "unfinished": state.unfinished,
        "startable": set(state.startable),
        "judge": set(state.to_judge),
    }


def drive(pipeline: Pipeline, store: CrashingStore) -> tuple[PipelineResult | None, object]:
    """Run it; None if it crashed."""
    opened = services(store=store, model=ScriptedModel(lambda _: "told"))
    try:
        return asyncio.run(PipelineExecutor(pipeline, inputs={"n": 2}, services=opened).execute()), opened
    except Crash:
        return None, opened


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_the_fold_of_a_changed_run_is_that_of_the_changed_pipeline(world: World) -> None:
    """Whoever looks at the run, with its code or without, sees the same steps, waiting for the same."""
    pipeline = pipeline_of(world)
    try:
        executor = PipelineExecutor(pipeline, inputs={"n": 2}, services=services())
    except Exception:  # noqa: BLE001 - a pipeline that is none
        return
    del executor
    store = CrashingStore()
    result, _ = drive(pipeline, store)
    assert result is not None
    events = asyncio.run(load_events(store, "run-1"))
    state = fold(ExecutionGraph.build(pipeline), events)
    assert comparable(state.graph) == comparable(ExecutionGraph.build(with_changes(pipeline, state.changes)))
    assert all(status.is_terminal for status in state.statuses.values())
    seen = fold(ExecutionGraph.build(outline(Definition.of(pipeline, Origin()))), events)
    assert list(seen.statuses.items()) == list(state.statuses.items())
    require_counted(ExecutionGraph.build(pipeline), events)


def require_counted(graph: ExecutionGraph, events: tuple[RunEvent, ...]) -> None:
    """Check that behind each change the counters are what counting afresh gives."""
    state = PipelineState(graph)
    for event in events:
        apply(state, event)
        if isinstance(event, StepCompleted) and event.change is not None:
            counted = waiting(state)
            broken = dict(state.broken)
            recount(state)
            state.broken.update(broken)
            assert waiting(state) == counted


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(1, 12), st.booleans())
def test_a_crash_changes_nothing_of_what_comes_of_it(world: World, at: int, is_written: bool) -> None:  # noqa: FBT001 - drawn
    """Every step comes to what it would have come to."""
    pipeline = pipeline_of(world)
    try:
        undisturbed, _ = drive(pipeline, CrashingStore())
    except Exception:  # noqa: BLE001 - a pipeline that is none
        return
    assert undisturbed is not None
    store = CrashingStore().arm(at, is_written=is_written)
    result, opened = drive(pipeline, store)
    if result is None:
        if at == 1 and not is_written:
            return  # there is no run
        result = asyncio.run(resume_run("run-1", everybody_is_gone(opened), TAgentConfig(), pipeline=pipeline))  # type: ignore[arg-type]  # services
    then = {name: (it["status"], it["code"]) for name, it in undisturbed.step_metadata.items()}
    now = {name: (it["status"], it["code"]) for name, it in result.step_metadata.items()}
    assert now.keys() == then.keys()
    if len(world.plans) == 1 and not any(move.option == 8 for _, plan in world.plans for move in plan):
        assert now == then
        assert result.step_outputs == undisturbed.step_outputs
    completed = Counter(it.step for it in asyncio.run(load_events(store, "run-1")) if isinstance(it, StepCompleted))
    assert set(completed.values()) <= {1}
