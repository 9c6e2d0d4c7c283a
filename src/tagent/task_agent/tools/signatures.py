"""A function's signature -> what a model is told of its parameters, and how a call of it is checked.

Two styles are understood. In the natural one each parameter is an argument of the tool. In the other one the
function takes `state` and `args`: what earlier tools kept, and all arguments in one value.
"""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from dataclasses import dataclass, is_dataclass
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, RootModel, TypeAdapter, create_model
from pydantic.fields import FieldInfo
from typing_extensions import is_typeddict

from tagent.exceptions import ConfigurationError
from tagent.task_agent.tools.context import ToolContext
from tagent.task_agent.tools.typed_dicts import understood

STATE, ARGS = "state", "args"
"""The names of the two parameters of the second style."""

_ALIASED = "argument_"
_MAPPINGS = (dict, Mapping, MutableMapping)


@dataclass(frozen=True, slots=True)
class Signature:
    """What is known of a function before it is called.

    Attributes:
        parameters: A Pydantic model of its arguments.
        context_parameter: The parameter that takes the `ToolContext`; None if it wants none.
        takes_state: Whether it is called with `state` and `args`.
        output_schema: The JSON schema of what it returns; None where that is not known.
    """

    parameters: type[BaseModel]
    context_parameter: str | None
    takes_state: bool
    output_schema: Mapping[str, object] | None


def signature_of(function: Callable[..., object], name: str, *, meanings: Mapping[str, str]) -> Signature:
    """Return the signature of `function`. What a `functools.partial` binds is no part of it.

    Args:
        function: What will be called, by name of its parameters.
        name: The tool's name, for messages.
        meanings: Parameter -> what its docstring says; `Field(description=...)` is preferred.

    Raises:
        ConfigurationError: If it cannot be read, or has a parameter that no model could fill.
    """
    bound = function.keywords if isinstance(function, partial) else {}
    try:
        hints = _hints(function)
        parameters = inspect.signature(function).parameters
    except (NameError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"The signature of the tool {name!r} cannot be read: {str(error).rstrip('.')}."
        ) from error
    context_parameter = None
    open_: dict[str, inspect.Parameter] = {}
    for parameter in parameters.values():
        if parameter.name in bound:
            continue
        if parameter.kind in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY}:
            raise ConfigurationError(
                f"The tool {name!r} has the parameter {str(parameter)!r}, which cannot be passed by name."
            )
        annotation = hints.get(parameter.name, Any)
        if annotation is ToolContext or ToolContext in get_args(annotation):
            context_parameter = parameter.name
        else:
            open_[parameter.name] = parameter.replace(annotation=understood(annotation))
    takes_state = _takes_state(open_)
    try:
        model = _args_model(open_[ARGS].annotation, name) if takes_state else _model(open_, name, meanings)
        schema_of(model)
    except (PydanticUserError, NameError, TypeError) as error:
        raise ConfigurationError(f"The tool {name!r} cannot be described to a model: {error}") from error
    return Signature(model, context_parameter, takes_state, _output_schema(hints.get("return", Any)))


@lru_cache(maxsize=1024)
def schema_of(parameters: type[BaseModel]) -> Mapping[str, object]:
    """Return the JSON schema of a tool's arguments, an object with `properties`; it is kept, so not to be changed."""
    schema = parameters.model_json_schema()
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if not name:
        return {"properties": {}, **schema} if parameters.model_config.get("extra") == "allow" else schema
    definitions = schema["$defs"]
    described = dict(definitions[name])
    others = definitions if f"#/$defs/{name}" in str(described) else {k: v for k, v in definitions.items() if k != name}
    return described | {"$defs": others} if others else described


def parameter_name(field_name: str, info: FieldInfo) -> str:
    """Return the parameter that a field of the model stands for."""
    return info.alias if info.alias and field_name == f"{_ALIASED}{info.alias}" else field_name


def _hints(function: Callable[..., object]) -> dict[str, Any]:
    inner = function.func if isinstance(function, partial) else function
    if inspect.isclass(inner):
        own = get_type_hints(inner, include_extras=True)
        return {**own, **get_type_hints(inner.__init__, include_extras=True), "return": inner}
    target = inner if inspect.isroutine(inner) else type(inner).__call__
    try:
        return get_type_hints(target, include_extras=True)
    except NameError:
        # What it returns may be imported for type checkers only; then that alone is not known.
        annotations = {name: hint for name, hint in target.__annotations__.items() if name != "return"}
        scope = getattr(inspect.unwrap(target), "__globals__", {})
        return get_type_hints(SimpleNamespace(__annotations__=annotations), scope, include_extras=True)


def _takes_state(parameters: Mapping[str, inspect.Parameter]) -> bool:
    if parameters.keys() != {STATE, ARGS}:
        return False
    state, args = parameters[STATE].annotation, parameters[ARGS].annotation
    return _is_open(state) and (_is_open(args) or _has_fields(args))


def _is_open(annotation: Any) -> bool:
    """Return whether an annotation allows any mapping."""
    return _is_anything(annotation) or any((get_origin(annotation) or annotation) is it for it in _MAPPINGS)


def _is_anything(annotation: Any) -> bool:
    return annotation is Any or annotation is object


def _has_fields(annotation: Any) -> bool:
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return is_model or (isinstance(annotation, type) and is_dataclass(annotation)) or is_typeddict(annotation)


def _args_model(annotation: Any, name: str) -> type[BaseModel]:
    if _is_open(annotation):
        return create_model(f"{name}_arguments", __config__=ConfigDict(extra="allow"))
    if issubclass(annotation, BaseModel):
        return cast("type[BaseModel]", annotation)
    return RootModel[annotation]


def _model(parameters: Mapping[str, inspect.Parameter], name: str, meanings: Mapping[str, str]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for parameter in parameters.values():
        default = ... if parameter.default is parameter.empty else parameter.default
        annotation = _with_meaning(parameter.annotation, meanings.get(parameter.name, ""))
        fields.update([_field_of(parameter.name, annotation, default)])
    return create_model(f"{name}_arguments", __config__=ConfigDict(extra="forbid"), **fields)


def _with_meaning(annotation: Any, meaning: str) -> Any:
    """Return the annotation with a description before its own metadata, of which the later win."""
    if not meaning:
        return annotation
    bare, *metadata = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    return Annotated[(bare, Field(description=meaning), *metadata)]


def _field_of(parameter: str, annotation: Any, default: object) -> tuple[str, tuple[Any, object]]:
    """Return the name and definition of a parameter's field.

    The two names are the same, but for what cannot name a field of a Pydantic model, like `json` or `_all`.
    """
    if parameter.startswith("_") or hasattr(BaseModel, parameter):
        return f"{_ALIASED}{parameter}", (Annotated[annotation, Field(alias=parameter)], default)
    return parameter, (annotation, default)


def _output_schema(returned: Any) -> Mapping[str, object] | None:
    if get_origin(returned) in {Awaitable, Coroutine}:
        returned = get_args(returned)[-1]
    if get_origin(returned) is tuple and len(get_args(returned)) == 2:
        first, second = get_args(returned)
        if first is str:  # only the value says whether that is a key
            return None
        if get_origin(first) is Literal and all(isinstance(key, str) and key.isidentifier() for key in get_args(first)):
            returned = second
    if _is_anything(returned):
        return None
    try:
        return TypeAdapter(understood(returned)).json_schema(mode="serialization")
    except (PydanticUserError, NameError, TypeError):
        return None
