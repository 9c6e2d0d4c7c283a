"""What a run is given: checked against the pipeline, kept as JSON values, read as declared types."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from tagent.exceptions import nearest
from tagent.paths import DataPath, field_values
from tagent.pipeline.bindings import OUTPUT, conditions_of, functions, part_names
from tagent.pipeline.conditions import Condition
from tagent.pipeline.conditions.writing import path_text
from tagent.pipeline.exceptions import InputError, StepOutputError
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.signatures import signature_of

_MOST_SUGGESTIONS: Final = 50
"""So many missing inputs are compared with what is there: each takes the time of all of these together."""


def check_inputs(
    pipeline: Pipeline, given: Mapping[str, object] | BaseModel | None, *, steps: Collection[str] | None = None
) -> dict[str, object]:
    """Return the inputs by name as JSON values.

    Args:
        pipeline: The definition.
        given: The inputs.
        steps: The steps that run; None for all. What only others ask for need not be given, unless a model declares it.

    Raises:
        InputError: If one is missing, unknown to the declared model, does not fit, or is not JSON.
    """
    named: dict[Any, object] = dict(field_values(given)) if isinstance(given, BaseModel) else dict(given or {})
    if odd := {str(name): "is no text; names are." for name in named if not isinstance(name, str)}:
        raise InputError(pipeline.name, odd)
    if pipeline.inputs is None:
        return _undeclared(pipeline, named, [step for step in pipeline.steps if steps is None or step.name in steps])
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
    if step.switch_on is not None and (root := DataPath.parse(step.switch_on).root) not in steps:
        yield root, f"the step {step.name!r} chooses by it.", False
    if step.pipeline is not None:
        yield from _wanted_inside(step, step.pipeline, {*steps, *items})
    conditions = list(conditions_of(step))
    for function in _functions(step, conditions):
        for parameter in signature_of(function).parameters:
            name = parameter.name
            has_output = step.depends_on or step.until is not None
            is_fed = parameter.is_context or name in steps or name in items or (name == OUTPUT and has_output)
            if parameter.is_required and not is_fed:
                yield name, f"the function of step {step.name!r} asks for it.", True
    for condition in conditions:
        for name in sorted(condition.inputs_needed):
            guard = f"has({path_text('inputs', (name,))}) && ..."
            yield name, f"a condition of step {step.name!r} reads it. If it may be missing, write {guard}.", False


def _wanted_inside(step: PipelineStep, pipeline: Pipeline, others: Set[str]) -> Iterator[tuple[str, str, bool]]:
    """Yield what the pipeline inside a step needs of the inputs, those besides steps and items."""
    if isinstance(step.inputs, Mapping):
        for path in map(DataPath.parse, step.inputs.values()):
            if path.root not in others:
                yield path.root, f"the step {step.name!r} hands it to its pipeline.", False
    elif step.inputs is None:
        for name, _ in inputs_required(pipeline):
            if name not in others:
                yield name, f"the pipeline of step {step.name!r} asks for it.", True


def inputs_required(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """Yield the inputs without which a pipeline cannot run, some of them twice, and why it needs them.

    Raises:
        DataPathError: If a path of a step is malformed.
    """
    if pipeline.inputs is not None:
        yield from ((name, "its input model asks for it.") for name, it in _fields(pipeline.inputs) if it.is_required())
        return
    names = {step.name for step in pipeline.steps}
    for step in pipeline.steps:
        yield from ((name, why) for name, why, _ in _wanted(step, names, part_names(step)))


def _fields(model: object) -> Iterable[tuple[str, FieldInfo]]:
    """Return the fields of an input model by name; of what is none, as validation says, there are none."""
    return model.model_fields.items() if isinstance(model, type) and issubclass(model, BaseModel) else ()


def _functions(step: PipelineStep, conditions: Iterable[Condition]) -> Iterator[Callable[..., object]]:
    """Yield the functions of a step whose parameters are filled by name."""
    yield from functions(step)
    if callable(step.compensate):
        yield step.compensate
    for condition in conditions:
        yield from condition.functions


def _undeclared(pipeline: Pipeline, named: dict[str, object], steps: Iterable[PipelineStep]) -> dict[str, object]:
    problems: dict[str, str] = {}
    values: dict[str, object] = {}
    for name, value in named.items():
        try:
            values[name] = OutputType().dump(value, step=name)
        except StepOutputError:
            problems[name] = "cannot be written as JSON."
    step_names = {step.name for step in pipeline.steps}
    left = _MOST_SUGGESTIONS
    for step in steps:
        items = part_names(step)
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
