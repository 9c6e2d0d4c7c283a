"""What a change of the steps makes of a run's state. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from tagent.pipeline.changes import Change, ChangeBy, added_by
from tagent.pipeline.course.records import StepRecord
from tagent.pipeline.course.reopening import recount
from tagent.pipeline.course.run_state import PipelineState
from tagent.pipeline.course.skip_codes import BECAUSE_OF_OTHERS, DISABLED
from tagent.pipeline.course.timers import PATIENCE
from tagent.pipeline.events import ASIDE, CONDITION, PartCompleted, StepCompleted
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.kinds import StepStatus
from tagent.pipeline.stored.steps import outlined_dependency, outlined_step


def has_begun(state: PipelineState, name: str) -> bool:
    """Return whether anything of a step has happened in this life of its run, so that it cannot be changed any more.

    One that is skipped as it is not `enabled` has not begun.
    """
    status, record = state.statuses[name], state.steps[name]
    if status is StepStatus.SKIPPED and record.code == DISABLED:
        return False
    has_parts = any(part.status is not StepStatus.PENDING or part.is_interrupted for part in record.parts.values())
    has_tried = record.attempts > record.attempts_before or record.is_interrupted
    is_open = status is StepStatus.PENDING and record.count is None and record.answer is None
    return not is_open or has_parts or has_tried


def changed_graph(graph: ExecutionGraph, change: Change) -> ExecutionGraph:
    """Return the graph of the steps as they are after `change`, as far as they are stored: without any code."""
    links = [cast("Mapping[str, Any]", link) for link in change.linked]
    return graph.changed(
        added=[outlined_step(spec) for spec in change.added],
        linked=[(link["step"], outlined_dependency(link["on"])) for link in links],
        unlinked=change.unlinked,
        enabled=change.enabled,
    )


def change_steps(state: PipelineState, event: StepCompleted | PartCompleted) -> None:
    """Have the run go on with the steps as they are after what the event says has changed.

    What it changes of steps that have begun, or that the definition does not have, is passed over: validation refuses
    it, but the definition that counts may be another one than when the change was made.
    """
    change = event.change
    if change is None:
        return
    before = state.graph
    state.graph = changed_graph(before, change)
    part = event.part if isinstance(event, PartCompleted) else ""
    state.changes.append(ChangeBy(event.step, part, change))
    for name in state.graph.names:
        if name not in state.statuses:
            state.statuses[name], state.steps[name] = StepStatus.PENDING, StepRecord()
    _revive(state, [name for name, is_enabled in change.enabled.items() if is_enabled])
    for name in _waiting_anew(before, state.graph, change):
        _wait_anew(state, name)
    broken = {name: why for name, why in state.broken.items() if _cannot_be_judged(state, name)}
    recount(state)
    state.broken.update(broken)


def _revive(state: PipelineState, enabled: Iterable[str]) -> None:
    """Open again what is enabled now, and what was left out because of it; whether for something else too is counted.

    Who has gone on without it stays as it is.
    """
    waiting = [name for name in enabled if name in state.statuses and state.steps[name].code == DISABLED]
    while waiting:
        name = waiting.pop()
        if state.statuses[name] is not StepStatus.SKIPPED:
            continue
        state.statuses[name] = StepStatus.PENDING
        state.steps[name].reopen()
        state.steps[name].holds = None
        for edge in state.graph.outgoing[name]:
            _wait_anew(state, edge.target)
            if state.statuses[edge.target] is StepStatus.SKIPPED and state.steps[edge.target].code in BECAUSE_OF_OTHERS:
                waiting.append(edge.target)


def _waiting_anew(before: ExecutionGraph, after: ExecutionGraph, change: Change) -> list[str]:
    """Return the steps that wait for something else than before."""
    return [name for name in before.names if before.incoming[name] != after.incoming[name] or name in change.enabled]


def _wait_anew(state: PipelineState, name: str) -> None:
    """Forget how far a step that waits has come: its patience, and what its condition came to."""
    if state.statuses[name] is not StepStatus.PENDING:
        return
    record = state.steps[name]
    state.timers.clear((name, PATIENCE))
    record.arrived_at = None
    if CONDITION not in record.parts:
        record.holds, record.verdict, record.verdict_code = None, "", ""


def _cannot_be_judged(state: PipelineState, name: str) -> bool:
    """Return whether a step is about to fail as nobody could say whether it runs; counting does not find that out."""
    part = state.steps[name].parts.get(CONDITION)
    return part is not None and part.status is StepStatus.FAILED and not state.statuses[name].is_terminal


def forget_undone_changes(state: PipelineState) -> None:
    """Have the run go on without what was changed by work that is to be done again: it changes that anew.

    What the steps have cost that are gone with it stays with those that had added them.
    """
    before = len(state.changes)
    while len(kept := [changed for changed in state.changes if _stays(state, changed)]) < len(state.changes):
        graph = state.defined
        for changed in kept:
            graph = changed_graph(graph, changed.change)
        adders = added_by(state.changes)
        for name in [name for name in reversed(state.statuses) if name not in graph.positions]:
            _forget_step(state, name, adder=adders[name])
        state.graph, state.changes = graph, kept  # of which one may have been made by a step that is gone now
    if len(state.changes) < before:
        recount(state)


def _stays(state: PipelineState, changed: ChangeBy) -> bool:
    """Return whether the work that made a change is done; what was undone is open again once its run has ended."""
    record = state.steps.get(changed.step)
    if record is None:
        return False
    if not changed.part:
        return state.statuses[changed.step] in {StepStatus.COMPLETED, StepStatus.COMPENSATED}
    part = record.parts.get(changed.part)
    return part is not None and part.status is StepStatus.COMPLETED


def _forget_step(state: PipelineState, name: str, *, adder: str) -> None:
    record = state.steps.pop(name)
    del state.statuses[name]
    if adder in state.steps:
        state.steps[adder].spending += record.spending
    for part in ("", PATIENCE, *ASIDE, *record.parts):
        state.timers.clear((name, part))
    state.completions = [it for it in state.completions if it != name]
    state.asked.pop(name, None)
