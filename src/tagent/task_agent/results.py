"""What an agent made of its goal, and the error for one that it did not reach."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from tagent.exceptions import TAgentError
from tagent.ports.language_model import TokenUsage
from tagent.task_agent.events import AgentEvent
from tagent.task_agent.explaining import explanation
from tagent.task_agent.models import AgentPhase, AgentState, Failure, ModelCall, Spending, Task, TaskStatus
from tagent.task_agent.state_machine import TOO_MANY_ITERATIONS

Output = TypeVar("Output")


class GoalNotAchievedError(TAgentError):
    """An agent did not reach its goal: the model judged so, or a tool failed in every plan.

    Attributes:
        failure: Why.

    Example:
        >>> error = GoalNotAchievedError(Failure("agent.goal_not_achieved", "No such package."))
        >>> error.code, error.message
        ('agent.goal_not_achieved', 'The goal was not achieved: No such package.')
    """

    code = "agent.goal_not_achieved"

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        self.code = failure.code  # type: ignore[misc]  # that of the tool or model whose failure it was
        self.is_retryable = failure.is_retryable  # type: ignore[misc]  # likewise
        super().__init__(f"The goal was not achieved: {failure.reason}")


@dataclass(frozen=True, slots=True)
class TaskBasedAgentResult(Generic[Output]):
    """What an agent made of its goal.

    Attributes:
        goal: The goal.
        output: The answer, of the type asked for; None unless the goal was achieved.
        goal_achieved: Whether the answer reaches the goal.
        failure: Why it was not achieved; None if it was.
        iterations: Rounds taken: plans, executions of one, answers.
        planning_cycles: Plans asked for.
        tasks: Every task of every plan, with its output or error.
        calls: Every model call, in order, with its purpose, tokens and price.
        token_usage: Tokens and requests of all model calls.
        total_cost: USD; the sum of the known prices.
        unpriced_calls: Model calls whose price is unknown.
        models: The models that answered, in order of first use.
        execution_time: Seconds.
        trace: Everything that happened, in order.

    Example:
        >>> from tagent import run_agent
        >>> from tagent.testing import ScriptedModel
        >>> result = run_agent("Say hello", model=ScriptedModel(["Hello."]))
        >>> result.output, result.goal_achieved, result.token_usage.requests
        ('Hello.', True, 1)
        >>> print(result.explain())
        Achieved: Say hello
        1 model call (answer), 15 tokens, $0.0000.
    """

    goal: str
    output: Output | None
    goal_achieved: bool
    failure: Failure | None = None
    iterations: int = 0
    planning_cycles: int = 0
    tasks: tuple[Task, ...] = ()
    calls: tuple[ModelCall, ...] = ()
    token_usage: TokenUsage = TokenUsage()
    total_cost: float = 0.0
    unpriced_calls: int = 0
    models: tuple[str, ...] = ()
    execution_time: float = 0.0
    trace: tuple[AgentEvent, ...] = ()

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

    @property
    def usage_by_model(self) -> Mapping[str, Spending]:
        """Model -> what its calls took, in order of first use."""
        return _sums(self.calls, lambda call: call.model)

    @property
    def usage_by_phase(self) -> Mapping[str, Spending]:
        """Purpose of the call (`plan`, `execute`, `evaluate`, `answer`) -> what these calls took."""
        return _sums(self.calls, lambda call: call.purpose)

    def required_output(self) -> Output | None:
        """Return the output.

        Raises:
            GoalNotAchievedError: If the goal was not achieved.
        """
        if self.failure is not None:
            raise GoalNotAchievedError(self.failure)
        return self.output

    def explain(self) -> str:
        """Return what was done, what failed and why it stopped, in a few lines."""
        return explanation(
            self.goal, self.tasks, self.calls, planning_cycles=self.planning_cycles, failure=self.failure
        )


class IterationsExceededError(TAgentError):
    """An agent took as many rounds as it may without reaching its goal, and was told to raise then.

    Attributes:
        result: Everything done so far.

    Example:
        >>> from tagent import run_agent
        >>> from tagent.testing import ScriptedModel
        >>> def look() -> str:
        ...     "Look around."
        ...     return "a door"
        >>> model = ScriptedModel([[{"tool_name": "look"}]])
        >>> try:
        ...     run_agent("What?", model=model, tools=[look], max_iterations=2, crash_if_over_iterations=True)
        ... except IterationsExceededError as error:
        ...     print(error)
        The goal was not reached within 2 iterations. Raise max_iterations, or ask for less.
    """

    code = TOO_MANY_ITERATIONS

    def __init__(self, result: TaskBasedAgentResult[object]) -> None:
        self.result = result
        super().__init__(result.failure_reason, hint="Raise max_iterations, or ask for less.")


def result_of(
    goal: str, state: AgentState, *, seconds: float, trace: Iterable[AgentEvent] = ()
) -> TaskBasedAgentResult[object]:
    """Return what an agent made of `goal` whose work came to `state`."""
    return TaskBasedAgentResult(
        goal=goal,
        output=state.output,
        goal_achieved=state.phase is AgentPhase.COMPLETED,
        failure=state.failure,
        iterations=state.iterations,
        planning_cycles=state.planning_cycles,
        tasks=state.tasks,
        calls=state.calls,
        token_usage=state.spending.usage,
        total_cost=state.spending.cost_usd,
        unpriced_calls=state.spending.unpriced_calls,
        models=state.spending.models,
        execution_time=seconds,
        trace=tuple(trace),
    )


def _sums(calls: Iterable[ModelCall], part: Callable[[ModelCall], str]) -> dict[str, Spending]:
    sums: dict[str, Spending] = {}
    for call in calls:
        sums[part(call)] = sums.get(part(call), Spending()).plus(call)
    return sums
