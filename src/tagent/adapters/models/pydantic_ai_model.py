"""The `LanguageModel` port over pydantic-ai: structured output, re-asks, retries, usage and prices."""

import asyncio
from collections.abc import Sequence

import pydantic_ai
import stamina
from pydantic_ai import Agent, ModelSettings
from pydantic_ai.models import Model
from pydantic_ai.usage import RunUsage, UsageLimits

from tagent.adapters.models import embedded
from tagent.adapters.models.errors import translated
from tagent.config import TAgentConfig
from tagent.ports.language_model import Message, ModelReply, ModelRequest, TokenUsage
from tagent.ports.model_errors import ModelError, ModelRateLimitError, ModelTimeoutError, ModelUnavailableError

pydantic_ai.BANNER_ENABLED = False  # the terminal is our user's

TRIES = 3
"""Of one request, for rate limits, failures on the provider's side and lost connections."""

REASKS = 2
"""How often an answer that does not fit is asked for again."""


class PydanticAIModel:
    """A model of pydantic-ai, asked in our way.

    Attributes:
        name: The model as its user names it.
        context_tokens: How many tokens of data a prompt may carry; None when the model sets no limit.

    Args:
        model: The vendor's object, opened for the running event loop.
        config: Says how to ask, and the model's name.
        local_name: What answers when the model runs on this machine, where a call costs nothing;
            None for a provider's model, which names itself.
    """

    def __init__(self, model: Model, config: TAgentConfig, *, local_name: str | None = None) -> None:
        self.name = str(config.model)
        self.context_tokens = embedded.CONTEXT_TOKENS if local_name else None
        self._model = model
        self._local_name = local_name
        self._timeout_seconds = config.request_timeout_seconds
        self._settings = _settings(config)

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return an answer that fits, re-asking and retrying as `REASKS` and `TRIES` say.

        Raises:
            ModelError: What kept it from answering; what was consumed is on it as `spent`.
        """
        usage = RunUsage()
        deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        try:
            async with asyncio.timeout_at(deadline):
                return await self._ask_with_retries(request, usage, deadline)
        except TimeoutError:
            error: ModelError = ModelTimeoutError(self.name, seconds=self._timeout_seconds)
        except ModelError as caught:
            error = caught
        error.spent = ModelReply(None, self._local_name or self.name, _tokens(usage), self._cost(usage))
        raise error from error.__cause__

    async def _ask_with_retries(self, request: ModelRequest, usage: RunUsage, deadline: float) -> ModelReply:
        now = asyncio.get_running_loop().time

        def on(error: Exception) -> bool | float:
            return retry_wait(error, seconds_left=deadline - now())

        async for attempt in stamina.retry_context(on=on, attempts=TRIES, timeout=None, wait_initial=0.5):
            with attempt:
                return await self._ask_once(request, usage)
        raise AssertionError("stamina raises when its attempts are over")

    async def _ask_once(self, request: ModelRequest, usage: RunUsage) -> ModelReply:
        try:
            agent = Agent(output_type=request.output_type, retries=REASKS)  # type: ignore[call-overload]  # any type will do
            result = await agent.run(
                _text(request.messages, "user"),
                instructions=_text(request.messages, "system"),
                model=self._model,
                model_settings=self._settings,
                usage=usage,
                usage_limits=UsageLimits(request_limit=None),
            )
        except Exception as error:  # a vendor library raises what it likes; all of it gets a name of ours
            raise translated(error, model=self.name, timeout_seconds=self._timeout_seconds) from error
        model = self._local_name or result.response.model_name or self.name
        return ModelReply(result.output, model, _tokens(usage), self._cost(usage))

    def _cost(self, usage: RunUsage) -> float | None:
        if self._local_name or not usage.requests:
            return 0.0
        return None if usage.cost is None else float(usage.cost)


def retry_wait(error: Exception, *, seconds_left: float) -> bool | float:
    """Return whether to try once more: True, or the seconds that the provider asks to wait.

    A wait that would outlast the `seconds_left` is not begun: who asked learns of it now, and can plan.
    """
    if isinstance(error, ModelRateLimitError) and error.retry_after_seconds is not None:
        return error.retry_after_seconds if error.retry_after_seconds < seconds_left else False
    return isinstance(error, ModelRateLimitError | ModelUnavailableError)


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


def _tokens(usage: RunUsage) -> TokenUsage:
    return TokenUsage(usage.input_tokens, usage.output_tokens, usage.requests)
