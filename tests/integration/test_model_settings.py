"""Settings that reach the provider, and those that are refused."""

import pytest

from endpoints import Endpoint, answer
from model_calls import ask, config_for, isolate
from tagent.exceptions import ConfigurationError


@pytest.fixture(autouse=True)
def nothing_but_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine."""
    isolate(monkeypatch)


async def test_sends_what_is_set() -> None:
    """A setting that is accepted and forgotten would be worse than none."""
    settings = {
        "top_p": 0.25,
        "seed": 7,
        "stop_sequences": ["END"],
        "openai_reasoning_effort": "low",
        "anthropic_metadata": {"user_id": "x"},
    }
    with Endpoint(answer("blue")) as endpoint:
        await ask(config_for(endpoint, temperature=0.5, max_output_tokens=77, model_settings=settings))
    [request] = endpoint.requests
    body = request.body
    assert (body["temperature"], body["max_completion_tokens"]) == (0.5, 77)
    assert (body["top_p"], body["seed"], body["stop"]) == (0.25, 7, ["END"])
    assert body["reasoning_effort"] == "low"
    assert "user_id" not in str(body)


async def test_sends_nothing_that_is_not_set() -> None:
    """The provider's own defaults are left to it."""
    with Endpoint(answer("blue")) as endpoint:
        await ask(config_for(endpoint))
    assert endpoint.requests[0].body.keys() == {"model", "messages", "stream", "response_format"}


async def test_what_has_a_setting_of_its_own_wins() -> None:
    """`temperature` is one thing, wherever it is written."""
    with Endpoint(answer("blue")) as endpoint:
        await ask(config_for(endpoint, temperature=0, model_settings={"temperature": 1}))
    assert endpoint.requests[0].body["temperature"] == 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("top_pp", "Did you mean 'top_p'"),
        ("openai_reasoning_efort", "Did you mean 'openai_reasoning_effort'"),
        ("max_retries", "tagent's own"),
        ("framing_announcement", "tagent's own"),
        ("whatever", "not a setting"),
    ],
)
async def test_refuses_what_is_not_known(name: str, says: str) -> None:
    """A misspelt setting would be dropped in silence."""
    with Endpoint(answer("blue")) as endpoint, pytest.raises(ConfigurationError, match=says):
        await ask(config_for(endpoint, model_settings={name: 1}))
    assert endpoint.requests == []
