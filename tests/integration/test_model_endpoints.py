"""What comes of a model's endpoint that answers, refuses, fails, lies or stays silent."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina
from pydantic import BaseModel
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from endpoints import ANSWERING_MODEL, Endpoint, Reply, Reset, Silence, answer, completion, cut, failure
from tagent import TaskBasedAgentResult, arun_agent, run_agent
from tagent.config import PROVIDER_KEYS
from tagent.exceptions import ConfigurationError
from tagent.ports import (
    ModelAuthenticationError,
    ModelError,
    ModelOutputError,
    ModelRateLimitError,
    ModelRejectedError,
    ModelTimeoutError,
    ModelUnavailableError,
    TokenUsage,
    UnknownModelError,
)

GOAL = "Name the colour of my-private-sky"
KEY = "secret-key"
TRIES = 3


class Colour(BaseModel):
    name: str
    red: int


@pytest.fixture(autouse=True)
def only_what_the_test_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No setting or key of the machine, no proxy, and no waiting between tries."""
    for name in (*PROVIDER_KEYS, "OPENAI_BASE_URL", "TAGENT_MODEL", "TAGENT_BASE_URL", "TAGENT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


@pytest.fixture
def waits() -> Iterator[list[float]]:
    """The seconds of each wait between tries, really waited."""
    seconds: list[float] = []

    def note(details: RetryDetails) -> None:
        seconds.append(details.wait_for)

    set_on_retry_hooks([note])
    with stamina.set_testing(False):
        yield seconds
    set_on_retry_hooks(None)


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


def test_says_that_a_content_filter_stopped_the_answer() -> None:
    """Trying the same again would be stopped again."""
    choice = {"index": 0, "finish_reason": "content_filter", "message": {"role": "assistant", "content": None}}
    with Endpoint(completion("", choices=[choice])) as endpoint:
        assert isinstance(ask_in_vain(endpoint), ModelRejectedError)


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


# Failures that pass


@pytest.mark.parametrize(
    "trouble",
    [failure(429), failure(429, headers={"Retry-After": "5"}), failure(500), failure(503), failure(408), Reset()],
    ids=["429", "429 with Retry-After", "500", "503", "408", "reset"],
)
def test_tries_again_what_may_pass(trouble: Reply | Reset) -> None:
    """A hiccup of a provider is not a failure of the user's program."""
    with Endpoint(trouble, trouble, answer("blue")) as endpoint:
        assert ask(endpoint).output == "blue"
    assert len(endpoint.requests) == TRIES


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (failure(429), ModelRateLimitError),
        (failure(500), ModelUnavailableError),
        (failure(503), ModelUnavailableError),
        (Reply("<html>Bad gateway</html>", 502, content_type="text/html"), ModelUnavailableError),
        (Reset(), ModelUnavailableError),
        (Reply("hello"), ModelUnavailableError),
        (Reply("<html>Welcome</html>", content_type="text/html"), ModelUnavailableError),
        (Reply('{"id": "1"}'), ModelUnavailableError),
        (Reply('{"error": {"message": "no", "code": 500}}'), ModelUnavailableError),
        (completion("", choices=[]), ModelUnavailableError),
        (completion("", choices=None), ModelUnavailableError),
    ],
    ids=["429", "500", "503", "502", "reset", "not JSON", "a web page", "no choices", "error in 200", "[]", "null"],
)
def test_gives_up_on_what_does_not_pass(trouble: Reply | Reset, kind: type[ModelError]) -> None:
    """It ends after three tries in one error of ours, which a step may retry much later."""
    with Endpoint(trouble) as endpoint:
        error = ask_in_vain(endpoint)
    assert type(error) is kind
    assert error.is_retryable
    assert error.model == "openai-chat:any"
    assert len(endpoint.requests) == TRIES


def test_says_that_nothing_answers_at_the_address() -> None:
    """The server is not running: the most common mistake of all."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(ModelUnavailableError, match="cannot be reached"):
            run_agent(GOAL, model="any", base_url=base_url)


def test_waits_as_long_as_the_provider_asks(waits: list[float]) -> None:
    """Coming back sooner would only be refused again."""
    with Endpoint(failure(429, headers={"retry-after-ms": "70"}), answer("blue")) as endpoint:
        assert ask(endpoint).output == "blue"
    assert waits == [0.07]


def test_does_not_begin_a_wait_that_outlasts_the_deadline(waits: list[float]) -> None:
    """An hour's ban is told now, with its length, instead of a timeout after the whole deadline."""
    with Endpoint(failure(429, headers={"Retry-After": "3600"})) as endpoint:
        error = ask_in_vain(endpoint, request_timeout_seconds=60)
    assert isinstance(error, ModelRateLimitError)
    assert error.retry_after_seconds == 3600
    assert len(endpoint.requests) == 1
    assert waits == []


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


# Silence


def test_stops_waiting_at_the_deadline() -> None:
    """A silent model does not hold a run for ever, and the connection to it is closed."""
    with Endpoint(Silence()) as endpoint:
        error = ask_in_vain(endpoint, request_timeout_seconds=0.2)
        assert endpoint.hung_up.wait(30)
    assert isinstance(error, ModelTimeoutError)
    assert error.is_retryable
    assert error.seconds == 0.2


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


@pytest.mark.parametrize(
    "reply",
    [
        failure(401, message=f"Incorrect API key {KEY}"),
        failure(400, message=f"Bad prompt: {GOAL}"),
        failure(404, message=f"{KEY} may not use this; {GOAL}"),
        failure(429, message=f"{KEY} is too fast; {GOAL}"),
        failure(500, message=f"{KEY} {GOAL}"),
        Reply(f"<html>{KEY} {GOAL}</html>", content_type="text/html"),
        completion(f"{KEY} {GOAL}"),
    ],
    ids=["401", "400", "404", "429", "500", "page", "answer"],
)
def test_keeps_keys_and_prompts_out_of_messages_and_logs(reply: Reply, caplog: pytest.LogCaptureFixture) -> None:
    """A provider may repeat both in what it says; messages end up in journals and tickets."""
    caplog.set_level(logging.INFO)
    with Endpoint(reply) as endpoint:
        error = ask_in_vain(endpoint)
    told = f"{error} {error!r} {error.hint} {vars(error)} {caplog.text} {[vars(record) for record in caplog.records]}"
    assert KEY not in told
    assert "my-private-sky" not in told


def test_keeps_both_out_of_the_most_talkative_logs(caplog: pytest.LogCaptureFixture) -> None:
    """Who looks for a mistake turns every log on, and sends it to others."""
    caplog.set_level(logging.DEBUG)
    with Endpoint(answer("blue")) as endpoint:
        ask(endpoint)
    told = f"{caplog.text} {[vars(record) for record in caplog.records]}"
    assert caplog.records
    assert KEY not in told
    assert "my-private-sky" not in told
