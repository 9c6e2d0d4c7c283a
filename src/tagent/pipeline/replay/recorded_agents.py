"""A model and tools that only say again what a run has recorded. Nothing here asks or does anything."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from tagent.circuits import CircuitOpenError
from tagent.config import TAgentConfig
from tagent.exceptions import DataPathError, TAgentError
from tagent.pipeline.events import PartFailed, StepFailed
from tagent.pipeline.exceptions import StepTimeoutError
from tagent.pipeline.replay.at_work import Place, Standstill, part_at_work
from tagent.pipeline.replay.recorded import RecordedAt, RecordedWork
from tagent.pipeline.replay.recorded_errors import (
    NotRecordedError,
    RecordedMisfitError,
    RecordedModelError,
    RecordedPlanError,
    RecordedToolError,
    RecordedWorkError,
)
from tagent.ports.language_model import LanguageModel, ModelReply, ModelRequest, Purpose, TokenUsage
from tagent.task_agent.events import (
    AgentEvent,
    BudgetExceeded,
    Evaluated,
    Finalized,
    ModelFailed,
    Planned,
    PlanRejected,
    TaskCompleted,
    TaskFailed,
)
from tagent.task_agent.references import resolve
from tagent.task_agent.tools.tool import Tool

FROM_OUTSIDE = frozenset({StepTimeoutError.code, CircuitOpenError.code})
"""The failures of an attempt that neither its agent nor its model knew of."""


class RecordedModel:
    """Gives the recorded answers of one attempt: plans in their order, and the answers in theirs. It costs nothing.

    Attributes:
        name: Its name.
        context_tokens: None: no data are cut on its account.
    """

    def __init__(self, recorded: RecordedWork) -> None:
        self.name = "recorded"
        self.context_tokens: int | None = None
        self._step = recorded.step
        events = recorded.agent_events
        self._plans = deque(e for e in events if isinstance(e, Planned | PlanRejected))
        self._evaluations = deque(e for e in events if isinstance(e, Evaluated) and e.call.purpose == "evaluate")
        self._answers = deque(
            e for e in events if isinstance(e, Evaluated | Finalized) and e.call.purpose != "evaluate"
        )
        self._failure = next((e for e in events if isinstance(e, ModelFailed | BudgetExceeded)), None)
        # An output that was edited has no agent behind it.
        is_edited = not recorded.agent_events and recorded.completed is not None
        self._edited = recorded.completed if is_edited else None
        self._ended = recorded.ended

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return the next recorded answer of the kind that is asked for.

        Raises:
            RecordedModelError: If the next one was a failure.
            RecordedWorkError: If the attempt was ended from outside instead.
            NotRecordedError: If there is none.
            RecordedMisfitError: If it does not fit what is asked for today.
        """
        is_plan = request.purpose == "plan"
        values, model = self._values(request.purpose)
        adapter: TypeAdapter[object] = TypeAdapter(cast("Any", request.output_type))
        try:
            output = adapter.validate_json(to_json(values), by_alias=True, by_name=True)
        except ValidationError:
            raise RecordedMisfitError(self._step, "a plan" if is_plan else "an answer") from None
        return ModelReply(output, model, TokenUsage(), 0.0)

    def _values(self, purpose: Purpose) -> tuple[object, str]:
        match purpose:
            case "plan":
                return self._plan()
            case "evaluate":
                return self._evaluation()
            case _:
                return self._answer(purpose)

    def _evaluation(self) -> tuple[object, str]:
        if self._edited is not None:
            return {"achieved": True, "reason": ""}, self.name
        if not self._evaluations:
            raise self._nothing("evaluate")
        judged = self._evaluations.popleft()
        values = {"achieved": judged.is_achieved, "reason": judged.reason, "do_next": judged.advice or None}
        return values, judged.call.model

    def _plan(self) -> tuple[object, str]:
        if self._edited is not None:
            return {"tasks": []}, self.name
        if not self._plans:
            raise self._nothing("plan")
        plan = self._plans.popleft()
        if isinstance(plan, PlanRejected):
            raise RecordedPlanError(plan)
        tasks = [
            {"description": task.description, "tool_name": task.tool_name, "tool_args": task.tool_args}
            for task in plan.tasks
        ]
        return {"tasks": tasks}, plan.call.model

    def _answer(self, purpose: Purpose) -> tuple[object, str]:
        if self._edited is not None:
            return {"output": self._edited.output}, self.name
        if not self._answers:
            raise self._nothing(purpose)
        match self._answers.popleft():
            case Finalized(output, call):
                return {"output": output}, call.model
            case Evaluated(reason, advice, call):
                return {"output": None, "not_achieved_because": reason, "do_next": advice or None}, call.model

    def _nothing(self, purpose: str) -> TAgentError:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            return RecordedModelError(failure)
        if isinstance(self._ended, StepFailed | PartFailed) and self._ended.code in FROM_OUTSIDE:
            return RecordedWorkError(self._ended)
        return NotRecordedError(self._step, f"another answer of the model ({purpose})")


