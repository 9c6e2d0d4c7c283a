"""Whether the next model call is within a budget, and what is said if it is not. Pure."""

from typing import TYPE_CHECKING

from tagent.budget import Budget
from tagent.exceptions import TAgentError
from tagent.task_agent.events import BudgetExceeded, Owner
from tagent.task_agent.models import Failure, Spending

if TYPE_CHECKING:
    from tagent.task_agent.results import TaskBasedAgentResult

UNITS = {"max_cost_usd": "USD", "max_tokens": "tokens", "max_model_calls": "requests", "deadline_seconds": "s"}
"""The limits -> the unit they count in."""


class BudgetExceededError(TAgentError):
    """An agent's next model call would be over one of its limits, or of its step's or its run's.

    Attributes:
        event: Which limit, and how much of it is spent.
        spending: What its model calls took.
        result: Everything done so far; None for a tool that asks a model.

    Example:
        >>> from tagent import run_agent
        >>> from tagent.testing import ScriptedModel
        >>> def look() -> str:
        ...     "Look around."
        ...     return "a door"
        >>> model = ScriptedModel([[{"tool_name": "look"}], "A door."])
        >>> try:
        ...     run_agent("What is there?", model=model, tools=[look], max_model_calls=1)
        ... except BudgetExceededError as error:
        ...     print(error.event.limit, [task.output for task in error.result.tasks])
        max_model_calls ['a door']
    """

    code = "budget.exceeded"

    def __init__(
        self, event: BudgetExceeded, spending: Spending, *, result: "TaskBasedAgentResult[object] | None" = None
    ) -> None:
        self.event = event
        self.spending = spending
        self.result = result
        if event.spent is None:
            hint = "Limit max_tokens or max_model_calls instead."
        else:
            hint = f"Raise {event.limit}, or ask for less."
        super().__init__(budget_failure(event, spending).reason, hint=hint)


class BudgetPausedError(TAgentError):
    """An agent's next model call would be over a limit of its run, which waits for a larger one. Nothing has failed.

    Who runs the attempt takes it for a pause: nothing of it is journalled, so the attempt goes on where it stands.

    Attributes:
        event: Which limit, and how much of it is spent.

    Example:
        >>> BudgetPausedError(BudgetExceeded("max_tokens", 100, 120, whose="run")).message
        "The run's max_tokens allows 100 tokens; spent: 120. It waits for a larger budget."
    """

    code = BudgetExceededError.code

    def __init__(self, event: BudgetExceeded) -> None:
        self.event = event
        super().__init__(
            f"{_met(event)} It waits for a larger budget.", hint=f"Resume the run with more {event.limit}."
        )


def exceeded(
    budget: Budget, spending: Spending, *, seconds: float = 0.0, whose: Owner = "goal"
) -> BudgetExceeded | None:
    """Return the first limit that leaves no room for another model call; None if there is room.

    Args:
        budget: Holds the limits.
        spending: What the calls so far took.
        seconds: For how long the work has gone on.
        whose: Whose budget it is.

    Example:
        >>> exceeded(Budget(max_model_calls=2), Spending()) is None
        True
        >>> exceeded(Budget(deadline_seconds=5), Spending(), seconds=6.0)
        BudgetExceeded(limit='deadline_seconds', allowed=5, spent=6.0, cut_off=(), whose='goal')
    """
    spent: dict[str, float | None] = {
        "max_cost_usd": spending.known_cost_usd,
        "max_tokens": spending.usage.total_tokens,
        "max_model_calls": spending.usage.requests,
        "deadline_seconds": seconds,
    }
    for limit, amount in spent.items():
        allowed: float | None = getattr(budget, limit)
        if allowed is not None and (amount is None or amount >= allowed):
            return BudgetExceeded(limit, allowed, amount, whose=whose)
    return None


def budget_failure(event: BudgetExceeded, spending: Spending) -> Failure:
    """Return the failure of an agent that has met a limit.

    Args:
        event: The limit.
        spending: What the calls of this agent took.
    """
    requests, tokens = spending.usage.requests, f"{spending.usage.total_tokens:,}"
    price = "" if spending.known_cost_usd is None else f", ${spending.cost_usd:.4f}"
    told = f"Model requests: {requests}, tokens: {tokens}{price}."
    if event.whose != "goal":
        told = f"This attempt's part: {requests} model requests, {tokens} tokens{price}."
    lost = f" Cut off, and of unknown cost: {len(event.cut_off)}." if event.cut_off else ""
    return Failure(BudgetExceededError.code, f"{_met(event)} {told}{lost}")


def _met(event: BudgetExceeded) -> str:
    """Return in one sentence which limit leaves no room, and why."""
    limit = event.limit if event.whose == "goal" else f"The {event.whose}'s {event.limit}"
    if event.spent is None:
        of = "" if event.whose == "goal" else f" of the {event.whose}"
        return f"The price of a model is unknown, so {event.limit}={event.allowed:g}{of} cannot be kept."
    return f"{limit} allows {event.allowed:g} {UNITS.get(event.limit, '')}; spent: {event.spent:g}."
