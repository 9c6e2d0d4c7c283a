"""What becomes of a step when something that it waits for is settled: a step before it, an answer, its parts."""

from collections.abc import Iterator, Mapping

from tagent.exceptions import DataPathError
from tagent.paths import field_values
from tagent.pipeline.conditions import ConditionError, Verdict
from tagent.pipeline.course.parts import PartQueue
from tagent.pipeline.course.run_state import PipelineState
from tagent.pipeline.course.skip_codes import (
    DEPENDENCY_SKIPPED,
    DEPENDENCY_UNMET,
    DISABLED,
    NOT_NEEDED,
    NOT_SELECTED,
    UPSTREAM_FAILED,
    Why,
)
from tagent.pipeline.course.timers import PATIENCE
from tagent.pipeline.events import ASIDE, ROUNDS, ApprovalAnswered
from tagent.pipeline.graph import Edge
from tagent.pipeline.journal.blobs import StoredOutput
from tagent.pipeline.kinds import DependencyType, StepStatus
from tagent.pipeline.rules import StepRules

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
            if edge.target in state.postponed and state.postponed[edge.target].code != DEPENDENCY_SKIPPED:
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
        state.doomed[edge.target] = Why(NOT_NEEDED, f"The step {edge.source!r} did not fail.")
    elif edge.type is DependencyType.SOFT:
        _settle_soft(state, edge)
    elif state.is_not_taken(edge):
        state.passed_by.add(edge.target)
        if edge.skips:
            _give_up(state, edge.target, _skipped_with(edge))
        else:
            state.count_down(edge.target)
    elif why := _unmet(state, edge):
        _give_up(state, edge.target, why)
    else:
        state.count_down(edge.target)


def _give_up(state: PipelineState, name: str, why: Why) -> None:
    """Have a step skipped: at once, or when the rest is settled that decides whether something has gone wrong.

    Else what it comes to would depend on which of its dependencies happens to be settled first: one that was left out
    or one that failed; and of a step that takes another's place, whether that place is to be taken at all.
    """
    stands_by = any(not state.steps[other].has_fallen for other in state.graph.stands_in_for.get(name, ()))
    if why.code != DEPENDENCY_SKIPPED and not stands_by:
        state.postponed.pop(name, None)
        state.doomed[name] = why
        return
    if name not in state.postponed or state.postponed[name].code == DEPENDENCY_SKIPPED:
        state.postponed[name] = why
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


def _unmet(state: PipelineState, edge: Edge) -> Why | None:
    """Return why what the edge asks for is not there; None if it is."""
    has_output = state.statuses[edge.source] is StepStatus.COMPLETED
    if not (has_output or state.is_settled_well(edge.source)):
        how = {StepStatus.FAILED: "failed", StepStatus.CANCELLED: "was cancelled"}.get(
            state.statuses[edge.source], "was skipped"
        )
        return Why(UPSTREAM_FAILED, f"The step {edge.source!r} before it {how}.")
    match edge.type:
        case DependencyType.HARD:
            return _skipped_with(edge) if not has_output and edge.skips else None
        case _ if not has_output:
            return Why(DEPENDENCY_UNMET, f"It needs the output of {edge.source!r}, which was left out.")
        case DependencyType.VALIDATION:
            return _not_validated(state, edge)
        case _:
            return _not_there(state, edge)


def _skipped_with(edge: Edge) -> Why:
    return Why(DEPENDENCY_SKIPPED, f"The step {edge.source!r} before it was left out.")


def _not_there(state: PipelineState, edge: Edge) -> Why | None:
    output = state.steps[edge.source].output
    # What is not in memory is not looked into: `LargeOutputs.prepare` reads it before a run goes on, which counts anew.
    if edge.path is None or isinstance(output, StoredOutput):
        return None
    try:
        edge.path.look_up({edge.source: output})
    except DataPathError as error:
        return Why(DEPENDENCY_UNMET, f"What it needs of {edge.source!r} is missing: {error}")
    return None


def _not_validated(state: PipelineState, edge: Edge) -> Why | None:
    output = state.steps[edge.source].output
    if edge.is_asked or isinstance(output, StoredOutput):
        return None
    if edge.check is None:
        fields = field_values(output)
        found = next((name for name in VALID_FIELDS if name in fields), None)
        if found is None:
            told = "its output has no field `valid`, `passed` or `approved`"
            return Why(DEPENDENCY_UNMET, f"The step {edge.source!r} validates nothing: {told}.")
        if fields[found] is True:
            return None
        return Why(DEPENDENCY_UNMET, f"The step {edge.source!r} did not validate: its field `{found}` is not true.")
    try:
        verdict = edge.check.judge({**state.values_for(edge.target), "output": output})
    except ConditionError as error:
        return Why(DEPENDENCY_UNMET, f"The step {edge.source!r} could not be validated. {error}")
    if verdict.holds:
        return None
    return Why(DEPENDENCY_UNMET, f"The step {edge.source!r} did not validate: {verdict.reason}")


def settle_enabled(state: PipelineState, name: str) -> None:
    """Let a step go on, or be left out, by what the run's inputs say of it."""
    try:
        verdict = enabled_verdict(state.graph.rules(name), state.inputs)
    except ConditionError as error:
        state.broken[name] = Why(error.code, f"It cannot be told whether it is enabled. {error}")
        return
    if verdict is None:
        return
    if verdict.holds:
        state.count_down(name)
    else:
        state.doomed[name] = Why(DISABLED, f"It is disabled: {verdict.reason}")


def enabled_verdict(rules: StepRules, inputs: Mapping[str, object]) -> Verdict | None:
    """Return what a run's inputs say of whether it has a step; None where it has it, or not, whatever they are.

    Raises:
        ConditionError: If it cannot be told.
    """
    return None if rules.enabled is None else rules.enabled.judge({"steps": {}, "inputs": inputs})


def may_run(state: PipelineState, inputs: Mapping[str, object]) -> Iterator[str]:
    """Yield the steps that are not done yet, and not disabled in a run with these inputs."""
    for name, status in state.statuses.items():
        rules = state.graph.rules(name)
        if status is StepStatus.COMPLETED or rules.is_disabled:
            continue
        try:
            verdict = enabled_verdict(rules, inputs)
        except ConditionError:  # the step fails with it, when it is its turn
            continue
        if verdict is None or verdict.holds:
            yield name


def refuse(state: PipelineState, name: str, answer: ApprovalAnswered) -> None:
    """Have a step fail that was not approved."""
    if answer.by_default:
        state.broken[name] = Why("approval.rejected", "Nobody answered in time.")
        return
    who = f"{answer.actor or 'Somebody'} said no"
    state.broken[name] = Why("approval.rejected", f"{who}: {answer.comment}" if answer.comment else f"{who}.")


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
        state.broken[name] = Why("step.parts", f"Round {first} failed: {why.reason}")
        return
    which = f"{first!r} and {len(failed) - 1} more" if len(failed) > 1 else repr(first)
    told = f"{len(failed)} of its {record.count} parts failed ({which}); at most {queue.allowed_failures} may."
    state.broken[name] = Why("step.parts", f"{told} {why.reason}")
