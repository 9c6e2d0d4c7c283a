"""What a step reads: placeholders in its texts, `read_data`, the parameters of its function.

Whatever names another step is a dependency too, so nobody has to write it twice.
"""

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, get_type_hints

from tagent.exceptions import DataPathError
from tagent.paths import PATH_PATTERN, DataPath
from tagent.pipeline.context import StepContext
from tagent.pipeline.models import Dependency, DependencyType, PipelineStep
from tagent.task_agent.context import fenced

_PLACEHOLDER = re.compile(r"(?<!\{)\{(" + PATH_PATTERN + r")\}(?!\})")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a step's function.

    Attributes:
        name: What it is filled by: a step or an input of this name.
        is_context: Whether it takes the `StepContext` instead.
        is_required: Whether it has no default.
        is_nameable: Whether it can be passed by name.
    """

    name: str
    is_context: bool
    is_required: bool
    is_nameable: bool = True


@dataclass(frozen=True, slots=True)
class FunctionSignature:
    """What is to be known of a step's function.

    Attributes:
        parameters: In order.
        return_type: Its return annotation; None when there is none.
        is_async: Whether calling it gives a coroutine.
        problem: Why the signature could not be read; empty when it could.
    """

    parameters: tuple[Parameter, ...] = ()
    return_type: object = None
    is_async: bool = False
    problem: str = ""


def signature_of(function: Callable[..., object]) -> FunctionSignature:
    """Return the signature of a step's function, with a `problem` instead of an exception."""
    try:
        return _signature_of(function)
    except TypeError:  # unhashable callables are not cached
        return _read_signature(function)


def _read_signature(function: Callable[..., object]) -> FunctionSignature:
    target = function if inspect.isroutine(function) or inspect.isclass(function) else type(function).__call__
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        return FunctionSignature(problem=str(error))
    try:
        hints: Mapping[str, Any] = get_type_hints(target, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        return FunctionSignature(problem=str(error))
    unnameable = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY}
    parameters = tuple(
        Parameter(
            parameter.name,
            is_context=hints.get(parameter.name) is StepContext,
            is_required=parameter.default is parameter.empty,
            is_nameable=parameter.kind not in unnameable,
        )
        for parameter in signature.parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    )
    returns = hints.get("return")
    is_typed = returns not in (None, Any, object, type(None))
    return FunctionSignature(parameters, returns if is_typed else None, _is_async(function))


def _is_async(function: Callable[..., object]) -> bool:
    if isinstance(function, partial):
        return _is_async(function.func)
    return inspect.iscoroutinefunction(function if inspect.isroutine(function) else type(function).__call__)


_signature_of = lru_cache(maxsize=4096)(_read_signature)


def placeholders(text: str) -> Iterator[DataPath]:
    """Yield the path of each `{name}` and `{name.path}` in `text`; doubled braces are none.

    Example:
        >>> [str(path) for path in placeholders("Compare {a.price} with {b}, not {{c}}")]
        ['a.price', 'b']
    """
    for match in _PLACEHOLDER.finditer(text):
        yield DataPath.parse(match[1])


def fill(text: str, values: Mapping[str, object]) -> str:
    """Return `text` with the placeholders that `values` names replaced once, as fenced data.

    Raises:
        DataPathError: If a path leads nowhere.

    Example:
        >>> fill("Describe {name}, {as it is}", {"name": "tagent"})
        'Describe <data name="name">tagent</data>, {as it is}'
    """

    def replaced(match: re.Match[str]) -> str:
        path = DataPath.parse(match[1])
        return fenced(match[1], path.look_up(values)) if path.root in values else match[0]

    return _PLACEHOLDER.sub(replaced, text)


def texts(step: PipelineStep, global_constraints: Collection[str] = ()) -> tuple[str, ...]:
    """Return the texts of a step in which placeholders are replaced."""
    return (step.goal or "", *step.constraints, *global_constraints)


def dependencies(
    step: PipelineStep, step_names: Collection[str], global_constraints: Collection[str] = ()
) -> tuple[Dependency, ...]:
    """Return what `step` depends on: first as declared, then what it reads of other steps.

    What is read adds a DATA dependency, unless `depends_on` already names the step.

    Raises:
        DataPathError: If a path of `read_data` is malformed.
    """
    written = () if isinstance(step.depends_on, str) else step.depends_on  # validation refuses a string
    declared = [dep if isinstance(dep, Dependency) else Dependency(dep) for dep in written]
    named = {dep.step for dep in declared}
    read: dict[tuple[str, str], Dependency] = {}
    for path in _paths_read(step, global_constraints):
        if path.root in step_names and path.root not in named and path.root != step.name:
            below = str(DataPath("_", path.parts))[1:].removeprefix(".")
            read[path.root, below] = Dependency(path.root, DependencyType.DATA, path=below)
    return (*declared, *read.values())


def _paths_read(step: PipelineStep, global_constraints: Collection[str]) -> Iterator[DataPath]:
    for text in texts(step, global_constraints if step.run is None else ()):
        yield from placeholders(text)
    for path in step.read_data:
        yield DataPath.parse(path)
    if step.run is not None:
        for parameter in signature_of(step.run).parameters:
            if not parameter.is_context:
                yield DataPath(parameter.name)


def output_path(dependency: Dependency) -> DataPath:
    """Return the path that a DATA dependency asks for, starting at the step's name.

    Raises:
        DataPathError: If it is malformed.
    """
    if not dependency.path:
        return DataPath(dependency.step)
    separator = "" if dependency.path.startswith("[") else "."
    try:
        parsed = DataPath.parse(f"_{separator}{dependency.path}")
    except DataPathError as error:
        raise DataPathError(dependency.path, f"{dependency.path!r} is not a path below an output.") from error
    return DataPath(dependency.step, parsed.parts)
