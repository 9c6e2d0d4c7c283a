"""What can happen while an agent works. Journalled as they are, they are all that is needed to go on."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tagent.ports.effects import Effects
from tagent.ports.language_model import AnswerStreamed, ModelRetried, ModelSwitched, Purpose
from tagent.task_agent.models import ModelCall, Task

Owner = Literal["goal", "step", "pipeline", "run"]
"""Whose limit it is: of one agent, of a step with all its attempts and parts, of a pipeline inside a step, or of all
that the run does."""


@dataclass(frozen=True, slots=True)
class AgentStarted:
    """The agent took up its goal. `has_tools` decides whether it plans or answers at once."""

    has_tools: bool
    max_planning_cycles: int
    max_iterations: int = 50
    separate_evaluation: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """The model made a plan. `tasks` continue the numbers of earlier plans; none means: answer now."""

    tasks: tuple[Task, ...]
    call: ModelCall


@dataclass(frozen=True, slots=True)
class PlanRejected:
    """The model's plans could not be carried out, as `problems` says, so nothing of them ran."""

    problems: str
    call: ModelCall


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A task's tool is about to be called; `call_key` names the call in every try of it."""

    index: int
    tool_name: str
    call_key: str = ""


@dataclass(frozen=True, slots=True)
class ToolAsked:
    """A task's tool asked a model, and was answered or not."""

    index: int
    call: ModelCall


@dataclass(frozen=True, slots=True)
class TaskCompleted:
    """A task's tool returned `output`, JSON values, after `seconds`, under `key` if that is not empty.

    `effects` are written when its step succeeds.
    """

    index: int
    output: object
    seconds: float
    effects: Effects | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A task's tool raised, could not be called, or was not worth calling any more.

    `retry_at` is when it is called once more; None means that the task has failed.
    """

    index: int
    code: str
    message: str
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The model judged whether the goal is achieved, and why; `advice` says what to try next if it is not."""

    reason: str
    advice: str
    call: ModelCall
    is_achieved: bool = False


@dataclass(frozen=True, slots=True)
class Finalized:
    """The model judged the goal achieved and gave the final output."""

    output: object
    call: ModelCall


@dataclass(frozen=True, slots=True)
class ModelFailed:
    """A model call ended in an error for good; `call` holds what was spent on it."""

    code: str
    message: str
    is_retryable: bool
    call: ModelCall


@dataclass(frozen=True, slots=True)
class BudgetExceeded:
    """The next model call would be over a limit.

    Attributes:
        limit: The setting that limits.
        allowed: How much it allows: USD, tokens, calls or seconds.
        spent: How much is spent; None if nobody knows, as for a model without a price.
        cut_off: The calls that were under way; what they took is not known.
        whose: Whose limit it is. Journals of before it was noted know only those of agents.
    """

    limit: str
    allowed: float
    spent: float | None
    cut_off: tuple[ModelCall, ...] = ()
    whose: Owner = "goal"


AgentEvent = (
    AgentStarted
    | Planned
    | PlanRejected
    | TaskStarted
    | ToolAsked
    | TaskCompleted
    | TaskFailed
    | Evaluated
    | Finalized
    | ModelRetried
    | ModelSwitched
    | ModelFailed
    | BudgetExceeded
)


@dataclass(frozen=True, slots=True)
class ModelAsked:
    """A model is being asked."""

    purpose: Purpose
    model: str


AgentNotice = ModelAsked | AnswerStreamed
"""What is shown to whoever watches and never journalled: nothing depends on it."""


def cut_off_calls(events: Iterable[AgentEvent]) -> tuple[TaskStarted, ...]:
    """Return the calls of tools that have begun and of whose end nothing is known."""
    begun: dict[int, TaskStarted] = {}
    for event in events:
        if isinstance(event, TaskStarted):
            begun[event.index] = event
        elif isinstance(event, TaskCompleted | TaskFailed):
            begun.pop(event.index, None)
    return tuple(begun.values())


def calls_of(event: AgentEvent) -> tuple[ModelCall, ...]:
    """Return the model calls that the event tells the end of."""
    if isinstance(event, Planned | PlanRejected | ToolAsked | Evaluated | Finalized | ModelFailed):
        return (event.call,)
    return event.cut_off if isinstance(event, BudgetExceeded) else ()
