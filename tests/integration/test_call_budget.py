"""What a goal costs in model calls and prompt tokens, at an endpoint that behaves well and counts."""

import asyncio
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from benchmarks.agents.endpoint import ANSWERING_MODEL, Endpoint, Figures, serving
from benchmarks.agents.goals import GOALS, Goal, crowd_goal, tools_for
from benchmarks.agents.prompt_size import PromptSize

from tagent import TaskBasedAgentResult, arun_agent
from tagent.config import PROVIDER_KEYS

OLDER_TOKENS = {"no tool": 2_198, "one tool": 2_186, "three tools": 2_370, "never, one tool": 8_982}
"""Goal -> prompt tokens of the older package of this name (0.7.1) at the same endpoint."""

CROWD = 50


@pytest.fixture(autouse=True)
def only_what_the_test_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting or key of the machine, and no proxy."""
    for name in (*PROVIDER_KEYS, "OPENAI_BASE_URL", "TAGENT_MODEL", "TAGENT_BASE_URL", "TAGENT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)


async def reach(goal: Goal, endpoint: Endpoint, **options: Any) -> TaskBasedAgentResult[Any]:
    """Let an agent work on a goal."""
    result: TaskBasedAgentResult[Any] = await arun_agent(
        goal.text,
        model="openai-chat:any",
        base_url=endpoint.base_url,
        api_key="k",
        tools=tools_for(goal),
        **options,
    )
    return result


async def figures_for(name: str, **options: Any) -> tuple[TaskBasedAgentResult[Any], Figures]:
    """Return what came of a goal, and what the endpoint counted."""
    async with serving(think_seconds=0) as endpoint:
        result = await reach(GOALS[name], endpoint, **options)
        return result, endpoint.figures()


def size_of(figures: Figures) -> PromptSize:
    """Return how large all prompts were."""
    return PromptSize(figures["message_characters"], figures["schema_characters"])


@pytest.mark.parametrize(
    ("name", "calls"), [("no tool", 1), ("one tool", 2), ("three tools", 2), ("never, no tool", 1)]
)
async def test_a_goal_takes_no_more_model_calls_than_it_must(name: str, calls: int) -> None:
    """A goal without tools is one call; with tools it is a plan and an answer."""
    result, figures = await figures_for(name)
    assert (figures["calls"], figures["refused"]) == (calls, 0)
    assert (result.output, result.goal_achieved) == (GOALS[name].answer, GOALS[name].answer is not None)
    assert result.token_usage.requests == calls


async def test_a_goal_that_is_never_achieved_takes_two_calls_for_each_plan() -> None:
    """It is the limit that ends it, and there is no output then."""
    result, figures = await figures_for("never, one tool", max_planning_cycles=4)
    assert (figures["calls"], result.planning_cycles) == (8, 4)
    assert (result.output, result.goal_achieved) == (None, False)


@pytest.mark.parametrize("name", OLDER_TOKENS)
async def test_prompts_are_at_most_half_of_those_of_the_older_package(name: str) -> None:
    """What is sent is paid for with every goal; the schemas that go along count."""
    _, figures = await figures_for(name)
    assert size_of(figures).tokens <= OLDER_TOKENS[name] / 2


async def test_counts_the_tokens_that_the_provider_counts() -> None:
    """The bill can be checked against the result."""
    result, figures = await figures_for("no tool")
    assert result.token_usage.input_tokens == size_of(figures).tokens


async def test_many_agents_at_once_each_get_their_own_answer() -> None:
    """They share connections; nobody may read what was meant for another."""
    goals = [crowd_goal(number) for number in range(CROWD)]
    async with serving(think_seconds=0) as endpoint:
        async with asyncio.TaskGroup() as group:
            works = [group.create_task(reach(goal, endpoint)) for goal in goals]
        figures = endpoint.figures()
    assert [work.result().output for work in works] == [goal.answer for goal in goals]
    assert (figures["calls"], figures["refused"]) == (CROWD + CROWD // 2, 0)


async def test_streams_the_same_answer_in_the_same_number_of_calls() -> None:
    """To watch an answer come costs nothing."""
    result, figures = await figures_for("one tool", stream=True)
    assert (result.output, figures["calls"]) == (GOALS["one tool"].answer, 2)


# The endpoint itself


async def post(endpoint: Endpoint, body: object) -> tuple[int, str]:
    """Return status and body of what the endpoint answers."""

    def send() -> tuple[int, str]:
        address = f"{endpoint.base_url}/chat/completions"
        request = urllib.request.Request(address, json.dumps(body).encode(), method="POST")  # noqa: S310 - 127.0.0.1
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - the same
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(send)


async def test_the_endpoint_refuses_a_goal_that_it_does_not_know() -> None:
    """A benchmark whose model makes something up would measure anything."""
    async with serving(think_seconds=0) as endpoint:
        status, body = await post(endpoint, {"messages": [{"role": "user", "content": "Goal: be happy"}]})
        assert (status, endpoint.figures()["refused"]) == (400, 1)
    assert "goal" in json.loads(body)["error"]["message"]


async def test_the_endpoint_achieves_a_goal_only_with_the_evidence_in_the_prompt() -> None:
    """Else a package that loses what its tools return would look just as good."""
    goal = GOALS["one tool"]
    schema = {"properties": {"output": {}, "not_achieved_because": {}}, "required": ["output"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "Answer", "schema": schema}}
    outputs = []
    async with serving(think_seconds=0) as endpoint:
        for prompt in (goal.text, f"{goal.text}\n{goal.evidence[0]}"):
            messages = [{"role": "user", "content": prompt}]
            _, body = await post(endpoint, {"messages": messages, "response_format": wanted})
            reply = json.loads(body)
            outputs.append(json.loads(reply["choices"][0]["message"]["content"])["output"])
    assert outputs == [None, goal.answer]
    assert reply["model"] == ANSWERING_MODEL
