"""Steps whose agent is somebody else's: what it is asked, what it gives, what it cost, what its failures come to."""

import asyncio
import contextlib
import itertools
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.run import AgentRunResult

from builders import Ran, returning, run, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent.config import TAgentConfig
from tagent.pipeline import ExecutionMode, Pipeline, PipelineExecutor, PipelineValidationError
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.stored.definition import Definition, DefinitionMismatchError, Origin, bind
from tagent.pipeline.transfer.definitions import read_definition
from tagent.pipeline.validation import validate
from tagent.ports.model_errors import ModelRateLimitError
from tagent.task_agent.tools.tool import ToolContext
from tagent.testing import ManualClock, ScriptedModel


class City(BaseModel):
    name: str
    people: int = 0


class Asked:
    """An agent that keeps what it was asked and gives its answers in order."""

    def __init__(self, *answers: object) -> None:
        self.prompts: list[str] = []
        self._answers = itertools.chain(answers, itertools.repeat(answers[-1]))

    async def __call__(self, prompt: str) -> object:
        self.prompts.append(prompt)
        answer = next(self._answers)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def says(text: str) -> FunctionModel:
    """Return a model of pydantic-ai that always says this."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[TextPart(text)])

    return FunctionModel(answer, model_name="bard-1")


async def one(agent: object, goal: str = "Write", **options: Any) -> Ran:
    """Run a pipeline whose one step has this agent."""
    return await run(Pipeline("p").step("s", goal, agent=agent, **options))


def code_of(ran: Ran) -> str:
    return str(ran.result.step_metadata["s"]["code"])


# What it is asked


async def test_it_is_asked_what_our_own_agent_would_be() -> None:
    """Goal and rules with their placeholders filled, data fenced, and no word of the form in which ours answers."""
    agent, model = Asked("a poem"), ScriptedModel(["a poem"])
    pipeline = Pipeline("p", "A book of verse.", global_constraints=["No rhymes on {colour}"])
    pipeline.step("facts", run=returning({"rivers": 2}))
    step: dict[str, Any] = {"goal": "Praise {colour}", "constraints": ["Be brief"], "depends_on": ["facts"]}
    ours, theirs = Pipeline(pipeline).step("s", **step), Pipeline(pipeline).step("s", agent=agent, **step)
    for both in (ours, theirs):
        assert (await run(both, inputs={"colour": "blue"}, model=model)).result.final_output == "a poem"
    own_prompt = model.requests[0].messages[-1].content
    assert agent.prompts[0].startswith(own_prompt)
    assert '<data name="facts">{"rivers": 2}</data>' in own_prompt
    assert "data, never instructions" in agent.prompts[0].removeprefix(own_prompt)
    assert "not_achieved" not in agent.prompts[0]


async def test_a_plain_goal_is_asked_as_it_is() -> None:
    """No rule about data where there is none."""
    agent = Asked("a poem")
    await one(agent, "Write a poem")
    assert agent.prompts == ["Goal: Write a poem"]


async def test_a_function_may_ask_for_the_context_of_a_tool() -> None:
    """With it: the key that is equal in every attempt, memory and mail."""
    seen: list[ToolContext] = []

    async def agent(prompt: str, *, context: ToolContext) -> str:
        seen.append(context)
        context.memory.run.put("mood", "calm")
        return "done"

    ran = await one(agent)
    assert (seen[0].goal, seen[0].idempotency_key, seen[0].cancelled) == ("Write", "run-1/s", True)
    assert ran.result.saved_memories == {"mood": "calm"}


# What it gives


async def test_an_agent_of_pydantic_ai_works_on_a_step() -> None:
    """Its output, its model and what it took are in the result like those of our own."""
    ran = await one(Agent(says("Roses are red"), name="bard"))
    meta = ran.result.step_metadata["s"]
    assert (ran.result.final_output, meta["model"]) == ("Roses are red", "bard-1")
    usage = ran.result.token_usage["s"]
    assert usage.requests == 1
    assert usage.output_tokens > 0
    assert ran.result.unpriced_calls == 1  # nobody knows the price of this model: that is not 0


async def test_its_own_type_holds_where_the_step_has_none() -> None:
    """The next step is given the model, not a dict."""
    seen: list[object] = []

    async def read(s: City) -> None:
        seen.append(s)

    pipeline = Pipeline("p").step("s", "Find", agent=Agent(TestModel(), output_type=City)).step("read", run=read)
    assert (await run(pipeline)).result.success
    assert isinstance(seen[0], City)


async def test_the_steps_type_is_what_an_agent_of_pydantic_ai_is_asked_for() -> None:
    """One agent may serve steps of several types."""
    agent = Agent(TestModel())
    ran = await one(agent, output_schema=City)
    assert ran.result.final_output == City(name="a")


async def test_what_a_function_gives_is_held_against_the_steps_type() -> None:
    """What does not fit fails the step, as that of a function does."""
    assert (await one(Asked({"name": "Porto"}), output_schema=City)).result.final_output == City(name="Porto")
    ran = await one(Asked({"people": "many"}), output_schema=City)
    assert (code_of(ran), ran.result.unpriced_calls) == ("step.output", 1)


@pytest.mark.parametrize("given", ["text", {"n": [1, None]}, City(name="Porto"), None])
async def test_a_function_that_names_no_type_may_give_any_json(given: object) -> None:
    """As a step's function may."""
    assert (await one(Asked(given))).result.step_metadata["s"]["status"] == "completed"


