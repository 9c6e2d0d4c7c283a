"""Generated pipelines that are cancelled at any commit, roll back, or are taken up again behind their end."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from builders import services
from property.flow_drawing import flows
from property.flow_kept import WORLD
from property.flow_known import starts
from property.flow_laws import JournalReader
from property.flow_people import People
from property.flow_plans import ADDED, ANY_TIME, FlowPlan, adder_of
from property.flow_runs import LAW, show
from property.flow_values import INPUTS
from property.flow_world import Effect, World
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.pipeline import PipelineExecutor, PipelineResult, RunStatus, StepStatus
from tagent.pipeline.driving.cancelling import RunEndedError, cancel_run
from tagent.pipeline.events import COMPENSATION, RunEvent, RunHalted, RunResumed
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.resuming import resume_run
from tagent.ports import Batch, Services
from tagent.ports.records import NewRun, RunRecord

ANYHOW = flows(kinds=ANY_TIME, on_failure=("continue", "fail_fast", "rollback"))


class CancellingStore(MemoryStore):
    """Has its run cancelled just before or behind one of its commits, as by another process."""

    def __init__(self, people: People, at: int, *, is_before: bool) -> None:
        super().__init__()
        self._people = people
        self.services: Services | None = None
        self._left = at
        self._is_before = is_before

    async def create_run(self, run: NewRun) -> RunRecord:
        """Create the run."""
        created = await super().create_run(run)
        self._people.look(run.effects, self)
        return created

    async def commit(self, batch: Batch) -> None:
        """Write the batch."""
        self._left -= 1
        is_time = self._left == 0
        if is_time and self._is_before:
            await self._cancel(batch.run_id)
        await super().commit(batch)
        self._people.look(batch.effects, self)
        if is_time and not self._is_before:
            await self._cancel(batch.run_id)

    async def _cancel(self, run_id: str) -> None:
        assert self.services is not None
        with suppress(RunEndedError):
            await cancel_run(run_id, self.services)


@dataclass
class Halted:
    """What the rounds of a run came to: the first one, and one for each time that it was taken up again."""

    results: list[PipelineResult]
    events: Sequence[RunEvent]
    world: World


def halted(flow: FlowPlan, *, at: int = 10**9, is_before: bool = False, rounds: int = 0) -> Halted:
    """Run the pipeline of a plan, have it cancelled, and take it up again so many times."""
    show(flow)

    async def driven() -> Halted:
        world = World()
        WORLD.set(world)
        store = CancellingStore(People(world), at, is_before=is_before)
        opened = services(clock=world.clock, store=store, model=world.model())
        store.services = opened
        pipeline = world.pipeline(flow)
        results = [await PipelineExecutor(pipeline, inputs=INPUTS, services=opened).execute()]
        results += [await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline) for _ in range(rounds)]
        return Halted(results, await load_events(store, "run-1"), world)

    return asyncio.run(driven())


@LAW
@given(ANYHOW, st.integers(1, 25), st.booleans())
def test_no_step_starts_after_a_committed_cancel(flow: FlowPlan, at: int, is_before: bool) -> None:  # noqa: FBT001
    """Promise 8: whoever cancels can rely on it, whatever the run was just doing; and every step says why it ended."""
    run = halted(flow, at=at, is_before=is_before)
    JournalReader(flow).read(run.events)
    cancels = [number for number, event in enumerate(run.events) if _is_cancel(event)]
    if not cancels:
        assert run.results[0].status is not RunStatus.CANCELLED
        return
    assert run.results[0].status is RunStatus.CANCELLED
    assert not [*starts(run.events[cancels[0] :])]
    started = {Effect(work, attempt) for work, attempt in starts(run.events)}
    assert {*run.world.begun} <= started, "something ran that the journal does not know"


@LAW
@given(ANYHOW, st.integers(1, 40), st.integers(1, 3))
def test_a_run_that_is_taken_up_behind_its_end_keeps_what_is_done_and_opens_the_rest(
    flow: FlowPlan, at: int, rounds: int
) -> None:
    """Resuming what failed, was cancelled or undone follows the same rules as the first time."""
    run = halted(flow, at=at, is_before=False, rounds=rounds)
    JournalReader(flow).read(run.events)
    for before, after in zip(run.results, run.results[1:], strict=False):
        kept = {
            name
            for name, it in before.step_metadata.items()
            if it["status"] is StepStatus.COMPLETED and not _is_half_undone(it)
        }
        kept -= {name for name in kept if flow.on_failure == "rollback" and not kept & _added_by(flow, name)}
        for name in kept:
            assert after.step_outputs.get(name, before.step_outputs[name]) == before.step_outputs[name]
            assert after.step_metadata[name]["attempts"] == before.step_metadata[name]["attempts"]
    ends = [number for number, event in enumerate(run.events) if isinstance(event, RunResumed)]
    assert len(ends) == sum(result.status is not RunStatus.COMPLETED for result in run.results[:-1])


def _added_by(flow: FlowPlan, name: str) -> set[str]:
    """Return by which step a step is added, or itself if it is defined: what is undone takes those with it."""
    place = flow.place(name)
    return {name if place < ADDED else flow.name(adder_of(place)[1])}


def _is_half_undone(metadata: Mapping[str, Any]) -> bool:
    """Return whether a cancel struck while the step was being undone: nobody knows how far that came."""
    undoing = metadata.get("parts", {}).get(COMPENSATION)
    return undoing is not None and undoing["status"] in {StepStatus.RUNNING, StepStatus.WAITING}


def _is_cancel(event: RunEvent) -> bool:
    return isinstance(event, RunHalted) and event.code == "run.cancelled"
