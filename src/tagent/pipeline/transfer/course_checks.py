"""Events that nobody vouches for, one after another: whether each can follow those before it.

The state trusts the events that its own engine wrote. Those of a file are held to what an engine would write.
"""

from tagent.exceptions import DataPathError
from tagent.pipeline.course.records import WorkRecord
from tagent.pipeline.events import (
    ASIDE,
    COMPENSATION,
    CONDITION,
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
    RunResumed,
    RunStarted,
    StepCompleted,
    StepEvent,
    StepExpanded,
    StepFailed,
    StepStarted,
    StepSubstituted,
)
from tagent.pipeline.kinds import RunStatus, StepStatus
from tagent.pipeline.models import Pipeline
from tagent.pipeline.rules import Expansion, StepRules
from tagent.pipeline.state import PipelineState
from tagent.pipeline.transfer.change_checks import ChangeChecks
from tagent.pipeline.transfer.documents import RunImportError
from tagent.pipeline.transfer.sizes import MAX_PARTS, Sizes
from tagent.task_agent.events import AgentEvent, Planned, TaskCompleted, TaskFailed, TaskStarted, ToolAsked
from tagent.task_agent.models import AgentState, Task, TaskStatus
from tagent.task_agent.references import referenced_tasks
from tagent.task_agent.state_machine import reduce

_OfPart = PartStarted | PartCompleted | PartFailed


