"""Vendor errors into ours, each with whether trying again may help."""

import re
from collections.abc import Iterable

from pydantic import PydanticUserError
from pydantic_ai import exceptions as vendor
from pydantic_ai.exceptions import ToolRetryError

from tagent.ports.model_errors import (
    ModelAuthenticationError,
    ModelError,
    ModelOutputError,
    ModelRateLimitError,
    ModelRejectedError,
    ModelTimeoutError,
    ModelUnavailableError,
    UnknownModelError,
)

KEY_HINT = (
    "Pass api_key=..., set TAGENT_API_KEY, or set the provider's own variable, which is not used with a base_url."
)

MAX_PROBLEMS = 10
"""Told of one answer: the first ones say what is wrong, and the text goes into a prompt."""

FIELD = re.compile(r"\w{1,40}")

LLAMA_CPP_CONTEXT_ERROR = "exceed_context_size_error"


LONGEST_PROBLEMS = 500
"""Characters of what was wrong with an answer that a message tells."""


def translated(error: Exception, *, model: str, timeout_seconds: float) -> ModelError:
    """Return the error of ours that means what the vendor's `error` means.

    Messages keep the status and the kind, not the provider's text: it may repeat the prompt or the key.
    """
    match error:
        case vendor.ModelRateLimitError():
            return ModelRateLimitError(model, retry_after_seconds=error.retry_after)
        case vendor.ModelRequestTimeout() | vendor.ModelTimeoutError():
            return ModelTimeoutError(model, seconds=timeout_seconds)
        case vendor.UnexpectedModelBehavior():
            return _from_answer(error, model)
        case vendor.ModelConnectionError():
            return ModelUnavailableError(
                model, f"{model} cannot be reached.", hint="Check the address and the network."
            )
        case vendor.ModelAPIError():
            return _from_refusal(error, model)
        case PydanticUserError() | vendor.UserError():
            kind = type(error).__name__
            return ModelRejectedError(
                model, f"The request to {model} cannot be made ({kind}).", hint="Can its output type be told as JSON?"
            )
        case _:
            return _unreadable(error, model)


def _from_answer(error: vendor.UnexpectedModelBehavior, model: str) -> ModelError:
    match error:
        case vendor.OutputTokenLimitExceeded():
            return cut_answer(model)
        case vendor.ContentFilterError():
            return ModelRejectedError(model, f"The provider's content filter stopped the answer of {model}.")
        case _ if isinstance(misfit := error.__cause__, ToolRetryError):
            problems = problems_of(misfit.tool_retry.content)
            message = f"{model} never gave an answer that fits what was asked for: {problems[:LONGEST_PROBLEMS]}"
            return ModelOutputError(model, message, problems=problems)
        case _:
            return _unreadable(error, model)


def cut_answer(model: str) -> ModelOutputError:
    """Return the error for an answer that was longer than it may be."""
    return ModelOutputError(model, f"The answer of {model} was cut at its longest.", hint="Raise max_output_tokens.")


def problems_of(content: object) -> str:
    """Return what was wrong with an answer, in one line, without the answer.

    Args:
        content: Pydantic's list of problems, or a text of ours or of the vendor's own.

    Example:
        >>> problems_of([{"loc": ("tasks", 0), "msg": "Value error, No tool is called 'serch'.", "input": "secret"}])
        "tasks.0: Value error, No tool is called 'serch'."
    """
    if not isinstance(content, list):
        return str(content)
    told = (f"{_place(problem['loc'])}: {problem['msg']}".removeprefix(": ") for problem in content[:MAX_PROBLEMS])
    return "; ".join(told)


def _place(location: Iterable[object]) -> str:
    """Return where a problem is. A key may be of the model's own making: only what looks like a field is told."""
    parts = (str(part) for part in location)
    return ".".join(part if FIELD.fullmatch(part) else "(...)" for part in parts)


def _unreadable(error: Exception, model: str) -> ModelError:
    """Not JSON, no choices, an empty list of them: the vendor's client fails in many ways."""
    kind = type(error).__name__
    message = f"{model} gave an answer that cannot be read ({kind})."
    return ModelUnavailableError(model, message, hint="Is this the address of a model?")


def _from_refusal(error: vendor.ModelAPIError, model: str) -> ModelError:
    match error:
        case vendor.ModelQuotaExceededError():
            return ModelRejectedError(model, f"The quota for {model} is used up.", hint="Raise it at the provider.")
        case vendor.ModelAuthenticationError():
            return ModelAuthenticationError(model, f"The provider of {model} refuses the key.", hint=KEY_HINT)
        case vendor.ModelNotFoundError():
            return UnknownModelError(
                model, f"The provider knows no model {model!r}.", hint="Check the name and the address."
            )
        case _ if _is_too_long(error):
            return ModelRejectedError(model, f"The prompt is too long for {model}.", hint="Lower context_tokens.")
        case vendor.ModelHTTPError():
            return _from_status(error, model)
        case vendor.ModelRequestRejectedError():
            return ModelRejectedError(model, f"{model} refuses the request.")
        case _:
            return _failing(error, model)


def _is_too_long(error: vendor.ModelAPIError) -> bool:
    is_known = isinstance(error, vendor.ModelContextWindowExceededError)
    return is_known or error.provider_error_type == LLAMA_CPP_CONTEXT_ERROR


def _from_status(error: vendor.ModelHTTPError, model: str) -> ModelError:
    status = error.status_code
    if status >= 500 or status in {408, 409, 425}:
        return _failing(error, model, status=f" (status {status})")
    return ModelRejectedError(model, f"{model} refuses the request (status {status}).")


def _failing(error: vendor.ModelAPIError, model: str, *, status: str = "") -> ModelError:
    return ModelUnavailableError(
        model,
        f"{model} fails on its side{status}.",
        retry_after_seconds=error.retry_after,
        hint="Try again later.",
    )


def unavailable_model(error: Exception, *, model: str) -> ModelError:
    """Return the error of ours for a model string from which no model could be made."""
    text = str(error)
    if isinstance(error, ImportError):
        provider = model.partition(":")[0]
        extra = found[1] if (found := re.search(r"pydantic-ai-slim\[([\w-]+)\]", text)) else provider
        return UnknownModelError(
            model,
            f"The packages for {provider!r} are not installed.",
            hint=f"pip install 'pydantic-ai-slim[{extra}]'",
        )
    if variables := re.findall(r"`([A-Z][A-Z0-9_]+)`", text):
        return ModelAuthenticationError(
            model,
            f"{model} needs a key or an address.",
            hint=f"Set {variables[0]}, or pass api_key=... or base_url=...",
        )
    return unknown_model(model)


def unknown_model(model: str) -> UnknownModelError:
    """Return the error for a model string that names nothing."""
    return UnknownModelError(
        model,
        f"No model is named {model!r}.",
        hint="Write 'provider:name', like 'openai:gpt-4.1' or 'anthropic:claude-haiku-4-5'; or 'embedded'; "
        "or give base_url= with any name.",
    )
