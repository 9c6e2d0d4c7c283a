"""What a run is given: checked against the pipeline, kept as JSON values, read as declared types."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from tagent.exceptions import nearest
from tagent.paths import DataPath, field_values
from tagent.pipeline.bindings import ITEM_NAMES, OUTPUT, conditions_of, functions, signature_of
from tagent.pipeline.conditions import Condition
from tagent.pipeline.conditions.writing import path_text
from tagent.pipeline.exceptions import InputError, StepOutputError
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.outputs import OutputType

_MOST_SUGGESTIONS: Final = 50
"""So many missing inputs are compared with what is there: each takes the time of all of these together."""


def check_inputs(pipeline: Pipeline, given: Mapping[str, object] | BaseModel | None) -> dict[str, object]:
    """Return the inputs by name as JSON values.

    Raises:
        InputError: If one is missing, unknown to the declared model, does not fit, or is not JSON.
    """
    named: dict[Any, object] = dict(field_values(given)) if isinstance(given, BaseModel) else dict(given or {})
    if odd := {str(name): "is no text; names are." for name in named if not isinstance(name, str)}:
        raise InputError(pipeline.name, odd)
    if pipeline.inputs is None:
        return _undeclared(pipeline, named)
    try:
        checked = pipeline.inputs.model_validate(named, by_alias=True, by_name=True)
    except ValidationError as error:
        fields = pipeline.inputs.model_fields
        raise InputError(
            pipeline.name,
            {
                ".".join(map(str, problem["loc"])): "is missing."
                if problem["type"] == "missing"
                else f"does not fit: {problem['msg']}."
                for problem in error.errors(include_input=False, include_url=False)
            },
            hint=f"It takes: {', '.join(fields)}.",
        ) from None
    known = _names(pipeline.inputs)
    if pipeline.inputs.model_config.get("extra") == "allow":
        known |= named.keys()
    if unknown := {name: f"is unknown.{nearest(name, known)}" for name in named if name not in known}:
        raise InputError(pipeline.name, unknown, hint=f"It takes: {', '.join(pipeline.inputs.model_fields)}.")
    try:
        plain: dict[str, object] = OutputType(pipeline.inputs).dump(checked, step="inputs")  # type: ignore[assignment]  # a model's
    except StepOutputError as error:
        raise InputError(pipeline.name, {"as a whole": f"cannot be kept: {error.message}"}, hint=error.hint) from error
    return plain


def typed_inputs(pipeline: Pipeline, plain: Mapping[str, object]) -> Mapping[str, object]:
    """Return the inputs by name as the declared types, a copy of its own for each reader.

    Raises:
        InputError: If they do not fit: the input model has changed since they were stored.
    """
    try:
        return field_values(OutputType(pipeline.inputs).load(dict(plain), step="inputs"))
    except StepOutputError:
        raise InputError(
            pipeline.name,
            {"as a whole": "do not fit any more."},
            hint="Use the code that the run was started with, or fork the run with other inputs.",
        ) from None


def _names(model: type[BaseModel]) -> set[str]:
    aliases = {
        alias
        for field in model.model_fields.values()
        for alias in (field.alias, field.validation_alias)
        if isinstance(alias, str)
    }
    return set(model.model_fields) | aliases


def _wanted(step: PipelineStep, steps: Set[str], items: Set[str]) -> Iterator[tuple[str, str, bool]]:
    """Yield the inputs without which a step cannot work, why it needs them, and whether they are parameters."""
    if step.for_each is not None and (root := DataPath.parse(step.for_each).root) not in steps:
        yield root, f"`for_each` of step {step.name!r} goes through it.", False
    conditions = list(conditions_of(step))
    for function in _functions(step, conditions):
        for parameter in signature_of(function).parameters:
            name = parameter.name
            is_fed = parameter.is_context or name in steps or name in items or (name == OUTPUT and step.depends_on)
            if parameter.is_required and not is_fed:
                yield name, f"the function of step {step.name!r} asks for it.", True
    for condition in conditions:
        for name in sorted(condition.inputs_needed):
            guard = f"has({path_text('inputs', (name,))}) && ..."
            yield name, f"a condition of step {step.name!r} reads it. If it may be missing, write {guard}.", False


def _functions(step: PipelineStep, conditions: Iterable[Condition]) -> Iterator[Callable[..., object]]:
    """Yield the functions of a step whose parameters are filled by name."""
    yield from functions(step)
    if callable(step.compensate):
        yield step.compensate
    for condition in conditions:
        yield from condition.functions


def _undeclared(pipeline: Pipeline, named: dict[str, object]) -> dict[str, object]:
    problems: dict[str, str] = {}
    values: dict[str, object] = {}
    for name, value in named.items():
        try:
            values[name] = OutputType().dump(value, step=name)
        except StepOutputError:
            problems[name] = "cannot be written as JSON."
    step_names = {step.name for step in pipeline.steps}
    left = _MOST_SUGGESTIONS
    for step in pipeline.steps:
        items = ITEM_NAMES if step.for_each is not None else frozenset()
        for name, why, is_parameter in _wanted(step, step_names, items):
            if name in named or name in problems:
                continue
            problems[name] = f"is missing; {why}"
            if left > 0:
                left -= 1
                known = {*named, *step_names, *items} - {step.name} if is_parameter else named.keys()
                problems[name] += nearest(name, known)
    if problems:
        raise InputError(pipeline.name, problems, hint="Pass them as inputs={...}, or --input name=value.")
    return values
