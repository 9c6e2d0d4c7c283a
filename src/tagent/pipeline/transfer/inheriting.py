"""Which events of a run's past a fork takes over, and which steps begin anew in it. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic_core import from_json, to_json

from tagent.pipeline.changes import Change
from tagent.pipeline.course.sinks import is_outside
from tagent.pipeline.events import (
    COMPENSATION,
    ApprovalRequested,
    InnerProgressed,
    PartCompleted,
    PartFailed,
    PartStarted,
    RunEvent,
    RunFinished,
    RunForked,
    RunHalted,
    RunPaused,
    RunResumed,
    RunStarted,
    innermost,
)
from tagent.pipeline.kinds import StepStatus
from tagent.pipeline.state import PipelineState
from tagent.ports.records import Record

_Part = PartStarted | PartCompleted | PartFailed


def not_inherited(state: PipelineState) -> set[str]:
    """Return the steps of which a fork takes over nothing, wherever it begins.

    That is what was undone or is being undone, and after a rollback all that has not completed: it may rest on what was
    undone.

    Args:
        state: The state of the run at the fork point.
    """
    was_rolled_back = state.halted is not None and state.halted.code == "run.rollback"
    return {name for name in state.statuses if _begins_anew(state, name, was_rolled_back=was_rolled_back)}


def _begins_anew(state: PipelineState, name: str, *, was_rolled_back: bool) -> bool:
    status = state.statuses[name]
    if status is StepStatus.COMPLETED:
        undoing = state.steps[name].parts.get(COMPENSATION)
        return undoing is not None and undoing.status is not StepStatus.FAILED
    return was_rolled_back or status is StepStatus.COMPENSATED


def with_dependents(state: PipelineState, seeds: Iterable[str], *, given: Collection[str] = ()) -> set[str]:
    """Return the seeds and all that depends on them or on what is given, without what is given.

    A step that has the output of another one depends on that one, and so does one that another one has added, or has
    changed in what it waits for, or in whether the run has it. What is not of the part of its pipeline that the run
    does stays as it is, unless it is a seed itself.

    Args:
        state: The state of the run at the fork point.
        seeds: Steps that run again.
        given: Steps with another output than they had.
    """
    found: set[str] = set()
    waiting = [*seeds, *given]
    named = frozenset(waiting)
    changed = _changed_by(state)
    while waiting:
        name = waiting.pop()
        if name not in found and (name in named or not is_outside(state, name)):
            found.add(name)
            waiting += [edge.target for edge in state.graph.outgoing[name]]
            waiting += changed.get(name, ())
            waiting += [
                edge.source
                for edge in state.graph.incoming[name]
                if edge.is_fallback and state.steps[edge.source].substituted_by == name
            ]
    return found - set(given)


def _changed_by(state: PipelineState) -> Mapping[str, set[str]]:
    """Return the steps that each step has added or changed, as far as there are some."""
    changed: dict[str, set[str]] = {}
    for by in state.changes:
        changed.setdefault(by.step, set()).update(_touched(by.change) & state.steps.keys())
    return changed


def _touched(change: Change) -> set[str]:
    named = (*(spec["name"] for spec in change.added), *(link["step"] for link in change.linked), *change.enabled)
    return {*map(str, named), *(step for step, _ in change.unlinked)}


def inherited(
    events: Sequence[RunEvent], records: Sequence[Record], *, anew: Collection[str]
) -> Iterator[tuple[RunEvent, Record | None]]:
    """Yield the events that a fork takes over, each with its record, or with None if it is changed.

    How the run ended is not taken over, nor that it was halted, paused or rolled back. What belongs to ends after which
    it was taken up again stays: what came later rests on them.

    Args:
        events: The past, up to the fork point.
        records: The same as they are stored; there may be more of them.
        anew: The steps that begin anew; nothing of them is taken over.
    """
    lives_end = _end_of_earlier_lives(events)
    for place, (event, record) in enumerate(zip(events, records, strict=False)):
        if getattr(event, "step", "") in anew and not isinstance(event, RunHalted):
            continue
        if isinstance(event, RunPaused) or (place >= lives_end and _is_of_the_end(event)):
            continue
        if isinstance(event, RunResumed) and event.definition:
            yield replace(event, definition=""), None  # the fork has one definition, from its beginning
        else:
            yield event, record


def _is_of_the_end(event: RunEvent) -> bool:
    is_undoing = isinstance(event, _Part) and event.part == COMPENSATION
    return is_undoing or isinstance(event, RunFinished | RunHalted)


def _end_of_earlier_lives(events: Sequence[RunEvent]) -> int:
    """Return the place behind the last end of the run after which it was taken up again."""
    end = is_over = 0
    for place, event in enumerate(events, 1):
        if isinstance(event, RunFinished):
            is_over = place
        elif isinstance(event, RunResumed | RunForked) and is_over:
            end = is_over
    return end


def in_own_name(event: RunEvent, record: Record, *, parent: str, run_id: str) -> tuple[RunEvent, Record]:
    """Return an event that a fork takes over, as what happens in the fork itself.

    The runs inside its steps are its own. What steps held back until somebody approves it was to be written for the
    parent, and stays there.

    Args:
        event: The event.
        record: The same as it is stored.
        parent: The run that it happened in.
        run_id: The fork.
    """
    _, inside = innermost(event)
    if isinstance(inside, ApprovalRequested) and inside.effects is not None:
        change: dict[str, Any] = {"effects": None}
    elif isinstance(inside, RunStarted) and inside is not event:
        change = {"run_id": f"{run_id}/{inside.run_id.removeprefix(f'{parent}/')}"}
    else:
        return event, record
    values = from_json(record.payload)
    _values_inside(values, event).update(change)
    return _with_inside(event, replace(inside, **change)), replace(record, payload=to_json(values))


def _values_inside(values: dict[str, Any], event: RunEvent) -> dict[str, Any]:
    while isinstance(event, InnerProgressed):
        values, event = values["event"], event.event
    return values


def _with_inside(event: RunEvent, inside: RunEvent) -> RunEvent:
    return replace(event, event=_with_inside(event.event, inside)) if isinstance(event, InnerProgressed) else inside
