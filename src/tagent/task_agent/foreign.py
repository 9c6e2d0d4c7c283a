"""Agents that are not ours: a `pydantic_ai.Agent`, or any async function that takes a prompt.

An agent of pydantic-ai is known by its shape, so that this needs nothing of it.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_args, get_origin, get_type_hints

from tagent.exceptions import TAgentError, text_of
from tagent.ports.language_model import TokenUsage
from tagent.secrets import scrubbed
from tagent.task_agent.models import ModelCall
from tagent.task_agent.tools.context import ToolContext

LONGEST_WAIT_SECONDS = 1e6
"""Who asks to wait longer, or for no number at all, is not heard."""

LONGEST_REASON = 500
"""Characters of what an exception says that are kept."""

VENDOR = "pydantic_ai."

_MENDED_BY_WAITING = frozenset(
    {
        "ModelConnectionError",
        "ModelRateLimitError",
        "ModelRequestTimeout",
        "ModelServerError",
        "ModelUnavailableError",
        "RunTimedOut",
        "UnexpectedModelBehavior",
    }
)
_NEVER_MENDED = frozenset({"ContentFilterError", "ModelQuotaExceededError", "ModelRequestRejectedError"})
_SET_UP_WRONGLY = "UserError"
"""Says what is wrong with the agent, like that it has no model, and nothing of what it was asked."""

_RETRYABLE_STATUSES = frozenset({408, 409, 425, 429})


class ForeignAgentError(TAgentError):
    """An agent that is not ours raised.

    Attributes:
        agent: Its name.
        retry_after_seconds: How long its provider asks to wait; None if it does not say.

    Example:
        >>> error = ForeignAgentError("poet", ValueError("no rhyme"), is_retryable=True)
        >>> error.code, error.is_retryable, error.message
        ('agent.failed', True, "The agent 'poet' raised ValueError: no rhyme.")
    """

    code = "agent.failed"

    def __init__(self, agent: str, cause: BaseException, *, is_retryable: bool) -> None:
        self.agent = agent
        self.is_retryable = is_retryable  # type: ignore[misc]  # it depends on the cause
        asked = getattr(cause, "retry_after", None)
        self.retry_after_seconds: float | None = None
        if isinstance(asked, int | float) and 0 <= asked < LONGEST_WAIT_SECONDS:
            self.retry_after_seconds = float(asked)
        super().__init__(f"The agent {agent!r} raised {_told(cause)}.")


def _told(cause: BaseException) -> str:
    kind = type(cause).__name__
    if is_vendors(cause) and kind != _SET_UP_WRONGLY:  # its text may repeat the prompt
        status = getattr(cause, "status_code", None)
        return f"{kind} (status {status})" if isinstance(status, int) else kind
    text = scrubbed(text_of(cause)).removesuffix(".")
    return f"{kind}: {text[:LONGEST_REASON]}" if text else kind


def is_vendors(error: BaseException) -> bool:
    """Return whether pydantic-ai made the error, or whoever calls it."""
    return type(error).__module__.startswith(VENDOR)


def may_mend(error: BaseException) -> bool:
    """Return whether an error of pydantic-ai may not come again: the retry table of our own models, by their names."""
    if isinstance(error, BaseExceptionGroup):
        return any(may_mend(part) for part in error.exceptions)
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _NEVER_MENDED:
        return False
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status >= 500 or status in _RETRYABLE_STATUSES
    return bool(names & _MENDED_BY_WAITING)


def is_pydantic_agent(agent: object) -> bool:
    """Return whether `agent` has the shape of a `pydantic_ai.Agent`."""
    is_instance = not inspect.isclass(agent)
    return is_instance and hasattr(agent, "output_type") and inspect.iscoroutinefunction(getattr(agent, "run", None))


def agent_problem(agent: object) -> str:
    """Return why `agent` cannot be the agent of a step; empty when it can.

    Example:
        >>> async def poet(prompt: str) -> str: ...
        >>> agent_problem(poet)
        ''
        >>> agent_problem("gpt")
        '`agent` must be a pydantic_ai.Agent or an async function, not str.'
    """
    if is_pydantic_agent(agent):
        return ""
    if not callable(agent) or not inspect.iscoroutinefunction(_called(agent)):
        kind = agent.__name__ if inspect.isroutine(agent) else type(agent).__name__
        return f"`agent` must be a pydantic_ai.Agent or an async function, not {kind}."
    try:
        first, context = _parameters(agent)
    except (TypeError, ValueError, NameError) as error:
        return f"The signature of `agent` cannot be read: {error}."
    if not first:
        return "`agent` must take the prompt as its first parameter."
    for parameter in list(inspect.signature(agent).parameters.values())[1:]:
        is_needed = parameter.default is parameter.empty and parameter.kind not in {
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        }
        if is_needed and parameter.name != context:
            return f"Nothing fills the parameter {parameter.name!r} of `agent`: it gets a prompt, and a ToolContext."
    return ""


def agent_name(agent: object) -> str:
    """Return what the agent is called: its own name, or that of its function or class.

    Example:
        >>> async def poet(prompt: str) -> str: ...
        >>> agent_name(poet)
        'poet'
    """
    own = getattr(agent, "name", None) if is_pydantic_agent(agent) else None
    inner = agent.func if isinstance(agent, partial) else agent
    return own if isinstance(own, str) and own else getattr(inner, "__qualname__", type(inner).__qualname__)


def declared_output(agent: object) -> object:
    """Return what the agent says that it gives: a type; `object` when it does not say. It never raises.

    Example:
        >>> async def count(prompt: str) -> int: ...
        >>> declared_output(count)
        <class 'int'>
    """
    if is_pydantic_agent(agent):
        found = getattr(agent, "output_type", None)
    elif callable(agent):
        try:
            found = get_type_hints(_called(agent)).get("return")
        except Exception:  # noqa: BLE001 - an annotation that cannot be evaluated says nothing
            found = None
    else:
        found = None
    is_type = isinstance(found, type) or get_origin(found) is not None
    return found if is_type and found is not type(None) and not _is_result(found) else object


async def ask_foreign(
    agent: Any, prompt: str, *, context: ToolContext, output_type: object = None
) -> tuple[object, ModelCall]:
    """Return what the agent gives for `prompt`, and what it took as far as it says so.

    Args:
        agent: One without an `agent_problem`.
        prompt: What it is asked.
        context: Handed to a function that has a parameter for it.
        output_type: What an agent of pydantic-ai is told to give; None leaves it to the agent.

    Raises:
        Exception: Whatever the agent raises.
    """
    if is_pydantic_agent(agent):
        options = {} if output_type is None else {"output_type": output_type}
        returned = await agent.run(prompt, **options)
    else:
        _, context_name = _parameters(agent)
        returned = await agent(prompt, **({context_name: context} if context_name else {}))
    name = agent_name(agent)
    if not _is_result(type(returned)):
        return returned, ModelCall(name, purpose="answer")
    return returned.output, _call_of(returned, name)


def _is_result(kind: object) -> bool:
    """Return whether values of this type are results of pydantic-ai, which hold output and usage."""
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and origin.__module__.startswith(VENDOR) and hasattr(origin, "usage")


def _call_of(result: Any, name: str) -> ModelCall:
    usage = result.usage() if inspect.ismethod(result.usage) else result.usage
    cost = getattr(usage, "cost", None)
    tokens = TokenUsage(
        *(int(getattr(usage, count, 0) or 0) for count in ("input_tokens", "output_tokens", "requests"))
    )
    model = getattr(getattr(result, "response", None), "model_name", None)
    return ModelCall(model or name, tokens, None if cost is None else float(cost), purpose="answer")


def _called(agent: Any) -> Callable[..., object]:
    """Return the function whose code runs: behind partials and `__call__`."""
    while isinstance(agent, partial):
        agent = agent.func
    return agent if inspect.isroutine(agent) else type(agent).__call__


def _parameters(agent: Callable[..., object]) -> tuple[str, str]:
    """Return the names of the parameters that take the prompt and the context; empty for none."""
    hints: Mapping[str, Any] = get_type_hints(_called(agent), include_extras=True)
    parameters = list(inspect.signature(agent).parameters.values())
    first = next((it.name for it in parameters[:1] if it.kind in _TAKES_PROMPT), "")
    contexts = (it.name for it in parameters[1:] if _is_context(hints.get(it.name)))
    return first, next(contexts, "")


_TAKES_PROMPT = frozenset(
    {
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    }
)


def _is_context(annotation: object) -> bool:
    return annotation is ToolContext or ToolContext in get_args(annotation)
