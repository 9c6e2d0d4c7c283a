"""How a step comes from one status to the next, out of whatever it waited in."""

from tagent.pipeline.course.run_state import PipelineState
from tagent.pipeline.course.skip_codes import Why
from tagent.pipeline.course.tables import STEP_TABLE
from tagent.pipeline.course.timers import ATTEMPT
from tagent.pipeline.events import PartCompleted, StepCompleted, StepEvent
from tagent.pipeline.kinds import StepStatus


def move(state: PipelineState, event: StepEvent, target: StepStatus) -> None:
    """Give the step of an event the status that it leads to.

    Raises:
        IllegalTransitionError: If the event cannot happen in the step's status.
    """
    state.statuses[event.step] = STEP_TABLE.check(state.statuses[event.step], type(event), target)


def leave(state: PipelineState, name: str) -> None:
    """Take a step out of whatever it waited in."""
    if not state.timers.clear((name, ATTEMPT)):
        state.leave_patience(name)
        state.leave_queue(name)


def let_go(state: PipelineState, name: str) -> None:
    """Have nothing of a step under way, nor to be done, any more."""
    state.running.discard(name)
    if state.serial_running == name:
        state.serial_running = ""
    state.timers.clear((name, ATTEMPT))
    state.leave_patience(name)
    state.close_queue(name)
    state.to_judge.discard(name)
    state.asked.pop(name, None)
    state.moot.discard(name)
    state.passed_by.discard(name)
    for waits in (state.postponed, state.doomed, state.broken, state.stood_in):
        waits.pop(name, None)


def finish(state: PipelineState, event: StepEvent, target: StepStatus) -> None:
    """Give the step of an event its final status: nothing of it is under way any more.

    Raises:
        IllegalTransitionError: If the event cannot happen in the step's status.
    """
    move(state, event, target)
    let_go(state, event.step)
    state.steps[event.step].finished_at = event.at
    state.unfinished -= 1
    if state.halted is not None and not state.unfinished:
        state.find_what_to_undo()


def judged(state: PipelineState, name: str, *, holds: bool, code: str, reason: str) -> None:
    """Have a step start, or be skipped with this code and reason, by what its condition came to."""
    record = state.steps[name]
    state.to_judge.discard(name)
    state.leave_patience(name)
    record.holds, record.verdict, record.verdict_code = holds, reason, "" if holds else code
    if holds:
        state.make_ready(name)
    else:
        state.doomed[name] = Why(code, reason)


def remember(state: PipelineState, event: StepCompleted | PartCompleted) -> None:
    """Note what work that completed has learned and saved."""
    state.facts.update(event.facts)
    state.memories.update(event.memories)
    if event.memories:
        state.shared.update(event.memories)
        state.shared_writes.append(event.memories)
