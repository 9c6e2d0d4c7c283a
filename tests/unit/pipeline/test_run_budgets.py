"""What a run and its steps may spend: one account for all that works at once, over attempts and resumes."""

import itertools
from contextlib import suppress
from typing import Any

import pytest
from pydantic_ai import Agent, ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.run import AgentRunResult
from pydantic_ai.usage import RequestUsage

from builders import CONCURRENT, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent.adapters.storage.memory import MemoryStore
from tagent.budget import Budget
from tagent.config import TAgentConfig
from tagent.pipeline import ExecutionMode, Pipeline, PipelineExecutor, PipelineResult, RetryPolicy, RunStatus
from tagent.pipeline.driving.accounts import RunAccounts
from tagent.pipeline.models import PipelineStep
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.settings import run_budget, step_budget
from tagent.ports.language_model import LanguageModel, ModelReply, ModelRequest
from tagent.ports.model_errors import ModelTimeoutError
from tagent.ports.store import Store
from tagent.task_agent.tools.context import ToolContext
from tagent.testing import ManualClock, ScriptedModel

AT_ONCE = RetryPolicy(base_seconds=0.001)


def answering(**options: Any) -> ScriptedModel:
    """Return a model that says the same to everybody."""
    return ScriptedModel(lambda _: "done", **options)


async def ran(
    pipeline: Pipeline,
    model: LanguageModel | None = None,
    *,
    clock: ManualClock | None = None,
    store: Store | None = None,
    **options: object,
) -> PipelineResult:
    """Run the pipeline with the settings of a call."""
    opened = services(clock=clock, store=store, model=model or answering())
    return await PipelineExecutor(pipeline, overrides=TAgentConfig.of(options), services=opened).execute()


def codes(result: PipelineResult) -> dict[str, str]:
    """Return step name -> why it failed or was skipped; empty if it did not."""
    return {name: str(told["code"]) for name, told in result.step_metadata.items()}


def over_budget(result: PipelineResult) -> list[str]:
    """Return the steps that failed for a budget."""
    return [name for name, code in codes(result).items() if code == "budget.exceeded"]


def crowd(size: int, **options: Any) -> Pipeline:
    """Return a pipeline of so many goals that are worked on at once."""
    pipeline = Pipeline("crowd", **options)
    for number in range(size):
        pipeline.step(f"s{number}", "Do it", execution_mode=CONCURRENT)
    return pipeline


# Of a run


@pytest.mark.parametrize(
    ("limits", "calls"),
    [({"max_model_calls": 3}, 3), ({"max_tokens": 40}, 3), ({"max_cost_usd": 0.5}, 2), ({"max_model_calls": 9}, 5)],
)
async def test_steps_one_after_another_share_what_the_run_may_spend(limits: dict[str, object], calls: int) -> None:
    """Each call takes 15 tokens and 0.25 USD; the one that reaches a limit is the last."""
    model = answering(cost_usd=0.25)
    pipeline = Pipeline("p", budget=limits)
    for number in range(5):
        pipeline.step(f"s{number}", "Do it")
    result = await ran(pipeline, model)
    assert (len(model.requests), len(over_budget(result))) == (calls, 5 - calls)
    assert result.total_cost == 0.25 * calls


async def test_steps_at_the_same_time_share_it_too() -> None:
    """They look before each other's answers are there; what is under way counts."""
    model = answering(seconds=0.001)
    result = await ran(crowd(6, config={"max_model_calls": 4}), model)
    assert (len(model.requests), len(over_budget(result))) == (4, 2)
    reasons = [str(told["reason"]) for told in result.step_metadata.values() if told["code"]]
    assert all(reason.startswith("The run's max_model_calls allows 4 requests; spent: 4.") for reason in reasons)


async def think(context: ToolContext) -> str:
    """Think."""
    return await context.aask("What now?")


async def test_what_tools_ask_counts_in_the_run() -> None:
    """Else a tool would be a way around it."""
    model = ScriptedModel([[{"tool_name": "think"}], "a thought", "never"])
    pipeline = Pipeline("p").step("s", "Think", tools=[think]).step("t", "Do it")
    result = await ran(pipeline, model, max_model_calls=2)
    assert (len(model.requests), over_budget(result)) == (2, ["s", "t"])


@pytest.mark.parametrize(
    ("pipeline", "call", "calls"),
    [
        ({"config": {"max_model_calls": 1}}, {}, 1),
        ({"config": {"max_model_calls": 1}, "budget": {"max_model_calls": 2}}, {}, 2),
        ({"config": {"max_model_calls": 1}, "budget": {"max_model_calls": 2}}, {"max_model_calls": 3}, 3),
        ({"budget": {"max_model_calls": 2}}, {"max_model_calls": None}, 4),
    ],
)
async def test_the_call_wins_over_the_budget_and_that_over_the_settings(
    pipeline: dict[str, object], call: dict[str, Any], calls: int
) -> None:
    """Whoever starts the run has the last word."""
    model = answering()
    await ran(crowd(4, **pipeline), model, **call)
    assert len(model.requests) == calls


