"""What is open again when a run is taken up, and what each step waits for by the statuses alone."""

from tagent.pipeline.course.run_state import PipelineState
from tagent.pipeline.course.settling import expand, fall, refuse, settle, settle_enabled
from tagent.pipeline.course.skip_codes import DISABLED, LEFT_OUT, NOT_SELECTED, Why
from tagent.pipeline.course.timers import ATTEMPT
from tagent.pipeline.events import ASIDE, COMPENSATION, CONDITION, ROUNDS
from tagent.pipeline.kinds import RunStatus, StepStatus


def reopen(state: PipelineState) -> None:
    """Open again what was cut off, and all that did not end well if the run had ended; work out what waits for what."""
    everything = state.is_finished
    was_undone = everything and state.is_undone  # also if it was cancelled while it rolled back
    state.status = RunStatus.RUNNING
    halted = None if everything else state.halted
    state.code, state.reason = (halted.code, halted.reason) if halted is not None else ("", "")
    state.running.clear()
    state.running_parts.clear()
    if everything:
        state.halted = None
        state.is_undone = False
        state.failed = ""
        state.asked.clear()
        state.timers.clear_all()
        state.opened_at = state.last_at
    staying = {name for name in state.statuses if everything and _stays(state, name, was_undone=was_undone)}
    _fit_parts(state)
    for name, status in state.statuses.items():
        if status is StepStatus.RUNNING:
            state.steps[name].is_interrupted = True
            state.statuses[name] = StepStatus.PENDING
        elif everything and name not in staying:
            _reopen_step(state, name, was_undone=was_undone)
        if state.steps[name].parts:
            _reopen_parts(state, name, everything=everything)
    recount(state)


def _fit_parts(state: PipelineState) -> None:
    """Drop the parts of steps that have other ones by the definition of now, and have as many rounds as that says."""
    for name, record in state.steps.items():
        if record.parts_of and record.parts_of != _parts_of(state, name) and not state.is_settled_well(name):
            record.drop_parts()
            if state.statuses[name] is StepStatus.WAITING and name not in state.asked:
                state.statuses[name] = StepStatus.PENDING
        elif record.parts_of == ROUNDS and record.count and not (record.held or state.statuses[name].is_terminal):
            record.count = _rounds_of(state, name)


def _parts_of(state: PipelineState, name: str) -> str:
    """Return whose parts the items or branches of a step are, by the definition that counts now."""
    expansion = state.graph.rules(name).expansion
    return "" if expansion is None else expansion.of


def _rounds_of(state: PipelineState, name: str) -> int:
    """Return how many rounds a step has by the definition that counts now; those that have begun stay."""
    expansion = state.graph.rules(name).expansion
    begun = sum(part not in ASIDE for part in state.steps[name].parts)
    return max(begun, 0 if expansion is None else expansion.rounds)


def stop_the_clock(state: PipelineState, *, seconds: float) -> None:
    """Have no deadline count the time in which the run waited for somebody."""
    state.paused_at = None
    state.opened_at += seconds
    for name, record in state.steps.items():
        if record.opened_at is not None and not state.statuses[name].is_terminal:
            record.opened_at += seconds


def _stays(state: PipelineState, name: str, *, was_undone: bool) -> bool:
    """Whether an ended run's step stays as it is when the run is taken up again: what is settled well is settled."""
    status, code = state.statuses[name], state.steps[name].code
    undoing = state.steps[name].parts.get(COMPENSATION)
    if undoing is not None and undoing.status in {StepStatus.RUNNING, StepStatus.WAITING}:
        return False  # nobody knows how far it was undone
    by = state.steps[name].substituted_by
    if status is StepStatus.COMPLETED and by in state.statuses and not _stays(state, by, was_undone=was_undone):
        return False  # what took its place has been undone
    if code == NOT_SELECTED:
        return True
    is_left_out = status is StepStatus.SKIPPED and code in LEFT_OUT and not was_undone
    return status is StepStatus.COMPLETED or is_left_out


