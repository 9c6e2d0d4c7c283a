"""Generated pipelines of which only a part runs, and that run twice on one store."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from builders import services
from property.flow_deeds import check_deeds
from property.flow_drawing import flows
from property.flow_kept import WORLD
from property.flow_known import deep
from property.flow_laws import JournalReader
from property.flow_oracle import Oracle
from property.flow_people import People
from property.flow_plans import FlowPlan, StepPlan
from property.flow_runs import LAW, CountingStore, show
from property.flow_values import GIVEN, INPUTS
from property.flow_world import World
from property.test_flow_crashes import Crashes, crashes, survived
from tagent.pipeline import PipelineExecutor, PipelineResult, StepStatus
from tagent.pipeline.events import ApprovalRequested, StepGiven, StepStarted
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.selecting import Selection, SelectionError


def given_for(plan: StepPlan) -> object:
    """Return an output of the type that a step gives."""
    if plan.router is not None:
        return plan.router.routes[0]
    if plan.parts is not None and plan.parts.merge == "default":
        return [1, 2] if plan.parts.shape in {"items", "things", "branches"} else {"b0": 1}
    return GIVEN


def part_of(flow: FlowPlan, chosen: set[int]) -> tuple[FlowPlan, dict[int, object]]:
    """Return the plan without changes, and what the steps give that are not among the chosen ones."""
    plain = replace(flow, steps=tuple(replace(step, change=None) for step in flow.steps))
    aside = [n for n, step in enumerate(plain.steps) if n not in chosen and step.inner is None]
    return plain, {place: given_for(plain.steps[place]) for place in aside}


def by_name(flow: FlowPlan, outputs: Mapping[int, object]) -> dict[str, object]:
    """Return step name -> output."""
    return {flow.name(place): output for place, output in outputs.items()}


@LAW
@given(flows(most=20), st.sets(st.integers(0, 19), min_size=1), crashes)
def test_only_what_is_selected_runs_and_the_rest_is_as_it_was_given(
    flow: FlowPlan, chosen: set[int], crashed: Crashes
) -> None:
    """Whoever gives outputs by hand gets what the rules make of them, also behind a crash."""
    plain, outputs = part_of(flow, chosen)
    if len(outputs) == len(plain.steps):
        return
    selection = Selection.of(
        only=[name for place, (name, _) in enumerate(plain) if place not in outputs], outputs=by_name(plain, outputs)
    )
    run = survived(plain, crashed, selection=selection)
    JournalReader(plain, is_selected=True).read(run.events)
    if run.result is None:
        return
    check_deeds(run.world, run.events, crashes=len(crashed))
    _assert_as_expected(run.result, Oracle(plain, given=outputs))
    given_now = {event.step: event.output for event in run.events if isinstance(event, StepGiven)}
    assert given_now == by_name(plain, outputs)


def _assert_as_expected(result: PipelineResult, oracle: Oracle) -> None:
    assert result.step_metadata.keys() == oracle.all().keys()
    for name, expected in oracle.all().items():
        told = result.step_metadata[name]
        assert (told["status"], told["attempts"]) == (expected.status, expected.attempts), (name, told, expected)
        assert result.step_outputs.get(name) == expected.output, (name, expected)


@LAW
@given(flows(most=20), st.integers(0, 19))
def test_a_run_that_starts_from_a_step_takes_the_rest_from_an_earlier_one(flow: FlowPlan, place: int) -> None:
    """Nothing before the start runs again, and with the same world what is behind it comes to the same."""
    show(flow)
    start = flow.name(place % len(flow.steps))

    async def driven() -> None:
        world = World()
        WORLD.set(world)
        store = CountingStore(People(world))
        opened = services(clock=world.clock, store=store, model=world.model())
        pipeline = world.pipeline(flow)
        first = await PipelineExecutor(pipeline, inputs=INPUTS, services=opened).execute()
        selection = Selection.of(start_from=start, from_run=first.run_id)
        executor = PipelineExecutor(pipeline, inputs=INPUTS, selection=selection, services=opened)
        try:
            second = await executor.execute()
        except SelectionError:  # it needs what the first run did not come to
            return
        events = await load_events(store, second.run_id)
        JournalReader(flow, is_selected=True).read(events)
        started = {event.step for event in events if isinstance(event, StepStarted)}
        behind = _behind(flow, start) | {name for name in second.step_metadata if name not in dict(flow)}
        assert started <= behind, f"{started - behind} do not depend on {start}"
        for event in events:
            if isinstance(event, StepGiven):
                assert event.source == first.run_id
                assert event.output == first.step_outputs[event.step]
        taken = {flow.place(event.step): event.output for event in events if isinstance(event, StepGiven)}
        aside = [flow.place(name) for name, it in second.step_metadata.items() if it["code"] == "not_selected"]
        _assert_as_expected(second, Oracle(flow, given=taken, aside=aside))
        done = {name for name, it in first.step_metadata.items() if it["status"] is StepStatus.COMPLETED}
        replaced = {flow.stands_in_for(flow.place(name)) for name in behind & dict(flow).keys()} - {None}
        is_whole = all(flow.name(it) in behind for it in replaced if it is not None)  # else its place is taken already
        has_all = done >= {name for name, _ in flow} - behind and first.step_metadata.keys() == dict(flow).keys()
        is_as_defined = all(flow.steps[place].change is None for place in taken)  # what they changed is not so here
        if has_all and is_whole and is_as_defined:
            assert second.step_outputs == first.step_outputs

    asyncio.run(driven())


def _behind(flow: FlowPlan, start: str) -> set[str]:
    """Return a step and all that depends on it, or takes its place."""
    found = {flow.place(start)}
    for place in range(len(flow.steps)):
        replaced = flow.stands_in_for(place)
        if any(dep.source in found for dep in flow.all_deps(place)) or replaced in found:
            found.add(place)
    # What waits for a step also waits for what takes its place.
    for place in range(len(flow.steps)):
        if any(dep.source in found for dep in flow.all_deps(place)):
            found.add(place)
    return {flow.name(place) for place in found}


@LAW
@given(flows(most=20))
def test_what_is_kept_for_ever_is_done_once_in_two_runs_on_one_store(flow: FlowPlan) -> None:
    """One computation for each key; what is kept within its run is done in each of them."""
    show(flow)

    async def driven() -> None:
        world = World()
        WORLD.set(world)
        store = CountingStore(People(world))
        opened = services(clock=world.clock, store=store, model=world.model())
        held = Counter[int]()
        for _ in range(2):
            result = await PipelineExecutor(world.pipeline(flow), inputs=INPUTS, services=opened).execute()
            for event in deep(await load_events(store, result.run_id)):
                if isinstance(event, ApprovalRequested) and event.of == "output":
                    plan, place = world.known[event.step]
                    kept = plan.steps[place].cache if place < len(plan.steps) else None
                    held.update([] if kept is None else [kept.number])
        for number, times in world.computed.items():
            assert times <= (1 if number % 2 == 0 else 2) + held[number]

    asyncio.run(driven())