class Course:
    """The course of a run, event by event, with the agents on it and the runs inside it.

    Args:
        pipeline: The run's pipeline as it was defined, without any code.
        state: The run's state before each event. Whoever asks applies the event afterwards.
        key: The run's id, behind that of the run around it, if it is inside one.
        sizes: Counts what the events make of the whole.
    """

    def __init__(self, pipeline: Pipeline, state: PipelineState, *, key: str, sizes: Sizes) -> None:
        self._state = state
        self._changes = ChangeChecks(pipeline, state, sizes)
        self._inner = {step.name: step.pipeline for step in pipeline.steps if step.pipeline is not None}
        self._key = key
        self._sizes = sizes
        self._agents: dict[tuple[str, str], tuple[int, AgentState]] = {}
        self._inside: dict[tuple[str, str], tuple[PipelineState, Course]] = {}

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
            if isinstance(event, RunResumed | RunForked):
                self._sizes.recount(len(self._state.steps))
            return
        self._require_known(event, seq=seq)
        if not self._is_allowed(event, self._state.graph.rules(event.step)):
            raise RunImportError(f"its event {seq} is nothing that can happen to its step.")
        self._go_on(event, seq=seq)

    def _go_on(self, event: StepEvent, *, seq: int) -> None:
        """Look at what an event brings along."""
        match event:
            case StepExpanded():
                self._require_expansion(event, seq=seq)
            case AgentProgressed():
                self._progress(event, seq=seq)
            case InnerProgressed():
                self._progress_inside(event, seq=seq)
            case StepCompleted() | PartCompleted() | ApprovalRequested() if event.change is not None:
                part = event.part if isinstance(event, PartCompleted) else ""
                self._changes.require_possible(event.change, step=event.step, part=part, seq=seq)
            case _:
                pass

    def _require_known(self, event: StepEvent, *, seq: int) -> None:
        step: object = event.step
        if not isinstance(step, str) or step not in self._state.steps:
            raise RunImportError(f"its event {seq} is of a step that its definition does not have.")
        if isinstance(event, StepStarted | StepExpanded | PartStarted) and not self._state.steps.keys() >= set(
            event.seen
        ):
            raise RunImportError(f"its event {seq} sees a step that its definition does not have.")
        if isinstance(event, AgentProgressed | InnerProgressed) and event.part == "":
            return
        if isinstance(event, AgentProgressed | InnerProgressed | PartStarted | PartCompleted | PartFailed):
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
        if rules.expansion.rounds:
            return _is_number(part, least=1, most=count)
        return part in rules.expansion.branches or (
            not rules.expansion.branches and _is_number(part, least=0, most=count - 1)
        )

    def _require_expansion(self, event: StepExpanded, *, seq: int) -> None:
        expansion = self._state.graph.rules(event.step).expansion
        if expansion is None or not _can_be(event.count, expansion):
            raise RunImportError(f"its event {seq} gives a step parts that it cannot have.")
        self._sizes.add_parts(event.count)

    def _is_allowed(self, event: StepEvent, rules: StepRules) -> bool:
        """Return whether the definition says that such a thing can happen to the step, and it can happen now."""
        match event:
            case ConditionJudged():
                return rules.condition is not None
            case StepSubstituted():
                return rules.fallback is not None and event.by == (rules.fallback.step or "default")
            case StepFailed():
                return rules.fallback is not None or not event.falls_back
            case ApprovalRequested():
                return self._may_ask(event, rules)
            case ApprovalAnswered():
                asked = self._state.asked.get(event.step)
                return asked is not None and (asked.of == "output" or not event.is_edited)
            case InnerProgressed():
                return rules.inner is not None and event.part not in ASIDE
            case PartStarted() | PartCompleted() | PartFailed():
                return self._is_its_turn(event, rules)
            case _:
                return True

    def _may_ask(self, event: ApprovalRequested, rules: StepRules) -> bool:
        is_asked = rules.approval is not None and event.of == rules.approval.of
        if not (is_asked or event.of == "call"):
            return False
        status, record = self._state.statuses[event.step], self._state.steps[event.step]
        if event.of == "start":
            return status is StepStatus.PENDING
        return status is StepStatus.RUNNING and event.attempt == record.attempts

    def _is_its_turn(self, event: _OfPart, rules: StepRules) -> bool:
        """Return whether a part is no round, or one behind those that are done and have not reached their end."""
        is_round = rules.expansion is not None and rules.expansion.rounds and event.part not in ASIDE
        if not is_round:
            return not (isinstance(event, PartCompleted) and event.is_last)
        number, parts = int(event.part), self._state.steps[event.step].parts
        if not isinstance(event, PartStarted) or number == 1:
            return True
        before = parts.get(str(number - 1))
        return before is not None and before.status is StepStatus.COMPLETED and not before.is_last

    def _progress(self, event: AgentProgressed, *, seq: int) -> None:
        attempt, agent = self._agents.get((event.step, event.part), (0, AgentState()))
        agent = agent if attempt == event.attempt else AgentState()
        _require_possible_task(agent, event.event, seq=seq)
        self._agents[event.step, event.part] = (event.attempt, reduce(agent, event.event))

    def _progress_inside(self, event: InnerProgressed, *, seq: int) -> None:
        """Look at an event of the run inside a step."""
        record = self._state.steps[event.step]
        work: WorkRecord | None = record.parts.get(event.part) if event.part else record
        inner = None if work is None else work.inner
        if isinstance(event.event, RunStarted):
            self._begin_inside(event, event.event, before=inner, seq=seq)
            return
        if inner is None:
            raise RunImportError(f"its event {seq} goes on with a run inside a step that has not begun.")
        state, course = self._inside.get((event.step, event.part), (None, self))
        if state is not inner:
            course = Course(self._inner[event.step], inner, key=inner.run_id, sizes=self._sizes)
            self._inside[event.step, event.part] = inner, course
        course.require_possible(event.event, seq=seq)

    def _begin_inside(
        self, event: InnerProgressed, begun: RunStarted, *, before: PipelineState | None, seq: int
    ) -> None:
        """Look at the beginning of the run inside a step: its id says whose memory and mail it has."""
        inner, undone = self._state.graph.rules(event.step).inner, self._state.steps[event.step].undone
        key = f"{self._key}/{event.step}{f'~{undone}' if undone else ''}{f'/{event.part}' if event.part else ''}"
        is_begun = before is not None and before.run_id == key  # else what that had done was undone since
        if is_begun or inner is None or begun.run_id != key or begun.labels:
            raise RunImportError(f"its event {seq} begins a run inside a step that is not its own.")
        self._sizes.add_inner_steps(len(inner.names))


def _is_number(part: str, *, least: int, most: int) -> bool:
    """Return whether `part` is a number in these bounds, as it is written."""
    is_written_so = part.isascii() and part.isdecimal() and len(part) <= len(str(most)) and str(int(part)) == part
    return is_written_so and least <= int(part) <= most


def _can_be(count: int, expansion: Expansion) -> bool:
    if expansion.rounds:
        return count == expansion.rounds
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