def _reopen_step(state: PipelineState, name: str, *, was_undone: bool) -> None:
    record = state.steps[name]
    if state.statuses[name] is StepStatus.COMPLETED:
        record.undone += 1
    if was_undone:  # what it was made of may be another thing next time
        record.parts.clear()
        record.holds = None
        record.output = None
        record.inner = None
        record.answer = None
    elif record.holds is False:  # its check said no, and may say something else now
        record.holds = None
        if (asked := record.parts.get(CONDITION)) is not None:
            asked.reopen()
            asked.status = StepStatus.PENDING
    record.held = None
    if record.answer is not None and not record.answer.is_approved:
        record.answer = None  # somebody may think otherwise by now
    record.count = None  # the same items again, of which the completed ones stay so
    record.reopen()
    record.has_fallen = False
    record.arrived_at = None
    state.statuses[name] = StepStatus.PENDING


def _reopen_parts(state: PipelineState, name: str, *, everything: bool) -> None:
    step = state.steps[name]
    undoing = step.parts.get(COMPENSATION)
    if everything and undoing is not None and undoing.status is StepStatus.FAILED:
        undoing.reopen()  # should the step be undone another time, that is tried again
        undoing.status = StepStatus.PENDING
        step.code = step.reason = ""
    is_done = state.statuses[name] is StepStatus.COMPLETED  # what it lacks is no longer to be had
    for record in step.parts.values():
        if record.status is StepStatus.RUNNING:
            record.is_interrupted = True
            record.status = StepStatus.PENDING
        elif everything and not is_done and record.status is not StepStatus.COMPLETED:
            record.reopen()
            record.status = StepStatus.PENDING


def recount(state: PipelineState) -> None:
    """Work out afresh, from the statuses alone, what each step waits for and which may start."""
    for waits in (
        state.postponed, state.doomed, state.broken, state.stood_in, state.to_judge, state.waits, state.passed_by,
    ):  # fmt: skip
        waits.clear()
    state.moot.clear()
    state.ready.clear()
    state.ready_serial.clear()
    state.queues.clear()
    state.startable.clear()
    state.to_undo.clear()
    state.serial_running = ""
    state.unfinished = sum(not status.is_terminal for status in state.statuses.values())
    for name, status in state.statuses.items():
        if status is StepStatus.PENDING:
            state.await_dependencies(name)
            settle_enabled(state, name)
        elif status is StepStatus.WAITING:
            _wait_on(state, name)
        elif status is StepStatus.RUNNING and name in state.graph.serial:
            state.serial_running = name
    for name, status in state.statuses.items():
        if status.is_terminal:
            settle(state, name)
        elif status is StepStatus.WAITING and state.steps[name].has_fallen:
            fall(state, name)
    if state.halted is not None and not state.unfinished:
        state.find_what_to_undo()


def _wait_on(state: PipelineState, name: str) -> None:
    """Take up the wait of a step: for somebody's word, for its next attempt or for its parts."""
    record = state.steps[name]
    if name in state.asked:
        _ask_on(state, name)
        return
    if record.answer is not None and not record.answer.is_approved and not record.has_fallen:
        refuse(state, name, record.answer)
    elif state.timers.of(name, ATTEMPT) is not None:
        if name in state.graph.serial:
            state.serial_running = name
    elif record.count is not None and not record.has_fallen:
        expand(state, name)
        if name in state.graph.serial and name in state.queues:  # else its rounds are over, and so is their turn
            state.serial_running = name


def _ask_on(state: PipelineState, name: str) -> None:
    """Have a step wait on for somebody's word, unless by the definition of now nobody need give it."""
    rules, of = state.graph.rules(name), state.asked[name].of
    if rules.is_disabled:
        state.doomed[name] = Why(DISABLED, "It is disabled.")
    elif of != "call" and (rules.approval is None or rules.approval.of != of):
        state.moot.add(name)
