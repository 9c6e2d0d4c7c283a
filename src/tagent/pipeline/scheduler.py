"""What to do next in a run. Pure: state and time in, commands out; nothing here runs, waits or writes."""

from collections.abc import Mapping

from tagent.pipeline.exceptions import DeadlockError
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.models import Pipeline, PipelineStep, RunStatus, StepStatus
from tagent.pipeline.state import PipelineState
from tagent.values import value


@value
class StartStep:
    """Begin an attempt at a step."""

    step: str
    attempt: int


@value
class SkipStep:
    """Give a step up, because of what happened before it."""

    step: str
    code: str
    reason: str


@value
class WaitUntil:
    """Nothing is due before this time, unless a running step reports earlier."""

    at: float


@value
class FinishRun:
    """Every step has its final status."""

    status: RunStatus


Command = StartStep | SkipStep | WaitUntil | FinishRun


def next_commands(state: PipelineState, now: float) -> list[Command]:
    """Return what to do now, in definition order; nothing means: wait for a running step.

    Skips come alone: each may doom further steps, so ask again once they are applied.

    Raises:
        DeadlockError: If nothing runs, nothing can start, and steps are left.
    """
    if state.doomed:
        return [SkipStep(name, code, reason) for name, (code, reason) in state.doomed.items()]
    if not state.unfinished:
        return [FinishRun(final_status(state))]
    names, steps = state.graph.names, state.steps
    commands: list[Command] = [
        StartStep(names[place], steps[names[place]].next_attempt) for place in _places_due(state, now)
    ]
    if later := [at for at in state.retries.values() if at > now]:
        commands.append(WaitUntil(min(later)))
    if not commands and not state.running:
        raise DeadlockError(blocked_steps(state.graph, state.statuses))
    return commands


def _places_due(state: PipelineState, now: float) -> list[int]:
    """Return the places of the steps to start now, in order; of the SERIAL ones the one whose turn it is."""
    places = list(state.ready)
    if state.retries:
        places += [state.graph.positions[name] for name, at in state.retries.items() if at <= now]
    if state.ready_serial and not state.serial_running:
        places.append(state.ready_serial[0])
    return sorted(places)


def final_status(state: PipelineState) -> RunStatus:
    """Return the status of a run whose steps all have their final status."""
    statuses = state.statuses
    if all(status is StepStatus.COMPLETED for status in statuses.values()):
        return RunStatus.COMPLETED
    some_sink_completed = any(statuses[name] is StepStatus.COMPLETED for name in state.graph.sinks)
    return RunStatus.PARTIAL if some_sink_completed else RunStatus.FAILED


def ready_steps(graph: ExecutionGraph, statuses: Mapping[str, StepStatus]) -> tuple[str, ...]:
    """Return the steps that may start now, in definition order; of the SERIAL ones at most one.

    This is the rule as a reader would state it. A run's state counts instead of asking again and
    comes to the same answer.
    """
    open_steps = [name for name in graph.positions if statuses.get(name, StepStatus.PENDING) is StepStatus.PENDING]
    free = [
        name
        for name in open_steps
        if all(statuses.get(source) is StepStatus.COMPLETED for source in graph.dependencies(name))
    ]
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
        and (
            waits_for := frozenset(
                source for source in graph.dependencies(name) if statuses.get(source) is not StepStatus.COMPLETED
            )
        )
    }


class PipelineScheduler:
    """The order of a pipeline's steps, and which of them may start.

    Attributes:
        pipeline: The definition.
        graph: What it compiles to.
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

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.graph = ExecutionGraph.build(pipeline)
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
