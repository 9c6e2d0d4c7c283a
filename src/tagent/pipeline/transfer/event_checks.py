"""Events that nobody vouches for: what each may say, and whether it can follow those before it.

The state trusts the events that its own engine wrote. Those of a file are held to what an engine would write.
"""

from tagent.exceptions import DataPathError
from tagent.pipeline.events import (
    COMPENSATION,
    CONDITION,
    AgentProgressed,
    ConditionJudged,
    EventOfRun,
    PartCompleted,
    PartFailed,
    PartStarted,
    RunEvent,
    RunFinished,
    RunForked,
    RunHalted,
    RunResumed,
    StepCompleted,
    StepEvent,
    StepExpanded,
    StepFailed,
    StepStarted,
    StepSubstituted,
)
from tagent.pipeline.kinds import RunStatus
from tagent.pipeline.rules import Expansion, StepRules
from tagent.pipeline.state import PipelineState
from tagent.pipeline.transfer.documents import LATEST, RunImportError
from tagent.task_agent.events import (
    AgentEvent,
    Planned,
    TaskCompleted,
    TaskFailed,
    TaskStarted,
    ToolAsked,
    calls_of,
)
from tagent.task_agent.models import AgentState, ModelCall, Task, TaskStatus
from tagent.task_agent.references import referenced_tasks
from tagent.task_agent.state_machine import reduce

MAX_ATTEMPTS = 1_000_000
MAX_TOKENS = 2**53
MAX_COST_USD = 1e12

MAX_PARTS = 1_000_000
"""Parts that all steps of a run may have together: an event of a few bytes makes as many as it says."""

HALTS = frozenset({"run.cancelled", "run.deadline", "run.fail_fast", "run.rollback"})

_OF_ATTEMPTS = (StepStarted, AgentProgressed, StepCompleted, StepFailed, PartStarted, PartCompleted, PartFailed)
_OF_PARTS = (PartStarted, PartCompleted, PartFailed)


def require_sane(event: RunEvent, *, seq: int) -> None:
    """Refuse an event whose facts by themselves cannot be.

    Raises:
        RunImportError: If they cannot; it names the place `seq`.
    """
    if isinstance(event, StepFailed | PartFailed) and event.retry_at is not None and not 0 <= event.retry_at <= LATEST:
        raise RunImportError(f"the next attempt after its event {seq} is never due.")
    if isinstance(event, _OF_ATTEMPTS):
        number: object = event.attempt
        least = 0 if isinstance(event, StepFailed) else 1
        if type(number) is not int or not least <= number <= MAX_ATTEMPTS:
            raise RunImportError(f"the attempt of its event {seq} is no number from {least} to {MAX_ATTEMPTS:,}.")
    if isinstance(event, AgentProgressed):
        for call in calls_of(event.event):
            _require_sane_call(call, seq=seq)
        if isinstance(event.event, TaskFailed) and not 0 <= (event.event.retry_at or 0) <= LATEST:
            raise RunImportError(f"the next try after its event {seq} is never due.")
    if isinstance(event, RunFinished) and event.status.value in {"running", "waiting"}:
        raise RunImportError(f"its event {seq} finishes the run as {event.status.value}.")
    if isinstance(event, RunHalted) and event.code not in HALTS:
        raise RunImportError(f"its event {seq} halts the run for no known reason.")
    if isinstance(event, PartCompleted) and event.part == CONDITION and not _is_verdict(event.output):
        raise RunImportError(f"its event {seq} does not say whether a condition holds.")


def _require_sane_call(call: ModelCall, *, seq: int) -> None:
    usage = call.usage
    counts = (usage.input_tokens, usage.output_tokens, usage.requests)
    if not all(0 <= count <= MAX_TOKENS for count in counts) or not 0 <= (call.cost_usd or 0.0) <= MAX_COST_USD:
        raise RunImportError(f"the usage or the price in its event {seq} cannot be.")


def _is_verdict(output: object) -> bool:
    if not isinstance(output, dict) or not isinstance(output.get("holds"), bool):
        return False
    return all(isinstance(output.get(name, ""), str) for name in ("code", "reason"))


