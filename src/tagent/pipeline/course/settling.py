"""What becomes of the steps behind one that is settled, and what is open again when a run is taken up."""

from collections.abc import Iterator, Mapping

from tagent.exceptions import DataPathError
from tagent.paths import field_values
from tagent.pipeline.conditions import ConditionError
from tagent.pipeline.course.parts import PartQueue
from tagent.pipeline.course.run_state import PipelineState
from tagent.pipeline.course.skip_codes import (
    DEPENDENCY_SKIPPED,
    DEPENDENCY_UNMET,
    DISABLED,
    LEFT_OUT,
    NOT_NEEDED,
    NOT_SELECTED,
    UPSTREAM_FAILED,
)
from tagent.pipeline.course.timers import ATTEMPT, PATIENCE
from tagent.pipeline.events import ASIDE, COMPENSATION, CONDITION, ROUNDS, ApprovalAnswered
from tagent.pipeline.graph import Edge
from tagent.pipeline.journal.blobs import StoredOutput
from tagent.pipeline.kinds import DependencyType, RunStatus, StepStatus

VALID_FIELDS = ("valid", "passed", "approved")
"""What a VALIDATION dependency without a check looks for in an output."""


def settle(state: PipelineState, name: str) -> None:
    """Tell those that wait for a step of its final status."""
    has_output = state.statuses[name] is StepStatus.COMPLETED
    for edge in state.graph.outgoing[name]:
        is_open = state.statuses[edge.target] is StepStatus.PENDING
        if is_open and edge.target not in state.doomed and edge.target not in state.broken:
            if has_output and edge.is_plain:
                state.count_down(edge.target)
            else:
                _settle_edge(state, edge)
    _settle_stand_in(state, name)


def fall(state: PipelineState, name: str) -> None:
    """Let the step begin that takes the place of one that failed."""
    fallback = state.graph.rules(name).fallback
    if fallback is None or not fallback.step:
        state.stood_in[name] = ""
        return
    if state.statuses[fallback.step].is_terminal:  # it did so in an earlier life of the run
        state.stood_in[name] = fallback.step
        return
    for edge in state.graph.outgoing[name]:
        if edge.is_fallback and state.statuses[edge.target] is StepStatus.PENDING:
            state.count_down(edge.target)
            if edge.target in state.postponed and state.postponed[edge.target][0] != DEPENDENCY_SKIPPED:
                state.doomed[edge.target] = state.postponed.pop(edge.target)


def _settle_stand_in(state: PipelineState, name: str) -> None:
    """Tell a failed step that what takes its place has ended."""
    for failed in state.graph.stands_in_for.get(name, ()):
        if state.statuses[failed] is StepStatus.WAITING and state.steps[failed].has_fallen:
            state.stood_in[failed] = name


def _settle_edge(state: PipelineState, edge: Edge) -> None:
    if edge.type is DependencyType.HARD and state.steps[edge.source].code == NOT_SELECTED:
        state.count_down(edge.target)  # whoever chose the one without the other means it to run
    elif edge.is_fallback:
        state.postponed.pop(edge.target, None)
        state.doomed[edge.target] = (NOT_NEEDED, f"The step {edge.source!r} did not fail.")
    elif edge.type is DependencyType.SOFT:
        _settle_soft(state, edge)
    elif state.is_not_taken(edge):
        state.passed_by.add(edge.target)
        if edge.skips:
            _give_up(state, edge.target, _skipped_with(edge))
        else:
            state.count_down(edge.target)
    elif problem := _unmet(state, edge):
        _give_up(state, edge.target, problem)
    else:
        state.count_down(edge.target)


