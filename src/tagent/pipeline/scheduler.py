"""What to do next in a run. Pure: state and time in, commands out; nothing here runs, waits or writes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import cast

from tagent.exceptions import DataPathError
from tagent.paths import DataPath
from tagent.pipeline.answering.requests import open_requests
from tagent.pipeline.conditions import ConditionError
from tagent.pipeline.conditions.problems import kind_of
from tagent.pipeline.course.commands import (
    AskApproval,
    CancelStep,
    Command,
    ExpandStep,
    FailStep,
    FinishRun,
    HaltRun,
    JudgeStep,
    PauseRun,
    Settling,
    SkipStep,
    Start,
    StartPart,
    StartStep,
    SubstituteStep,
    WaitUntil,
    WithdrawApproval,
)
from tagent.pipeline.course.run_state import PipelineState
from tagent.pipeline.course.sinks import sinks_of
from tagent.pipeline.course.timers import ATTEMPT, PATIENCE
from tagent.pipeline.events import COMPENSATION, CONDITION, RunHalted
from tagent.pipeline.exceptions import DeadlockError
from tagent.pipeline.graph import Edge, ExecutionGraph
from tagent.pipeline.kinds import DependencyType, RunStatus, StepStatus
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.rules import Expansion
from tagent.values import value

MOST_PARTS = 100_000
"""How many items a step may have."""


@value
class Limits:
    """What may end a run early.

    Attributes:
        deadline_at: When it is over, in seconds since 1970-01-01 UTC; None for never.
        is_holding: Whether nothing may begin for now, as there is no budget for it.
        paused: What was started and waits for somebody -> (code, reason); a step, and a part of it or "".
        stood_seconds: How much of the time until the deadline did not count, as the run waited for people alone.
    """

    deadline_at: float | None = None
    is_holding: bool = False
    paused: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    stood_seconds: float = 0.0


NO_LIMITS = Limits()

AWAITING_APPROVAL = "approval.waiting"
"""The code of a run in which nothing can move before somebody says yes or no."""

_NO_STARTS = (FailStep, JudgeStep, AskApproval)
"""What may become of a step instead of its start."""


def next_commands(state: PipelineState, now: float, limits: Limits = NO_LIMITS) -> Sequence[Command]:
    """Return what to do now, in definition order; nothing means: wait for what runs.

    What settles steps comes alone: it may decide on further ones, so ask again once it is applied.

    Raises:
        DeadlockError: If nothing runs, nothing can start, and steps are left.
    """
    if state.halted is not None:
        return _last_commands(state, now, limits)
    if state.broken or state.doomed or state.stood_in or state.to_judge or state.moot:
        return list(_settled(state))
    if halt := _halt(state, now, limits):
        return [halt]
    if not state.unfinished:
        return [FinishRun(final_status(state))]
    starts = [] if limits.is_holding else _starts(state, now)
    failed = [command for command in starts if isinstance(command, _NO_STARTS)]
    if failed:
        return failed
    later = None if limits.is_holding else state.timers.next_after(now)
    if not starts and later is None and not _is_busy(state, limits):  # a deadline moves nothing
        return [_pause(state, limits)]
    commands: list[Command] = list(starts)
    if (wake_at := min((at for at in (later, limits.deadline_at) if at is not None), default=None)) is not None:
        commands.append(WaitUntil(wake_at))
    return commands


def _is_busy(state: PipelineState, limits: Limits) -> bool:
    """Return whether anything is under way that does not wait for somebody."""
    if not limits.paused:
        return state.is_busy
    return any((name, "") not in limits.paused for name in state.running) or not (
        state.running_parts <= limits.paused.keys()
    )


def _pause(state: PipelineState, limits: Limits) -> PauseRun:
    """Return whom the run waits for.

    Raises:
        DeadlockError: If it waits for nobody.
    """
    code, reason = next(iter(limits.paused.values()), ("", ""))
    asked = open_requests(state) if code in ("", AWAITING_APPROVAL) else {}
    if asked:
        first, *others = asked  # by their paths, those inside steps too
        who = f"The step {first!r} and {len(others)} more wait" if others else f"The step {first!r} waits"
        return PauseRun(AWAITING_APPROVAL, f"{who} for an approval.")
    if code:
        return PauseRun(code, reason)
    raise DeadlockError(blocked_steps(state.graph, state.statuses))


def _settled(state: PipelineState) -> Iterator[Settling]:
    """Yield what is decided by what happened before, without anything to begin."""
    for name, (code, reason) in state.broken.items():
        yield FailStep(name, code, reason)
    for name, (code, reason) in state.doomed.items():
        yield SkipStep(name, code, reason)
    for name, by in state.stood_in.items():
        record = state.steps[name]
        if not by or state.statuses[by] is StepStatus.COMPLETED:
            yield SubstituteStep(name, by)
        else:
            yield FailStep(
                name, record.code, f"{record.reason} And {by!r}, which was to take its place, did not complete."
            )
    for name in sorted(state.moot, key=state.graph.positions.__getitem__):
        yield WithdrawApproval(name)
    for name in sorted(state.to_judge, key=state.graph.positions.__getitem__):
        yield judged(state, name)


def judged(state: PipelineState, name: str) -> JudgeStep | FailStep:
    """Return what the condition of the step `name` comes to."""
    condition = state.graph.rules(name).condition
    if condition is None:
        raise ValueError(f"The step {name!r} has no condition that could be judged here.")
    try:
        verdict = condition.judge(state.values_for(name))
    except ConditionError as error:
        return FailStep(name, error.code, str(error))
    return JudgeStep(name, verdict.holds, verdict.reason)


def _halt(state: PipelineState, now: float, limits: Limits) -> HaltRun | None:
    is_over = not state.unfinished
    if state.failed and (
        state.graph.on_failure == "rollback" or (state.graph.on_failure == "fail_fast" and not is_over)
    ):
        what = "stops" if state.graph.on_failure == "fail_fast" else "is rolled back"
        reason = f"The step {state.failed!r} failed, so the run {what}."
        return HaltRun(f"run.{state.graph.on_failure}", reason, state.failed)
    if limits.deadline_at is not None and now >= limits.deadline_at and not is_over:
        seconds = limits.deadline_at - state.opened_at - limits.stood_seconds
        return HaltRun("run.deadline", f"The run was not done within {seconds:g} s.")
    return None


_Begin = Start | JudgeStep | AskApproval | FailStep


def _starts(state: PipelineState, now: float) -> list[_Begin]:
    """Return what may begin now: of the SERIAL steps the one whose turn it is, and every part that may."""
    graph = state.graph
    places = list(state.ready)
    serial = list(state.ready_serial[:1])
    parts: list[tuple[str, str]] = []
    for name, wait in state.timers.due(now):
        if wait == ATTEMPT:
            places.append(graph.positions[name])
        elif wait == PATIENCE:
            (serial if name in graph.serial else places).append(graph.positions[name])
        else:
            parts.append((name, wait))
    if serial and not state.serial_running:
        places.append(min(serial))
    starts = [_begin(state, graph.names[place]) for place in sorted(places)]
    if parts or state.startable:
        starts += _part_starts(state, parts)
    return starts


def _begin(state: PipelineState, name: str) -> _Begin:
    """Return how a step goes on whose dependencies are settled, or are waited for no longer."""
    rules, record = state.graph.rules(name), state.steps[name]
    if record.holds is None:
        if rules.condition is not None:
            return judged(state, name)
        if rules.has_condition_part:
            return StartPart(name, CONDITION, record.next_attempt_at(CONDITION))
    if rules.approval is not None and rules.approval.of == "start" and record.answer is None:
        return AskApproval(name)
    if rules.expansion is not None and record.count is None and not record.hands_over:
        return _expansion(state, name, rules.expansion)
    return StartStep(name, record.next_attempt)


def _expansion(state: PipelineState, name: str, expansion: Expansion) -> ExpandStep | FailStep:
    if expansion.path is None:
        return ExpandStep(name, expansion.rounds or len(expansion.branches))
    try:
        items = items_of(state, expansion)
    except DataPathError as error:
        return FailStep(name, "step.input", f"The step {name!r} cannot go through {expansion.path}: {error}")
    if items is None:
        told = _no_list(_led_to(state, expansion.path), expansion.path, is_input=expansion.path.root in state.inputs)
        return FailStep(name, "step.input", f"The step {name!r} cannot go through {expansion.path}: {told}")
    if len(items) > MOST_PARTS:
        return FailStep(name, "step.input", f"{expansion.path} has {len(items):,} items; {MOST_PARTS:,} are allowed.")
    least = expansion.min_success
    if isinstance(least, int) and least > len(items):
        return FailStep(name, "step.parts", f"It needs {least} successes, and {expansion.path} has {len(items)} items.")
    return ExpandStep(name, len(items))


def items_of(state: PipelineState, expansion: Expansion) -> Sequence[object] | None:
    """Return the items for which a step runs; None if what its path leads to is no list.

    Raises:
        DataPathError: If its path leads nowhere.
    """
    found = None if expansion.path is None else _led_to(state, expansion.path)
    return cast("list[object]", found) if isinstance(found, list) else None


def _led_to(state: PipelineState, path: DataPath) -> object:
    known = state.steps[path.root].output if path.root in state.statuses else state.inputs.get(path.root)
    return path.look_up({path.root: known})


def _no_list(found: object, path: DataPath, *, is_input: bool) -> str:
    told = f"it is {'a text' if isinstance(found, str) else kind_of(found)}, not a list."
    if is_input and isinstance(found, str) and found.lstrip().startswith("["):  # written where a shell is used
        told += f" On the command line, JSON is given with a colon: --input '{path.root}:=[...]'."
    return told


def _part_starts(state: PipelineState, due: list[tuple[str, str]]) -> Iterator[StartPart]:
    """Yield the parts to start: first those whose next attempt is due, then those that have not begun."""
    free = {name: queue.limit - len(queue.running) for name, queue in state.queues.items()} if due else {}
    for name, part in due:
        queue = state.queues.get(name)
        if queue is not None and not queue.is_hopeless and free[name] > 0:
            free[name] -= 1
            yield StartPart(name, part, state.steps[name].next_attempt_at(part))
    for name in sorted(state.startable, key=state.graph.positions.__getitem__):
        startable = state.queues[name].startable
        for part in startable[: free.get(name, len(startable))]:
            yield StartPart(name, part, state.steps[name].next_attempt_at(part))


def _last_commands(state: PipelineState, now: float, limits: Limits) -> Sequence[Command]:
    """Return what is left to do in a run that ends early: stop and give up steps, then undo."""
    halted = state.halted
    if halted is None:
        return []
    if state.unfinished:
        return [_given_up(state, name, halted) for name, status in state.statuses.items() if not status.is_terminal]
    if halted.code == "run.rollback" and state.to_undo:
        return _undo(state, now, limits)
    return [FinishRun(final_status(state))]


def _given_up(state: PipelineState, name: str, halted: RunHalted) -> SkipStep | CancelStep:
    is_open = state.statuses[name] is not StepStatus.PENDING or name in state.queues
    has_begun = is_open or state.steps[name].is_interrupted
    kind = CancelStep if has_begun or halted.code == "run.cancelled" else SkipStep
    return kind(name, halted.code, halted.reason)


def _undo(state: PipelineState, now: float, limits: Limits) -> Sequence[Command]:
    name = state.to_undo[-1]
    if (name, COMPENSATION) in state.running_parts:
        return [_pause(state, limits)] if (name, COMPENSATION) in limits.paused else []
    at = state.timers.of(name, COMPENSATION)
    if at is not None and at > now:
        return [WaitUntil(at)]
    return [StartPart(name, COMPENSATION, state.steps[name].next_attempt_at(COMPENSATION))]


def final_status(state: PipelineState) -> RunStatus:
    """Return the status of a run whose steps all have their final status."""
    if state.halted is not None and state.halted.code == "run.cancelled":
        return RunStatus.CANCELLED
    if state.halted is not None and state.halted.code == "run.rollback":
        return RunStatus.FAILED
    # What takes the place of a step that failed is that step's business: it is the one that fails then.
    if all(state.is_settled_well(name) or name in state.graph.stand_ins for name in state.statuses):
        return RunStatus.COMPLETED
    some_sink_completed = any(state.statuses[name] is StepStatus.COMPLETED for name in sinks_of(state))
    return RunStatus.PARTIAL if some_sink_completed else RunStatus.FAILED


def ready_steps(graph: ExecutionGraph, statuses: Mapping[str, StepStatus]) -> tuple[str, ...]:
    """Return the steps that may start now, in definition order; of the SERIAL ones at most one.

    This is the rule as a reader would state it, as far as statuses tell: they do not say whether what is skipped was
    left out by its condition, nor what an output holds. A run's state counts instead of asking again.
    """
    open_steps = [name for name in graph.positions if statuses.get(name, StepStatus.PENDING) is StepStatus.PENDING]
    free = [name for name in open_steps if all(_allows(graph, edge, statuses) for edge in graph.incoming[name])]
    begun = {StepStatus.RUNNING, StepStatus.WAITING}
    serial_is_busy = any(statuses.get(name) in begun for name in graph.serial)
    first_serial = next((name for name in free if name in graph.serial and not serial_is_busy), None)
    return tuple(name for name in free if name not in graph.serial or name == first_serial)


def blocked_steps(graph: ExecutionGraph, statuses: Mapping[str, StepStatus]) -> dict[str, frozenset[str]]:
    """Return each step that has not started -> the dependencies that it still waits for; those without are out."""
    return {
        name: waits_for
        for name in graph.positions
        if statuses.get(name, StepStatus.PENDING) is StepStatus.PENDING
        and (waits_for := frozenset(edge.source for edge in graph.incoming[name] if not _allows(graph, edge, statuses)))
    }


def _allows(graph: ExecutionGraph, edge: Edge, statuses: Mapping[str, StepStatus]) -> bool:
    """Return whether a dependency lets its target start, as far as its source's status tells."""
    status = statuses.get(edge.source, StepStatus.PENDING)
    if edge.is_fallback:
        return status is StepStatus.FAILED
    match edge.type:
        case DependencyType.SOFT:
            return edge.is_patient or status.is_terminal
        case DependencyType.HARD:
            is_optional = graph.rules(edge.source).is_optional and status.is_terminal
            return status in {StepStatus.COMPLETED, StepStatus.SKIPPED} or is_optional
        case _:
            return status is StepStatus.COMPLETED


