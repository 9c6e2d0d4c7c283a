"""What it costs to validate and to schedule pipelines of 1,000 to 100,000 steps, in CPU time.

Nothing runs: the clock is a number, every attempt ends at once, and no event loop is there. What is timed are the pure
parts that a run goes through: checking the definition, which gives the graph, then every decision from the first step
to the last. Each figure is the best of several processes, each of which starts with nothing but the definition.

The floor is `graphlib.TopologicalSorter` on the same graph, which knows neither events nor states.
"""

import argparse
import gc
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from itertools import repeat
from pathlib import Path

from pydantic import BaseModel

from tagent.pipeline import Dependency, DependencyType, ExecutionMode, Fallback, Pipeline, RunStatus
from tagent.pipeline.attempts import AttemptFailed, AttemptSucceeded
from tagent.pipeline.driving.deciding import AttemptStart, Decider
from tagent.pipeline.events import PartStarted, RunStarted
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.state import PipelineState, apply
from tagent.pipeline.validation import checked
from tagent.task_agent.models import Failure

ROOT = Path(__file__).resolve().parent.parent
SIZES = (1_000, 10_000, 100_000)
LAYER_STEPS = 100
SOURCES = 3
PARTS = 10
PHASES = ("validate", "schedule", "total", "floor")


def layered(steps: int) -> Pipeline:
    """Return layers of 100 steps, each of which waits for 3 random ones of the layer before."""
    draw = random.Random(1)  # noqa: S311 - a graph, no secret
    pipeline = Pipeline("layered", default_mode=ExecutionMode.CONCURRENT)
    for place in range(steps):
        layer = place // LAYER_STEPS
        before = range((layer - 1) * LAYER_STEPS, layer * LAYER_STEPS)
        sources = sorted(draw.sample(before, SOURCES)) if layer else []
        pipeline.step(f"s{place}", "Do it", depends_on=[f"s{source}" for source in sources])
    return pipeline


def fan(steps: int) -> Pipeline:
    """Return one step, many that wait for it, and one that waits for all of them."""
    pipeline = Pipeline("fan", default_mode=ExecutionMode.CONCURRENT).step("first", "Do it")
    names = [f"s{place}" for place in range(steps - 2)]
    for name in names:
        pipeline.step(name, "Do it", depends_on=["first"])
    return pipeline.step("last", "Do it", depends_on=names)


def chain(steps: int) -> Pipeline:
    """Return steps of which each waits for the one before."""
    pipeline = Pipeline("chain").step("s0", "Do it")
    for place in range(1, steps):
        pipeline.step(f"s{place}", "Do it", depends_on=[f"s{place - 1}"])
    return pipeline


class Rating(BaseModel):
    """What the steps of `mixed` give that others look into."""

    score: float
    valid: bool
    items: list[int]


def mixed(steps: int) -> Pipeline:
    """Return blocks of 10 steps, each behind the one before, with every way to wait, to be left out and to fail.

    In each block two steps have conditions, of which one does not hold; one fails and is optional, one fails and is
    replaced, one has 10 items, one waits SOFT and one for a VALIDATION.
    """
    pipeline = Pipeline("mixed", default_mode=ExecutionMode.CONCURRENT)
    for place in range(0, steps, 10):
        root, low, high, fails, falls, stands_in, items, soft, valid, end = (f"s{place + i}" for i in range(10))
        before = [f"s{place - 1}"] if place else []
        pipeline.step(root, "Do it", depends_on=before, output_schema=Rating)
        pipeline.step(high, f"Use {{{root}.score}}", condition=f"steps.{root}.score > 5.0", output_schema=Rating)
        pipeline.step(low, "Do it", depends_on=[root], condition=f"steps.{root}.score < 5.0")
        pipeline.step(fails, "Fail", depends_on=[root], max_retries=0, optional=True)
        pipeline.step(falls, "Fail", depends_on=[root], max_retries=0, on_error=Fallback(stands_in))
        pipeline.step(stands_in, "Do it", depends_on=[root])
        pipeline.step(items, "Do {item}", for_each=f"{root}.items", execution_mode=ExecutionMode.PARALLEL_MERGE)
        pipeline.step(soft, "Do it", depends_on=[Dependency(fails, DependencyType.SOFT, wait_seconds=60), low])
        pipeline.step(valid, "Do it", depends_on=[Dependency(high, DependencyType.VALIDATION, check="output.valid")])
        pipeline.step(end, "Do it", depends_on=[soft, valid, items, falls])
    return pipeline


SHAPES: Mapping[str, Callable[[int], Pipeline]] = {"layered": layered, "fan": fan, "chain": chain, "mixed": mixed}
OUTPUT = {"score": 7.0, "valid": True, "items": list(range(PARTS))}


