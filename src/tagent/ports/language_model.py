"""The one question that tagent asks a language model, and what comes back."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
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
    """One part of a prompt.

    Example:
        >>> ModelRequest("answer", (Message("system", "Be brief."), Message("user", "Say hello"))).messages[0].role
        'system'
    """

    role: Literal["system", "user"]
    content: str


Purpose = Literal["plan", "execute", "evaluate", "answer"]
"""The phase of an agent that asks: `execute` is a tool that asks a model."""

MAX_REASKS = 2
"""How often an answer that does not fit is asked for again, unless the request says otherwise."""


@dataclass(frozen=True, slots=True)
class ModelRetried:
    """A try at a request failed, and another one follows after a wait.

    Attributes:
        model: The model that failed.
        code: Of the error.
        tries: How many tries have failed, from 1.
        wait_seconds: How long until the next one.

    Example:
        >>> ModelRetried("openai:gpt-4.1", "model.rate_limited", tries=1, wait_seconds=0.5).code
        'model.rate_limited'
    """

    model: str
    code: str
    tries: int
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class ModelSwitched:
    """A model of a chain failed for good, and the next one is asked.

    Attributes:
        model: The model that failed.
        code: Of the error.
        next_model: The one that is asked now.

    Example:
        >>> ModelSwitched("openai:gpt-4.1", "model.timeout", next_model="mistral:mistral-small-latest").next_model
        'mistral:mistral-small-latest'
    """

    model: str
    code: str
    next_model: str


@dataclass(frozen=True, slots=True)
class AnswerStreamed:
    """More of the final output has come. Never journalled: what counts is the whole answer.

    Attributes:
        text: All of the output so far: text as it is, anything else as the beginning of its JSON form.

    Example:
        >>> [event.text for event in (AnswerStreamed("Hel"), AnswerStreamed("Hello."))]
        ['Hel', 'Hello.']
    """

    text: str


CallEvent = ModelRetried | ModelSwitched | AnswerStreamed
"""What happens while a request waits for its answer."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A question to a language model.

    Attributes:
        purpose: The phase that asks.
        messages: The prompt, in order.
        output_type: What the answer must be: `str` for free text, else anything that Pydantic can
            validate from JSON. The answer comes back as this type.
        max_reasks: How often an answer that does not fit is asked for again, from 0.
        check: Says what is wrong with an answer that fits its type, empty if nothing; such an answer is asked
            for again too. None checks nothing more.
        streams: Whether `AnswerStreamed` is wanted; a model that cannot stream says nothing.
        notify: Told of what happens meanwhile; the model awaits it. None when nobody wants to know.

    Example:
        >>> import asyncio
        >>> from tagent.testing import ScriptedModel
        >>> request = ModelRequest("answer", (Message("user", "How many hills?"),), output_type=int)
        >>> asyncio.run(ScriptedModel([7]).ask(request)).output
        7
    """

    purpose: Purpose
    messages: tuple[Message, ...]
    output_type: object = str
    max_reasks: int = MAX_REASKS
    check: Callable[[object], str] | None = field(default=None, repr=False, compare=False)
    streams: bool = False
    notify: Callable[[CallEvent], Awaitable[None]] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ModelReply:
    """An answer that fits its request.

    Attributes:
        output: The answer, an instance of the request's `output_type`.
        model: The model that answered, as its provider names it.
        usage: What this answer consumed, re-asks included.
        cost_usd: Its price; 0 for a local model, None when the price is unknown.

    Example:
        >>> reply = ModelReply("Hello.", "openai:gpt-4.1", TokenUsage(input_tokens=9, output_tokens=2, requests=1))
        >>> reply.usage.total_tokens, reply.cost_usd
        (11, None)
    """

    output: object
    model: str
    usage: TokenUsage = TokenUsage()
    cost_usd: float | None = None


class LanguageModel(Protocol):
    """Answers requests; safe to use from many tasks of one event loop at once.

    A model may say by `has_price = False` that nobody will know what its calls cost; then it is not asked within
    a budget of cost.

    Example:
        >>> import asyncio
        >>> class Echo:
        ...     name = "echo"
        ...     context_tokens = None
        ...     async def ask(self, request: ModelRequest) -> ModelReply:
        ...         return ModelReply(request.messages[-1].content, self.name, cost_usd=0.0)
        >>> model: LanguageModel = Echo()
        >>> asyncio.run(model.ask(ModelRequest("answer", (Message("user", "Say hello"),)))).output
        'Say hello'
    """

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
    """Turns settings into language models; the runtime's adapters implement it.

    Example:
        >>> import asyncio
        >>> from tagent.config import TAgentConfig
        >>> from tagent.testing import ScriptedModel
        >>> class Always:
        ...     async def model_for(self, config: TAgentConfig) -> LanguageModel:
        ...         return ScriptedModel(name="mine")
        >>> provider: ModelProvider = Always()
        >>> asyncio.run(provider.model_for(TAgentConfig())).name
        'mine'
    """

    async def model_for(self, config: "TAgentConfig") -> LanguageModel:
        """Return the model that `config` chooses, opened and pooled for the running event loop.

        Raises:
            ModelNotChosenError: If nothing chooses one.
            UnknownModelError: If the model string names nothing known.
            ModelAuthenticationError: If the provider's key is missing.
        """
        ...
