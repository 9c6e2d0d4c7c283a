"""What an agent may spend: looked at before each call, and what was done is kept."""

from collections.abc import Sequence

import pytest

from agent_runs import call, scripted, services
from tagent.budget import Budget
from tagent.ports.language_model import ModelReply, ModelRequest, TokenUsage
from tagent.ports.model_errors import ModelOutputError
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.budgets import BudgetExceededError, exceeded
from tagent.task_agent.events import (
    AgentEvent,
    AgentStarted,
    BudgetExceeded,
    Finalized,
    ModelFailed,
    Planned,
    TaskCompleted,
)
from tagent.task_agent.models import AgentState, ModelCall, Spending, TaskStatus
from tagent.task_agent.results import TaskBasedAgentResult
from tagent.task_agent.run import run_task_based_agent
from tagent.task_agent.state_machine import reduce
from tagent.task_agent.tools.context import ToolContext
from tagent.task_agent.tools.tool import Tool
from tagent.testing import ManualClock, ScriptedModel


async def search() -> str:
    """Search; not in a thread, during which a manual clock would run on."""
    return "found"


def spending(*, tokens: int = 0, requests: int = 0, cost_usd: float | None = 0.0) -> Spending:
    return Spending().plus(ModelCall("m", TokenUsage(tokens, 0, requests), cost_usd))


@pytest.mark.parametrize(
    ("settings", "spent", "seconds", "limit"),
    [
        ({}, spending(tokens=10**9, requests=10**6, cost_usd=None), 1e9, None),
        ({"max_tokens": 10}, spending(tokens=9), 0.0, None),
        ({"max_tokens": 10}, spending(tokens=10), 0.0, BudgetExceeded("max_tokens", 10, 10)),
        ({"max_model_calls": 2}, spending(requests=1), 0.0, None),
        ({"max_model_calls": 2}, spending(requests=2), 0.0, BudgetExceeded("max_model_calls", 2, 2)),
        ({"max_cost_usd": 0.5}, spending(cost_usd=0.25), 0.0, None),
        ({"max_cost_usd": 0.5}, spending(cost_usd=0.5), 0.0, BudgetExceeded("max_cost_usd", 0.5, 0.5)),
        ({"max_cost_usd": 0.5}, spending(cost_usd=None), 0.0, BudgetExceeded("max_cost_usd", 0.5, None)),
        ({"deadline_seconds": 5}, Spending(), 4.9, None),
        ({"deadline_seconds": 5}, Spending(), 5.0, BudgetExceeded("deadline_seconds", 5, 5.0)),
    ],
)
def test_a_limit_is_met_when_it_leaves_no_room(
    settings: dict[str, object], spent: Spending, seconds: float, limit: BudgetExceeded | None
) -> None:
    """A call of unknown price may have cost anything."""
    assert exceeded(Budget.of(settings), spent, seconds=seconds) == limit


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"max_model_calls": 1}, "max_model_calls allows 1 requests; spent: 1."),
        ({"max_tokens": 15}, "max_tokens allows 15 tokens; spent: 15."),
        ({"max_cost_usd": 0.25}, "max_cost_usd allows 0.25 USD; spent: 0.25."),
    ],
)
async def test_an_agent_without_budget_makes_no_further_call_and_keeps_its_work(
    settings: dict[str, object], told: str
) -> None:
    """The error says what was spent, and holds what the tools found."""
    model = ScriptedModel([[call("search")]], cost_usd=0.25)
    async with services() as opened:
        with pytest.raises(BudgetExceededError) as raised:
            await run_task_based_agent("g", {"model": model, **settings}, tools=[search], services=opened)
    error = raised.value
    assert told in str(error)
    assert "Model requests: 1, tokens: 15, $0.2500." in str(error)
    assert (error.code, error.is_retryable, error.spending.cost_usd) == ("budget.exceeded", False, 0.25)
    assert len(model.requests) == 1
    assert error.result is not None
    assert (error.result.goal_achieved, error.result.output) == (False, None)
    assert [(task.status, task.output) for task in error.result.tasks] == [(TaskStatus.COMPLETED, "found")]


async def test_a_budget_that_suffices_changes_nothing() -> None:
    """Two calls of 15 tokens need a budget in which the second one can begin."""
    run = await scripted([call("search")], "done").work(search, max_model_calls=2, max_tokens=16, max_cost_usd=1)
    assert run.result.output == "done"


async def test_a_model_without_a_price_stops_at_a_budget_of_cost() -> None:
    """After its first call, which is the first that anybody knows of."""
    model = ScriptedModel([[call("search")]], cost_usd=None)
    async with services() as opened:
        with pytest.raises(BudgetExceededError, match="The price of a model is unknown, so max_cost_usd=1 cannot"):
            await run_task_based_agent("g", {"model": model, "max_cost_usd": 1}, tools=[search], services=opened)


class Slow:
    """A model that takes ten seconds."""

    name = "slow"
    context_tokens = None

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    async def ask(self, request: ModelRequest) -> ModelReply:
        await self._clock.sleep(10)
        return ModelReply("late", self.name)


async def test_the_deadline_ends_a_call_that_is_under_way() -> None:
    """The agent has taken its time, whoever uses it up."""
    clock = ManualClock()
    async with services(clock) as opened:
        with pytest.raises(BudgetExceededError, match="deadline_seconds allows 5 s; spent: 5") as raised:
            await run_task_based_agent("g", {"model": Slow(clock), "deadline_seconds": 5}, services=opened)
    assert raised.value.result is not None
    assert not any(isinstance(event, ModelFailed) for event in raised.value.result.trace)


