"""Tools: functions that a model may call, described to it by their signature and docstring."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

from pydantic import BaseModel, RootModel

from tagent.circuit import CircuitPolicy
from tagent.exceptions import ConfigurationError, ToolError
from tagent.retries import RetryPolicy, kinds_of
from tagent.retries import retries as is_worth_another_try
from tagent.secrets import scrubbed
from tagent.task_agent.tools.arguments import checked
from tagent.task_agent.tools.context import ToolContext
from tagent.task_agent.tools.docstrings import described
from tagent.task_agent.tools.signatures import ARGS, parameter_name, schema_of, signature_of

__all__ = ["Tool", "ToolArgumentsError", "ToolContext", "tools_by_name"]

DEFAULT_RETRY_POLICY = RetryPolicy()
_WORTH_ANOTHER_TRY = frozenset({"tool.failed", "tool.timeout"})

_UNNAMED = "<lambda>"

_KEPT = "__tagent_tool__"
"""The attribute under which a function keeps the tool that it is."""


class ToolArgumentsError(ToolError):
    """A tool is called with arguments that do not fit its signature."""

    code = "tool.arguments"

    def __init__(self, tool: str, problems: str) -> None:
        super().__init__(tool, f"The arguments for the tool {tool!r} do not fit: {problems.rstrip('.')}.")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call.

    Attributes:
        name: How a plan names it.
        description: What its docstring says of it, for the model.
        function: What is called; sync or async.
        parameters: A Pydantic model of its arguments.
        context_parameter: The parameter that takes the `ToolContext`; None if it wants none.
        side_effect: Whether calling it twice does harm. A call of it that a crash cut off, of which nobody
            knows whether it happened, is then not made again: the step fails, and a person decides.
        timeout_seconds: How long one call may take, above 0; None leaves it to the agent's setting.
        retries: How often a call that failed or took too long is made again, from 0.
        retry_policy: After which failures, and how long to wait before.
        idempotent: Whether a second call with the same idempotency key does nothing, so that a tool with
            side effects may be called again all the same.
        takes_state: Whether the function is called with `state` and `args`.
        output_schema: The JSON schema of what it returns; None where that is not known.
        circuit: When it is left alone for a while, because it failed again and again, whoever called it in this
            process; None means never.

    Raises:
        ConfigurationError: If it has no name, a number is none or out of its range, or a tool with side effects
            that is not idempotent is to be called again.

    Example:
        >>> def add(a: int, b: int = 1) -> int:
        ...     "Add two numbers."
        ...     return a + b
        >>> tool = Tool.of(add)
        >>> tool.name, tool.description, tool.output_schema
        ('add', 'Add two numbers.', {'type': 'integer'})
        >>> tool.arguments({"a": "2"})
        {'a': 2, 'b': 1}
    """

    name: str
    description: str
    function: Callable[..., object]
    parameters: type[BaseModel] = field(repr=False)
    context_parameter: str | None = None
    side_effect: bool = False
    timeout_seconds: float | None = None
    retries: int = 0
    retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY
    idempotent: bool = False
    takes_state: bool = False
    output_schema: Mapping[str, object] | None = field(default=None, repr=False, compare=False)
    circuit: CircuitPolicy | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigurationError("A tool needs a name.")
        if self.name == _UNNAMED:
            raise ConfigurationError(
                "A lambda has no name by which a plan could call it.",
                hint="Make a function of it with `def`, or name it: Tool.of(..., name='double').",
            )
        if self.timeout_seconds is not None and not (_is_number(self.timeout_seconds) and self.timeout_seconds > 0):
            raise ConfigurationError(f"The time limit of the tool {self.name!r} must be a number of seconds above 0.")
        if type(self.retries) is not int or self.retries < 0:
            message = f"The tool {self.name!r} cannot be tried again {self.retries!r} times."
            raise ConfigurationError(message, hint="`retries` is a whole number from 0.")
        if not isinstance(self.retry_policy, RetryPolicy):
            raise ConfigurationError(
                f"The `retry_policy` of the tool {self.name!r} must be a RetryPolicy, "
                f"not {type(self.retry_policy).__name__}.",
                hint="How often is said by retries=3, how long to wait by retry_policy=RetryPolicy(base_seconds=1).",
            )
        if not isinstance(self.circuit, CircuitPolicy | None):
            raise ConfigurationError(
                f"The `circuit` of the tool {self.name!r} must be a CircuitPolicy, not {type(self.circuit).__name__}.",
                hint="Write circuit=CircuitPolicy(failures=5).",
            )
        if self.side_effect and self.retries and not self.idempotent:
            raise ConfigurationError(
                f"The tool {self.name!r} has side effects, so it is not called again when it fails.",
                hint="Drop `retries`; or pass the context's idempotency key on and say idempotent=True.",
            )

    @classmethod
    def of(
        cls,
        function: "Callable[..., object] | Tool",
        *,
        name: str = "",
        description: str = "",
        side_effect: bool = False,
        timeout_seconds: float | None = None,
        retries: int = 0,
        retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
        idempotent: bool = False,
        circuit: CircuitPolicy | None = None,
    ) -> "Tool":
        """Return the tool that `function` is. What a `functools.partial` binds is hidden from the model.

        Args:
            function: A function, a method, a callable object, or a class of such whose constructor takes
                nothing. A tool is returned as it is, but for what else is given here.
            name: How a plan names it; the function's own name when empty.
            description: For the model; what the docstring says when empty.
            side_effect: As the attributes, like all that follow.
            timeout_seconds: Above 0.
            retries: From 0.
            retry_policy: Which failures, and the waits between tries.
            idempotent: Whether a second call does nothing.
            circuit: When it is left alone.

        Raises:
            ConfigurationError: If it is not callable, has a parameter that no model could fill, or what is
                said of it makes no sense.

        Example:
            >>> from functools import partial
            >>> def fetch(url: str, key: str) -> str: ...
            >>> list(Tool.of(partial(fetch, key="k"), timeout_seconds=5).parameters_schema["properties"])
            ['url']
        """
        settings: dict[str, object] = {
            "name": name,
            "description": description,
            "side_effect": side_effect,
            "retries": retries,
            "idempotent": idempotent,
            "circuit": circuit,
        }
        given = {setting: value for setting, value in settings.items() if value}
        if timeout_seconds is not None:
            given["timeout_seconds"] = timeout_seconds
        if retry_policy != DEFAULT_RETRY_POLICY:
            given["retry_policy"] = retry_policy
        tool = function if isinstance(function, Tool) else _tool_of(function, name)
        return replace(tool, **given) if given else tool  # type: ignore[arg-type]  # of the types above

    @property
    def parameters_schema(self) -> Mapping[str, object]:
        """The JSON schema of its arguments: an object with `properties`."""
        return schema_of(self.parameters)

    @property
    def circuit_key(self) -> str:
        """Under which name its circuit is known: two tools share it if their functions and names are the same.

        Example:
            >>> from base64 import b64encode
            >>> Tool.of(b64encode, name="encode").circuit_key
            'tool:base64.b64encode/encode'
        """
        function = self.function.func if isinstance(self.function, partial) else self.function
        named = function if hasattr(function, "__qualname__") else type(function)
        return f"tool:{named.__module__}.{named.__qualname__}/{self.name}"

    def problems(self, given: Mapping[str, object], *, unresolved: frozenset[str] = frozenset()) -> str:
        """Return what is wrong with planned arguments, in one sentence without their values; "" when nothing is.

        Args:
            given: Argument -> JSON value.
            unresolved: The arguments whose values are not known yet, as they refer to what another tool will
                return; their names count.

        Example:
            >>> def add(a: int, b: int = 1) -> int: ...
            >>> Tool.of(add).problems({"a": "{{tasks.0.output}}"}, unresolved=frozenset({"a"}))
            ''
            >>> print(Tool.of(add).problems({"c": 1}))
            The arguments for the tool 'add' do not fit: 'c' is none of them; 'a' is missing.
        """
        problems = checked(self.parameters, given, unresolved=unresolved).problems
        return ToolArgumentsError(self.name, scrubbed("; ".join(problems))).message if problems else ""

    def arguments(self, given: Mapping[str, object]) -> dict[str, object]:
        """Return `given` checked and converted to what the function's annotations ask for.

        Raises:
            ToolError: Code `tool.arguments`, naming every argument that does not fit.
        """
        found = checked(self.parameters, given)
        if found.values is None:
            raise ToolArgumentsError(self.name, scrubbed("; ".join(found.problems)))
        if self.takes_state:
            return {ARGS: _whole(found.values)}
        values = found.values
        return {parameter_name(name, info): getattr(values, name) for name, info in type(values).model_fields.items()}

    def may_retry(self, error: ToolError, failures: int) -> bool:
        """Return whether a call that has failed is made once more.

        Args:
            error: How it failed.
            failures: How often it has failed so far, from 1.

        Example:
            >>> from tagent.task_agent.tools.runner import ToolTimeoutError
            >>> def ping() -> None: ...
            >>> tool = Tool.of(ping, retries=1)
            >>> [tool.may_retry(ToolTimeoutError("ping", seconds=1), failures) for failures in (1, 2)]
            [True, False]
        """
        if failures > self.retries:
            return False
        is_retryable = error.code in _WORTH_ANOTHER_TRY
        kinds = kinds_of(error.__cause__ or error)
        return is_worth_another_try(self.retry_policy, code=error.code, is_retryable=is_retryable, kinds=kinds)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def tools_by_name(functions: Iterable[Callable[..., object] | Tool]) -> dict[str, Tool]:
    """Return the tools by name, in order; of two with one name the later wins."""
    return {tool.name: tool for tool in map(Tool.of, functions)}


