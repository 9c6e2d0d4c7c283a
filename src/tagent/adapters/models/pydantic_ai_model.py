"""The `LanguageModel` port over pydantic-ai: every provider, structured output, re-asks, usage and prices."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import stamina
from pydantic_ai import Agent, ModelSettings
from pydantic_ai.models import Model, infer_model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles import JsonSchemaTransformer, ModelProfile
from pydantic_ai.providers import Provider, infer_provider_class
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.usage import RunUsage, UsageLimits

from tagent.adapters.models import embedded
from tagent.adapters.models.errors import translated, unavailable_model
from tagent.config import TAgentConfig, openai_base_url
from tagent.ports.language_model import Message, ModelReply, ModelRequest, TokenUsage
from tagent.ports.model_errors import ModelError, ModelRateLimitError, ModelTimeoutError, ModelUnavailableError

TRIES = 3
"""Of one request, for rate limits, failures on the provider's side and lost connections."""

REASKS = 2
"""How often an answer that does not fit is asked for again."""

COMPATIBLE_PROFILE: ModelProfile = {
    "default_structured_output_mode": "native",
    "supports_json_schema_output": True,
    "json_schema_transformer": None,
}
"""For OpenAI-compatible servers. Measured on llama.cpp: native JSON schema works where tool calls never do."""


class PydanticAIModel:
    """A model of pydantic-ai, asked in our way.

    Attributes:
        name: The model as its user names it.
        context_tokens: How many tokens of data a prompt may carry; None when the model sets no limit.
    """

    def __init__(self, model: Model, config: TAgentConfig, *, is_local: bool = False) -> None:
        self.name = str(config.model)
        self.context_tokens = embedded.CONTEXT_TOKENS if is_local else None
        self._model = model
        self._is_local = is_local
        self._timeout_seconds = config.request_timeout_seconds
        self._settings = _settings(config)

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return an answer that fits, re-asking and retrying as `REASKS` and `TRIES` say.

        Raises:
            ModelError: What kept it from answering; what was consumed is on it as `spent`.
        """
        usage = RunUsage()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._ask_with_retries(request, usage)
        except TimeoutError:
            error: ModelError = ModelTimeoutError(self.name, seconds=self._timeout_seconds)
        except ModelError as caught:
            error = caught
        error.spent = ModelReply(None, self.name, _tokens(usage), self._cost(usage))
        raise error from error.__cause__

    async def _ask_with_retries(self, request: ModelRequest, usage: RunUsage) -> ModelReply:
        async for attempt in stamina.retry_context(on=_again, attempts=TRIES, timeout=None, wait_initial=0.5):
            with attempt:
                return await self._ask_once(request, usage)
        raise AssertionError("stamina raises when its attempts are over")

    async def _ask_once(self, request: ModelRequest, usage: RunUsage) -> ModelReply:
        agent = Agent(output_type=request.output_type, retries=REASKS)  # type: ignore[call-overload]  # any type will do
        try:
            result = await agent.run(
                _text(request.messages, "user"),
                instructions=_text(request.messages, "system"),
                model=self._model,
                model_settings=self._settings,
                usage=usage,
                usage_limits=UsageLimits(request_limit=None),
            )
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise
        except Exception as error:  # a vendor library raises what it likes; all of it gets a name of ours
            raise translated(error, model=self.name, timeout_seconds=self._timeout_seconds) from error
        model = self.name if self._is_local else result.response.model_name or self.name
        return ModelReply(result.output, model, _tokens(usage), self._cost(usage))

    def _cost(self, usage: RunUsage) -> float | None:
        if self._is_local or not usage.requests:
            return 0.0
        return None if usage.cost is None else float(usage.cost)


@asynccontextmanager
async def open_model(config: TAgentConfig) -> AsyncIterator[PydanticAIModel]:
    """Open the model that `config.model` and `config.base_url` name.

    Raises:
        UnknownModelError: If the string names nothing known, or its packages are not installed.
        ModelAuthenticationError: If the provider's key is missing.
    """
    name = str(config.model)
    base_url = config.base_url or (openai_base_url() if name.startswith("openai") else None)
    key = config.api_key.get_secret_value() if config.api_key else None
    async with httpx2.AsyncClient(timeout=None) as http:  # `ask` limits the whole call
        if base_url:
            yield PydanticAIModel(_compatible(name, base_url, key, http, COMPATIBLE_PROFILE), config)
            return
        try:
            with warnings.catch_warnings(action="ignore"):  # advice for the vendor's own users
                model = infer_model(name) if key is None else infer_model(name, provider_factory=_provider_with(key))
        except Exception as error:
            raise unavailable_model(error, model=name) from error
        async with model:
            yield PydanticAIModel(model, config)


@asynccontextmanager
async def open_embedded(config: TAgentConfig) -> AsyncIterator[PydanticAIModel]:
    """Start the embedded model if it does not run yet, and open it.

    Raises:
        ModelUnavailableError: If it is not installed or does not start.
    """
    path = await asyncio.to_thread(embedded.server.socket)
    limits = {"temperature": 0.0, "max_output_tokens": embedded.MAX_OUTPUT_TOKENS}
    chosen = {name: value for name in limits if (value := getattr(config, name)) is not None}
    config = config.model_copy(update=limits | chosen)
    profile: ModelProfile = {**COMPATIBLE_PROFILE, "json_schema_transformer": SmallModelSchema}
    async with httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(uds=path), timeout=None) as http:
        yield PydanticAIModel(_compatible("embedded", "http://embedded/v1", None, http, profile), config, is_local=True)


class SmallModelSchema(JsonSchemaTransformer):
    """A schema that the smallest model can follow to its end.

    Measured on 50 requests: without bounds on lists and texts it repeats itself in 16 of them until it
    is cut, with them in none; and what may be left out it fills by chance, so it is not asked for that.
    """

    def transform(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema with bounds, and without the fields that may be both absent and null."""
        if schema.get("type") == "array":
            schema.setdefault("maxItems", max(6, schema.get("minItems", 0)))
            _bound_text(schema.get("items", {}), longest=60)
        _bound_text(schema, longest=200)
        if properties := schema.get("properties"):
            required = schema.get("required", [])
            schema["properties"] = {
                name: field
                for name, field in properties.items()
                if name in required or {"type": "null"} not in field.get("anyOf", [])
            }
        return schema


