"""The values of one agent's work: its tasks, its model calls, its result."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Literal

from tagent.ports.language_model import Purpose, TokenUsage


class AgentPhase(Enum):
    """Where an agent stands on the way to its goal."""

    INIT = "init"
    PLANNING = "planning"
    EXECUTING = "executing"
    EVALUATING = "evaluating"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"


class TaskStatus(Enum):
    """Where a task of the plan stands."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Task:
    """One call of a tool, as planned.

    Attributes:
        index: Its number over all plans of the goal, from 0; references name it.
        description: What it is for.
        tool_name: The tool to call.
        tool_args: The arguments as planned; strings may hold `{{tasks.N.output...}}`.
        status: Where it stands.
        output: What the tool returned, as JSON values; None until then.
        key: Under which the agent's tools find it in their state; empty if under none.
        error_code: Why it failed, or its last try did, for programs; empty otherwise.
        error: Why it failed, or its last try did, for people; empty otherwise.
        call_key: Names the call once it was made, whichever process makes it again; empty until then.
        failures: How many of its tries have failed, from 0.
        retry_at: When its next try is due, in seconds since 1970-01-01 UTC; None unless one is.
    """

    index: int
    description: str
    tool_name: str
    tool_args: Mapping[str, object] = field(default_factory=dict)
    status: TaskStatus = TaskStatus.PENDING
    output: object = None
    key: str = ""
    error_code: str = ""
    error: str = ""
    call_key: str = ""
    failures: int = 0
    retry_at: float | None = None

    @property
    def is_settled(self) -> bool:
        """Whether it has completed or failed."""
        return self.status in {TaskStatus.COMPLETED, TaskStatus.FAILED}


@dataclass(frozen=True, slots=True)
class ModelCall:
    """What one question to a language model took.

    Attributes:
        model: The model that answered, or was asked in vain.
        usage: Tokens and requests.
        cost_usd: Its price; None when unknown.
        seconds: From question to answer.
        purpose: The phase that asked; empty in journals of before it was noted.
    """

    model: str
    usage: TokenUsage = TokenUsage()
    cost_usd: float | None = None
    seconds: float = 0.0
    purpose: Purpose | Literal[""] = ""


@dataclass(frozen=True, slots=True)
class Spending:
    """What several model calls took together.

    Attributes:
        usage: Tokens and requests of all calls.
        cost_usd: The sum of the known prices.
        unpriced_calls: How many calls have no known price.
        models: The models that were asked, in order of first use.
    """

    usage: TokenUsage = TokenUsage()
    cost_usd: float = 0.0
    unpriced_calls: int = 0
    models: tuple[str, ...] = ()

    @property
    def known_cost_usd(self) -> float | None:
        """What they cost; None if the price of one is unknown."""
        return None if self.unpriced_calls else self.cost_usd

    def __add__(self, other: "Spending") -> "Spending":
        models = dict.fromkeys((*self.models, *other.models))
        unpriced = self.unpriced_calls + other.unpriced_calls
        return Spending(self.usage + other.usage, self.cost_usd + other.cost_usd, unpriced, tuple(models))

    def plus(self, call: ModelCall) -> "Spending":
        """Return the sum with one more call."""
        return Spending(
            self.usage + call.usage,
            self.cost_usd + (call.cost_usd or 0.0),
            self.unpriced_calls + (call.cost_usd is None),
            self.models if call.model in self.models else (*self.models, call.model),
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something did not succeed.

    Attributes:
        code: For programs, dotted and stable.
        reason: For people.
        is_retryable: Whether trying again may help.
    """

    code: str
    reason: str
    is_retryable: bool = False


@dataclass(frozen=True, slots=True)
class AgentState:
    """Everything known of one agent's work; the fold of its events.

    Attributes:
        phase: Where it stands.
        has_tools: Whether it can plan.
        max_planning_cycles: How many plans it may make.
        max_iterations: How many rounds it may take.
        separate_evaluation: Whether a call of its own judges the goal before the final answer.
        planning_cycles: How many plans it has asked for.
        iterations: How many rounds it has taken: plans, executions of one, answers.
        tasks: The tasks of all plans, by index.
        plan_start: The index of the current plan's first task.
        calls: Its model calls, in order.
        spending: What they took together.
        output: The final output; None unless completed.
        failure: Why it failed; None unless it did.
        shortfall: Why the last plan did not reach the goal, for the next one.
    """

    phase: AgentPhase = AgentPhase.INIT
    has_tools: bool = False
    max_planning_cycles: int = 1
    max_iterations: int = 50
    separate_evaluation: bool = False
    planning_cycles: int = 0
    iterations: int = 0
    tasks: tuple[Task, ...] = ()
    plan_start: int = 0
    calls: tuple[ModelCall, ...] = ()
    spending: Spending = Spending()
    output: object = None
    failure: Failure | None = None
    shortfall: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the work has come to an end."""
        return self.phase in {AgentPhase.COMPLETED, AgentPhase.FAILED}

    @property
    def pending_tasks(self) -> tuple[Task, ...]:
        """The tasks that are planned and have not finished."""
        return tuple(task for task in self.tasks if not task.is_settled)

    @property
    def kept(self) -> Mapping[str, object]:
        """What tools returned under a key: key -> output, of two with one key the later task's."""
        return {task.key: task.output for task in self.tasks if task.key and task.status is TaskStatus.COMPLETED}

    def with_task(self, index: int, status: TaskStatus, **changes: object) -> "AgentState":
        """Return the state in which the task `index` has `status` and the other `changes`."""
        changed = replace(self.tasks[index], status=status, **changes)  # type: ignore[arg-type]  # fields of Task
        return replace(self, tasks=(*self.tasks[:index], changed, *self.tasks[index + 1 :]))

    def with_call(self, call: ModelCall) -> "AgentState":
        """Return the state after one more model call."""
        return replace(self, calls=(*self.calls, call), spending=self.spending.plus(call))