def test_a_limit_of_the_settings_stays_where_nobody_says_another() -> None:
    """The file's deadline holds beside the pipeline's cost."""
    budget = run_budget(Pipeline("p", budget=Budget(max_cost_usd=1)), TAgentConfig(deadline_seconds=60, max_cost_usd=9))
    assert budget == Budget(max_cost_usd=1, deadline_seconds=60)


async def test_a_failed_run_goes_on_with_a_larger_budget_and_what_it_spent_counts() -> None:
    """The limit is of the run, not of each process that drives it."""
    store, model = MemoryStore(), answering()
    pipeline = crowd(5)
    first = await ran(pipeline, model, store=store, max_model_calls=2)
    assert len(over_budget(first)) == 3
    opened = services(store=store, model=model)
    for allowed, done in ((2, 2), (4, 4), (9, 5)):
        overrides = TAgentConfig(max_model_calls=allowed)
        again = await resume_run(first.run_id, opened, TAgentConfig(), pipeline=pipeline, overrides=overrides)
        assert len(model.requests) == done
    assert again.success


async def test_a_limit_of_the_call_holds_for_the_resumed_run() -> None:
    """Whoever resumes it, a worker too, does not lift it by saying nothing."""
    store, model = MemoryStore(), answering()
    pipeline = crowd(3, budget={"max_model_calls": 9})
    first = await ran(pipeline, model, store=store, max_model_calls=2)
    again = await resume_run(first.run_id, services(store=store, model=model), TAgentConfig(), pipeline=pipeline)
    assert (len(model.requests), len(over_budget(again))) == (2, 1)


@pytest.mark.parametrize("is_written", [True, False])
async def test_after_a_crash_what_is_on_record_counts(is_written: bool) -> None:  # noqa: FBT001 - a case
    """Only the answer that the crash swallowed is asked for again, beyond the limit."""
    for at in itertools.count(2):
        store, model = CrashingStore(), answering()
        pipeline = Pipeline("p", budget={"max_model_calls": 3})
        for number in range(5):
            pipeline.step(f"s{number}", "Do it")
        with suppress(Crash):
            await ran(pipeline, model, store=store.arm(at, is_written=is_written))
            break
        after = everybody_is_gone(services(store=store, model=model))
        (run_id,) = [record.run_id for record in await store.runs()]
        result = await resume_run(run_id, after, TAgentConfig(), pipeline=pipeline)
        assert (len(result.step_outputs), len(over_budget(result))) == (3, 2)
        assert sum(usage.requests for usage in result.token_usage.values()) == 3
        assert 3 <= len(model.requests) <= 4
    assert at > 5


# Of a step


async def test_a_step_has_its_budget_for_all_its_attempts() -> None:
    """Three requests that never fit, then one that the budget leaves, then none."""
    model = ScriptedModel(lambda _: 7)
    pipeline = Pipeline("p").step("s", "Do it", retry=AT_ONCE, budget={"max_model_calls": 4})
    pipeline.step("t", "Do it", output_schema=int)
    result = await ran(pipeline, model)
    assert (over_budget(result), result.token_usage["s"].requests) == (["s"], 4)
    assert "The step's max_model_calls allows 4 requests; spent: 4." in result.step_metadata["s"]["reason"]
    assert result.step_outputs == {"t": 7}


async def test_the_parts_of_a_step_share_its_budget() -> None:
    """They run at the same time, and the step pays for all of them."""
    model = answering(seconds=0.001)
    pipeline = Pipeline("p").step("names", run=lambda: ["a", "b", "c", "d", "e"])
    pipeline.step(
        "s",
        "Greet {item}",
        for_each="names",
        execution_mode=ExecutionMode.PARALLEL_MERGE,
        min_success=0,
        max_retries=0,
        budget={"max_model_calls": 3},
    )
    result = await ran(pipeline, model)
    assert (result.step_outputs["s"], len(model.requests)) == (["done"] * 3, 3)
    parts = result.step_metadata["s"]["parts"].values()
    assert [part["code"] for part in parts].count("budget.exceeded") == 2