async def test_the_deadline_ends_a_tool_that_is_under_way() -> None:
    """What it had not returned is no result."""
    clock = ManualClock()

    async def wait() -> None:
        await clock.sleep(10)

    async with services(clock) as opened:
        with pytest.raises(BudgetExceededError) as raised:
            await run_task_based_agent(
                "g", {"model": ScriptedModel([[call("wait")]]), "deadline_seconds": 5}, tools=[wait], services=opened
            )
    assert raised.value.event.limit == "deadline_seconds"
    assert raised.value.result is not None
    assert [task.status for task in raised.value.result.tasks] == [TaskStatus.RUNNING]


async def test_a_tool_that_asks_a_model_shares_the_budget() -> None:
    """Else a tool would be a way around it."""

    async def think(context: ToolContext) -> str:
        return await context.aask("What now?")

    model = ScriptedModel([[call("think")], [call("think")]])
    async with services() as opened:
        with pytest.raises(BudgetExceededError) as raised:
            await run_task_based_agent("g", {"model": model, "max_model_calls": 1}, tools=[think], services=opened)
    assert len(model.requests) == 1
    assert raised.value.result is not None
    assert raised.value.event == BudgetExceeded("max_model_calls", 1, 1)
    assert raised.value.result.tasks[0].status is TaskStatus.RUNNING


async def test_questions_at_the_same_time_are_within_the_budget_together() -> None:
    """Each looks before the others are answered; those that are under way count."""

    async def think(context: ToolContext) -> str:
        return await context.aask("What now?")

    model = ScriptedModel(lambda request: [call("think")] * 6 if request.purpose == "plan" else "x", seconds=0.01)
    async with services() as opened:
        with pytest.raises(BudgetExceededError):
            await run_task_based_agent("g", {"model": model, "max_model_calls": 3}, tools=[think], services=opened)
    assert len(model.requests) == 3


async def test_an_answer_is_not_asked_for_again_beyond_the_budget() -> None:
    """A re-ask is a request like any other."""
    model = ScriptedModel([7, 7, "x"])
    async with services() as opened:
        with pytest.raises(ModelOutputError) as raised:
            await run_task_based_agent("g", {"model": model, "max_model_calls": 2}, services=opened)
    assert raised.value.spent is not None
    assert raised.value.spent.usage.requests == 2


async def test_a_call_that_the_deadline_cuts_off_is_told_of() -> None:
    """The provider has had the request, and nobody knows what it took."""
    clock = ManualClock()
    async with services(clock) as opened:
        with pytest.raises(BudgetExceededError, match="Cut off, and of unknown cost: 1") as raised:
            await run_task_based_agent("g", {"model": Slow(clock), "deadline_seconds": 5}, services=opened)
    assert raised.value.result is not None
    assert (raised.value.result.unpriced_calls, raised.value.spending.usage.requests) == (1, 1)


class SlowEmbedder:
    """Takes ten seconds to compare anything."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        await self._clock.sleep(10)
        return [[1.0]] * len(texts)


async def test_the_deadline_counts_from_the_start() -> None:
    """Also while tools are chosen, before the agent has begun."""
    clock = ManualClock()
    tools = [Tool.of(search, name=f"search_{number}") for number in range(5)]
    settings = {"model": ScriptedModel(), "deadline_seconds": 5, "max_tools": 2, "embedder": SlowEmbedder(clock)}
    async with services(clock) as opened:
        with pytest.raises(BudgetExceededError) as raised:
            await run_task_based_agent("g", settings, tools=tools, services=opened)
    assert raised.value.result is not None
    assert raised.value.result.trace == (BudgetExceeded("deadline_seconds", 5, 5),)


@pytest.mark.parametrize("slow", [AgentStarted, Planned, TaskCompleted, Finalized])
async def test_a_deadline_in_the_middle_of_a_commit_leaves_a_journal_that_makes_sense(slow: type) -> None:
    """What was on its way is there, before the end; and an answer that is being committed counts."""
    clock, journal = ManualClock(), list[AgentEvent]()

    async def record(event: AgentEvent) -> None:
        journal.append(event)
        if isinstance(event, slow):
            await clock.sleep(10)

    model = ScriptedModel([[call("search")], "done"])
    settings = {"model": model, "deadline_seconds": 5}
    state = AgentState()
    async with services(clock) as opened:
        try:
            result: TaskBasedAgentResult[object] | None = await run_task_based_agent(
                "g", settings, tools=[search], services=opened, attempt=Attempt(record=record)
            )
        except BudgetExceededError as error:
            result = error.result
    assert result is not None
    assert (result.goal_achieved, list(result.trace)) == (slow is Finalized, journal)
    for event in journal:
        state = reduce(state, event)
    assert state.is_over


async def test_what_earlier_tries_took_counts() -> None:
    """A step has one budget, not one for each of its attempts."""
    spent = Spending().plus(ModelCall("m", TokenUsage(0, 0, 3), 0.0))
    model = ScriptedModel(["x"])
    async with services() as opened:
        with pytest.raises(BudgetExceededError):
            await run_task_based_agent(
                "g", {"model": model, "max_model_calls": 3}, services=opened, attempt=Attempt(spent=spent)
            )
    assert model.requests == []
