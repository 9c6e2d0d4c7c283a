"""What is to be known of a function whose parameters are filled by name."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin, get_type_hints
from weakref import WeakKeyDictionary

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter

from tagent.pipeline.context import StepContext


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a step's function.

    Attributes:
        name: What it is filled by: a step or an input of this name.
        is_context: Whether it takes the `StepContext` instead.
        is_required: Whether it has no default.
        is_nameable: Whether it can be passed by name.
        adapter: Converts what it is given to its annotation; None when it has none that Pydantic can check.
    """

    name: str
    is_context: bool
    is_required: bool
    is_nameable: bool = True
    adapter: TypeAdapter[Any] | None = None


@dataclass(frozen=True, slots=True)
class FunctionSignature:
    """What is to be known of a step's function.

    Attributes:
        parameters: In order.
        takes_the_rest: Whether it has `**kwargs`: they take the outputs of its other dependencies.
        return_type: Its return annotation; None when there is none.
        is_async: Whether calling it gives a coroutine.
        is_generator: Whether calling it gives a generator, which is no output.
        problem: Why the signature could not be read; empty when it could.
    """

    parameters: tuple[Parameter, ...] = ()
    takes_the_rest: bool = False
    return_type: object = None
    is_async: bool = False
    is_generator: bool = False
    problem: str = ""


_signatures: WeakKeyDictionary[Callable[..., object], FunctionSignature] = WeakKeyDictionary()


def signature_of(function: Callable[..., object]) -> FunctionSignature:
    """Return the signature of a step's function, with a `problem` instead of an exception."""
    try:
        if function not in _signatures:
            _signatures[function] = _read_signature(function)
        return _signatures[function]
    except (TypeError, KeyError):  # cannot be referred to weakly, or is made anew for each use: a bound method
        return _read_signature(function)


def _read_signature(function: Callable[..., object]) -> FunctionSignature:
    called = _called(function)
    try:
        signature = inspect.signature(function)
        hints: Mapping[str, Any] = get_type_hints(called, include_extras=True)
    except (TypeError, ValueError, NameError, AttributeError) as error:
        hint = (
            "Import what annotations name at module level, outside TYPE_CHECKING."
            if isinstance(error, NameError)
            else ""
        )
        return FunctionSignature(problem=f"{error}. {hint}".rstrip(". "))
    unnameable = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY}
    parameters = tuple(
        Parameter(
            parameter.name,
            is_context=_is_context(hints.get(parameter.name)),
            is_required=parameter.default is parameter.empty,
            is_nameable=parameter.kind not in unnameable,
            adapter=_adapter(hints.get(parameter.name)),
        )
        for parameter in signature.parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    )
    returns = hints.get("return")
    is_typed = returns not in (None, Any, object, type(None))
    return FunctionSignature(
        parameters,
        takes_the_rest=any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()),
        return_type=returns if is_typed else None,
        is_async=inspect.iscoroutinefunction(called),
        is_generator=inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called),
    )


def _adapter(annotation: object) -> TypeAdapter[Any] | None:
    if annotation is None or annotation in (Any, object) or _is_context(annotation):
        return None
    try:
        return TypeAdapter(cast("Any", annotation))
    except (PydanticSchemaGenerationError, PydanticUserError, NameError):
        return None


def _called(function: Callable[..., object]) -> Callable[..., object]:
    """Return the function whose code runs: behind partials, decorators and `__call__`."""
    while isinstance(function, partial):
        function = function.func
    if not (inspect.isroutine(function) or inspect.isclass(function)):
        function = type(function).__call__
    unwrapped: Callable[..., object] = inspect.unwrap(function)
    return unwrapped


def _is_context(annotation: object) -> bool:
    """Return whether a parameter of this annotation takes the `StepContext`, also as optional or annotated."""
    if get_origin(annotation) is Annotated:
        return _is_context(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        return any(_is_context(argument) for argument in get_args(annotation))
    return annotation is StepContext