class Course:
    """The course of a run, event by event, and the agents on it.

    Args:
        state: The run's state before each event. Whoever asks applies the event afterwards.
    """

    def __init__(self, state: PipelineState) -> None:
        self._state = state
        self._agents: dict[tuple[str, str], tuple[int, AgentState]] = {}
        self._parts = 0

    def require_possible(self, event: RunEvent, *, seq: int) -> None:
        """Refuse an event that no engine would write there, and that the state trusts it not to.

        Raises:
            RunImportError: If it is one; it names the place `seq`.
            IllegalTransitionError: If it cannot happen in the state of an agent.
        """
        if self._state.is_finished and not isinstance(event, RunResumed | RunForked):
            raise RunImportError(f"its event {seq} comes after the run's end.")
        if isinstance(event, RunFinished) and self._state.unfinished and event.status is not RunStatus.FAILED:
            raise RunImportError(f"its event {seq} ends the run before its steps have.")
        if isinstance(event, EventOfRun):
            if isinstance(event, RunHalted) and event.step and event.step not in self._state.steps:
                raise RunImportError(f"its event {seq} is of a step that its definition does not have.")
            return
        self._require_known(event, seq=seq)
        if isinstance(event, StepExpanded):
            self._require_expansion(event, seq=seq)
        if not self._is_allowed(event, self._state.graph.rules(event.step)):
            raise RunImportError(f"its event {seq} is nothing that can happen to its step.")
        if isinstance(event, AgentProgressed):
            self._progress(event, seq=seq)

    def _require_known(self, event: StepEvent, *, seq: int) -> None:
        step: object = event.step
        if not isinstance(step, str) or step not in self._state.steps:
            raise RunImportError(f"its event {seq} is of a step that its definition does not have.")
        if isinstance(event, StepStarted | StepExpanded | PartStarted) and not self._state.steps.keys() >= set(
            event.seen
        ):
            raise RunImportError(f"its event {seq} sees a step that its definition does not have.")
        if isinstance(event, AgentProgressed) and event.part == "":
            return
        if isinstance(event, AgentProgressed | PartStarted | PartCompleted | PartFailed):
            part: object = event.part
            if not isinstance(part, str) or not self._has_part(step, part):
                raise RunImportError(f"its event {seq} is of a part that its step does not have.")

    def _has_part(self, step: str, part: str) -> bool:
        rules, count = self._state.graph.rules(step), self._state.steps[step].count
        if part == CONDITION:
            return rules.has_condition_part
        if part == COMPENSATION:
            return rules.has_compensation
        if rules.expansion is None or count is None:
            return False
        return part in rules.expansion.branches or (not rules.expansion.branches and _is_place(part, count))

    def _require_expansion(self, event: StepExpanded, *, seq: int) -> None:
        expansion = self._state.graph.rules(event.step).expansion
        if expansion is None or not _can_be(event.count, expansion):
            raise RunImportError(f"its event {seq} gives a step parts that it cannot have.")
        self._parts += event.count
        if self._parts > MAX_PARTS:
            raise RunImportError(f"its steps have more than {MAX_PARTS:,} parts together.")

    @staticmethod
    def _is_allowed(event: StepEvent, rules: StepRules) -> bool:
        """Return whether the definition says that such a thing can happen to the step."""
        match event:
            case ConditionJudged():
                return rules.condition is not None
            case StepSubstituted():
                return rules.fallback is not None and event.by == (rules.fallback.step or "default")
            case StepFailed():
                return rules.fallback is not None or not event.falls_back
            case _:
                return True

    def _progress(self, event: AgentProgressed, *, seq: int) -> None:
        attempt, agent = self._agents.get((event.step, event.part), (0, AgentState()))
        agent = agent if attempt == event.attempt else AgentState()
        _require_possible_task(agent, event.event, seq=seq)
        self._agents[event.step, event.part] = (event.attempt, reduce(agent, event.event))


def _is_place(part: str, count: int) -> bool:
    """Return whether `part` is the place of one of `count` items, as it is written."""
    return (
        part.isascii()
        and part.isdecimal()
        and len(part) <= len(str(count))
        and str(int(part)) == part
        and int(part) < count
    )


def _can_be(count: int, expansion: Expansion) -> bool:
    return count == len(expansion.branches) if expansion.branches else 0 <= count <= MAX_PARTS


def _require_possible_task(agent: AgentState, event: AgentEvent, *, seq: int) -> None:
    """Refuse what no agent does and the state machine trusts it not to do: an agent would wait for ever for itself."""
    planned = len(agent.tasks)
    match event:
        case ToolAsked(index):
            is_possible = 0 <= index < planned
        case TaskStarted(index) | TaskCompleted(index) | TaskFailed(index):
            is_possible = 0 <= index < planned and not agent.tasks[index].is_settled
        case Planned(tasks):
            is_possible = all(
                task.index == index and task.status is TaskStatus.PENDING and _refers_back(task)
                for index, task in enumerate(tasks, planned)
            )
        case _:
            is_possible = True
    if not is_possible:
        raise RunImportError(f"its event {seq} plans or does a task that cannot be.")


def _refers_back(task: Task) -> bool:
    try:
        return all(index < task.index for index in referenced_tasks(task.tool_args))
    except DataPathError:
        return False
