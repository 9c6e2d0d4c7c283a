"""Agents that are not ours: a `pydantic_ai.Agent`, or any async function that takes a prompt.

An agent of pydantic-ai is known by its shape, so that this needs nothing of it.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
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

MOST_REQUESTS = 50
"""How many requests an agent of pydantic-ai may make in one run, as its own library says where nobody else does."""

_OVER_LIMITS = "UsageLimitExceeded"

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


@dataclass(frozen=True, slots=True)
class UsageLeft:
    """What an agent of pydantic-ai may take in one run; None means without limit, but for `MOST_REQUESTS`.

    It stops before a request beyond these, so that cost and tokens end above them by at most one request.

    Attributes:
        requests: How many requests, from 1.
        tokens: How many tokens, from 1.
        cost_usd: USD, above 0.
    """

    requests: int | None = None
    tokens: int | None = None
    cost_usd: float | None = None


class Meter:
    """Knows what an agent that is not ours has taken so far, as far as it tells: while it works, and when it failed.

    Attributes:
        usage: What pydantic-ai counts in; None for another agent.

    Args:
        agent: One without an `agent_problem`.
    """

    def __init__(self, agent: object) -> None:
        self._name = agent_name(agent)
        usage = _vendors(agent, "usage", "RunUsage") if is_pydantic_agent(agent) else None
        self.usage: Any = usage() if usage else None
        self._told: ModelCall | None = None

    @property
    def call(self) -> ModelCall:
        """What is known by now; without a price where nothing is."""
        if self._told is not None:
            return self._told
        if self.usage is None:
            return ModelCall(self._name, purpose="answer")
        call = _call_of_usage(self.usage, self._name)
        return call if call.usage.requests else replace(call, cost_usd=0.0)

    def read(self, returned: object) -> object:
        """Return the output of what an agent returned; if that is a result of pydantic-ai, note what it took."""
        if not _is_result(type(returned)):
            return returned
        result: Any = returned
        usage = result.usage() if inspect.ismethod(result.usage) else result.usage
        model = getattr(getattr(result, "response", None), "model_name", None)
        self._told = _call_of_usage(usage, model or self._name)
        return result.output


def is_over_limits(error: BaseException) -> bool:
    """Return whether an agent of pydantic-ai stopped at a limit of what it may take."""
    return is_vendors(error) and type(error).__name__ == _OVER_LIMITS


async def ask_foreign(
    agent: Any,
    prompt: str,
    *,
    context: ToolContext,
    meter: Meter,
    output_type: object = None,
    left: UsageLeft | None = None,
) -> object:
    """Return what the agent gives for `prompt`.

    Args:
        agent: One without an `agent_problem`.
        prompt: What it is asked.
        context: Handed to a function that has a parameter for it.
        meter: Is told what it took.
        output_type: What an agent of pydantic-ai is told to give; None leaves it to the agent.
        left: What an agent of pydantic-ai may take; None leaves it to the agent. A function is not told.

    Raises:
        Exception: Whatever the agent raises.
    """
    if is_pydantic_agent(agent):
        options = {} if output_type is None else {"output_type": output_type}
        returned = await agent.run(prompt, **options, **_limited(agent, left, meter))
    else:
        _, context_name = _parameters(agent)
        returned = await agent(prompt, **({context_name: context} if context_name else {}))
    return meter.read(returned)


def _limited(agent: object, left: UsageLeft | None, meter: Meter) -> dict[str, object]:
    """Return the options that limit a run of the agent and count what it takes; none where its library has none."""
    options: dict[str, object] = {} if meter.usage is None else {"usage": meter.usage}
    limits = _vendors(agent, "usage", "UsageLimits")
    if left is not None and limits is not None:
        most = MOST_REQUESTS if left.requests is None else left.requests
        cost = None if left.cost_usd is None else Decimal(repr(left.cost_usd))
        options["usage_limits"] = limits(request_limit=most, total_tokens_limit=left.tokens, cost_limit=cost)
    return {name: value for name, value in options.items() if _takes(agent, name)}


def _takes(agent: Any, option: str) -> bool:
    """Return whether the agent's `run`, which may be the user's own, takes the option."""
    parameters = inspect.signature(agent.run).parameters.values()
    return any(it.name == option or it.kind is it.VAR_KEYWORD for it in parameters)


def _vendors(agent: object, module: str, name: str) -> Any:
    """Return a class of pydantic-ai, which an agent from there has loaded itself; None for another agent."""
    is_from_there = any(kind.__module__.startswith(VENDOR) for kind in type(agent).__mro__)
    return getattr(sys.modules.get(f"{VENDOR}{module}"), name, None) if is_from_there else None


def _is_result(kind: object) -> bool:
    """Return whether values of this type are results of pydantic-ai, which hold output and usage."""
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and origin.__module__.startswith(VENDOR) and hasattr(origin, "usage")


def _call_of_usage(usage: Any, name: str) -> ModelCall:
    counts = ("input_tokens", "output_tokens", "requests")
    tokens = TokenUsage(*(int(getattr(usage, count, 0) or 0) for count in counts))
    cost = getattr(usage, "cost", None)
    return ModelCall(name, tokens, None if cost is None else float(cost), purpose="answer")


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