@dataclass(slots=True)
class Seconds:
    """CPU seconds by phase; `floor` includes building the sorter, as `validate` includes building the graph."""

    by_phase: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Note the time that the block takes."""
        gc.collect()
        start = time.process_time()
        yield
        self.by_phase[phase] = time.process_time() - start


def measure(shape: str, steps: int, *, count: int) -> dict[str, float]:
    """Return the CPU seconds of each phase for `count` pipelines; all that they come to is kept until the end.

    Raises:
        WrongEndError: If a run did not end as it must.
    """
    pipelines = [SHAPES[shape](steps) for _ in range(count)]
    seconds = Seconds()
    with seconds.timed("validate"):
        graphs = [checked(pipeline).graph for pipeline in pipelines]
    with seconds.timed("schedule"):
        states = [schedule(pipeline, graph) for pipeline, graph in zip(pipelines, graphs, strict=True)]
    for state in states:
        if state.status is not RunStatus.COMPLETED:
            raise WrongEndError(shape, state.status)
    sources = [{name: graph.dependencies(name) for name in graph.names} for graph in graphs]
    with seconds.timed("floor"):
        sorters = [sort(each) for each in sources]
    del sorters
    seconds.by_phase["total"] = seconds.by_phase["validate"] + seconds.by_phase["schedule"]
    return seconds.by_phase


class WrongEndError(Exception):
    """A run did not end as it must, so its time means nothing."""

    def __init__(self, shape: str, status: object) -> None:
        super().__init__(f"The run of {shape!r} ended as {status}.")


def schedule(pipeline: Pipeline, graph: ExecutionGraph) -> PipelineState:
    """Decide a whole run, in which every attempt ends a second after it began, and return its state at the end."""
    state = PipelineState(graph)
    definitions = {step.name: step for step in pipeline.steps}
    types = dict.fromkeys(definitions, OutputType())
    decider = Decider(state, definitions, types, is_abandoned=lambda _step, _part: False, random=lambda: 0.5)
    apply(state, RunStarted("run", pipeline.name, {}, {}, at=0.0))
    while not state.is_finished:
        now = state.last_at
        for start in decider.decide(repeat(now).__next__).starts:
            apply(state, decider.outcome(start, outcome_of(start, definitions[start.step].goal), now + 1.0))
    return state


def outcome_of(start: AttemptStart, goal: str | None) -> AttemptSucceeded | AttemptFailed:
    """Return how an attempt ends: it fails if that is the goal of its step."""
    if goal == "Fail":
        return AttemptFailed(Failure("step.failed", "It was to fail.", is_retryable=False))
    return AttemptSucceeded(start.part if isinstance(start, PartStarted) else OUTPUT)


def sort(sources: Mapping[str, Sequence[str]]) -> TopologicalSorter[str]:
    """Go through a graph as its steps get ready, which is what the standard library has for it."""
    sorter = TopologicalSorter(sources)
    sorter.prepare()
    while sorter.is_active():
        sorter.done(*sorter.get_ready())
    return sorter


def best_of(shape: str, steps: int, *, count: int = 1, passes: int) -> dict[str, float]:
    """Return the least CPU seconds of each phase over several fresh processes."""
    command = [sys.executable, "-m", "benchmarks.dag", "--one", shape, str(steps), str(count)]
    told = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True) for _ in range(passes)]
    found = [json.loads(each.stdout) for each in told]
    return {phase: min(seconds[phase] for seconds in found) for phase in PHASES}


def table_of(shapes: Sequence[str], *, passes: int) -> Iterator[str]:
    """Yield the lines of the table: µs of CPU per step, and the ratios of the largest pipeline to small ones.

    Small ones are measured alone, and as many of them as make the same number of steps.
    """
    small, middle, large = SIZES
    alike_as = f"{large // small} times {small:,}"
    sizes = f"{small:,} | {middle:,} | {large:,} | {alike_as}"
    yield f"| shape | phase | {sizes} | {large:,} / {small:,} | / {alike_as} | {middle:,} steps, s |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|"
    for shape in shapes:
        seconds = {steps: best_of(shape, steps, passes=passes) for steps in SIZES}
        alike = best_of(shape, small, count=large // small, passes=passes)
        for phase in PHASES:
            each = [*(seconds[steps][phase] * 1e6 / steps for steps in SIZES), alike[phase] * 1e6 / large]
            cells = [f"{micros:.1f}" for micros in each]
            cells += [f"{each[2] / each[0]:.2f}", f"{each[2] / each[3]:.2f}", f"{seconds[middle][phase]:.3f}"]
            yield f"| {shape} | {phase} | {' | '.join(cells)} |"


def main() -> int:
    """Print the table, or as `--one SHAPE STEPS COUNT` what one process measures."""
    parser = argparse.ArgumentParser(description="Measure validating and scheduling large pipelines.")
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=f"of {', '.join(SHAPES)}; all by default")
    parser.add_argument("--passes", type=int, default=3, help="processes for each figure (%(default)s)")
    parser.add_argument("--one", nargs=3, metavar=("SHAPE", "STEPS", "COUNT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        shape, steps, count = given.one
        print(json.dumps(measure(shape, int(steps), count=int(count))))
        return 0
    if unknown := sorted(set(given.shapes) - SHAPES.keys()):
        parser.error(f"unknown: {', '.join(unknown)}")
    for line in table_of(given.shapes or list(SHAPES), passes=given.passes):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
