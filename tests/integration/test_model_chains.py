"""Several models, of which the first that can answers."""

import asyncio

import pytest

from endpoints import Endpoint, Silence, answer, completion, failure
from model_calls import KEY, Colour, Notes, ask, ask_in_vain, config_for, isolate, opened, request_for
from tagent import TAgentConfig
from tagent.adapters.models.breaker import circuit_breakers
from tagent.exceptions import ConfigurationError
from tagent.ports import ModelAuthenticationError, ModelReply, ModelRequest, TokenUsage, UnknownModelError
from tagent.ports.language_model import ModelSwitched
from tagent.ports.model_errors import ModelChainError
from tagent.testing import ScriptedModel

WRONG = completion('{"output": 1}')


@pytest.fixture(autouse=True)
def nothing_but_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine, and no waiting."""
    isolate(monkeypatch)


def other() -> ScriptedModel:
    """Return a model of one's own that answers."""
    return ScriptedModel([{"output": "grey"}] * 3, name="other", cost_usd=0.5)


async def test_asks_the_next_model_when_one_fails() -> None:
    """A provider that is down does not stop the run."""
    notes = Notes()
    with Endpoint(failure(401), failure(404), answer("blue")) as endpoint:
        reply = await ask(config_for(endpoint, model="first, second,third"), request_for(notes=notes))
    assert reply.output == Colour(output="blue")
    assert [request.body["model"] for request in endpoint.requests] == ["first", "second", "third"]
    assert notes.events == [
        ModelSwitched("first", "model.authentication", "second"),
        ModelSwitched("second", "model.unknown", "third"),
    ]


async def test_asks_no_other_model_when_the_first_answers() -> None:
    """The order is what the user prefers."""
    with Endpoint(answer("blue")) as endpoint:
        model = other()
        await ask(config_for(endpoint, model=["first", model]))
    assert model.requests == []


async def test_adds_up_what_all_of_them_took() -> None:
    """The answers that did not fit were paid for too."""
    with Endpoint(WRONG) as endpoint:
        reply = await ask(config_for(endpoint, model=("first", other())))
    assert reply.usage == TokenUsage(30, 15, 3) + TokenUsage(10, 5, 1)
    assert reply.model == "other"
    assert reply.cost_usd is None  # the price of the first is not known


async def test_tells_what_kept_each_from_answering() -> None:
    """One error, with all the reasons and all that was spent."""
    with Endpoint(WRONG, WRONG, WRONG, failure(401)) as endpoint:
        error = await ask_in_vain(config_for(endpoint, model="first,second"))
    assert isinstance(error, ModelChainError)
    assert [part.code for part in error.errors] == ["model.output", "model.authentication"]
    assert error.is_retryable
    assert error.spent is not None
    assert error.spent.usage == TokenUsage(30, 15, 3)
    assert KEY not in str(error)


async def test_a_chain_of_one_has_its_own_error() -> None:
    """A list with one name in it is just that model."""
    with Endpoint(failure(401)) as endpoint:
        assert isinstance(await ask_in_vain(config_for(endpoint, model=["first"])), ModelAuthenticationError)


async def test_a_silent_model_does_not_take_all_the_time() -> None:
    """Each has its share of the one deadline."""
    with Endpoint(Silence()) as silent:
        notes = Notes()
        config = config_for(silent, model=["first", other()], request_timeout_seconds=0.4)
        reply = await ask(config, request_for(notes=notes))
        error = await ask_in_vain(config_for(silent, model="first,second", request_timeout_seconds=0.4))
    assert reply.output == Colour(output="grey")
    assert notes.events == [ModelSwitched("first", "model.timeout", "other")]
    assert isinstance(error, ModelChainError)
    first, second = (part.seconds for part in error.errors)  # type: ignore[attr-defined]  # both are timeouts
    assert first == pytest.approx(0.2, abs=0.01)
    assert second <= 0.2


class Mute:
    """A model of one's own that never answers."""

    name = "mute"
    context_tokens = 500

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Never return."""
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_silent_model_of_one_s_own_does_not_either() -> None:
    """The deadline is for whatever answers."""
    chain = [Mute(), other()]
    async with opened(TAgentConfig(model=chain, request_timeout_seconds=0.2)) as model:
        assert (await model.ask(request_for())).output == Colour(output="grey")
        assert model.name == "mute, other"
        assert model.context_tokens == 500


async def test_works_although_a_model_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without the first provider's key or package the second one answers."""
    notes = Notes()
    chain = ["openai-chat:gpt-4.1", "anthropic:claude-haiku-4-5", other()]
    reply = await ask(TAgentConfig(model=chain), request_for(notes=notes))
    assert reply.output == Colour(output="grey")
    assert [event.code for event in notes.events] == ["model.authentication", "model.unknown"]  # type: ignore[union-attr]


async def test_is_refused_when_no_model_can_be_had() -> None:
    """A run that could not be asked does not begin."""
    with pytest.raises(ModelChainError) as raised:
        async with opened(TAgentConfig(model="openai-chat:gpt-4.1,deepseek:deepseek-chat")):
            pass
    assert not raised.value.is_retryable


@pytest.mark.parametrize("name", ["opnai:gpt-4.1", "gpt-4.1", "test", "gateway/opnai:gpt-4.1"])
async def test_a_name_that_can_never_be_right_is_refused(name: str) -> None:
    """A slip of the pen would be passed over for ever, and nobody would know."""
    chain = [name, other()]
    with pytest.raises(UnknownModelError) as raised:
        async with opened(TAgentConfig(model=chain)):
            pass
    assert raised.value.model == name


async def test_a_model_whose_circuit_is_open_is_passed_over() -> None:
    """Without a request and without a wait."""
    with Endpoint(failure(500)) as endpoint:
        chain = ["first", other()]
        for _ in range(3):
            await ask(config_for(endpoint, model=chain))
        assert len(endpoint.requests) == 5
        assert circuit_breakers.of(endpoint.base_url.removeprefix("http://").removesuffix("/v1")).is_open


@pytest.mark.parametrize("model", ["first,", ",", "a,,b", [], ["a", 42], [["a"], object()]])
async def test_refuses_what_is_no_chain(model: object) -> None:
    """A slip of the pen is told before anything is asked."""
    with pytest.raises(ConfigurationError):
        async with opened(TAgentConfig(model=model, base_url="http://127.0.0.1:9/v1")):
            pass


async def test_never_gives_one_provider_s_key_to_another() -> None:
    """One key cannot be meant for two of them."""
    with pytest.raises(ConfigurationError, match="deepseek, openai") as raised:
        async with opened(TAgentConfig(model="openai:gpt-4.1,deepseek:deepseek-chat", api_key=KEY)):
            pass
    assert KEY not in str(raised.value)
