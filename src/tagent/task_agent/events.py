"""What can happen while an agent works. Journalled as they are, they are all that is needed to go on."""

from dataclasses import dataclass

from tagent.ports.effects import Effects
from tagent.task_agent.models import ModelCall, Task


@dataclass(frozen=True, slots=True)
class AgentStarted:
    """The agent took up its goal. `has_tools` decides whether it plans or answers at once."""

    has_tools: bool
    max_planning_cycles: int


@dataclass(frozen=True, slots=True)
class Planned:
    """The model made a plan. `tasks` continue the numbers of earlier plans; none means: answer now."""

    tasks: tuple[Task, ...]
    call: ModelCall


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A task's tool is about to be called."""

    index: int
    tool_name: str


@dataclass(frozen=True, slots=True)
class TaskCompleted:
    """A task's tool returned `output`, JSON values, after `seconds`; `effects` are written when its step succeeds."""

    index: int
    output: object
    seconds: float
    effects: Effects | None = None


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A task's tool raised, could not be called, or was not worth calling any more."""

    index: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The model judged that the goal is not achieved, for `reason`; `advice` says what to try next."""

    reason: str
    advice: str
    call: ModelCall


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


AgentEvent = AgentStarted | Planned | TaskStarted | TaskCompleted | TaskFailed | Evaluated | Finalized | ModelFailed