def _bound_text(schema: dict[str, Any], *, longest: int) -> None:
    is_free_text = schema.get("type") == "string" and not {"enum", "const", "pattern", "format"} & schema.keys()
    if is_free_text and schema.get("maxLength", 200) >= 200:
        schema["maxLength"] = max(longest, schema.get("minLength", 0))


def _compatible(name: str, base_url: str, key: str | None, http: httpx2.AsyncClient, profile: ModelProfile) -> Model:
    # The provider has a name of our own: a vendor's would price a local server's tokens as the vendor's.
    provider = OpenAICompatibleProvider(
        "tagent-compatible", base_url=base_url, api_key=key, http_client=http, profile=profile
    )
    return OpenAIChatModel(name.split(":", 1)[-1], provider=provider)


def _provider_with(key: str) -> Callable[[str], Provider[Any]]:
    def make(provider_name: str) -> Provider[Any]:
        make_provider: Callable[..., Provider[Any]] = infer_provider_class(provider_name)
        return make_provider(api_key=key)

    return make


def _settings(config: TAgentConfig) -> ModelSettings:
    # No system message amid a re-ask, which small models copy; and no tries of the vendor's on top of ours.
    settings: ModelSettings = {"framing_announcement": "never", "max_retries": 0}
    if config.temperature is not None:
        settings["temperature"] = config.temperature
    if config.max_output_tokens is not None:
        settings["max_tokens"] = config.max_output_tokens
    return settings


def _text(messages: Sequence[Message], role: str) -> str:
    return "\n\n".join(message.content for message in messages if message.role == role)


def _again(error: Exception) -> bool | float:
    """Return whether to try once more: True, or the seconds that the provider asks to wait."""
    if isinstance(error, ModelRateLimitError) and error.retry_after_seconds is not None:
        return error.retry_after_seconds
    return isinstance(error, ModelRateLimitError | ModelUnavailableError)


def _tokens(usage: RunUsage) -> TokenUsage:
    return TokenUsage(usage.input_tokens, usage.output_tokens, usage.requests)
