"""What an agent makes of a model's endpoint: what it sends, takes, tells and keeps to itself.

The faults of an endpoint are in `test_model_faults.py`.
"""

import asyncio
import json
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from endpoints import (
    ANSWERING_MODEL,
    Endpoint,
    Reply,
    Response,
    Silence,
    Stream,
    answer,
    completion,
    cut,
    failure,
    streamed,
)
from model_calls import isolate
from tagent import BudgetExceededError, TAgentConfig, TaskBasedAgentResult, ToolContext, arun_agent, run_agent
from tagent.adapters.models.provider import AdapterModels
from tagent.exceptions import ConfigurationError
from tagent.ports import (
    ModelAuthenticationError,
    ModelError,
    ModelOutputError,
    ModelRejectedError,
    TokenUsage,
    UnknownModelError,
)

GOAL = "Name the colour of my-private-sky"
KEY = "secret-key"
BLUE = '{"output": "blue", "not_achieved_because": null}'


class Colour(BaseModel):
    name: str
    red: int


@pytest.fixture(autouse=True)
def only_what_the_test_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting or key of the machine, no proxy, and no waiting between tries."""
    isolate(monkeypatch)
    monkeypatch.chdir(tmp_path)


def ask(endpoint: Endpoint, **options: Any) -> TaskBasedAgentResult[Any]:
    """Ask the endpoint for a colour."""
    chosen = {"model": "openai-chat:any", "base_url": endpoint.base_url, "api_key": KEY} | options
    return run_agent(GOAL, **chosen)


def ask_in_vain(endpoint: Endpoint, **options: Any) -> ModelError:
    """Return the error in which asking ends."""
    with pytest.raises(ModelError) as raised:
        ask(endpoint, **options)
    return raised.value


# A good endpoint


def test_returns_what_the_endpoint_answers() -> None:
    """Any OpenAI-compatible server will do: no code is needed for it."""
    with Endpoint(answer("blue")) as endpoint:
        result = ask(endpoint)
    assert result.output == "blue"
    assert result.token_usage == TokenUsage(10, 5, 1)
    assert result.models == (ANSWERING_MODEL,)


def test_counts_a_price_that_is_not_known_as_unknown() -> None:
    """Nobody is told that a call was free when it may not have been."""
    content = '{"output": "blue"}'
    with Endpoint(completion(content, model="gpt-4o-2024-08-06")) as endpoint:  # as a proxy or a local copy may say
        result = ask(endpoint, model="openai-chat:gpt-4o")
    assert (result.total_cost, result.unpriced_calls) == (0.0, 1)


def test_a_budget_of_cost_refuses_a_model_whose_price_nobody_knows() -> None:
    """Before it is asked: afterwards the money would be spent."""
    with Endpoint(answer("blue")) as endpoint, pytest.raises(BudgetExceededError, match="price of a model is unknown"):
        ask(endpoint, max_cost_usd=1)
    assert endpoint.requests == []


def test_sends_key_model_prompt_and_schema() -> None:
    """The endpoint gets what OpenAI would get."""
    with Endpoint(answer("blue")) as endpoint:
        ask(endpoint, temperature=0.5, max_output_tokens=77)
    [request] = endpoint.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body["model"] == "any"
    assert [message["role"] for message in request.body["messages"]] == ["system", "user"]
    assert GOAL in request.body["messages"][1]["content"]
    assert (request.body["temperature"], request.body["max_completion_tokens"]) == (0.5, 77)
    assert "output" in request.body["response_format"]["json_schema"]["schema"]["properties"]


def test_returns_the_type_that_was_asked_for() -> None:
    """What comes back can be used without checking it again."""
    with Endpoint(answer({"name": "blue", "red": 0})) as endpoint:
        assert ask(endpoint, output_format=Colour).output == Colour(name="blue", red=0)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("any", "any"),
        ("openai:any", "any"),
        ("anthropic:any", "any"),
        ("my-org/any", "my-org/any"),
        ("llama3.2:3b", "llama3.2:3b"),
        ("ollama:llama3.2:3b", "llama3.2:3b"),
    ],
)
def test_asks_an_endpoint_for_a_model_by_any_form_of_its_name(model: str, name: str) -> None:
    """With a base_url the provider does not matter, and a tag behind a colon is part of the name."""
    with Endpoint(answer("blue")) as endpoint:
        ask(endpoint, model=model)
    assert endpoint.requests[0].body["model"] == name


def test_takes_endpoint_and_model_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same program runs against another model without a change."""
    with Endpoint(answer("blue")) as endpoint:
        monkeypatch.setenv("TAGENT_MODEL", "any")
        monkeypatch.setenv("TAGENT_BASE_URL", endpoint.base_url)
        monkeypatch.setenv("TAGENT_API_KEY", KEY)
        assert run_agent(GOAL).output == "blue"
    assert endpoint.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("model", ["openai-chat:any", "openai:any"])
