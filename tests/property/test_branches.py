"""What validation says of branches, held against every way that a run can go."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tagent.pipeline import Dependency, DependencyType, Pipeline, StepStatus, validate, when
from tagent.pipeline.course.commands import FinishRun, SkipStep, StartStep
from tagent.pipeline.course.skip_codes import LEFT_OUT
from tagent.pipeline.events import RunStarted, StepCompleted, StepSkipped, StepStarted
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.scheduler import next_commands
from tagent.pipeline.state import PipelineState, apply
from tagent.pipeline.validating.branches import Branches

ROUTERS = 3


@dataclass(frozen=True)
class Drawn:
    """A step: what starts it, what it needs, and what it only waits for.

    Attributes:
        chosen: Routers and their routes that start it.
        needed: Steps whose output it cannot do without.
        awaited: Steps that it waits for.
    """

    chosen: tuple[tuple[int, str], ...]
    needed: tuple[int, ...]
    awaited: tuple[int, ...]


@st.composite
def drawn_steps(draw: st.DrawFn) -> tuple[Drawn, ...]:
    """Draw steps of which each stands behind the routers and needs only what stands before it."""
    routes = st.tuples(st.integers(0, ROUTERS - 1), st.sampled_from(["then", "otherwise"]))
    steps: list[Drawn] = []
    for place in range(draw(st.integers(2, 7))):
        few = st.lists(st.sampled_from(range(place)), unique=True, max_size=2).map(tuple) if place else st.just(())
        steps.append(Drawn(draw(st.lists(routes, unique=True, max_size=2).map(tuple)), draw(few), draw(few)))
    return tuple(steps)


def built(steps: Sequence[Drawn], nested: int) -> Pipeline:
    """Return the pipeline: `nested` of the routers are started by the one before them."""
    pipeline = Pipeline("p")
    for number in range(ROUTERS):
        router = when(f"inputs.w{number}", name=f"w{number}")
        for place, step in enumerate(steps):
            for at, route in step.chosen:
                if at == number:
                    (router.then if route == "then" else router.otherwise)(f"s{place}")
        if number < nested:
            router.then(f"w{number + 1}")
        pipeline.add_step(router.then("always").otherwise("always"))
    pipeline.step("always", run=lambda: 0)
    for place, step in enumerate(steps):
        needed = [Dependency(f"s{n}", DependencyType.DATA) for n in step.needed]
        awaited = [f"s{n}" for n in step.awaited if n not in step.needed]
        pipeline.step(f"s{place}", run=giving(place), depends_on=[*needed, *awaited])
    return pipeline


def giving(place: int) -> Callable[[], int]:
    """Return a function that gives a number."""
    return lambda: place


def done_in(graph: ExecutionGraph, ways: Sequence[bool]) -> set[str]:
    """Return which steps complete if the routers decide like this. No step is run: the state is asked alone."""
    state = PipelineState(graph)
    apply(state, RunStarted("run-1", "p", {f"w{n}": way for n, way in enumerate(ways)}, {}, 0.0))
    while not isinstance(command := next_commands(state, 0.0)[0], FinishRun):
        if isinstance(command, SkipStep):
            apply(state, StepSkipped(command.step, command.code, command.reason, 0.0))
            continue
        assert isinstance(command, StartStep)
        name = command.step
        output = ("then" if ways[int(name[1:])] else "otherwise") if name[:1] == "w" else 0
        apply(state, StepStarted(name, command.attempt, name, 0.0))
        apply(state, StepCompleted(name, command.attempt, output, 0.0))
    assert all(it.code in LEFT_OUT for name, it in state.steps.items() if state.statuses[name] is StepStatus.SKIPPED)
    return {name for name, status in state.statuses.items() if status is StepStatus.COMPLETED}


@given(drawn_steps(), st.integers(0, ROUTERS - 1))
def test_what_is_said_to_be_impossible_never_happens(steps: tuple[Drawn, ...], nested: int) -> None:
    """An error that forbids a run must be right, and so must what a default is not asked for by."""
    pipeline = built(steps, nested)
    graph = ExecutionGraph.build(pipeline)
    branches = Branches.of(graph)
    problems = {problem.step for problem in validate(pipeline) if problem.severity == "error"}
    assert problems == branches.clashes.keys()
    for ways in itertools.product([True, False], repeat=ROUTERS):
        done = done_in(graph, ways)
        assert not done & branches.clashes.keys()
        for name in done:
            for router, routes in branches.ways.get(name, {}).items():
                assert router in done
                assert ("then" if ways[int(router[1:])] else "otherwise") in routes
            for step in steps[int(name[1:])].needed if name.startswith("s") else ():
                assert f"s{step}" in done
