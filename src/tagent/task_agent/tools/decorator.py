"""`@tool`: says of a function how it is to be called as a tool, and leaves it callable as before."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Generic, ParamSpec, Protocol, TypeVar, cast, overload

from tagent.circuit import CircuitPolicy
from tagent.exceptions import ConfigurationError
from tagent.retries import RetryPolicy
from tagent.task_agent.tools.tool import DEFAULT_RETRY_POLICY, Tool

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


@dataclass(frozen=True)  # without slots: it carries the function's name and docstring, as a wrapper does
class DecoratedTool(Tool, Generic[Parameters, Returned]):
    """A tool that is called like the function it is made of."""

    def __call__(self, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        """Call the function."""
        function = cast("Callable[Parameters, Returned]", self.function)
        return function(*args, **kwargs)


class Decorator(Protocol):
    """What `@tool(...)` gives: it turns a function into a tool."""

    def __call__(self, function: Callable[Parameters, Returned], /) -> DecoratedTool[Parameters, Returned]:
        """Return the tool that `function` is."""
        ...


@overload
def tool(function: Callable[Parameters, Returned], /) -> DecoratedTool[Parameters, Returned]: ...


@overload
def tool(
    *,
    name: str = "",
    description: str = "",
    timeout: float | None = None,
    retries: int = 0,
    retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
    side_effect: bool = False,
    idempotent: bool = False,
    circuit: CircuitPolicy | None = None,
) -> Decorator: ...


def tool(
    function: Callable[Parameters, Returned] | None = None,
    /,
    *,
    name: str = "",
    description: str = "",
    timeout: float | None = None,
    retries: int = 0,
    retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
    side_effect: bool = False,
    idempotent: bool = False,
    circuit: CircuitPolicy | None = None,
) -> DecoratedTool[Parameters, Returned] | Decorator:
    """Return the tool that a function is, with what the function alone does not say.

    Args:
        function: The function, when the decorator is used without brackets.
        name: How a plan names it; the function's own name when empty.
        description: For the model; what the docstring says when empty.
        timeout: How long one call may take, in seconds above 0; None leaves it to the agent's setting.
        retries: How often a call that failed or took too long is made again, from 0.
        retry_policy: After which failures, and how long to wait before.
        side_effect: Whether calling it twice does harm.
        idempotent: Whether a second call with the same idempotency key does nothing.
        circuit: When it is left alone for a while, because it failed again and again.

    Raises:
        ConfigurationError: As for `Tool.of`; or if it decorates a class or a method.

    Example:
        >>> @tool(timeout=10, retries=2)
        ... def double(n: int) -> int:
        ...     "Double a number."
        ...     return 2 * n
        >>> double(21), double.name, double.retries
        (42, 'double', 2)
    """

    def decorated(
        function: Callable[Parameters, Returned],
    ) -> DecoratedTool[Parameters, Returned]:
        _require_function(function)
        described = Tool.of(
            function,
            name=name,
            description=description,
            timeout_seconds=timeout,
            retries=retries,
            retry_policy=retry_policy,
            side_effect=side_effect,
            idempotent=idempotent,
            circuit=circuit,
        )
        made: DecoratedTool[Parameters, Returned] = DecoratedTool(
            **{field.name: getattr(described, field.name) for field in fields(Tool)}
        )
        marks = ("__module__", "__name__", "__qualname__", "__doc__")
        made.__dict__.update({mark: getattr(described.function, mark, None) for mark in marks})
        made.__dict__["__wrapped__"] = described.function
        return made

    # A type checker cannot see that a nested function of one signature is a decorator of all.
    return cast("Decorator", decorated) if function is None else decorated(function)


def _require_function(function: object) -> None:
    """Refuse what would not stay what it was.

    Raises:
        ConfigurationError: If it is a class, or a method in its class.
    """
    named = getattr(function, "__qualname__", type(function).__name__)
    if inspect.isclass(function):
        raise ConfigurationError(
            f"@tool cannot decorate the class {named!r}.", hint="Give an instance of it as a tool."
        )
    if inspect.isfunction(function) and next(iter(inspect.signature(function).parameters), "") in {"self", "cls"}:
        raise ConfigurationError(
            f"@tool cannot decorate the method {named!r}.",
            hint="Make a tool of the bound one: Tool.of(instance.method, ...).",
        )
