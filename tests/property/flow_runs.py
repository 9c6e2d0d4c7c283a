"""One way to run the pipelines of plans, and what is seen of it."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from hypothesis import HealthCheck, currently_in_test_context, note, settings

from builders import services
from property.flow_kept import WORLD
from property.flow_people import People
from property.flow_plans import FlowPlan
from property.flow_values import INPUTS
from property.flow_world import World
from tagent.adapters.storage.memory import MemoryStore
from tagent.pipeline import PipelineExecutor, PipelineResult
from tagent.pipeline.course.run_state import PipelineState
from tagent.pipeline.events import RunEvent
from tagent.pipeline.journal.loading import load_events
from tagent.ports import Batch
from tagent.ports.records import NewRun, RunRecord

LAW = settings(
    deadline=None,
    max_examples=int(os.environ.get("FLOW_EXAMPLES", "30")),
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow, HealthCheck.large_base_example],
)
"""Plans of 40 steps are large, and meant to be. More of them: `FLOW_EXAMPLES=2000`."""


class CountingStore(MemoryStore):
    """Keeps what was committed, and tells people of it."""

    def __init__(self, people: People) -> None:
        super().__init__()
        self.commits: list[int] = []
        self.batches: list[Batch] = []
        self._people = people

    async def create_run(self, run: NewRun) -> RunRecord:
        """Create the run."""
        self.commits.append(len(run.records))
        created = await super().create_run(run)
        self._people.look(run.effects, self)
        return created

    async def commit(self, batch: Batch) -> None:
        """Write the batch."""
        self.commits.append(len(batch.records))
        await super().commit(batch)
        self.batches.append(batch)
        self._people.look(batch.effects, self)


@dataclass
class FlowRun:
    """A finished run, and the state that its last process had of it."""

    result: PipelineResult
    events: Sequence[RunEvent]
    world: World
    state: PipelineState
    commits: list[int] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)


def show(flow: FlowPlan) -> None:
    """Have a failing test say which plan it was, by what is special about it."""
    if currently_in_test_context():
        note(repr(flow))


def ran(flow: FlowPlan) -> FlowRun:
    """Run the pipeline of a plan to its end."""
    show(flow)

    async def driven() -> FlowRun:
        world = World()
        WORLD.set(world)
        store = CountingStore(People(world))
        opened = services(clock=world.clock, store=store, model=world.model())
        states: list[PipelineState] = []

        class Watched(PipelineExecutor):
            async def _drive(self, state: PipelineState, *rest: Any) -> PipelineResult:
                states.append(state)
                return await super()._drive(state, *rest)

        executor = Watched(world.pipeline(flow), inputs=INPUTS, services=opened)
        result = await executor.execute()
        return FlowRun(result, await load_events(store, result.run_id), world, states[0], store.commits, store.batches)

    return asyncio.run(driven())


def told(result: PipelineResult) -> dict[str, object]:
    """Return what a run came to, without its times and texts."""
    steps = {name: _told_of(it) for name, it in result.step_metadata.items()}
    return {"status": result.status, "steps": steps, "outputs": dict(result.step_outputs), "end": result.final_output}


def assert_same(one: PipelineResult, other: PipelineResult) -> None:
    """Check that two runs of one plan came to the same.

    Raises:
        AssertionError: If they did not; it names what differs.
    """
    mine, theirs = told(one), told(other)
    for key in ("steps", "outputs"):
        ours, others = cast("dict[str, object]", mine[key]), cast("dict[str, object]", theirs[key])
        assert ours.keys() == others.keys(), (key, *ours.keys() ^ others.keys())
        for name, value in ours.items():
            assert value == others[name], (key, name, value, others[name])
    assert (mine["status"], mine["end"]) == (theirs["status"], theirs["end"])


def _told_of(it: Mapping[str, Any]) -> object:
    parts = {name: _told_of_part(part) for name, part in it.get("parts", {}).items()}
    # Of a step that failed for its parts, how far the others came is a matter of time.
    compared = {} if it["code"] == "step.parts" else parts
    code = {"dependency_unmet": "upstream_failed"}.get(it["code"], it["code"])
    return it["status"], it["attempts"], code, it["substituted_by"], compared, _told_inside(it)


def _told_of_part(it: Mapping[str, Any]) -> object:
    return it["status"], it["attempts"], it["code"], _told_inside(it)


def _told_inside(it: Mapping[str, Any]) -> object:
    return {name: _told_of(step) for name, step in it.get("steps", {}).items()}
