"""What is known of a run: the fold of its events, and nothing else.

`apply` changes a state that the caller owns, in place and in time that does not depend on the size of
the run: each step counts the dependencies it still waits for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import assert_never

from tagent.effects import without_spare
from tagent.pipeline.course.changing import change_steps, forget_undone_changes
from tagent.pipeline.course.moving import finish, judged, leave, let_go, move, remember
from tagent.pipeline.course.part_events import apply_to_part
from tagent.pipeline.course.records import PartRecord, StepRecord, WorkRecord
from tagent.pipeline.course.reopening import reopen, stop_the_clock
from tagent.pipeline.course.run_state import PipelineState
from tagent.pipeline.course.settling import expand, fall, refuse, settle, settle_enabled
from tagent.pipeline.course.skip_codes import CONDITION_FALSE
from tagent.pipeline.course.tables import PART_TABLE
from tagent.pipeline.course.timers import ATTEMPT
from tagent.pipeline.events import (
    COMPENSATION,
    AgentProgressed,
    ApprovalAnswered,
    ApprovalRequested,
    ConditionJudged,
    EventOfRun,
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
    StepCancelled,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepGiven,
    StepSkipped,
    StepStarted,
    StepSubstituted,
    innermost,
)
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.kinds import RunStatus, StepStatus
from tagent.task_agent.events import calls_of
from tagent.task_agent.models import ModelCall

_StepBegins = ConditionJudged | StepExpanded | StepStarted
_StepEnds = StepCompleted | StepFailed | StepSubstituted | StepGiven | StepSkipped | StepCancelled
_BEGINNINGS = (RunStarted, RunResumed)

__all__ = ["PipelineState", "apply", "fold"]

_S = StepStatus


def fold(graph: ExecutionGraph, events: Iterable[RunEvent]) -> PipelineState:
    """Return the state that `events` lead to, from the beginning of the run."""
    state = PipelineState(graph)
    for event in events:
        apply(state, event)
    return state


def apply(state: PipelineState, event: RunEvent) -> None:
    """Change `state` to what it is after `event`. Those of steps that its definition has no more are passed over.

    Raises:
        IllegalTransitionError: If the event cannot happen in the step's status.
    """
    before, state.last_at = state.last_at, max(state.last_at, event.at)
    match event:
        case StepStarted() | StepExpanded() | ConditionJudged():
            _begin_step(state, event)
        case StepCompleted() | StepFailed() | StepSubstituted() | StepGiven() | StepSkipped() | StepCancelled():
            _end_step(state, event)
        case PartStarted() | PartCompleted():
            apply_to_part(state, event)
        case PartFailed():
            _fail_part(state, event)
        case AgentProgressed() | InnerProgressed():
            _progress(state, event)
        case ApprovalRequested() | ApprovalAnswered():
            _apply_approval(state, event)
        case _:
            _apply_to_run(state, event, before=before)


def _apply_to_run(state: PipelineState, event: EventOfRun, *, before: float) -> None:
    match event:
        case RunStarted():
            _begin(state, event)
        case RunResumed():
            state.timers.start_anew(last=before, now=event.at)
            if state.paused_at is not None:
                stop_the_clock(state, seconds=max(0.0, event.at - state.paused_at))
            reopen(state)
            forget_undone_changes(state)
            state.idle_resumes += 1
        case RunForked():
            state.timers.clear_all()
            state.status = RunStatus.FAILED  # whatever the parent came to, what is not done is open
            reopen(state)
            forget_undone_changes(state)
            state.idle_resumes = 0
        case RunHalted():
            state.halted = event
            state.is_undone = state.is_undone or event.code == "run.rollback"
            state.code, state.reason = event.code, event.reason
            state.doomed.clear()
            state.broken.clear()
            if not state.unfinished:
                state.find_what_to_undo()
        case RunPaused():
            state.status = RunStatus.WAITING
            state.paused_at = event.at
            state.idle_resumes = 0
            state.code, state.reason = event.code, event.reason
        case RunFinished():
            state.status = event.status
            state.code, state.reason = event.code or state.code, event.reason or state.reason
            state.idle_resumes = 0
        case _:
            assert_never(event)


def _begin(state: PipelineState, event: RunStarted) -> None:
    state.run_id = event.run_id
    state.pipeline = event.pipeline
    state.labels = event.labels
    state.started_at = state.opened_at = event.at
    state.inputs = dict(event.inputs)
    state.shared = dict(event.shared)
    state.shared_before = event.shared
    for name, rules in state.graph.special.items():
        if rules.enabled is not None:
            settle_enabled(state, name)
    for name, _ in list(state.timers):  # nothing is waited for before the run begins
        state.steps[name].arrived_at = event.at
        state.be_patient(name)


def _progress(state: PipelineState, event: AgentProgressed | InnerProgressed) -> None:
    if (record := state.steps.get(event.step)) is None:
        return
    work = record.part(event.part) if event.part else record
    if isinstance(work, PartRecord):
        work.status = PART_TABLE.check(work.status, type(event), _S.RUNNING)
    else:
        move(state, event, _S.RUNNING)
    if isinstance(event, AgentProgressed):
        state.idle_resumes = 0
        work.agent_events.append(event.event)
    elif not _go_on_inside(state, event, record if event.part == COMPENSATION else work):
        return
    for call in calls_in(event):
        work.spending = work.spending.plus(call)
        if work is not record:
            record.spending = record.spending.plus(call)


def _go_on_inside(state: PipelineState, event: InnerProgressed, work: WorkRecord) -> bool:
    """Apply what happened in the pipeline inside a step; return whether the step still has one."""
    graph = state.graph.rules(event.step).inner
    if graph is None:
        return False
    if work.inner is None or isinstance(event.event, RunStarted):
        work.inner = PipelineState(graph)
    if event.part != COMPENSATION:
        work.inner_attempt = event.attempt
    apply(work.inner, event.event)
    if not isinstance(event.event, _BEGINNINGS) and not work.inner.idle_resumes:  # it got further, by its own count
        state.idle_resumes = 0
    return True


def calls_in(event: AgentProgressed | InnerProgressed) -> Sequence[ModelCall]:
    """Return the model calls that an event tells of, however deep inside."""
    _, inside = innermost(event)
    return calls_of(inside.event) if isinstance(inside, AgentProgressed) else ()


def _close_inside(work: WorkRecord, *, at: float, code: str, reason: str) -> None:
    """Have the pipeline inside a work come to its end with it."""
    inner = work.inner
    if inner is None or inner.is_finished:
        return
    apply(inner, RunHalted(code, reason, at))
    for name, status in tuple(inner.statuses.items()):
        if not status.is_terminal:
            apply(inner, StepCancelled(name, code, reason, at))
    apply(inner, RunFinished(RunStatus.CANCELLED, at))


def _fail_part(state: PipelineState, event: PartFailed) -> None:
    apply_to_part(state, event)
    if event.retry_at is None and (record := state.steps.get(event.step)) is not None:
        _close_inside(record.part(event.part), at=event.at, code=event.code, reason=event.reason)


def _apply_approval(state: PipelineState, event: ApprovalRequested | ApprovalAnswered) -> None:
    if (record := state.steps.get(event.step)) is None:
        return
    if isinstance(event, ApprovalRequested):
        move(state, event, _S.WAITING)
        if event.of == "start":
            leave(state, event.step)
        let_go(state, event.step)
        state.idle_resumes = 0
        state.asked[event.step] = event
        record.held = event if event.of == "output" else None
        record.answer = None
        return
    asked = state.asked.pop(event.step, None)
    state.moot.discard(event.step)
    state.idle_resumes = 0
    record.answer = event
    if asked is not None and record.started_at is not None:
        record.asked_seconds += max(0.0, event.at - asked.at)
    if not event.is_approved:
        move(state, event, _S.WAITING)
        refuse(state, event.step, event)
        return
    move(state, event, _S.PENDING)
    record.is_interrupted = asked is not None and asked.attempt > 0  # its attempt goes on, with what was approved
    if asked is not None and asked.of == "call":
        record.cleared, record.in_doubt = len(record.agent_events), ()
    if record.held is not None and event.is_edited:
        kept = None if record.held.effects is None else without_spare(record.held.effects)  # it was not good enough
        record.held = replace(record.held, output=event.output, effects=kept, cached=False)
    state.make_ready(event.step)


def _begin_step(state: PipelineState, event: _StepBegins) -> None:
    if (record := state.steps.get(event.step)) is None:
        return
    match event:
        case StepStarted():
            move(state, event, _S.RUNNING)
            leave(state, event.step)
            state.running.add(event.step)
            if event.step in state.graph.serial:
                state.serial_running = event.step
            if record.begin(event.attempt, at=event.at):
                record.held = None
                record.shared_seen = len(state.shared_writes)
                record.seen = event.seen
        case ConditionJudged():
            move(state, event, _S.PENDING)
            judged(state, event.step, holds=event.holds, code=CONDITION_FALSE, reason=event.reason)
        case StepExpanded():
            move(state, event, _S.WAITING)
            leave(state, event.step)
            if record.parts_of not in {"", event.of}:
                record.drop_parts()
            record.count, record.seen, record.parts_of = event.count, event.seen, event.of
            record.opened_at = event.at if record.opened_at is None else record.opened_at
            record.started_at = event.at if record.started_at is None else record.started_at
            if event.step in state.graph.serial:
                state.serial_running = event.step
            expand(state, event.step)
        case _:
            assert_never(event)


def _end_step(state: PipelineState, event: _StepEnds) -> None:
    if (record := state.steps.get(event.step)) is None:
        return
    match event:
        case StepCompleted():
            if event.change is not None:
                change_steps(state, event)
            finish(state, event, _S.COMPLETED)
            state.idle_resumes = 0
            record.agent_events.clear()
            record.output, record.cached = event.output, event.cached
            record.code = record.reason = ""
            record.held = None
            remember(state, event)
            _complete(state, event.step)
        case StepGiven():
            state.leave_queue(event.step)
            finish(state, event, _S.COMPLETED)
            record.output, record.given_by = event.output, event.source
            _complete(state, event.step)
        case StepSubstituted():
            finish(state, event, _S.COMPLETED)
            state.idle_resumes = 0
            record.output, record.substituted_by = event.output, event.by
            _complete(state, event.step)
        case StepFailed():
            _fail(state, event, record)
        case StepSkipped():
            state.leave_queue(event.step)  # of a run that does only a part, it may have been ready
            finish(state, event, _S.SKIPPED)
            record.code, record.reason = event.code, event.reason
            settle(state, event.step)
        case StepCancelled():
            _cancel(state, event, record)
        case _:
            assert_never(event)


def _complete(state: PipelineState, name: str) -> None:
    record = state.steps[name]
    record.substituted_by = record.substituted_by if record.has_fallen else ""
    for part in record.parts.values():
        part.output = None  # merged into the output by now
    state.completions.append(name)
    settle(state, name)


def _fail(state: PipelineState, event: StepFailed, record: StepRecord) -> None:
    name = event.step
    if state.statuses[name] is _S.PENDING:
        state.leave_queue(name)
    record.code, record.reason = event.code, event.reason
    if event.retry_at is not None:
        move(state, event, _S.WAITING)
        state.running.discard(name)
        state.timers.set((name, ATTEMPT), at=event.retry_at)
    elif event.falls_back:
        move(state, event, _S.WAITING)
        let_go(state, name)
        record.has_fallen = True
        fall(state, name)
    else:
        finish(state, event, _S.FAILED)
        _close_inside(record, at=event.at, code=event.code, reason=event.reason)
        if not state.graph.rules(name).is_optional and name not in state.graph.stand_ins:
            state.failed = state.failed or name
        settle(state, name)


def _cancel(state: PipelineState, event: StepCancelled, record: StepRecord) -> None:
    finish(state, event, _S.CANCELLED)
    record.code, record.reason = event.code, event.reason
    _close_inside(record, at=event.at, code=event.code, reason=event.reason)
    for name, part in record.parts.items():
        if part.status in {_S.RUNNING, _S.WAITING}:
            part.status = PART_TABLE.check(part.status, type(event), _S.CANCELLED)
            part.finished_at, part.code, part.reason = event.at, event.code, event.reason
            _close_inside(part, at=event.at, code=event.code, reason=event.reason)
            state.running_parts.discard((event.step, name))
            state.timers.clear((event.step, name))
