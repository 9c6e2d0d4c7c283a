"""Whatever agents at the same time spend: together they stay within the limits of their run and their step."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from agent_runs import services
from tagent.budget import Budget
from tagent.ports.language_model import ModelReply, ModelRequest, TokenUsage
from tagent.ports.model_errors import ModelError, ModelOutputError
from tagent.task_agent.accounts import Account
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.budgets import BudgetExceededError
from tagent.task_agent.run import run_task_based_agent
from tagent.task_agent.tools.context import ToolContext

Amount = TypeVar("Amount", int, float)

MOST_COST_USD = 3.0
MOST_TOKENS = 40


@dataclass
class Chaotic:
    """Takes a random time, asks again at random, and costs at random; keeps what was known when each call began."""

    random: random.Random
    budget: Budget
    name: str = "chaotic"
    context_tokens: int | None = None
    requests: int = 0
    cost_usd: float = 0.0
    tokens: int = 0
    under_way: int = 0
    most_under_way: int = 0
    late: int = 0
    are_lost: bool = False

    async def ask(self, request: ModelRequest) -> ModelReply:
        self._began()
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self._ask(request)
        except asyncio.CancelledError:  # the agent's budget has ended while its tools were asking
            self.are_lost = True
            raise
        finally:
            self.under_way -= 1

    async def _ask(self, request: ModelRequest) -> ModelReply:
        tries = self.random.randint(1, 1 + request.max_reasks)
        self.requests += 1  # of a call that is cut off nobody knows whether it was asking again
        for _ in range(self.random.randint(0, 4) * tries):
            await asyncio.sleep(0)
        self.requests += tries - 1
        cost, tokens = self.random.uniform(0, MOST_COST_USD), self.random.randint(0, MOST_TOKENS)
        self.cost_usd += cost
        self.tokens += tokens
        usage = TokenUsage(tokens, 0, tries)
        if self.random.random() < 0.1:
            error = ModelOutputError(self.name, "It does not fit.")
            error.spent = ModelReply(None, self.name, usage, cost)
            raise error
        return ModelReply(self._answer(request), self.name, usage, cost)

    def _began(self) -> None:
        limits, spent = self.budget, (self.cost_usd, self.tokens)
        most = (limits.max_cost_usd, limits.max_tokens)
        self.late += any(limit is not None and amount >= limit for limit, amount in zip(most, spent, strict=True))

    def _answer(self, request: ModelRequest) -> object:
        if request.purpose == "execute":
            return "a thought"
        form = request.output_type
        if request.purpose == "plan":
            tasks = [{"description": "", "tool_name": "think", "tool_args": {}}] * self.random.randint(0, 4)
            return form.model_validate({"tasks": tasks})  # type: ignore[attr-defined]  # a model of a plan
        return form.model_validate({"output": "done"})  # type: ignore[attr-defined]  # a model of an answer


async def think(context: ToolContext) -> str:
    """Think."""
    return await context.aask("What now?")


limits = st.builds(
    Budget,
    max_cost_usd=st.none() | st.floats(0.5, 30),
    max_tokens=st.none() | st.integers(1, 400),
    max_model_calls=st.none() | st.integers(1, 30),
)


@given(run=limits, step=limits, agents=st.integers(1, 8), seed=st.integers(0, 2**32))
def test_agents_at_the_same_time_overshoot_by_no_more_than_their_calls_in_flight(
    run: Budget, step: Budget, agents: int, seed: int
) -> None:
    """The number of calls is never over its limit; of cost and tokens no call begins when they are spent."""
    both = Budget(
        _smaller(run.max_cost_usd, step.max_cost_usd),
        _smaller(run.max_tokens, step.max_tokens),
        _smaller(run.max_model_calls, step.max_model_calls),
    )
    model = Chaotic(random.Random(seed), both)  # noqa: S311 - reproducible, not secret
    accounts = (Account(step, whose="step"), Account(run, whose="run"))
    ended = asyncio.run(_work(model, accounts, agents))
    assert ended == agents, "somebody waits for ever"
    if both.max_model_calls is not None:
        assert model.requests <= both.max_model_calls
    assert model.late == 0
    if both.max_cost_usd is not None:
        assert model.cost_usd < both.max_cost_usd + model.most_under_way * MOST_COST_USD
    if both.max_tokens is not None:
        assert model.tokens < both.max_tokens + model.most_under_way * MOST_TOKENS
    for account in accounts:
        counted = account.spending.usage
        assert counted.requests == model.requests
        assert model.are_lost or counted == TokenUsage(model.tokens, 0, model.requests)


def _smaller(*limits: Amount | None) -> Amount | None:
    return min((limit for limit in limits if limit is not None), default=None)


async def _work(model: Chaotic, accounts: tuple[Account, ...], agents: int) -> int:
    ended = 0

    async def work() -> None:
        nonlocal ended
        settings = {"model": model, "max_planning_cycles": 2}
        attempt = Attempt(accounts=accounts)
        with suppress(BudgetExceededError, ModelError):
            await run_task_based_agent("g", settings, tools=[think], services=opened, attempt=attempt)
        ended += 1

    async with services() as opened, asyncio.timeout(30), asyncio.TaskGroup() as group:
        for _ in range(agents):
            group.create_task(work())
    return ended
