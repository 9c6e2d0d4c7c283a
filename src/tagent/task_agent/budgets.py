"""What an agent may spend, and whether the next model call is within it. Pure."""

from typing import TYPE_CHECKING

from tagent.config import TAgentConfig
from tagent.exceptions import TAgentError
from tagent.task_agent.events import BudgetExceeded
from tagent.task_agent.models import Failure, Spending

if TYPE_CHECKING:
    from tagent.task_agent.results import TaskBasedAgentResult

UNITS = {"max_cost_usd": "USD", "max_tokens": "tokens", "max_model_calls": "requests", "deadline_seconds": "s"}
"""The settings that limit an agent -> the unit they count in."""


class BudgetExceededError(TAgentError):
    """An agent's next model call would be over one of its limits.

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


def exceeded(
    settings: TAgentConfig, spending: Spending, *, seconds: float, under_way: int = 0
) -> BudgetExceeded | None:
    """Return the first limit that leaves no room for another model call; None if there is room.

    Args:
        settings: Holds the limits.
        spending: What the calls so far took.
        seconds: For how long the agent has worked.
        under_way: How many calls have begun and not ended.

    Example:
        >>> exceeded(TAgentConfig(max_model_calls=2), Spending(), seconds=0.0) is None
        True
        >>> exceeded(TAgentConfig(deadline_seconds=5), Spending(), seconds=6.0)
        BudgetExceeded(limit='deadline_seconds', allowed=5.0, spent=6.0, cut_off=())
    """
    spent: dict[str, float | None] = {
        "max_cost_usd": spending.known_cost_usd,
        "max_tokens": spending.usage.total_tokens,
        "max_model_calls": spending.usage.requests + under_way,
        "deadline_seconds": seconds,
    }
    for limit, amount in spent.items():
        allowed: float | None = getattr(settings, limit)
        if allowed is not None and (amount is None or amount >= allowed):
            return BudgetExceeded(limit, allowed, amount)
    return None


def budget_failure(event: BudgetExceeded, spending: Spending) -> Failure:
    """Return the failure of an agent that has met its limit."""
    unit = UNITS.get(event.limit, "")
    if event.spent is None:
        reason = f"The price of a model is unknown, so {event.limit}={event.allowed:g} cannot be kept."
    else:
        reason = f"{event.limit} allows {event.allowed:g} {unit}; spent: {event.spent:g}."
    price = "" if spending.known_cost_usd is None else f", ${spending.cost_usd:.4f}"
    told = f"Model requests: {spending.usage.requests}, tokens: {spending.usage.total_tokens:,}{price}."
    lost = f" Cut off, and of unknown cost: {len(event.cut_off)}." if event.cut_off else ""
    return Failure(BudgetExceededError.code, f"{reason} {told}{lost}")
