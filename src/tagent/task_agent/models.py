"""The values of one agent's work: its tasks, its model calls, its result."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Generic, TypeVar

from tagent.exceptions import TAgentError
from tagent.ports.language_model import TokenUsage

Output = TypeVar("Output")


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
        error_code: Why it failed, for programs; empty unless it did.
        error: Why it failed, for people; empty unless it did.
    """

    index: int
    description: str
    tool_name: str
    tool_args: Mapping[str, object] = field(default_factory=dict)
    status: TaskStatus = TaskStatus.PENDING
    output: object = None
    error_code: str = ""
    error: str = ""

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
    """

    model: str
    usage: TokenUsage = TokenUsage()
    cost_usd: float | None = None
    seconds: float = 0.0


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
        max_planning_cycles: How many plans it may make.
        planning_cycles: How many it has made.
        tasks: The tasks of all plans, by index.
        plan_start: The index of the current plan's first task.
        spending: What its model calls took so far.
        output: The final output; None unless completed.
        failure: Why it failed; None unless it did.
        shortfall: Why the last plan did not reach the goal, for the next one.
    """

    phase: AgentPhase = AgentPhase.INIT
    max_planning_cycles: int = 1
    planning_cycles: int = 0
    tasks: tuple[Task, ...] = ()
    plan_start: int = 0
    spending: Spending = Spending()
    output: object = None
    failure: Failure | None = None
    shortfall: str = ""

    @property
    def pending_tasks(self) -> tuple[Task, ...]:
        """The tasks that are planned and have not finished."""
        return tuple(task for task in self.tasks if not task.is_settled)

    def with_task(self, index: int, status: TaskStatus, **changes: object) -> "AgentState":
        """Return the state in which the task `index` has `status` and the other `changes`."""
        changed = replace(self.tasks[index], status=status, **changes)  # type: ignore[arg-type]  # fields of Task
        return replace(self, tasks=(*self.tasks[:index], changed, *self.tasks[index + 1 :]))


class GoalNotAchievedError(TAgentError):
    """An agent did not reach its goal: the model judged so, or a tool failed in every plan.

    Attributes:
        failure: Why.
    """

    code = "agent.goal_not_achieved"

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        self.code = failure.code  # type: ignore[misc]  # that of the tool or model whose failure it was
        super().__init__(f"The goal was not achieved: {failure.reason}")


@dataclass(frozen=True, slots=True)
class TaskBasedAgentResult(Generic[Output]):
    """What an agent made of its goal.

    Attributes:
        goal: The goal.
        output: The answer, of the type asked for; None unless the goal was achieved.
        goal_achieved: Whether the answer reaches the goal.
        failure: Why it was not achieved; None if it was.
        planning_cycles: Plans made.
        tasks: Every task of every plan, with its output or error.
        token_usage: Tokens and requests of all model calls.
        total_cost: USD; the sum of the known prices.
        unpriced_calls: Model calls whose price is unknown.
        models: The models that answered, in order of first use.
        execution_time: Seconds.
    """

    goal: str
    output: Output | None
    goal_achieved: bool
    failure: Failure | None = None
    planning_cycles: int = 0
    tasks: tuple[Task, ...] = ()
    token_usage: TokenUsage = TokenUsage()
    total_cost: float = 0.0
    unpriced_calls: int = 0
    models: tuple[str, ...] = ()
    execution_time: float = 0.0

    @property
    def failure_reason(self) -> str:
        """Why the goal was not achieved; empty if it was."""
        return self.failure.reason if self.failure else ""

    @property
    def completed_tasks(self) -> int:
        """How many tasks completed."""
        return sum(task.status is TaskStatus.COMPLETED for task in self.tasks)

    @property
    def failed_tasks(self) -> int:
        """How many tasks failed."""
        return sum(task.status is TaskStatus.FAILED for task in self.tasks)

    def required_output(self) -> Output | None:
        """Return the output.

        Raises:
            GoalNotAchievedError: If the goal was not achieved.
        """
        if self.failure is not None:
            raise GoalNotAchievedError(self.failure)
        return self.output
