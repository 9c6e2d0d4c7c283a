"""One request of a call: through the provider's gate, several times if need be, streamed if wanted.

A call makes one request, and one more for each answer that does not fit. All share the call's deadline.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from tagent.adapters.models.errors import translated
from tagent.adapters.models.gate import Gate
from tagent.adapters.models.reading import is_json, readable
from tagent.adapters.models.streaming import AnswerShown, whole_response
from tagent.adapters.models.tries import retry_wait
from tagent.ports.language_model import CallEvent, ModelRequest, ModelRetried
from tagent.ports.model_errors import ModelError, ModelTimeoutError
from tagent.tokens import tokens_in


@dataclass(slots=True)
class Call:
    """What the requests of one call have in common.

    Attributes:
        model: The model as its user names it.
        request: What is asked.
        deadline: When the call is over, on the event loop's clock.
        timeout_seconds: How long it may take in all.
        notify_error: What whoever is notified has raised; it is not the model's fault.
    """

    model: str
    request: ModelRequest
    deadline: float
    timeout_seconds: float
    notify_error: Exception | None = field(default=None, init=False)

    @property
    def seconds_left(self) -> float:
        """How long until the deadline; below 0 after it."""
        return self.deadline - asyncio.get_running_loop().time()

    async def notify(self, event: CallEvent) -> None:
        """Tell whoever wants to know."""
        if self.request.notify is None:
            return
        try:
            await self.request.notify(event)
        except Exception as error:
            self.notify_error = error
            raise


class GuardedModel(WrapperModel):
    """A vendor's model for the length of one call.

    Args:
        wrapped: The vendor's model, open.
        call: Whose requests these are.
        gate: The way to the provider.
    """

    def __init__(self, wrapped: Model, call: Call, gate: Gate) -> None:
        super().__init__(wrapped)
        self._call = call
        self._gate = gate

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return the response, after as many tries as `tries` allows.

        Raises:
            ModelError: What the last try ended in.
        """
        call = self._call
        failures = 0
        while True:
            try:
                return await self._try(messages, model_settings, model_request_parameters)
            except ModelError as caught:
                error = caught
            failures += 1
            wait = retry_wait(error, failures, seconds_left=call.seconds_left, jitter=random.random())  # noqa: S311 - not a secret
            if wait is None or self._gate.is_shut or error is call.notify_error:
                raise error
            await call.notify(ModelRetried(call.model, error.code, failures, wait))
            await asyncio.sleep(wait)

    async def _try(
        self, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
    ) -> ModelResponse:
        call = self._call
        async with self._gate.passage(
            model=call.model,
            tokens=estimated_tokens(messages),
            seconds_left=call.seconds_left,
            timeout_seconds=call.timeout_seconds,
        ) as passage:
            response = await self._send(messages, settings, parameters)
            passage.tokens = response.usage.total_tokens or passage.tokens
            return response if call.request.output_type is str else as_json(response)

    async def _send(
        self, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
    ) -> ModelResponse:
        call = self._call
        failure: ModelError
        try:
            async with asyncio.timeout_at(call.deadline) as limit:
                return await self._response(messages, settings, parameters)
        except Exception as error:  # a vendor library raises what it likes; all of it gets a name of ours
            if error is call.notify_error:
                raise
            failure = (
                ModelTimeoutError(call.model, seconds=call.timeout_seconds)
                if limit.expired()
                else translated(error, model=call.model, timeout_seconds=call.timeout_seconds)
            )
        # Not `from error`, and not while it is handled: the vendor's text may repeat the prompt or the key, and
        # whoever logs our error logs its causes.
        raise failure

    async def _response(
        self, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
    ) -> ModelResponse:
        call = self._call
        if not call.request.streams or call.request.notify is None:
            return await self.wrapped.request(messages, settings, parameters)
        async with self.wrapped.request_stream(messages, settings, parameters) as stream:
            return await whole_response(stream, AnswerShown(call.notify, is_text=call.request.output_type is str))


def as_json(response: ModelResponse) -> ModelResponse:
    """Return `response` without what the model wrote around its answer."""
    texts = [part for part in response.parts if isinstance(part, TextPart)]
    whole = "".join(part.content for part in texts)
    if not whole or is_json(whole):
        return response
    answer = replace(texts[0], content=readable(whole))
    others = [part for part in response.parts if not isinstance(part, TextPart)]
    return replace(response, parts=[*others, answer])


def estimated_tokens(messages: Sequence[ModelMessage]) -> int:
    """Return about how many tokens the texts of `messages` are, at least 1."""
    texts = (
        text
        for message in messages
        for text in (
            getattr(message, "instructions", None),
            *(getattr(part, "content", None) for part in message.parts),
        )
    )
    return max(1, tokens_in(text for text in texts if isinstance(text, str)))
