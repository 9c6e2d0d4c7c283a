"""Accounts: what several agents may spend together."""

import asyncio

import pytest

from agent_runs import services
from tagent.budget import Budget
from tagent.ports.language_model import ModelReply, ModelRequest, TokenUsage
from tagent.task_agent.accounts import Account, held, room
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.budgets import BudgetExceededError, BudgetPausedError
from tagent.task_agent.events import AgentEvent, AgentStarted, BudgetExceeded, Planned, TaskCompleted
from tagent.task_agent.models import ModelCall, Spending
from tagent.task_agent.run import run_task_based_agent
from tagent.task_agent.tools.context import ToolContext
from tagent.testing import ManualClock, ScriptedModel


def call(*, requests: int = 1, tokens: int = 0, cost_usd: float | None = 0.0) -> ModelCall:
    return ModelCall("m", TokenUsage(tokens, 0, requests), cost_usd)


def of_run(*, spent: Spending | None = None, waits: bool = False, **limits: float) -> Account:
    return Account(Budget.of(limits), whose="run", spent=spent, waits=waits)


def at_once() -> float:
    return 0.0


async def test_a_call_holds_its_re_asks_until_its_answer_is_there() -> None:
    """Else two calls at once could both take the last requests."""
    account = of_run(max_model_calls=4)
    with held([account], requests=3) as first:
        with held([account], requests=3) as second:
            assert (first.requests, second.requests, account.requests_left) == (3, 1, 0)
            second.spend(call())
        first.spend(call())
    assert account.requests_left == 2


async def test_who_finds_only_calls_under_way_waits_for_them() -> None:
    """They mostly give back what they held; nobody fails for what was not spent."""
    account = of_run(max_model_calls=2)
    waiting = None
    async with asyncio.TaskGroup() as group:
        with held([account], requests=2) as place:
            waiting = group.create_task(room([account], now=at_once))
            await asyncio.sleep(0)
            assert not waiting.done()
            place.spend(call())
    assert waiting.result() is None


async def test_who_waited_in_vain_is_told_the_limit() -> None:
    """The calls under way may need all that they hold."""
    account = of_run(max_model_calls=2)
    async with asyncio.TaskGroup() as group:
        with held([account], requests=2) as place:
            waiting = group.create_task(room([account], now=at_once))
            await asyncio.sleep(0)
            place.spend(call(requests=2))
    assert waiting.result() == BudgetExceeded("max_model_calls", 2, 2, whose="run")


async def test_the_first_account_without_room_is_told() -> None:
    """Whether its step or its run is at its end is not the same to whoever reads it."""
    step, run = Account(Budget(max_tokens=5), whose="step"), of_run(max_tokens=5)
    step.spend(call(tokens=5))
    assert await room([step, run], now=at_once) == BudgetExceeded("max_tokens", 5, 5, whose="step")
    run.spend(call(tokens=9))
    assert await room([run, step], now=at_once) == BudgetExceeded("max_tokens", 5, 9, whose="run")


def test_a_call_that_is_lost_counts_as_the_dearest_one() -> None:
    """Nobody knows what it took; a budget that forgot it would be spent twice, and one that gave up would be no use."""
    account = of_run(max_cost_usd=1.0, max_model_calls=9)
    account.spend(call(cost_usd=0.25, tokens=10))
    account.spend(call(cost_usd=0.125, tokens=20))
    with held([account], requests=3) as place:
        place.open()
    assert account.spending == Spending(TokenUsage(50, 0, 3), 0.625, 0, ("m",))
    assert account.requests_left == 6


def test_a_call_that_never_began_counts_for_nothing() -> None:
    """A model that cannot be had was not asked."""
    account = of_run(max_model_calls=1)
    with held([account], requests=1):
        pass
    assert account.requests_left == 1