async def test_a_step_is_limited_by_its_settings_as_by_its_budget() -> None:
    """Both say what it may spend; the budget says it more clearly."""
    own = PipelineStep(name="s", goal="g", config={"max_tokens": 5, "max_model_calls": 6}, budget={"max_tokens": 7})
    assert step_budget(own) == Budget(max_tokens=7, max_model_calls=6)
    accounts = RunAccounts(Pipeline("p", steps=[own]), Budget(max_cost_usd=1, deadline_seconds=5))
    assert [account.budget for account in accounts.of("s")] == [step_budget(own), Budget(max_cost_usd=1)]


class Silent:
    """A model that gives up after some seconds."""

    name = "silent"
    context_tokens = None

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds

    async def ask(self, request: ModelRequest) -> ModelReply:
        await self._clock.sleep(self._seconds)
        raise ModelTimeoutError(self.name, seconds=self._seconds)


async def test_the_deadline_of_a_step_is_of_all_its_attempts() -> None:
    """Whoever waits for it does not wait longer because it was tried again."""
    clock = ManualClock(now=1000)
    pipeline = Pipeline("p").step("s", "Do it", retry=AT_ONCE, budget={"deadline_seconds": 10})
    result = await ran(pipeline, Silent(clock, 4), clock=clock)
    assert (over_budget(result), result.step_metadata["s"]["attempts"]) == (["s"], 3)
    assert result.step_metadata["s"]["execution_time"] == pytest.approx(10)


# Of agents that are not ours


def looker() -> Agent[None, str]:
    """Return an agent that calls a tool over and over, with 15 tokens for each request."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[ToolCallPart("look", {})], usage=RequestUsage(input_tokens=10, output_tokens=5))

    agent = Agent(FunctionModel(answer), name="looker")

    @agent.tool_plain
    def look() -> str:
        return "nothing"

    return agent


async def test_an_agent_of_pydantic_ai_stops_at_the_requests_that_are_left() -> None:
    """In the middle of its work, and what it took by then is on record."""
    pipeline = Pipeline("p").step("first", "Do it").step("s", "Look", agent=looker())
    result = await ran(pipeline, max_model_calls=4)
    assert (over_budget(result), result.token_usage["s"].requests) == (["s"], 3)
    assert "The run's max_model_calls allows 4 requests; spent: 4." in result.step_metadata["s"]["reason"]


async def test_an_agent_of_pydantic_ai_stops_when_the_tokens_are_spent() -> None:
    """The request that goes beyond them is its last."""
    pipeline = Pipeline("p").step("s", "Look", agent=looker(), budget={"max_tokens": 40})
    result = await ran(pipeline)
    assert (over_budget(result), result.token_usage["s"].total_tokens) == (["s"], 45)


async def test_agents_of_pydantic_ai_at_the_same_time_do_not_share_a_request() -> None:
    """Each holds as many as it may make; the others wait for what it gives back."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[TextPart("done")])

    pipeline = Pipeline("p", budget={"max_model_calls": 3})
    for number in range(5):
        agent = Agent(FunctionModel(answer), name=f"a{number}")
        pipeline.step(f"s{number}", "Do it", agent=agent, execution_mode=CONCURRENT)
    result = await ran(pipeline)
    assert (len(over_budget(result)), sum(usage.requests for usage in result.token_usage.values())) == (2, 3)


async def test_an_own_limit_of_such_an_agent_is_a_failure_of_its_own() -> None:
    """It is not the run that has no room."""
    result = await ran(Pipeline("p").step("s", "Look", agent=looker(), max_retries=0))
    assert codes(result) == {"s": "agent.failed"}
    assert result.token_usage["s"].requests == 50


async def test_what_an_agent_of_pydantic_ai_took_before_it_failed_counts() -> None:
    """Its library counts while it works, so the budget of the next attempt is what is left."""
    told: list[ModelResponse | Exception] = [ModelResponse(parts=[ToolCallPart("look", {})]), ModelHTTPError(503, "m")]
    replies = iter(told * 2)

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        reply = next(replies)
        if isinstance(reply, ModelResponse):
            return reply
        raise reply

    agent = Agent(FunctionModel(answer), name="looker")

    @agent.tool_plain
    def look() -> str:
        return "nothing"

    pipeline = Pipeline("p").step("s", "Look", agent=agent, retry=AT_ONCE, budget={"max_model_calls": 2})
    result = await ran(pipeline)
    assert (over_budget(result), result.token_usage["s"].requests) == (["s"], 2)


async def test_an_agent_with_a_run_of_its_own_is_given_only_what_that_takes() -> None:
    """Whoever wraps an agent need not know of limits."""

    class Wrapped(Agent[None, str]):
        async def run(self, prompt: str) -> AgentRunResult[str]:  # type: ignore[override]  # the user's own
            return await super().run(prompt)

    wrapped = Wrapped(TestModel(custom_output_text="done"), name="wrapped")
    result = await ran(Pipeline("p").step("s", "Do it", agent=wrapped), max_model_calls=3)
    assert (result.final_output, result.token_usage["s"].requests) == ("done", 1)