def test_follows_the_variables_that_tools_for_openai_follow(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    """OPENAI_BASE_URL with OPENAI_API_KEY is how people point such tools at their own server."""
    with Endpoint(answer("blue")) as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "openai-key")
        assert run_agent(GOAL, model=model).output == "blue"
    [request] = endpoint.requests
    assert request.headers["authorization"] == "Bearer openai-key"
    assert "response_format" in request.body


def test_never_sends_the_key_of_openai_to_another_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that merely lies in the environment must not reach somebody else's server."""
    monkeypatch.setenv("OPENAI_API_KEY", "openai-key")
    with Endpoint(answer("blue")) as endpoint:
        run_agent(GOAL, model="openai-chat:any", base_url=endpoint.base_url)
    assert "openai-key" not in str(endpoint.requests[0].headers)


def test_asks_which_model_when_there_is_only_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the embedded model would answer, and the endpoint would be forgotten in silence."""
    monkeypatch.setenv("TAGENT_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(ConfigurationError, match="TAGENT_MODEL"):
        run_agent(GOAL)


@pytest.mark.parametrize(
    "base_url", ["localhost:8000/v1", "user:pass@host", "http://", "http://host:port/v1", "ftp://host/v1"]
)
def test_refuses_what_is_no_address(base_url: str) -> None:
    """A typing mistake is found at once, not after three tries to reach it."""
    with pytest.raises(ConfigurationError, match="base_url") as raised:
        run_agent(GOAL, model="any", base_url=base_url)
    assert "pass" not in str(raised.value)


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}é"])
def test_refuses_a_key_that_no_header_can_carry(key: str) -> None:
    """The line break at the end of a key's file is a common mistake, and is not a network's failure."""
    with pytest.raises(ModelAuthenticationError, match="characters") as raised:
        run_agent(GOAL, model="any", base_url="http://127.0.0.1:9/v1", api_key=key)
    assert KEY not in str(raised.value)


# Answers that do not fit


def test_asks_again_until_an_answer_fits() -> None:
    """One slip of a model does not cost the step."""
    with Endpoint(completion("Blue, I think."), completion('{"output": {"name": 1}}'), answer("blue")) as endpoint:
        result = ask(endpoint)
    assert result.output == "blue"
    assert result.token_usage == TokenUsage(30, 15, 3)
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize("content", ["Blue, I think.", '{"output": 1}', "", None])
def test_gives_up_on_a_model_that_never_fits(content: str | None) -> None:
    """It ends, it says what was wrong, and the tokens that it took are not forgotten."""
    with Endpoint(completion(content)) as endpoint:
        error = ask_in_vain(endpoint)
    assert isinstance(error, ModelOutputError)
    assert error.is_retryable
    assert error.spent is not None
    assert error.spent.usage == TokenUsage(30, 15, 3)
    assert error.spent.cost_usd is None
    assert len(endpoint.requests) == 3


def test_says_that_an_answer_was_cut() -> None:
    """The setting to change is named; asking again would be cut at the same place."""
    with Endpoint(cut('{"output": "bl')) as endpoint:
        error = ask_in_vain(endpoint)
    assert isinstance(error, ModelOutputError)
    assert "max_output_tokens" in error.hint
    assert len(endpoint.requests) == 1


# Refusals


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (failure(401, code="invalid_api_key"), ModelAuthenticationError, "TAGENT_API_KEY"),
        (failure(403), ModelAuthenticationError, "TAGENT_API_KEY"),
        (failure(404, code="model_not_found"), UnknownModelError, "openai-chat:any"),
        (failure(400), ModelRejectedError, "status 400"),
        (failure(400, code="context_length_exceeded"), ModelRejectedError, "context_tokens"),
        (failure(402), ModelRejectedError, "quota"),
        (failure(422), ModelRejectedError, "status 422"),
        (failure(429, code="insufficient_quota"), ModelRejectedError, "quota"),
    ],
)
def test_does_not_repeat_what_is_refused(reply: Reply, kind: type[ModelError], says: str) -> None:
    """What will be refused again is told at once, with the thing to change."""
    with Endpoint(reply) as endpoint:
        error = ask_in_vain(endpoint)
    assert type(error) is kind
    assert says in str(error)
    assert not error.is_retryable
    assert len(endpoint.requests) == 1


def test_counts_what_was_spent_before_a_failure() -> None:
    """The first answer was paid for, although the second request failed."""
    with Endpoint(completion("Blue, I think."), failure(400)) as endpoint:
        error = ask_in_vain(endpoint)
    assert error.spent is not None
    assert error.spent.usage == TokenUsage(10, 5, 1)


def test_a_request_that_never_reached_a_model_cost_nothing() -> None:
    """An unknown price is for answers, not for refusals."""
    with Endpoint(failure(401)) as endpoint:
        error = ask_in_vain(endpoint)
    assert error.spent is not None
    assert (error.spent.usage, error.spent.cost_usd) == (TokenUsage(), 0.0)


async def test_cancelling_closes_the_connection() -> None:
    """The provider stops generating, and billing, when nobody waits any more."""
    with Endpoint(Silence()) as endpoint:
        asking = asyncio.ensure_future(arun_agent(GOAL, model="any", base_url=endpoint.base_url))
        assert await asyncio.to_thread(endpoint.asked.wait, 30)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await asyncio.to_thread(endpoint.hung_up.wait, 30)


# Secrets

LEAKY: dict[str, Response] = {
    "401": failure(401, message=f"Incorrect API key {KEY}"),
    "400": failure(400, message=f"Bad prompt: {GOAL}"),
    "404": failure(404, message=f"{KEY} may not use this; {GOAL}"),
    "429": failure(429, message=f"{KEY} is too fast; {GOAL}"),
    "500": failure(500, message=f"{KEY} {GOAL}"),
    "page": Reply(f"<html>{KEY} {GOAL}</html>", content_type="text/html"),
    "answer": completion(f"{KEY} {GOAL}"),
    "field": completion(json.dumps({"output": {f"{KEY} {GOAL}": 1}, f"{KEY}": GOAL})),
    "cut": streamed(f"{KEY} {GOAL}", end="cut"),
}
"""What repeats the key or the prompt."""


@pytest.mark.parametrize("name", LEAKY)
@pytest.mark.parametrize("streams", [False, True])
def test_keeps_keys_and_prompts_out_of_errors_and_logs(
    name: str, caplog: pytest.LogCaptureFixture, *, streams: bool
) -> None:
    """Errors end up in journals and tickets, and who looks for a mistake turns every log on and sends it to others."""
    caplog.set_level(logging.DEBUG)
    with Endpoint(LEAKY[name]) as endpoint:
        error = ask_in_vain(endpoint, stream=streams)
        logging.getLogger("anybody").error("It failed.", exc_info=error)
    log = f"{caplog.text} {[vars(record) for record in caplog.records]}"
    facts = {**vars(error), "result": None}  # that is the user's own: it holds the goal
    told = f"{error} {error!r} {error.args} {error.hint} {facts} {traceback.format_exception(error)} {log}"
    assert endpoint.requests[0].headers["authorization"] == f"Bearer {KEY}"
    for secret in (KEY, "Bearer", "my-private-sky"):
        assert secret not in told


@pytest.mark.parametrize("reply", [answer("blue"), streamed(BLUE)], ids=["whole", "streamed"])
def test_keeps_both_out_of_the_logs_of_what_goes_well(reply: Reply | Stream, caplog: pytest.LogCaptureFixture) -> None:
    """Most log lines are written when nothing is wrong."""
    caplog.set_level(logging.DEBUG)
    with Endpoint(reply) as endpoint:
        ask(endpoint, stream=isinstance(reply, Stream))
    told = f"{caplog.text} {[vars(record) for record in caplog.records]}"
    assert caplog.records
    for secret in (KEY, "Bearer", "my-private-sky"):
        assert secret not in told


def test_a_model_does_not_show_its_key() -> None:
    """Settings and models are printed while one looks for something else."""

    async def shown() -> str:
        async with AdapterModels() as models:
            config = TAgentConfig(model="any", base_url="http://127.0.0.1:9/v1", api_key=SecretStr(KEY))
            model = await models.model_for(config)
            return f"{model!r} {config!r} {models!r}"

    assert KEY not in asyncio.run(shown())


def test_text_that_was_cut_is_no_answer() -> None:
    """It fits its type all the same: half a text is a text."""

    async def think(context: ToolContext) -> str:
        """Think."""
        return await context.aask("Tell all of it")

    tasks = json.dumps({"tasks": [{"description": "", "tool_name": "think", "tool_args": {}}]})
    with Endpoint(completion(tasks), cut("only half of the text that"), answer("gave up")) as endpoint:
        result = ask(endpoint, tools=[think], max_planning_cycles=1)
    assert (result.goal_achieved, result.tasks[0].error_code) == (False, "tool.failed")
    assert "was cut at its longest" in result.tasks[0].error