async def test_an_unknown_price_is_not_mended_by_waiting() -> None:
    """A run that waited for a larger budget of cost would wait again."""
    account = of_run(max_cost_usd=1.0, waits=True)
    account.spend(call(cost_usd=None))
    assert await room([account], now=at_once) == BudgetExceeded("max_cost_usd", 1.0, None, whose="run")
    model = ScriptedModel(["x"])
    model.has_price = False  # type: ignore[attr-defined]  # as models without one say
    async with services() as opened:
        attempt = Attempt(accounts=(of_run(max_cost_usd=1.0, waits=True),))
        with pytest.raises(BudgetExceededError, match=r"max_cost_usd=1 of the run cannot be kept"):
            await run_task_based_agent("g", {"model": model}, services=opened, attempt=attempt)
    assert model.requests == []


async def test_agents_share_what_their_run_may_spend() -> None:
    """And each of them says whose limit has ended it."""
    account = of_run(max_model_calls=3)
    model = ScriptedModel(lambda _: "done", seconds=0.001)
    failed: list[BudgetExceededError] = []

    async def work() -> None:
        try:
            await run_task_based_agent("g", {"model": model}, services=opened, attempt=Attempt(accounts=(account,)))
        except BudgetExceededError as error:
            failed.append(error)

    async with services() as opened, asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(work())
    assert (len(model.requests), len(failed)) == (3, 2)
    assert failed[0].event == BudgetExceeded("max_model_calls", 3, 3, whose="run")
    told = "The run's max_model_calls allows 3 requests; spent: 3. This attempt's part: 0 model requests, 0 tokens"
    assert told in str(failed[0])


class Slow:
    """A model that takes ten seconds."""

    name = "slow"
    context_tokens = None

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    async def ask(self, request: ModelRequest) -> ModelReply:
        await self._clock.sleep(10)
        return ModelReply("late", self.name)


async def test_a_call_that_a_timeout_cuts_off_counts() -> None:
    """The provider has had the request."""
    clock, account = ManualClock(), of_run(max_model_calls=9)
    async with services(clock) as opened:
        with pytest.raises(TimeoutError):
            async with clock.timeout(5):
                await run_task_based_agent(
                    "g", {"model": Slow(clock)}, services=opened, attempt=Attempt(accounts=(account,))
                )
    assert account.requests_left == 8


def look() -> str:
    """Look around."""
    return "a door"


@pytest.mark.parametrize("asks", [False, True])
async def test_an_agent_whose_run_waits_stops_without_a_trace_and_goes_on_later(asks: bool) -> None:  # noqa: FBT001 - a case
    """Nothing has failed: with a larger budget it goes on where it stood, and pays for no call twice."""
    journal = list[AgentEvent]()

    async def record(event: AgentEvent) -> None:
        journal.append(event)

    async def think(context: ToolContext) -> str:
        return await context.aask("What now?")

    tool = think if asks else look
    model = ScriptedModel([[{"tool_name": tool.__name__}], *(["a thought"] if asks else []), "A door."])
    account = of_run(max_model_calls=1, waits=True)
    async with services() as opened:
        attempt = Attempt(record=record, accounts=(account,))
        with pytest.raises(BudgetPausedError) as raised:
            await run_task_based_agent("g", {"model": model}, tools=[tool], services=opened, attempt=attempt)
        assert raised.value.event == BudgetExceeded("max_model_calls", 1, 1, whose="run")
        assert not any(isinstance(event, BudgetExceeded) for event in journal)
        spent = Spending().plus(next(event.call for event in journal if isinstance(event, Planned)))
        again = Attempt(record=record, history=tuple(journal), accounts=(of_run(max_model_calls=3, spent=spent),))
        result = await run_task_based_agent("g", {"model": model}, tools=[tool], services=opened, attempt=again)
    assert (result.output, len(model.requests)) == ("A door.", 3 if asks else 2)
    assert [type(event) for event in journal].count(AgentStarted) == 1
    assert [type(event) for event in journal].count(TaskCompleted) == 1