async def test_a_function_is_not_asked_when_there_is_no_room() -> None:
    """What it takes nobody sees before it says so; whether it is asked is ours to say."""
    asked: list[str] = []

    async def poet(prompt: str) -> str:
        asked.append(prompt)
        return "a poem"

    result = await ran(Pipeline("p").step("a", "Do it").step("s", "Write", agent=poet), max_model_calls=1)
    assert (asked, over_budget(result)) == ([], ["s"])


async def test_a_function_that_names_no_price_ends_a_budget_of_cost() -> None:
    """What is spent is not known from there on, and a budget that is kept by guessing is none."""

    async def poet(prompt: str) -> str:
        return "a poem"

    result = await ran(Pipeline("p").step("s", "Write", agent=poet).step("a", "Do it"), max_cost_usd=1)
    assert (over_budget(result), result.step_outputs) == (["a"], {"s": "a poem"})


async def test_the_deadline_of_a_step_ends_such_an_agent() -> None:
    """With the same words as one of ours."""
    clock = ManualClock()

    async def slow(prompt: str) -> str:
        await clock.sleep(100)
        return "late"

    result = await ran(Pipeline("p").step("s", "Write", agent=slow, budget={"deadline_seconds": 5}), clock=clock)
    assert over_budget(result) == ["s"]
    assert "deadline_seconds allows 5 s" in result.step_metadata["s"]["reason"]


# Waiting for a larger budget


async def test_a_run_that_waits_fails_nothing_and_goes_on_with_a_larger_budget() -> None:
    """What is done is not done again, and what it took counts."""
    store, model = MemoryStore(), answering(seconds=0.001)
    pipeline = crowd(5, on_budget="wait")
    first = await ran(pipeline, model, store=store, max_model_calls=2)
    assert (first.status, first.code, len(first.step_outputs)) == (RunStatus.WAITING, "budget.exceeded", 2)
    assert not any(codes(first).values())
    opened = services(store=store, model=model)
    for allowed, done in ((2, 2), (4, 4), (5, 5)):
        overrides = TAgentConfig(max_model_calls=allowed)
        again = await resume_run(first.run_id, opened, TAgentConfig(), pipeline=pipeline, overrides=overrides)
        assert (len(model.requests), again.success) == (done, done == 5)


async def test_an_agent_goes_on_where_its_run_began_to_wait() -> None:
    """Its plan is paid for, and its tool was called."""
    store, called = MemoryStore(), list[str]()

    def look() -> str:
        """Look around."""
        called.append("look")
        return "a door"

    model = ScriptedModel([[{"tool_name": "look"}], "A door."])
    pipeline = Pipeline("p", on_budget="wait").step("s", "Look", tools=[look])
    first = await ran(pipeline, model, store=store, max_model_calls=1)
    assert (first.status, len(model.requests), called) == (RunStatus.WAITING, 1, ["look"])
    opened = services(store=store, model=model)
    overrides = TAgentConfig(max_model_calls=2)
    again = await resume_run(first.run_id, opened, TAgentConfig(), pipeline=pipeline, overrides=overrides)
    assert (again.final_output, again.step_metadata["s"]["attempts"], called) == ("A door.", 1, ["look"])


async def test_a_step_that_has_spent_its_own_budget_fails_in_a_run_that_waits() -> None:
    """The run waits for its own budget alone."""
    pipeline = Pipeline("p", on_budget="wait").step("s", "Do it", budget={"max_tokens": 1}, tools=[think])
    result = await ran(pipeline, ScriptedModel([[{"tool_name": "think"}]]))
    assert (result.status, over_budget(result)) == (RunStatus.FAILED, ["s"])


async def test_a_larger_budget_counts_for_whoever_resumes_the_run_next() -> None:
    """A worker that takes it up after a crash must not stop at the old limit again."""
    store, model = MemoryStore(), answering()
    pipeline = crowd(3, budget={"max_model_calls": 1}, on_budget="wait")
    first = await ran(pipeline, model, store=store)
    opened = services(store=store, model=model)
    larger = TAgentConfig(max_model_calls=2)
    second = await resume_run(first.run_id, opened, TAgentConfig(), pipeline=pipeline, overrides=larger)
    third = await resume_run(first.run_id, opened, TAgentConfig(), pipeline=pipeline)
    assert (second.status, third.status) == (RunStatus.WAITING, RunStatus.WAITING)
    assert "allows 2" in third.reason
    assert len(model.requests) == 2
