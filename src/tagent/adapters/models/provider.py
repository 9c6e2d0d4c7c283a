"""Which model answers: the explicit one, else a provider whose key is there, else the embedded one."""

import asyncio
from contextlib import AsyncExitStack
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tagent.exceptions import ConfigurationError
from tagent.ports.language_model import LanguageModel
from tagent.ports.model_errors import ModelNotChosenError

if TYPE_CHECKING:
    from tagent.adapters.models.pydantic_ai_model import PydanticAIModel
    from tagent.config import TAgentConfig

EMBEDDED = "embedded"


class AdapterModels:
    """The models of one event loop, each opened once; close it with `async with`."""

    def __init__(self) -> None:
        self._opened: dict[TAgentConfig, PydanticAIModel] = {}
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def model_for(self, config: "TAgentConfig") -> LanguageModel:
        """Return the model that `config` chooses.

        Raises:
            ModelNotChosenError: If nothing chooses one; it lists the ways.
            UnknownModelError: If the model string names nothing known.
            ModelAuthenticationError: If the provider's key is missing.
            ConfigurationError: If `model` is neither a string nor a language model, or there is only a base_url.
        """
        if config.model is not None and not isinstance(config.model, str):
            return _given(config.model)
        if config.base_url and not config.model:
            raise ConfigurationError(
                "base_url says where to ask, not which model: name it with model= or TAGENT_MODEL."
            )
        name = config.model or default_model()
        key = config.model_copy(update={"model": name, "tools": ()})
        async with self._opening:
            if key not in self._opened:
                self._opened[key] = await self._open(key)
        return self._opened[key]

    async def _open(self, config: "TAgentConfig") -> "PydanticAIModel":
        # The library behind it takes about a second to import: only when a model is needed, off the loop.
        module = await asyncio.to_thread(import_module, "tagent.adapters.models.opening")
        open_model = module.open_embedded if config.model == EMBEDDED else module.open_model
        model: PydanticAIModel = await self._stack.enter_async_context(open_model(config))
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


def _given(model: object) -> LanguageModel:
    if not all(hasattr(model, attribute) for attribute in ("ask", "name", "context_tokens")):
        raise ConfigurationError(
            f"`model` must be a string like 'openai:gpt-4.1' or a language model, not {type(model).__name__}."
        )
    return model  # type: ignore[return-value]  # checked as far as it can be