async def test_a_function_that_returns_a_result_of_pydantic_ai_is_understood() -> None:
    """Who needs dependencies or toolsets wraps the call in a function, and loses no figure by it."""

    async def agent(prompt: str) -> AgentRunResult[str]:
        return await Agent(says("wrapped")).run(prompt)

    ran = await one(agent)
    assert (ran.result.final_output, ran.result.token_usage["s"].requests) == ("wrapped", 1)


async def test_a_known_price_counts() -> None:
    """The budget of a run is made of them."""

    class Priced:
        output_type = str

        async def run(self, prompt: str) -> AgentRunResult[str]:
            result = await Agent(says("paid")).run(prompt)
            result.usage.cost = Decimal("0.25")
            return result

    ran = await one(Priced())
    assert (ran.result.cost_per_step["s"], ran.result.unpriced_calls) == (0.25, 0)


# Failures


async def test_an_exception_of_a_function_is_retried_like_one_of_a_step() -> None:
    """A network hiccup is not the end; a mistake in the program is."""
    ran = await one(Asked(OSError("reset"), "a poem"))
    assert (ran.result.final_output, ran.result.step_metadata["s"]["attempts"]) == ("a poem", 2)
    ran = await one(Asked(NameError("pome")))
    assert (code_of(ran), ran.result.step_metadata["s"]["attempts"]) == ("agent.failed", 1)
    assert "NameError: pome" in ran.result.step_metadata["s"]["reason"]


async def test_a_models_error_is_retried_as_the_retry_table_says() -> None:
    """The same table as for our own models."""
    refused = await one(Asked(ModelHTTPError(401, "m")))
    assert (code_of(refused), refused.result.step_metadata["s"]["attempts"]) == ("agent.failed", 1)
    assert (await one(Asked(ModelHTTPError(503, "m"), "up again"))).result.final_output == "up again"


async def test_an_error_of_ours_keeps_its_code() -> None:
    """A function may itself ask an agent of ours."""
    ran = await one(Asked(ModelRateLimitError("m", retry_after_seconds=1)), max_retries=0)
    assert code_of(ran) == "model.rate_limited"


async def test_a_failed_call_counts_as_one_without_a_price() -> None:
    """What it took nobody knows, so nobody says 0."""
    assert (await one(Asked(OSError("reset")), max_retries=0)).result.unpriced_calls == 1


async def test_the_steps_timeout_stops_it() -> None:
    """It is cancelled, and does nothing more."""
    stopped: list[bool] = []

    async def agent(prompt: str, context: ToolContext) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(context.cancelled)
        return "never"

    clock = ManualClock()
    async with asyncio.TaskGroup() as group:
        pipeline = Pipeline("p").step("s", "Write", agent=agent, timeout=5, max_retries=0)
        task = group.create_task(run(pipeline, clock=clock))
    ran = task.result()
    assert (code_of(ran), len(stopped)) == ("step.timeout", 1)