def _give_up(state: PipelineState, name: str, problem: tuple[str, str]) -> None:
    """Have a step skipped: at once, or when the rest is settled that decides whether something has gone wrong.

    Else what it comes to would depend on which of its dependencies happens to be settled first: one that was left out
    or one that failed; and of a step that takes another's place, whether that place is to be taken at all.
    """
    stands_by = any(not state.steps[other].has_fallen for other in state.graph.stands_in_for.get(name, ()))
    if problem[0] != DEPENDENCY_SKIPPED and not stands_by:
        state.postponed.pop(name, None)
        state.doomed[name] = problem
        return
    if name not in state.postponed or state.postponed[name][0] == DEPENDENCY_SKIPPED:
        state.postponed[name] = problem
    state.count_down(name)


def _settle_soft(state: PipelineState, edge: Edge) -> None:
    if not edge.is_patient:
        state.count_down(edge.target)
        return
    state.patient[edge.target] -= 1
    if state.timers.of(edge.target, PATIENCE) is None:  # not yet waited for, or not any more
        return
    if state.patient[edge.target]:
        state.be_patient(edge.target)
    else:
        state.admit(edge.target)


def _unmet(state: PipelineState, edge: Edge) -> tuple[str, str] | None:
    """Return why what the edge asks for is not there; None if it is."""
    has_output = state.statuses[edge.source] is StepStatus.COMPLETED
    if not (has_output or state.is_settled_well(edge.source)):
        how = {StepStatus.FAILED: "failed", StepStatus.CANCELLED: "was cancelled"}.get(
            state.statuses[edge.source], "was skipped"
        )
        return UPSTREAM_FAILED, f"The step {edge.source!r} before it {how}."
    match edge.type:
        case DependencyType.HARD:
            return _skipped_with(edge) if not has_output and edge.skips else None
        case _ if not has_output:
            return DEPENDENCY_UNMET, f"It needs the output of {edge.source!r}, which was left out."
        case DependencyType.VALIDATION:
            return _not_validated(state, edge)
        case _:
            return _not_there(state, edge)


def _skipped_with(edge: Edge) -> tuple[str, str]:
    return DEPENDENCY_SKIPPED, f"The step {edge.source!r} before it was left out."


def _not_there(state: PipelineState, edge: Edge) -> tuple[str, str] | None:
    output = state.steps[edge.source].output
    # What is not in memory is not looked into: `LargeOutputs.prepare` reads it before a run goes on, which counts anew.
    if edge.path is None or isinstance(output, StoredOutput):
        return None
    try:
        edge.path.look_up({edge.source: output})
    except DataPathError as error:
        return DEPENDENCY_UNMET, f"What it needs of {edge.source!r} is missing: {error}"
    return None


def _not_validated(state: PipelineState, edge: Edge) -> tuple[str, str] | None:
    output = state.steps[edge.source].output
    if edge.is_asked or isinstance(output, StoredOutput):
        return None
    if edge.check is None:
        fields = field_values(output)
        found = next((name for name in VALID_FIELDS if name in fields), None)
        if found is None:
            told = "its output has no field `valid`, `passed` or `approved`"
            return DEPENDENCY_UNMET, f"The step {edge.source!r} validates nothing: {told}."
        if fields[found] is True:
            return None
        return DEPENDENCY_UNMET, f"The step {edge.source!r} did not validate: its field `{found}` is not true."
    try:
        verdict = edge.check.judge({**state.values_for(edge.target), "output": output})
    except ConditionError as error:
        return DEPENDENCY_UNMET, f"The step {edge.source!r} could not be validated. {error}"
    return None if verdict.holds else (DEPENDENCY_UNMET, f"The step {edge.source!r} did not validate: {verdict.reason}")


def settle_enabled(state: PipelineState, name: str) -> None:
    """Let a step go on, or be left out, by what the run's inputs say of it."""
    enabled = state.graph.rules(name).enabled
    if enabled is None:
        return
    try:
        verdict = enabled.judge({"steps": {}, "inputs": state.inputs})
    except ConditionError as error:
        state.broken[name] = (error.code, f"It cannot be told whether it is enabled. {error}")
        return
    if verdict.holds:
        state.count_down(name)
    else:
        state.doomed[name] = (DISABLED, f"It is disabled: {verdict.reason}")