class RecordedModels:
    """The model of one step and all of its parts: it knows by `AT_WORK` which of them asks.

    Args:
        step: The step.
        recorded: What the run has recorded.
        standstill: When what was cut off in the recording is told that nobody will answer it.

    Attributes:
        name: Its name.
        context_tokens: None: no data are cut on its account.
    """

    def __init__(self, step: str, recorded: RecordedAt, standstill: Standstill) -> None:
        self.name = "recorded"
        self.context_tokens: int | None = None
        self._step = step
        self._recorded = recorded
        self._standstill = standstill
        self._models: dict[Place, RecordedModel] = {}

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return the next recorded answer for the piece of work that asks.

        Raises:
            TAgentError: As `RecordedModel.ask`.
        """
        part = part_at_work(self._step)
        work, place = self._recorded.of(self._step, part), self._recorded.place_of(self._step, part)
        try:
            return await self._models.setdefault(place, RecordedModel(work)).ask(request)
        except NotRecordedError:
            if work.was_cut_off:
                await self._standstill.reached(place)
            raise


class OnlyRecorded:
    """Hands out models that say what is recorded, and no other: nothing else can be asked in a replay."""

    async def model_for(self, config: TAgentConfig) -> LanguageModel:
        """Return the recorded model that `config` holds.

        Raises:
            NotRecordedError: If it holds another.
        """
        if isinstance(config.model, RecordedModels):
            return config.model
        raise NotRecordedError("", "a language model")


class Calls(Protocol):
    """What tools gave."""

    def outcome_of(self, tool: str, arguments: Mapping[str, object]) -> object:
        """Return what a call of `tool` with equal arguments gave."""
        ...


class CallsOfParts:
    """What the tools of one step and of all of its parts gave; it knows by `AT_WORK` which of them calls."""

    def __init__(self, step: str, recorded: RecordedAt) -> None:
        self._step = step
        self._recorded = recorded
        self._calls: dict[Place, RecordedCalls] = {}

    @property
    def names(self) -> set[str]:
        """The tools that were called."""
        return {name for work in self._recorded.of_step(self._step) for name in RecordedCalls(work).names}

    def outcome_of(self, tool: str, arguments: Mapping[str, object]) -> object:
        """Return what the first unused call by the piece of work gave that calls now.

        Raises:
            RecordedToolError: If it failed.
            NotRecordedError: If there is none.
        """
        part = part_at_work(self._step)
        place = self._recorded.place_of(self._step, part)
        calls = self._calls.setdefault(place, RecordedCalls(self._recorded.of(self._step, part)))
        return calls.outcome_of(tool, arguments)


class RecordedCalls:
    """What the tools of one step gave in one attempt; each call answers once."""

    def __init__(self, recorded: RecordedWork) -> None:
        self._step = recorded.step
        self._calls = list(_calls(recorded.agent_events))

    @property
    def names(self) -> set[str]:
        """The tools that were called."""
        return {tool for (tool, _), _ in self._calls}

    def outcome_of(self, tool: str, arguments: Mapping[str, object]) -> object:
        """Return what the first unused call of `tool` with equal arguments gave.

        Raises:
            RecordedToolError: If it failed.
            NotRecordedError: If there is none.
        """
        wanted = (tool, _plain(arguments))
        for place, (call, outcome) in enumerate(self._calls):
            if call == wanted:
                del self._calls[place]
                if isinstance(outcome, TaskFailed):
                    raise RecordedToolError(tool, outcome)
                return (outcome.key, outcome.output) if outcome.key else outcome.output
        raise NotRecordedError(self._step, f"a call of the tool {tool!r} with these arguments")


def _calls(events: Iterable[AgentEvent]) -> Iterable[tuple[tuple[str, object], TaskCompleted | TaskFailed]]:
    """Yield the calls that reached a tool: its name and arguments, and what came of it."""
    tasks = {task.index: task for event in events if isinstance(event, Planned) for task in event.tasks}
    outputs: dict[int, object] = {}
    for event in events:
        if isinstance(event, TaskCompleted):
            outputs[event.index] = event.output
        is_last = isinstance(event, TaskCompleted) or (isinstance(event, TaskFailed) and event.retry_at is None)
        if isinstance(event, TaskCompleted | TaskFailed) and is_last and event.index in tasks:
            task = tasks[event.index]
            try:
                arguments = resolve(task.tool_args, outputs)
            except DataPathError:  # it failed before it reached the tool, and does so again
                continue
            yield (task.tool_name, _plain(arguments)), event


def _plain(values: object) -> object:
    return from_json(to_json(values))


@dataclass(frozen=True, slots=True)
class RecordedTool(Tool):
    """A tool that is never called: it has the name and the arguments of one, and gives what that one gave.

    Attributes:
        calls: What it gave.
    """

    calls: Calls = field(kw_only=True, repr=False, compare=False)

    @classmethod
    def like(cls, tool: Tool, calls: Calls) -> Tool:
        """Return the double of `tool`."""
        return cls(tool.name, tool.description, _given, tool.parameters, calls=calls)

    @classmethod
    def named(cls, name: str, calls: Calls) -> Tool:
        """Return the double of a tool of which only the name is known; it takes any arguments."""
        return cls(name, "", _given, _AnyArguments, calls=calls)

    def arguments(self, given: Mapping[str, object]) -> dict[str, object]:
        """Return what was recorded for the arguments `given`, once they are checked as the tool would.

        Here and not in the function, as what a tool's function raises is taken for the tool's failure.

        Raises:
            ToolError: If they do not fit, or the recorded call failed.
            NotRecordedError: If there was no such call.
        """
        Tool.arguments(self, given)
        return {"outcome": self.calls.outcome_of(self.name, given)}


class _AnyArguments(BaseModel):
    model_config = ConfigDict(extra="allow")


async def _given(outcome: object) -> object:
    return outcome
