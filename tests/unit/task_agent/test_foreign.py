"""Agents that are not ours: what can be one, what it says of itself, what its errors mean."""

from functools import partial
from typing import Annotated

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError, UnexpectedModelBehavior, UserError
from pydantic_ai.exceptions import (
    ContentFilterError,
    FallbackExceptionGroup,
    ModelAPIError,
    ModelConnectionError,
    ModelRateLimitError,
    UsageLimitExceeded,
)
from pydantic_ai.models.test import TestModel
from pydantic_ai.run import AgentRunResult

from tagent.task_agent.foreign import ForeignAgentError, agent_name, agent_problem, declared_output, may_mend
from tagent.task_agent.tools.tool import ToolContext


class City(BaseModel):
    name: str


async def poet(prompt: str) -> str:
    return prompt


async def clerk(prompt, context: ToolContext, copies: int = 1):  # type: ignore[no-untyped-def]  # as people write them
    return prompt


async def silent() -> None: ...


async def greedy(prompt: str, budget: float) -> str:
    return prompt


async def named_only(*, prompt: str) -> City:
    return City(name=prompt)


async def wrapped(prompt: str) -> AgentRunResult[str]:
    return await Agent(TestModel()).run(prompt)


def slow(prompt: str) -> str:
    return prompt


class Crew:
    async def __call__(self, task: str, context: Annotated[ToolContext | None, "theirs"] = None) -> list[str]:
        return [task]


@pytest.mark.parametrize(
    "agent", [poet, clerk, Crew(), partial(greedy, budget=1.0), Agent(TestModel()), wrapped, Crew().__call__]
)
def test_an_async_function_of_a_prompt_or_a_pydantic_agent_will_do(agent: object) -> None:
    """Also one that is an object, or of which something is bound."""
    assert agent_problem(agent) == ""


@pytest.mark.parametrize(
    ("agent", "problem"),
    [
        (slow, "an async function, not slow"),
        (Crew, "not type"),
        (Agent, "not ABCMeta"),
        ("openai:gpt-4.1", "not str"),
        (silent, "must take the prompt"),
        (named_only, "must take the prompt as its first parameter"),
        (greedy, "Nothing fills the parameter 'budget'"),
    ],
)
def test_what_cannot_be_asked_says_why(agent: object, problem: str) -> None:
    """Before anything runs."""
    assert problem in agent_problem(agent)


@pytest.mark.parametrize(
    ("agent", "declared"),
    [
        (poet, str),
        (clerk, object),
        (Crew(), list[str]),
        (wrapped, object),
        (silent, object),
        (Agent(TestModel()), str),
        (Agent(TestModel(), output_type=City), City),
        (Agent(TestModel(), output_type=[City, str]), object),
        ("no agent", object),
    ],
)
def test_its_own_type_of_output_is_what_it_is_annotated_with(agent: object, declared: object) -> None:
    """So that nobody writes it twice."""
    assert declared_output(agent) == declared


@pytest.mark.parametrize(
    ("agent", "name"),
    [(poet, "poet"), (Crew(), "Crew"), (partial(poet), "poet"), (Agent(TestModel(), name="bard"), "bard")],
)
def test_it_is_called_by_its_own_name(agent: object, name: str) -> None:
    """In results, errors and the stored definition."""
    assert agent_name(agent) == name


@pytest.mark.parametrize(
    ("error", "may"),
    [
        (ModelHTTPError(503, "m"), True),
        (ModelHTTPError(429, "m"), True),
        (ModelHTTPError(401, "m"), False),
        (ModelHTTPError(404, "m"), False),
        (ModelConnectionError("m", "no"), True),
        (ModelRateLimitError("m", "no"), True),
        (UnexpectedModelBehavior("odd"), True),
        (ContentFilterError("odd"), False),
        (UsageLimitExceeded("over"), False),
        (UserError("wrong"), False),
        (ModelAPIError("m", "no"), False),
        (FallbackExceptionGroup("all", [ModelHTTPError(401, "m"), ModelHTTPError(500, "m")]), True),
    ],
)
def test_its_errors_are_retried_as_those_of_our_models_are(error: Exception, may: bool) -> None:  # noqa: FBT001 - a case
    """One table holds for all."""
    assert may_mend(error) is may


def test_an_error_of_pydantic_ai_is_told_without_its_text() -> None:
    """A provider repeats the prompt in it, or the key."""
    error = ForeignAgentError("bard", ModelHTTPError(400, "m", body="the prompt"), is_retryable=False)
    assert error.message == "The agent 'bard' raised ModelHTTPError (status 400)." or "status 400" in error.message
    assert "the prompt" not in str(error)


async def test_a_mistake_in_its_set_up_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its author must see what to mend; it says nothing of the prompt, and a key in it is hidden."""
    with pytest.raises(UserError) as raised:
        await Agent(name="bard").run("the prompt")
    message = ForeignAgentError("bard", raised.value, is_retryable=False).message
    assert (
        message
        == "The agent 'bard' raised UserError: `model` must either be set on the agent or included when calling it."
    )
    monkeypatch.setenv("POETS_API_KEY", "sesame-opens")
    told = ForeignAgentError("bard", UserError("sesame-opens is odd" + "!" * 9_000), is_retryable=False).message
    assert told.startswith("The agent 'bard' raised UserError: *** is odd")
    assert len(told) < 600


def test_an_error_of_a_function_is_told_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own words say what to mend; a key in them is hidden, and a page of them is cut."""
    monkeypatch.setenv("POETS_API_KEY", "sesame-opens")
    error = ForeignAgentError("poet", ValueError("sesame-opens is no key" + "!" * 9_000), is_retryable=True)
    assert error.message.startswith("The agent 'poet' raised ValueError: *** is no key")
    assert len(error.message) < 600


@pytest.mark.parametrize("asked", [float("nan"), float("inf"), -1, 10**400, "soon", None])
def test_a_wait_that_is_none_is_not_heard(asked: object) -> None:
    """The run would wait for a time that never comes."""

    class BusyError(Exception):
        retry_after = asked

    assert ForeignAgentError("poet", BusyError(), is_retryable=True).retry_after_seconds is None