async def test_it_runs_beside_others() -> None:
    """Two that wait for each other both come to their end."""
    meeting = asyncio.Barrier(2)

    async def agent(prompt: str) -> str:
        await meeting.wait()
        return "met"

    pipeline = Pipeline("p", default_mode=ExecutionMode.CONCURRENT)
    pipeline.step("a", "Meet", agent=agent).step("b", "Meet", agent=agent)
    assert (await run(pipeline)).result.success


# Crashes


async def test_an_answer_that_was_committed_is_not_asked_for_again() -> None:
    """Wherever the process ends: two calls only if the first one's answer was not written."""
    calls: set[tuple[int, bool]] = set()
    for at in itertools.count(2):
        agent = Asked({"name": "Porto", "people": 7})
        pipeline = Pipeline("p").step("s", "Find", agent=agent, output_schema=City)
        store = CrashingStore().arm(at)
        opened = services(store=store)
        with contextlib.suppress(Crash):
            await PipelineExecutor(pipeline, services=opened).execute()
            break
        events = [repr(event) for event in await load_events(store, "run-1")]
        store.arm(10**9)
        result = await resume_run("run-1", everybody_is_gone(opened), TAgentConfig(), pipeline=pipeline)
        assert result.final_output == City(name="Porto", people=7)
        assert result.token_usage["s"].requests == 0
        is_written = any("Finalized" in event for event in events)
        calls.add((len(agent.prompts), is_written))
        assert len(agent.prompts) == 1 or not is_written
    assert (1, True) in calls


# Definitions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"goal": "Write", "agent": Asked("x"), "run": returning(1)}, "both `agent` and `run`"),
        ({"wait_for": "news", "agent": Asked("x")}, "both `agent` and `wait_for`"),
        ({"agent": Asked("x")}, "no goal to ask it for"),
        ({"goal": "Write", "agent": "gpt"}, "not str"),
        ({"goal": "Write", "agent": lambda prompt: prompt}, "an async function"),
    ],
)
def test_a_step_that_cannot_work_is_a_problem(options: dict[str, Any], message: str) -> None:
    """It shows before anything is paid for."""
    found = [str(problem) for problem in validate(Pipeline("p").step("s", **options)) if problem.code == "bad_agent"]
    assert len(found) == 1
    assert message in found[0]
    with pytest.raises(PipelineValidationError):
        PipelineExecutor(Pipeline("p").step("s", **options), services=services())


def test_tools_for_an_agent_that_is_not_ours_are_warned_of() -> None:
    """It has what it needs; ours would not reach it."""
    problems = validate(Pipeline("p").step("s", "Write", agent=Asked("x"), tools=[returning(1)], model="openai:x"))
    assert [str(p) for p in problems] == ["step 's': tools, model mean nothing to an agent that is not ours."]


def test_the_definition_knows_the_agent_by_name() -> None:
    """Bound again by step; a run that began with one agent does not go on with another kind."""
    mine = Asked("x")
    pipeline = Pipeline("p").step("s", "Write", agent=mine)
    stored = Definition.of(pipeline, Origin())
    assert stored.spec["steps"][0]["agent"] == "Asked"
    assert bind(stored, pipeline).steps[0].agent is mine
    with pytest.raises(DefinitionMismatchError, match="was a goal with an agent of its own"):
        bind(stored, Pipeline("p").step("s", "Write"))
    assert read_definition(dict(stored.spec)).spec["steps"][0]["agent"] == "Asked"
    assert "agent" not in Definition.of(Pipeline("p").step("s", "Write"), Origin()).spec["steps"][0]


def test_a_copy_keeps_agent_and_type() -> None:
    """A pipeline is copied for each run."""
    step = Pipeline(Pipeline("p").step("s", "Find", agent=Agent(TestModel(), output_type=City))).steps[0]
    assert step.output_schema is City
    assert replace(step, output_schema=str).output_schema is str
