"""An answer that is shown while it comes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import StreamedResponse

from tagent.adapters.models.reading import output_so_far
from tagent.ports.language_model import AnswerStreamed

INTERVAL_SECONDS = 0.05
"""The shortest time between two `AnswerStreamed`: nobody reads faster, and each parses all of the text."""

Tell = Callable[[AnswerStreamed], Awaitable[None]]


@dataclass(slots=True)
class AnswerShown:
    """Tells what of an answer is there, each time more of it, and not too often.

    Attributes:
        tell: Is told, and awaited.
        is_text: Whether the answer is free text.
    """

    tell: Tell
    is_text: bool
    _shown: str | None = field(default=None, init=False)
    _next_at: float = field(default=0.0, init=False)

    async def show(self, response: ModelResponse, *, is_last: bool = False) -> None:
        """Tell what is new, unless something was told just now and this is not the end."""
        now = asyncio.get_running_loop().time()
        if now < self._next_at and not is_last:
            return
        text = output_so_far(_text(response), is_text=self.is_text)
        if text is None or text == self._shown:
            return
        self._shown = text
        self._next_at = now + INTERVAL_SECONDS
        await self.tell(AnswerStreamed(text))


async def whole_response(stream: StreamedResponse, shown: AnswerShown) -> ModelResponse:
    """Return the response once the stream is at its end, and show it meanwhile."""
    events: AsyncIterator[object] = stream.__aiter__()
    async for _ in events:
        await shown.show(stream.get())
    response = stream.get()
    await shown.show(response, is_last=True)
    return response


def _text(response: ModelResponse) -> str:
    """Return what the model has written: as text, or as the arguments of the tool that takes the answer."""
    text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    return text if text or not calls else calls[-1].args_as_json_str()
