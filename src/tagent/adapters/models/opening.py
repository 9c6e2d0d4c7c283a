"""From settings to an open model: whose class, which address, which key. One per event loop."""

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from pydantic_ai.models import Model, infer_model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.providers import Provider, infer_provider, infer_provider_class
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from tagent.adapters.models import embedded
from tagent.adapters.models.errors import unavailable_model, unknown_model
from tagent.adapters.models.pydantic_ai_model import PydanticAIModel
from tagent.adapters.models.small_model_schema import SmallModelSchema
from tagent.config import TAgentConfig, openai_api_key, openai_base_url
from tagent.exceptions import ConfigurationError
from tagent.ports.model_errors import ModelAuthenticationError

COMPATIBLE_PROFILE: ModelProfile = {
    "default_structured_output_mode": "native",
    "supports_json_schema_output": True,
    "json_schema_transformer": None,
}
"""For OpenAI-compatible servers. Measured on llama.cpp: native JSON schema works where tool calls never do."""

OPENAI_PROVIDERS = frozenset({"openai", "openai-chat", "openai-responses"})
"""Those for which `OPENAI_BASE_URL` and `OPENAI_API_KEY` speak."""


@asynccontextmanager
async def open_model(config: TAgentConfig) -> AsyncIterator[PydanticAIModel]:
    """Open the model that `config.model` and `config.base_url` name.

    Raises:
        UnknownModelError: If the string names nothing known, or its packages are not installed.
        ModelAuthenticationError: If the provider's key is missing, or cannot be one.
        ConfigurationError: If the endpoint is not an HTTP address.
    """
    name = str(config.model)
    key = _key(config)
    base_url = config.base_url
    if not base_url and name.partition(":")[0] in OPENAI_PROVIDERS and (base_url := openai_base_url()):
        key = key or openai_api_key()  # the two variables belong together; a base_url of ours never gets that key
    if base_url:
        _check_address(base_url)
        async with httpx2.AsyncClient(timeout=None) as http:  # `ask` limits the whole call
            yield PydanticAIModel(_compatible(_name_at_endpoint(name), base_url, key, http, COMPATIBLE_PROFILE), config)
    else:
        async with _provider_model(name, key) as model:
            yield PydanticAIModel(model, config)


@asynccontextmanager
async def open_embedded(config: TAgentConfig) -> AsyncIterator[PydanticAIModel]:
    """Start the embedded model if it does not run yet, and open it.

    Raises:
        UnknownModelError: If it is not installed.
        ConfigurationError: If `TAGENT_LOCAL_MODEL` names no GGUF file.
        ModelUnavailableError: If it does not start.
    """
    running = await asyncio.to_thread(embedded.server.started)
    limits = {"temperature": 0.0, "max_output_tokens": embedded.MAX_OUTPUT_TOKENS}
    chosen = {name: value for name in limits if (value := getattr(config, name)) is not None}
    config = config.model_copy(update=limits | chosen)
    profile: ModelProfile = {**COMPATIBLE_PROFILE, "json_schema_transformer": SmallModelSchema}
    transport = httpx2.AsyncHTTPTransport(uds=running.socket)
    async with httpx2.AsyncClient(transport=transport, timeout=None) as http:
        model = _compatible(embedded.MODEL_NAME, "http://embedded/v1", None, http, profile)
        yield PydanticAIModel(model, config, local_name=running.name)


def _compatible(name: str, base_url: str, key: str | None, http: httpx2.AsyncClient, profile: ModelProfile) -> Model:
    # The provider has a name of our own: a vendor's would price a local server's tokens as the vendor's.
    provider = OpenAICompatibleProvider(
        "tagent-compatible", base_url=base_url, api_key=key, http_client=http, profile=profile
    )
    return OpenAIChatModel(name, provider=provider)


def _name_at_endpoint(name: str) -> str:
    """Return what the endpoint calls the model: without the provider, but `llama3.2:3b` as it is."""
    provider, colon, rest = name.partition(":")
    try:
        infer_provider_class(provider)
    except ValueError:
        return name
    except ImportError:  # known, but its package is not installed; here it is not needed
        return rest
    return rest if colon else name


def _provider_model(name: str, key: str | None) -> Model:
    def make_provider(provider_name: str) -> Provider[Any]:
        if provider_name.startswith("gateway/"):  # a route of its own: the key is the gateway's
            from pydantic_ai.providers.gateway import gateway_provider

            return gateway_provider(provider_name.removeprefix("gateway/"), api_key=key)
        provider_class: Any = infer_provider_class(provider_name)
        return provider_class(api_key=key)  # type: ignore[no-any-return]  # each class has parameters of its own

    if name == "test":  # the vendor's double, which makes up answers
        raise unknown_model(name)
    try:
        with warnings.catch_warnings(action="ignore"):  # advice for the vendor's own users
            return infer_model(name, provider_factory=infer_provider if key is None else make_provider)
    except Exception as error:
        raise unavailable_model(error, model=name) from error


def _key(config: TAgentConfig) -> str | None:
    key = config.api_key.get_secret_value() if config.api_key else None
    if key and not (key.isascii() and key.isprintable()):
        raise ModelAuthenticationError(
            str(config.model), "The api_key holds characters that no key has.", hint="Is there a line break in it?"
        )
    return key


def _check_address(base_url: str) -> None:
    """Refuse what is no HTTP address; without repeating it, for it may hold a password."""
    try:
        url = httpx2.URL(base_url)
        is_address = url.scheme in {"http", "https"} and bool(url.host)
    except httpx2.InvalidURL:
        is_address = False
    if not is_address:
        raise ConfigurationError("base_url is not an HTTP address.", hint="Write it like http://localhost:8000/v1.")
