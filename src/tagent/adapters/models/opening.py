"""From settings to an open model: whose class, which address, which key, which limits. One per event loop."""

import asyncio
import inspect
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
from tagent.adapters.models.breaker import circuit_breakers
from tagent.adapters.models.connections import Connections
from tagent.adapters.models.errors import unavailable_model, unknown_model
from tagent.adapters.models.gate import Gate
from tagent.adapters.models.limits import Limiter, process_limiters
from tagent.adapters.models.provider_names import OPENAI, limits_of, provider_of
from tagent.adapters.models.pydantic_ai_model import PydanticAIModel
from tagent.adapters.models.settings import settings_for
from tagent.adapters.models.small_model_schema import SmallModelSchema
from tagent.config import TAgentConfig, openai_api_key, openai_base_url
from tagent.exceptions import ConfigurationError
from tagent.ports.model_errors import ModelAuthenticationError

COMPATIBLE_PROFILE: ModelProfile = {
    "default_structured_output_mode": "native",
    "supports_json_schema_output": True,
    "json_schema_transformer": None,
    "openai_chat_streaming_requires_finish_reason": True,  # type: ignore[typeddict-unknown-key]  # of OpenAI's profile
}
"""For OpenAI-compatible servers. Measured on llama.cpp: native JSON schema works where tool calls never do. A stream
that ends without saying that it is at its end was cut."""


@asynccontextmanager
async def open_model(config: TAgentConfig, connections: Connections) -> AsyncIterator[PydanticAIModel]:
    """Open the model that `config.model` and `config.base_url` name.

    Raises:
        UnknownModelError: If the string names nothing known, or its packages are not installed.
        ModelAuthenticationError: If the provider's key is missing, or cannot be one.
        ConfigurationError: If the endpoint is not an HTTP address, a model setting is not known, or `limits` names
            what can be no provider.
        MissingExtraError: If the limits are to be shared through Redis, whose package is not installed.
    """
    name = str(config.model)
    key = _key(config)
    base_url = config.base_url
    provider = provider_of(name)
    if not base_url and provider == OPENAI and (base_url := openai_base_url()):
        key = key or openai_api_key()  # the two variables belong together; a base_url of ours never gets that key
    if base_url:
        provider = _host(base_url)
        http = await connections.http("compatible", base_url, key)
        model = _compatible(_name_at_endpoint(name), base_url, key, http, COMPATIBLE_PROFILE)
        yield await _asked_through_gate(model, config, connections, provider)
    else:
        shared = await _provider_http(name.partition(":")[0], key, connections)
        async with _provider_model(name, key, shared) as model:
            yield await _asked_through_gate(model, config, connections, provider)


@asynccontextmanager
async def open_embedded(config: TAgentConfig, connections: Connections) -> AsyncIterator[PydanticAIModel]:
    """Start the embedded model if it does not run yet, and open it. It has no limits and no circuit.

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

    def transport() -> httpx2.AsyncBaseTransport:
        return httpx2.AsyncHTTPTransport(uds=running.socket)

    http = await connections.http("embedded", running.socket, transport=transport)
    model = _compatible(embedded.MODEL_NAME, "http://embedded/v1", None, http, profile)
    yield PydanticAIModel(
        model,
        name=str(config.model),
        settings=settings_for(model, config),
        timeout_seconds=config.request_timeout_seconds,
        gate=Gate(),
        local_name=running.name,
        context_tokens=embedded.CONTEXT_TOKENS,
    )


async def _asked_through_gate(
    model: Model, config: TAgentConfig, connections: Connections, provider: str
) -> PydanticAIModel:
    return PydanticAIModel(
        model,
        name=str(config.model),
        settings=settings_for(model, config),
        timeout_seconds=config.request_timeout_seconds,
        gate=await _gate(config, connections, provider),
    )


async def _gate(config: TAgentConfig, connections: Connections, provider: str) -> Gate:
    breaker = circuit_breakers.of(provider)
    limits = limits_of(provider, config.limits)
    if limits is None:
        return Gate(breaker)
    limiter: Limiter = process_limiters.of(provider)
    if config.limits_store is not None:
        from tagent.adapters.models.redis_limits import redis_limiter

        limiter = await redis_limiter(config.limits_store, provider, connections)
    return Gate(breaker, limiter, limits)


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


async def _provider_http(provider: str, key: str | None, connections: Connections) -> httpx2.AsyncClient | None:
    """Return the client that the provider's models share; None where the vendor's class brings its own."""
    try:
        parameters = inspect.signature(infer_provider_class(provider).__init__).parameters
    except (ValueError, ImportError):  # told when the model is made
        return None
    asked_for = parameters.get("http_client")
    # Some still take the older httpx alone, and the gateway's routes differ.
    is_ours = asked_for is not None and any(
        kind in str(asked_for.annotation) for kind in ("httpx2", "AsyncHTTPClient", "_OpenAIHTTPClient")
    )
    if not is_ours or provider.startswith("gateway/"):
        return None
    return await connections.http("provider", provider, key)


def _provider_model(name: str, key: str | None, http: httpx2.AsyncClient | None) -> Model:
    def make_provider(provider_name: str) -> Provider[Any]:
        if provider_name.startswith("gateway/"):  # a route of its own: the key is the gateway's
            from pydantic_ai.providers.gateway import gateway_provider

            return gateway_provider(provider_name.removeprefix("gateway/"), api_key=key)
        provider_class: Any = infer_provider_class(provider_name)
        given: dict[str, object] = {} if key is None else {"api_key": key}
        if http is not None:
            given["http_client"] = http
        return provider_class(**given)  # type: ignore[no-any-return]  # each class has parameters of its own

    if name == "test":  # the vendor's double, which makes up answers
        raise unknown_model(name)
    is_inferred = key is None and http is None
    try:
        with warnings.catch_warnings(action="ignore"):  # advice for the vendor's own users
            return infer_model(name, provider_factory=infer_provider if is_inferred else make_provider)
    except Exception as error:  # noqa: BLE001 - what a vendor's class raises gets a name of ours
        failure = unavailable_model(error, model=name)
    raise failure  # without its cause, which may repeat the key


def _key(config: TAgentConfig) -> str | None:
    key = config.api_key.get_secret_value() if config.api_key else None
    if key and not (key.isascii() and key.isprintable()):
        raise ModelAuthenticationError(
            str(config.model), "The api_key holds characters that no key has.", hint="Is there a line break in it?"
        )
    return key


def _host(base_url: str) -> str:
    """Return `host:port` of an HTTP address; an error does not repeat it, for it may hold a password."""
    try:
        url = httpx2.URL(base_url)
        is_address = url.scheme in {"http", "https"} and bool(url.host)
    except httpx2.InvalidURL:
        is_address = False
    if not is_address:
        raise ConfigurationError("base_url is not an HTTP address.", hint="Write it like http://localhost:8000/v1.")
    port = url.port or (443 if url.scheme == "https" else 80)
    return f"{url.host}:{port}"