class PipelineScheduler:
    """The order of a pipeline's steps, and which of them may start.

    Attributes:
        pipeline: The definition.
        graph: What it compiles to; built unless it is given.
        step_status: Step name -> where it stands. During a run it is the run's own; by hand it may be
            changed to ask what would be ready then.

    Example:
        >>> scheduler = PipelineScheduler(Pipeline("p").step("a", "Find it").step("b", "Use {a}"))
        >>> scheduler.execution_graph
        {'a': [], 'b': ['a']}
        >>> scheduler.step_status["a"] = StepStatus.COMPLETED
        >>> [step.name for step in scheduler.get_ready_steps()]
        ['b']
    """

    def __init__(self, pipeline: Pipeline, graph: ExecutionGraph | None = None) -> None:
        self.pipeline = pipeline
        self.graph = graph or ExecutionGraph.build(pipeline)
        self.step_status: dict[str, StepStatus] = dict.fromkeys(self.graph.positions, StepStatus.PENDING)

    @property
    def execution_graph(self) -> dict[str, list[str]]:
        """Step name -> the names it depends on."""
        return {name: list(self.graph.dependencies(name)) for name in self.graph.positions}

    def get_ready_steps(self) -> list[PipelineStep]:
        """Return the steps that may start now, in definition order; of the SERIAL ones at most one."""
        ready = set(ready_steps(self.graph, self.step_status))
        return [step for step in self.pipeline.steps if step.name in ready]

    def topological_order(self) -> list[str]:
        """Return every step's name behind those it depends on.

        Raises:
            CircularDependencyError: If steps wait for each other in a circle.
        """
        return list(self.graph.topological_order())

    def blocked_steps(self) -> dict[str, frozenset[str]]:
        """Return step name -> the dependencies that it still waits for."""
        return blocked_steps(self.graph, self.step_status)

    def check_deadlock(self) -> None:
        """Do nothing while something can move.

        Raises:
            DeadlockError: If no step runs or can start, yet some wait.
        """
        is_moving = any(s in {StepStatus.RUNNING, StepStatus.WAITING} for s in self.step_status.values())
        if not is_moving and not self.get_ready_steps() and (blocked := self.blocked_steps()):
            raise DeadlockError(blocked)
