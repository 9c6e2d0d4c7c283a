"""Generated pipelines with all modes, dependencies, conditions and failures: the rules hold, whatever happens."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from property.flow_counts import check_fold, inside
from property.flow_deeds import check_approved, check_deeds
from property.flow_drawing import flows
from property.flow_laws import JournalReader
from property.flow_oracle import Oracle
from property.flow_plans import ANY_TIME, SOFT_KINDS, FlowPlan
from property.flow_runs import LAW, assert_same, ran
from tagent.pipeline import StepStatus
from tagent.pipeline.events import StepStarted
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.journal.serialization import event_of, record_of


@LAW
@given(flows(has_deadlines=True))
def test_a_run_comes_to_what_the_rules_say(flow: FlowPlan) -> None:
    """Each step has the status, reason, attempts and output that a reader of the definition expects."""
    result = ran(flow).result
    oracle = Oracle(flow)
    assert result.step_metadata.keys() == oracle.all().keys()
    for name, expected in oracle.all().items():
        assert result.step_outputs.get(name) == expected.output, (name, expected)
    _compare(flow, oracle, result.step_metadata)
    assert result.status is oracle.status()
    assert result.final_output in oracle.final_outputs()


def _compare(flow: FlowPlan, oracle: Oracle, metadata: Mapping[str, Any]) -> None:
    """Check what is told of steps, also of those inside others."""
    for name, expected in oracle.all().items():
        told = metadata[name]
        assert told["status"] is expected.status, (name, told, expected)
        if expected.codes or told["status"] is not StepStatus.SKIPPED:
            assert told["code"] in (expected.codes or {""}), (name, told, expected)
        assert told["attempts"] == expected.attempts, (name, told, expected)
        assert bool(told["substituted_by"]) is expected.is_substituted
        assert bool(told["reason"]) is bool(told["code"]), (name, told)
        if expected.parts is not None:
            parts = {part: (it["status"], it["attempts"]) for part, it in told.get("parts", {}).items()}
            assert parts == expected.parts, (name, told, expected)
        for part, it in told.get("parts", {}).items():
            assert it["status"].is_terminal, (name, part, it)
            assert bool(it["code"] and it["reason"]) is (it["status"] is not StepStatus.COMPLETED), (name, part, it)
        place = flow.place(name)
        for part, inner in oracle.inners(place):
            _compare(inner.flow, inner, (told["parts"][part] if part else told)["steps"])


@LAW
@given(flows(kinds=ANY_TIME, on_failure=("continue", "fail_fast", "rollback"), has_deadlines=True))
def test_nothing_happens_before_the_rules_allow_it(flow: FlowPlan) -> None:
    """The journal is the order in which things were allowed to happen: starts, skips, parts, compensations."""
    run = ran(flow)
    JournalReader(flow).read(run.events)
    check_deeds(run.world, run.events)
    check_approved(flow, run.batches, run.events)
    for (key, attempt), times in run.world.saw.items():
        begun = [
            e.seen
            for e in run.events
            if isinstance(e, StepStarted) and (e.idempotency_key, e.attempt) == (key, attempt)
        ]
        place = flow.place(key.rpartition("/")[2]) if begun else 0
        soft = {flow.name(dep.source) for dep in flow.all_deps(place) if dep.kind in SOFT_KINDS}
        # One that hands over what was approved does not run.
        assert not begun or tuple(sorted(soft & {*times[0]})) == tuple(sorted(begun[0]))


@LAW
@given(flows(kinds=ANY_TIME, on_failure=("continue", "fail_fast", "rollback")))
def test_folding_the_journal_gives_the_live_state_and_what_it_counts_is_there(flow: FlowPlan) -> None:
    """Promise 4: counting as events come in must give what is worked out from scratch after a crash."""
    run = ran(flow)
    read_back = [event_of(record_of(event, seq)) for seq, event in enumerate(run.events, 1)]
    state = check_fold(ExecutionGraph.build(run.world.pipeline(flow)), read_back, run.commits)
    for known in (state, run.state, *inside(state), *inside(run.state)):
        for record in known.steps.values():
            for work in (record, *record.parts.values()):
                work.agent_events.clear()  # what an agent said is kept as it was said until it is stored
    assert state == run.state


@LAW
@given(flows(), st.lists(st.tuples(st.sampled_from([0.0, 1.0, 4.0]), st.integers(0, 4)), min_size=1, max_size=9))
def test_the_order_in_which_steps_finish_does_not_change_what_a_run_comes_to(
    flow: FlowPlan, paces: list[tuple[float, int]]
) -> None:
    """Promise 13: the same steps at other speeds give the same statuses, attempts and outputs."""
    steps = tuple(
        replace(step, work=replace(step.work, seconds=pace[0], turns=pace[1]), timeout=None)
        for step, pace in zip(flow.steps, itertools.cycle(paces), strict=False)
    )
    as_they_come = replace(flow, steps=tuple(replace(step, timeout=None) for step in flow.steps))
    assert_same(ran(replace(flow, steps=steps)).result, ran(as_they_come).result)
