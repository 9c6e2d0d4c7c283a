"""Which model answers: the explicit one, else a provider whose key is there, else the embedded one."""

import asyncio
from collections.abc import Hashable, Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tagent.adapters.models.chain import ChainedModel, ChainLink, GivenModel, UnopenedModel
from tagent.adapters.models.provider_names import is_known_provider, provider_of
from tagent.exceptions import ConfigurationError
from tagent.ports.language_model import LanguageModel
from tagent.ports.model_errors import ModelChainError, ModelError, ModelNotChosenError, UnknownModelError

if TYPE_CHECKING:
    from tagent.adapters.models.connections import Connections
    from tagent.adapters.models.pydantic_ai_model import PydanticAIModel
    from tagent.config import TAgentConfig

EMBEDDED = "embedded"

WHAT_A_MODEL_IS = "`model` must be a string like 'openai:gpt-4.1' or a language model, or a sequence of these"

_SETTINGS_OF_A_MODEL = ("base_url", "temperature", "max_output_tokens", "request_timeout_seconds", "limits_store")


class AdapterModels:
    """The models of one event loop, each opened once; close it with `async with`.

    All of one event loop share their connections.
    """

    def __init__(self) -> None:
        self._opened: dict[Hashable, LanguageModel] = {}
        self._connections: Connections | None = None
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def model_for(self, config: "TAgentConfig") -> LanguageModel:
        """Return the model that `config` chooses; for several, a chain of them.

        Raises:
            ModelNotChosenError: If nothing chooses one; it lists the ways.
            UnknownModelError: If the model string names nothing known; of a chain, if one of them can name nothing
                on any machine.
            ModelAuthenticationError: If the provider's key is missing.
            ModelChainError: If no model of a chain can be had.
            ConfigurationError: If `model` is neither a string nor a language model, there is only a base_url,
                a model setting is not known, or one key is given for a chain of several providers.
        """
        if config.base_url and not config.model:
            raise ConfigurationError(
                "base_url says where to ask, not which model: name it with model= or TAGENT_MODEL."
            )
        models = _models(default_model() if config.model is None else config.model)
        if len(models) == 1 and not isinstance(models[0], str):
            return GivenModel(models[0], timeout_seconds=config.request_timeout_seconds)
        _check_key(models, config)
        identity = _identity(models, config)
        async with self._opening:
            if identity not in self._opened:
                self._opened[identity] = await self._open(models, config)
        return self._opened[identity]

    async def _open(self, models: Sequence[str | LanguageModel], config: "TAgentConfig") -> LanguageModel:
        if len(models) == 1:
            return await self._open_named(str(models[0]), config)
        links: list[ChainLink] = []
        errors: list[ModelError] = []
        for model in models:
            if not isinstance(model, str):
                links.append(GivenModel(model, timeout_seconds=config.request_timeout_seconds))
                continue
            try:
                links.append(await self._open_named(model, config))
            except ModelError as error:
                if isinstance(error, UnknownModelError) and not _can_be_had(model):
                    raise
                # It fails when it is asked; the others may answer.
                errors.append(error)
                links.append(UnopenedModel(model, error))
        if len(errors) == len(models):
            raise ModelChainError(errors)
        return ChainedModel(links, timeout_seconds=config.request_timeout_seconds)

    async def _open_named(self, name: str, config: "TAgentConfig") -> "PydanticAIModel":
        # The library behind it takes about a second to import: only when a model is needed, off the loop.
        module = await asyncio.to_thread(import_module, "tagent.adapters.models.opening")
        if self._connections is None:
            from tagent.adapters.models.connections import shared_connections

            self._connections = await self._stack.enter_async_context(shared_connections())
        open_model = module.open_embedded if name == EMBEDDED else module.open_model
        opening = open_model(config.model_copy(update={"model": name}), self._connections)
        model: PydanticAIModel = await self._stack.enter_async_context(opening)
        return model


def default_model() -> str:
    """Return the model that is used when none is named.

    Raises:
        ModelNotChosenError: If no key is in the environment and the embedded model is not installed.
    """
    # Settings take long to import: only when a model is needed.
    from tagent.adapters.models.weights import is_installed
    from tagent.config import PROVIDER_KEYS, provider_from_keys

    chosen = provider_from_keys() or (EMBEDDED if is_installed() else None)
    if chosen is None:
        raise ModelNotChosenError(key_variables=PROVIDER_KEYS)
    return chosen


def _models(chosen: object) -> tuple[str | LanguageModel, ...]:
    """Return the models that the setting names, in order.

    Raises:
        ConfigurationError: If one of them is no model.
    """
    if isinstance(chosen, str):
        names = tuple(name.strip() for name in chosen.split(","))
        if not all(names) and len(names) > 1:
            raise ConfigurationError("There is a comma in `model` with no model beside it.")
        return names
    if isinstance(chosen, Sequence):
        models = tuple(model for part in chosen for model in _models(part))
        if not models:
            raise ConfigurationError(f"{WHAT_A_MODEL_IS}, not an empty one.")
        return models
    if not all(hasattr(chosen, attribute) for attribute in ("ask", "name", "context_tokens")):
        raise ConfigurationError(f"{WHAT_A_MODEL_IS}, not {type(chosen).__name__}.")
    return (chosen,)  # type: ignore[return-value]  # checked as far as it can be


def _can_be_had(model: str) -> bool:
    """Return whether the string names a model on a machine that has what it needs."""
    provider, colon, _ = model.partition(":")
    return model == EMBEDDED or (bool(colon) and is_known_provider(provider))


def _check_key(models: Sequence[str | LanguageModel], config: "TAgentConfig") -> None:
    """Raise if a key would travel to a provider that it is not for."""
    if config.api_key is None or config.base_url:
        return
    providers = sorted({provider_of(model) for model in models if isinstance(model, str) and model != EMBEDDED})
    if len(providers) > 1:
        raise ConfigurationError(
            f"api_key is one key, but the models are of {len(providers)} providers: {', '.join(providers)}.",
            hint="Set the variable of each provider instead.",
        )


def _identity(models: Sequence[str | LanguageModel], config: "TAgentConfig") -> Hashable:
    """Return what two configs have in common that want the same model."""
    key = config.api_key.get_secret_value() if config.api_key else None
    plain = tuple(getattr(config, name) for name in _SETTINGS_OF_A_MODEL)
    mappings = tuple(repr(sorted(mapping.items())) for mapping in (config.model_settings, config.limits))
    named = tuple(model if isinstance(model, str) else id(model) for model in models)
    return (named, key, plain, mappings)
