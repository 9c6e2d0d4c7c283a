"""The `LanguageModel` port over pydantic-ai: structured output, re-asks, usage and prices."""

import asyncio
from collections.abc import Sequence

import pydantic_ai
from pydantic_ai import ModelSettings
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.usage import RequestUsage, RunUsage, UsageLimits

from tagent.adapters.models.errors import cut_answer, translated
from tagent.adapters.models.gate import Gate
from tagent.adapters.models.guarded_model import Call, GuardedModel
from tagent.adapters.models.structured import agent_for
from tagent.ports.language_model import Message, ModelReply, ModelRequest, TokenUsage
from tagent.ports.model_errors import ModelError

pydantic_ai.BANNER_ENABLED = False  # the terminal is our user's


class PydanticAIModel:
    """A model of pydantic-ai, asked in our way.

    Attributes:
        name: The model as its user names it.
        context_tokens: How many tokens of data a prompt may carry; None when the model sets no limit.

    Args:
        model: The vendor's object, opened for the running event loop.
        name: The model as its user names it.
        settings: What the provider is sent besides the prompt.
        timeout_seconds: How long one answer may take, all tries of it together.
        gate: The way to the provider.
        local_name: What answers when the model runs on this machine, where a call costs nothing;
            None for a provider's model, which names itself.
        context_tokens: See above.
    """

    def __init__(
        self,
        model: Model,
        *,
        name: str,
        settings: ModelSettings,
        timeout_seconds: float,
        gate: Gate,
        local_name: str | None = None,
        context_tokens: int | None = None,
    ) -> None:
        self.name = name
        self.context_tokens = context_tokens
        self._model = model
        self._local_name = local_name
        self._timeout_seconds = timeout_seconds
        self._settings = settings
        self._gate = gate

    @property
    def has_price(self) -> bool:
        """Whether what a call costs can be known: of a model on this machine, or one on the price list."""
        if self._local_name:
            return True
        asked = ModelResponse(
            parts=[],
            usage=RequestUsage(input_tokens=1, output_tokens=1),
            model_name=self._model.model_name,
            provider_name=self._model.system,
            provider_url=self._model.base_url,
        )
        try:
            asked.cost()
        except LookupError:
            return False
        return True

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return an answer that fits, re-asking as the request says and trying again as `tries` does.

        Raises:
            ModelError: What kept it from answering; what was consumed is on it as `spent`.
        """
        return await self.ask_within(request, seconds=self._timeout_seconds)

    async def ask_within(self, request: ModelRequest, *, seconds: float) -> ModelReply:
        """Do the same as `ask`, with a time limit of the caller's."""
        usage = RunUsage()
        call = Call(self.name, request, asyncio.get_running_loop().time() + seconds, seconds)
        try:
            return await self._ask(call, usage)
        except ModelError as error:
            error.spent = ModelReply(None, self._local_name or self.name, _tokens(usage), self._cost(usage))
            raise

    async def _ask(self, call: Call, usage: RunUsage) -> ModelReply:
        request = call.request
        try:
            result = await agent_for(request.output_type, reasks=request.max_reasks).run(
                _text(request.messages, "user"),
                instructions=_text(request.messages, "system"),
                model=GuardedModel(self._model, call, self._gate),
                model_settings=self._settings,
                deps=request.check,
                usage=usage,
                usage_limits=UsageLimits(request_limit=None),
            )
        except ModelError:
            raise
        except Exception as error:  # a vendor library raises what it likes; all of it gets a name of ours
            if error is call.notify_error:
                raise
            failure = translated(error, model=self.name, timeout_seconds=call.timeout_seconds)
        else:
            if result.response.finish_reason == "length":  # text that was cut fits its type all the same
                raise cut_answer(self.name)
            model = self._local_name or result.response.model_name or self.name
            return ModelReply(result.output, model, _tokens(usage), self._cost(usage))
        raise failure  # without its cause: see `GuardedModel`

    def _cost(self, usage: RunUsage) -> float | None:
        if self._local_name or not usage.requests:
            return 0.0
        return None if usage.cost is None else float(usage.cost)


def _text(messages: Sequence[Message], role: str) -> str:
    return "\n\n".join(message.content for message in messages if message.role == role)


def _tokens(usage: RunUsage) -> TokenUsage:
    return TokenUsage(usage.input_tokens, usage.output_tokens, usage.requests)