def may_run(state: PipelineState, inputs: Mapping[str, object]) -> Iterator[str]:
    """Yield the steps that are not done yet, and not disabled in a run with these inputs."""
    for name, status in state.statuses.items():
        rules = state.graph.rules(name)
        if status is StepStatus.COMPLETED or rules.is_disabled:
            continue
        try:
            is_enabled = rules.enabled is None or rules.enabled.judge({"steps": {}, "inputs": inputs}).holds
        except ConditionError:  # the step fails with it, when it is its turn
            continue
        if is_enabled:
            yield name


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
    for name, record in state.steps.items():
        if record.parts_of and record.parts_of != _parts_of(state, name) and not state.is_settled_well(name):
            record.drop_parts()
            if state.statuses[name] is StepStatus.WAITING and name not in state.asked:
                state.statuses[name] = StepStatus.PENDING
        elif record.parts_of == ROUNDS and record.count and not (record.held or state.statuses[name].is_terminal):
            record.count = _rounds_of(state, name)
    for name, status in state.statuses.items():
        if status is StepStatus.RUNNING:
            state.steps[name].is_interrupted = True
            state.statuses[name] = StepStatus.PENDING
        elif everything and name not in staying:
            _reopen_step(state, name, was_undone=was_undone)
        if state.steps[name].parts:
            _reopen_parts(state, name, everything=everything)
    recount(state)


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
        state.doomed[name] = (DISABLED, "It is disabled.")
    elif of != "call" and (rules.approval is None or rules.approval.of != of):
        state.moot.add(name)


def refuse(state: PipelineState, name: str, answer: ApprovalAnswered) -> None:
    """Have a step fail that was not approved."""
    if answer.by_default:
        state.broken[name] = ("approval.rejected", "Nobody answered in time.")
        return
    who = f"{answer.actor or 'Somebody'} said no"
    state.broken[name] = ("approval.rejected", f"{who}: {answer.comment}" if answer.comment else f"{who}.")


def expand(state: PipelineState, name: str) -> None:
    """Have the parts of a step done, of which there are as many as its record says."""
    record, expansion = state.steps[name], state.graph.rules(name).expansion
    count = record.count or 0
    if expansion is None or not count:
        state.make_ready(name)
        return
    parts = expansion.names(count)
    limit, allowed = expansion.max_concurrency, expansion.allowed_failures(count)
    is_ordered = expansion.rounds > 0
    state.open_queue(name, PartQueue.of(parts, limit=limit, allowed_failures=allowed, is_ordered=is_ordered))
    if state.queues[name].is_over:
        parts_ended(state, name)


def parts_ended(state: PipelineState, name: str) -> None:
    """Let a step go on whose items or branches have all ended, or fail if too many of them did."""
    queue = state.queues[name]
    state.close_queue(name)
    if state.serial_running == name:  # its rounds were its turn; what is left of it is another
        state.serial_running = ""
    if not queue.is_hopeless:
        state.make_ready(name)
        return
    record = state.steps[name]
    for part in queue.resting:
        state.timers.clear((name, part))
        resting = record.parts[part]
        resting.status, resting.finished_at = StepStatus.CANCELLED, state.last_at
        resting.reason = f"Too many others failed for another attempt. {resting.reason}"
    failed = [(part, it) for part, it in record.parts.items() if part not in ASIDE and it.status is StepStatus.FAILED]
    first, why = failed[0]
    if record.parts_of == ROUNDS:  # of which none is to fail
        state.broken[name] = ("step.parts", f"Round {first} failed: {why.reason}")
        return
    which = f"{first!r} and {len(failed) - 1} more" if len(failed) > 1 else repr(first)
    told = f"{len(failed)} of its {record.count} parts failed ({which}); at most {queue.allowed_failures} may."
    state.broken[name] = ("step.parts", f"{told} {why.reason}")
