"""The one question that tagent asks a language model, and what comes back."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from tagent.config import TAgentConfig


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """What calls of a language model consumed.

    Attributes:
        input_tokens: Tokens sent, from 0.
        output_tokens: Tokens received, from 0.
        requests: Requests made, re-asks included, from 0.

    Example:
        >>> (TokenUsage(10, 5, 1) + TokenUsage(1, 1, 1)).total_tokens
        17
    """

    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        return TokenUsage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.requests + other.requests,
        )


@dataclass(frozen=True, slots=True)
class Message:
    """One part of a prompt."""

    role: Literal["system", "user"]
    content: str


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A question to a language model.

    Attributes:
        purpose: The phase that asks: `plan`, `evaluate` or `answer`.
        messages: The prompt, in order.
        output_type: What the answer must be: `str` for free text, else anything that Pydantic can
            validate from JSON. The answer comes back as this type.
    """

    purpose: Literal["plan", "evaluate", "answer"]
    messages: tuple[Message, ...]
    output_type: object = str


@dataclass(frozen=True, slots=True)
class ModelReply:
    """An answer that fits its request.

    Attributes:
        output: The answer, an instance of the request's `output_type`.
        model: The model that answered, as its provider names it.
        usage: What this answer consumed, re-asks included.
        cost_usd: Its price; 0 for a local model, None when the price is unknown.
    """

    output: object
    model: str
    usage: TokenUsage = TokenUsage()
    cost_usd: float | None = None


class LanguageModel(Protocol):
    """Answers requests; safe to use from many tasks of one event loop at once."""

    @property
    def name(self) -> str:
        """The model as its user names it: `provider:model`."""
        ...

    @property
    def context_tokens(self) -> int | None:
        """How many tokens of data a prompt may carry; None when the model sets no limit of its own."""
        ...

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return an answer that fits `request.output_type`, re-asking when a first one does not.

        Raises:
            ModelError: One of its children, each saying whether a later try may help. What was
                consumed before the failure is on it as `spent`, a `ModelReply` without output.
        """
        ...


class ModelProvider(Protocol):
    """Turns settings into language models; the runtime's adapters implement it."""

    async def model_for(self, config: "TAgentConfig") -> LanguageModel:
        """Return the model that `config` chooses, opened and pooled for the running event loop.

        Raises:
            ModelNotChosenError: If nothing chooses one.
            UnknownModelError: If the model string names nothing known.
            ModelAuthenticationError: If the provider's key is missing.
        """
        ...
