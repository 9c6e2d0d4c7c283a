"""What an event of a part changes: of an item, a branch or a round, of a step's condition or its compensation."""

from tagent.pipeline.course.changing import change_steps
from tagent.pipeline.course.moving import judged, move, remember
from tagent.pipeline.course.parts import PartQueue
from tagent.pipeline.course.records import PartRecord, StepRecord
from tagent.pipeline.course.run_state import PipelineState
from tagent.pipeline.course.settling import parts_ended
from tagent.pipeline.course.skip_codes import CONDITION_FALSE, Why
from tagent.pipeline.course.tables import PART_TABLE
from tagent.pipeline.events import COMPENSATION, CONDITION, PartCompleted, PartFailed, PartStarted
from tagent.pipeline.kinds import StepStatus

_S = StepStatus


def apply_to_part(state: PipelineState, event: PartStarted | PartCompleted | PartFailed) -> None:
    """Change `state` to what it is after an event of a part; the pipeline inside the part stays as it was.

    Raises:
        IllegalTransitionError: If the event cannot happen in the part's status.
    """
    if (record := state.steps.get(event.step)) is None:
        return
    part = record.part(event.part)
    key = (event.step, event.part)
    if isinstance(event, PartStarted):
        part.status = PART_TABLE.check(part.status, type(event), _S.RUNNING)
        state.timers.clear(key)
        if event.part == CONDITION:
            _begin_condition(state, event, record)
        if part.begin(event.attempt, at=event.at) and event.part == CONDITION:
            record.seen = event.seen
        state.running_parts.add(key)
        if (queue := state.queues.get(event.step)) is not None:
            queue.started(event.part)
            state.mark(event.step)
        return
    state.running_parts.discard(key)
    state.timers.clear(key)  # its next attempt was due, and is not to be
    if isinstance(event, PartFailed) and event.retry_at is not None:
        part.status = PART_TABLE.check(part.status, type(event), _S.WAITING)
        part.code, part.reason = event.code, event.reason
        state.timers.set(key, at=event.retry_at)
        if (queue := state.queues.get(event.step)) is not None:
            queue.rests(event.part)
            state.mark(event.step)
            if queue.is_over:  # what failed before it leaves no room for another attempt
                parts_ended(state, event.step)
        return
    _end_part(state, event, part)


def _begin_condition(state: PipelineState, event: PartStarted, record: StepRecord) -> None:
    """Have the condition judged of a step whose patience may have ended right now."""
    state.leave_patience(event.step)
    if event.step not in state.queues:
        state.open_queue(event.step, PartQueue.of([CONDITION]))
    record.shared_seen = len(state.shared_writes)


def _end_part(state: PipelineState, event: PartCompleted | PartFailed, part: PartRecord) -> None:
    has_failed = isinstance(event, PartFailed)
    if isinstance(event, PartCompleted) and event.change is not None:
        change_steps(state, event)
    part.status = PART_TABLE.check(part.status, type(event), _S.FAILED if has_failed else _S.COMPLETED)
    part.finished_at = event.at
    part.agent_events.clear()
    state.idle_resumes = 0
    if isinstance(event, PartCompleted):
        part.output, part.code, part.reason = event.output, "", ""
        part.cached, part.is_last = event.cached, event.is_last
        remember(state, event)
    else:
        part.code, part.reason = event.code, event.reason
    if (queue := state.queues.get(event.step)) is not None:
        queue.ended(event.part, has_failed=has_failed, is_last=part.is_last)
        state.mark(event.step)
    if event.part == COMPENSATION:
        _end_compensation(state, event)
    elif event.part == CONDITION:
        _end_condition(state, event)
    elif queue is not None and queue.is_over:
        parts_ended(state, event.step)


def _end_condition(state: PipelineState, event: PartCompleted | PartFailed) -> None:
    state.close_queue(event.step)
    if isinstance(event, PartFailed):
        state.broken[event.step] = Why(event.code, f"Whether it is to run could not be found out: {event.reason}")
        return
    told = event.output if isinstance(event.output, dict) else {}
    code, reason = str(told.get("code") or CONDITION_FALSE), str(told.get("reason", ""))
    judged(state, event.step, holds=told.get("holds") is True, code=code, reason=reason)


def _end_compensation(state: PipelineState, event: PartCompleted | PartFailed) -> None:
    if event.step in state.to_undo:
        state.to_undo.remove(event.step)
    if (record := state.steps.get(event.step)) is None:
        return
    if isinstance(event, PartCompleted):
        move(state, event, _S.COMPENSATED)
        record.undone += 1
    else:
        record.code, record.reason = "step.compensation", f"Its effects could not be undone: {event.reason}"