def _tool_of(given: Callable[..., object], name: str) -> Tool:
    """Return the tool that a function is. Making one takes a millisecond, so a plain function keeps its own."""
    if name or not inspect.isfunction(given):
        return _made_of(given, name)
    kept = vars(given).get(_KEPT)
    if not isinstance(kept, Tool) or kept.function is not given:  # `functools.wraps` copies what a function keeps
        kept = vars(given)[_KEPT] = _made_of(given, name)
    return kept


def _made_of(given: Callable[..., object], name: str) -> Tool:
    function = _callable_of(given)
    inner: object = function.func if isinstance(function, partial) else function
    if isinstance(inner, Tool):  # a decorated one, which can be called
        raise ConfigurationError(
            f"The tool {inner.name!r} cannot be bound with `partial`.",
            hint="Bind its function, and make a tool of that.",
        )
    own: str = getattr(function, "__name__", "") or getattr(inner, "__name__", type(inner).__name__)
    told = described(inspect.getdoc(inner) or "")
    signature = signature_of(function, name or own, meanings=told.parameters)
    return Tool(
        name or own,
        told.summary,
        function,
        signature.parameters,
        signature.context_parameter,
        takes_state=signature.takes_state,
        output_schema=signature.output_schema,
    )


def _callable_of(given: object) -> Callable[..., object]:
    """Return what is called: the function, or an instance of the class of callable objects."""
    if isinstance(given, staticmethod):
        return given.__func__
    if not inspect.isclass(given):
        if callable(given):
            return given
        raise ConfigurationError(f"A tool must be a function, not {type(given).__name__}.")
    if not any("__call__" in vars(base) for base in given.__mro__):
        return given
    try:
        instance = cast("Callable[..., object]", given())  # its class has a `__call__`
    except Exception as error:
        raise ConfigurationError(
            f"The tool class {given.__name__!r} cannot be made without arguments: {type(error).__name__}.",
            hint="Give an instance of it.",
        ) from error
    return instance


def _whole(values: BaseModel) -> object:
    """Return the arguments in the one value that the function takes."""
    if isinstance(values, RootModel):
        return values.root
    is_free = not type(values).model_fields and type(values).model_config.get("extra") == "allow"
    return dict(values.model_extra or {}) if is_free else values
