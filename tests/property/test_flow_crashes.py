"""Generated pipelines whose process dies before or after any commits, again and again, or that are cancelled."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from builders import services
from crashes import Crash, CrashingStore, everybody_is_gone
from lasting import URL, lasting
from property.flow_deeds import check_deeds
from property.flow_drawing import flows, rollbacks
from property.flow_kept import WORLD
from property.flow_laws import JournalReader
from property.flow_oracle import plan_of
from property.flow_people import People
from property.flow_plans import ANY_TIME, FlowPlan
from property.flow_runs import LAW, assert_same, ran, show
from property.flow_values import INPUTS
from property.flow_world import World
from tagent.config import TAgentConfig
from tagent.pipeline import PipelineExecutor, PipelineResult, RunStatus, StepStatus
from tagent.pipeline.events import COMPENSATION, PartCompleted, RunEvent
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.selecting import Selection
from tagent.ports import Batch
from tagent.ports.effects import Effects

Crashes = Sequence[tuple[int, bool]]

crashes = st.lists(st.tuples(st.integers(1, 25), st.booleans()), min_size=1, max_size=3)


moments = st.lists(st.sampled_from([slice(0), slice(1), slice(-1, None), slice(None)]), max_size=9)
"""Which of the open questions somebody answers just before each pause."""


class LastMomentStore(CrashingStore):
    """Has people answer just before their run pauses, and at no other time.

    Args:
        moments: Which of the open questions they answer before each pause: none behind the last one.
    """

    def __init__(self, moments: Iterable[slice]) -> None:
        super().__init__()
        self.people: People | None = None
        self._moments = iter(moments)

    async def commit(self, batch: Batch) -> None:
        """Write the batch."""
        assert self.people is not None
        is_pause = bool(batch.records) and batch.records[-1].kind == "RunPaused"
        if is_pause:
            await self.people.answer_some(self, next(self._moments, slice(0)))
        await super().commit(batch)
        if is_pause:
            assert not await self.people.answered(self), "it pauses, and somebody has answered"

    def _announce(self, effects: Effects) -> None:
        """Tell nobody."""


@dataclass
class Survived:
    """A run that went on behind its crashes; None if it had not begun, or was at its end already."""

    result: PipelineResult | None
    events: Sequence[RunEvent]
    world: World


def survived(
    flow: FlowPlan,
    crashes: Crashes,
    *,
    store_url: str = "",
    store: CrashingStore | None = None,
    selection: Selection | None = None,
) -> Survived:
    """Run the pipeline of a plan, in a new process whenever one dies."""
    show(flow)
    store = store or CrashingStore()

    async def driven() -> Survived:
        world = World()
        WORLD.set(world)
        people = People(world)
        store.on_effects = people.look
        if isinstance(store, LastMomentStore):
            store.people = people
        given = services(clock=world.clock, store=store, model=world.model())
        opened = everybody_is_gone(replace(given, store_url=store_url))
        for number, (at, is_written) in enumerate([*crashes, (10**9, True)]):
            store.arm(at, is_written=is_written)
            pipeline = world.pipeline(flow)
            try:
                if number == 0:
                    executor = PipelineExecutor(pipeline, inputs=INPUTS, selection=selection, services=opened)
                    result = await executor.execute()
                else:
                    result = await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline)
                while result.status is RunStatus.WAITING:
                    await people.answer_all(store)
                    result = await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline)
                return Survived(result, await load_events(store, "run-1"), world)
            except Crash:
                if not await store.runs() or (await store.records("run-1"))[-1].kind == "RunFinished":
                    return Survived(None, (), world)
        raise AssertionError("the last round does not crash")

    return asyncio.run(driven())


@LAW
@given(flows(), crashes)
def test_crashes_anywhere_and_a_resume_give_what_no_crash_gives(flow: FlowPlan, crashes: Crashes) -> None:
    """Promise 4, with all modes, conditions, parts, fallbacks: the same statuses, codes, attempts and outputs."""
    disturbed = survived(flow, crashes)
    JournalReader(flow).read(disturbed.events)
    if disturbed.result is not None:
        check_deeds(disturbed.world, disturbed.events, crashes=len(crashes))
        assert_same(disturbed.result, ran(flow).result)


@LAW
@given(flows(), crashes)
def test_releasing_every_output_changes_nothing(flow: FlowPlan, crashes: Crashes) -> None:
    """Outputs are in the store only, unless somebody has yet to read them; and whoever waits for people has ended."""
    store = CrashingStore()
    with lasting(store), patch("tagent.pipeline.journal.blobs.LARGEST_INLINE", 4):
        released = survived(flow, crashes, store_url=URL, store=store)
        if released.result is not None:
            assert_same(released.result, ran(flow).result)


@LAW
@given(flows(most=15), crashes, moments)
def test_who_answers_in_the_last_moment_before_a_pause_is_heard(
    flow: FlowPlan, crashes: Crashes, moments: list[slice]
) -> None:
    """A run pauses only if nobody has answered meanwhile, and comes to the same whenever somebody does."""
    store = LastMomentStore(moments)
    with lasting(store):
        run = survived(flow, crashes, store_url=URL, store=store)
        JournalReader(flow).read(run.events)
        if run.result is not None:
            assert_same(run.result, ran(flow).result)


@LAW
@given(flows(kinds=ANY_TIME, on_failure=("continue", "fail_fast", "rollback")), crashes)
def test_behind_a_crash_nothing_happens_that_the_rules_do_not_allow(flow: FlowPlan, crashes: Crashes) -> None:
    """What time decides may come out differently, but an attempt sees the same again, and each undo is once."""
    disturbed = survived(flow, crashes)
    JournalReader(flow).read(disturbed.events)
    undone = Counter(e.step for e in disturbed.events if isinstance(e, PartCompleted) and e.part == COMPENSATION)
    assert all(count == 1 for count in undone.values())
    for step in undone:
        assert disturbed.world.undone.count(step) >= 1
    if disturbed.result is not None:
        compensated = {n for n, it in disturbed.result.step_metadata.items() if it["status"] is StepStatus.COMPENSATED}
        assert compensated == set(undone)


@LAW
@given(rollbacks, crashes)
def test_a_rollback_undoes_what_completed_once_and_in_reverse_order(flow: FlowPlan, crashes: Crashes) -> None:
    """What was booked last is cancelled first, also if the process dies in the middle of it."""
    disturbed = survived(flow, crashes)
    JournalReader(flow).read(disturbed.events)
    if disturbed.result is None:
        return
    ended = [e for e in disturbed.events if isinstance(e, PartCompleted) and e.part == COMPENSATION]
    ended_well = [event.step for event in ended]
    assert len({*ended_well}) == len(ended_well), "undone twice"
    for name, it in disturbed.result.step_metadata.items():
        is_undone = it["status"] is StepStatus.COMPENSATED
        assert is_undone is (name in ended_well)
        can_be_undone = plan_of(flow, flow.place(name)).compensation is not None
        if it["status"] is StepStatus.COMPLETED and not it["substituted_by"] and can_be_undone:
            assert it["code"] == "step.compensation", "it was not even tried"
