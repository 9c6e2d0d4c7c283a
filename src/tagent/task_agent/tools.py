"""Tools: plain functions, described to the model by their signature and docstring."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic.fields import FieldInfo

from tagent.exceptions import ConfigurationError, ToolError, text_of
from tagent.memory import StepMemory
from tagent.messaging import StepMessages
from tagent.task_agent.reach import Reach, required


@dataclass(slots=True)
class ToolContext:
    """What a tool may ask for: declare a parameter of this type, of any name, and it is passed in.

    Attributes:
        goal: The goal that the agent works on.
        cancelled: True once nobody waits for the tool any more; a long one looks and returns early.
        idempotency_key: Names this call in its run: step, tool, arguments, and which call with the same
            ones it is. Equal when a later attempt makes the call again, so that a service that takes a
            key does the thing once. Empty outside a pipeline.
        reach: The way to memory and mail; None outside a pipeline.
    """

    goal: str = ""
    cancelled: bool = False
    idempotency_key: str = ""
    reach: Reach | None = None

    @property
    def memory(self) -> StepMemory:
        """What is remembered: of the step, its run, its pipeline, and the spaces that this one shares.

        What a tool writes counts when its step succeeds.

        Raises:
            OutsidePipelineError: If the agent does not work at a step of a pipeline.
        """
        return required(self.reach, "memory").memory

    @property
    def messages(self) -> StepMessages:
        """The mail of the step.

        Raises:
            OutsidePipelineError: If the agent does not work at a step of a pipeline.
        """
        return required(self.reach, "mail").messages


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call.

    Attributes:
        name: How a plan names it.
        description: Its docstring, for the model.
        function: What is called; sync or async.
        parameters: A Pydantic model of its parameters.
        context_parameter: The parameter that takes the `ToolContext`; None if it wants none.
        side_effect: Whether calling it twice does harm. A call of it that a crash cut off, of which nobody
            knows whether it happened, is then not made again: the step fails, and a person decides.

    Example:
        >>> def add(a: int, b: int = 1) -> int:
        ...     "Add two numbers."
        ...     return a + b
        >>> tool = Tool.of(add)
        >>> tool.name, tool.description
        ('add', 'Add two numbers.')
        >>> tool.arguments({"a": "2"})
        {'a': 2, 'b': 1}
    """

    name: str
    description: str
    function: Callable[..., object]
    parameters: type[BaseModel] = field(repr=False)
    context_parameter: str | None = None
    side_effect: bool = False

    @classmethod
    def of(cls, function: "Callable[..., object] | Tool", *, side_effect: bool = False) -> "Tool":
        """Return the tool that `function` is. What a `functools.partial` binds is hidden from the model.

        Args:
            function: The function; a tool is returned as it is.
            side_effect: Whether calling it twice does harm.

        Raises:
            ConfigurationError: If it is not callable, or has a parameter that no model could fill.
        """
        if isinstance(function, Tool):
            return function
        if not callable(function):
            raise ConfigurationError(f"A tool must be a function, not {type(function).__name__}.")
        inner = function.func if isinstance(function, partial) else function
        name: str = getattr(function, "__name__", "") or getattr(inner, "__name__", type(inner).__name__)
        parameters, context_parameter = _parameters_of(function, name)
        return cls(name, inspect.getdoc(inner) or "", function, parameters, context_parameter, side_effect)

    @property
    def parameters_schema(self) -> dict[str, object]:
        """The JSON schema of its arguments."""
        return self.parameters.model_json_schema()

    def arguments(self, given: Mapping[str, object]) -> dict[str, object]:
        """Return `given` checked and converted to what the function's annotations ask for.

        Raises:
            ToolError: Code `tool.arguments`, naming every argument that does not fit.
        """
        try:
            checked = self.parameters.model_validate(dict(given))
        except ValidationError as error:
            raise ToolArgumentsError(self.name, text_of(error)) from None
        return {
            _parameter_name(name, info): getattr(checked, name) for name, info in type(checked).model_fields.items()
        }


class ToolArgumentsError(ToolError):
    """A tool is called with arguments that do not fit its signature."""

    code = "tool.arguments"

    def __init__(self, tool: str, problems: str) -> None:
        super().__init__(tool, f"The arguments for the tool {tool!r} do not fit: {problems}.")


def tools_by_name(functions: Iterable[Callable[..., object] | Tool]) -> dict[str, Tool]:
    """Return the tools by name, in order; of two with one name the later wins."""
    return {tool.name: tool for tool in map(Tool.of, functions)}


def _parameters_of(function: Callable[..., object], name: str) -> tuple[type[BaseModel], str | None]:
    inner, bound = (function.func, function.keywords) if isinstance(function, partial) else (function, {})
    target = inner if inspect.isroutine(inner) or inspect.isclass(inner) else type(inner).__call__
    try:
        hints = get_type_hints(target, include_extras=True)
        signature = inspect.signature(function)
    except (NameError, TypeError, ValueError) as error:
        raise ConfigurationError(f"The signature of the tool {name!r} cannot be read: {error}.") from error
    fields: dict[str, Any] = {}
    context_parameter = None
    for parameter in signature.parameters.values():
        annotation = hints.get(parameter.name, Any)
        if parameter.name in bound:
            continue
        if parameter.kind in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY}:
            raise ConfigurationError(
                f"The tool {name!r} has the parameter {str(parameter)!r}, which cannot be passed by name."
            )
        if annotation is ToolContext or ToolContext in get_args(annotation):
            context_parameter = parameter.name
        else:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields.update([_field_of(parameter.name, annotation, default)])
    try:
        model = create_model(f"{name}_arguments", __config__=ConfigDict(extra="forbid"), **fields)
        model.model_json_schema()
    except (PydanticUserError, NameError) as error:
        raise ConfigurationError(f"The tool {name!r} cannot be described to a model: {error}") from error
    return model, context_parameter


_ALIASED = "argument_"


def _field_of(parameter: str, annotation: Any, default: object) -> tuple[str, tuple[Any, object]]:
    """Return the name and definition of a parameter's field.

    The two names are the same, but for what cannot name a field of a Pydantic model, like `json` or `_all`.
    """
    if parameter.startswith("_") or hasattr(BaseModel, parameter):
        return f"{_ALIASED}{parameter}", (Annotated[annotation, Field(alias=parameter)], default)
    return parameter, (annotation, default)


def _parameter_name(field_name: str, info: FieldInfo) -> str:
    return info.alias if info.alias and field_name == f"{_ALIASED}{info.alias}" else field_name
