"""What a run is given: checked against the pipeline, kept as JSON values, read as declared types."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from tagent.exceptions import DataPathError, nearest
from tagent.paths import DataPath, field_values
from tagent.pipeline.bindings import OUTPUT, conditions_of, functions, names_read, part_names, what_was_meant
from tagent.pipeline.conditions import Condition
from tagent.pipeline.conditions.writing import path_text
from tagent.pipeline.exceptions import InputError, StepOutputError
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.signatures import signature_of

_HOW: Final = "Pass them as inputs={...}, or --input name=value."

_MOST_SUGGESTIONS: Final = 50
"""So many missing inputs are compared with what is there: each takes the time of all of these together."""


def check_inputs(
    pipeline: Pipeline,
    given: Mapping[str, object] | BaseModel | None,
    *,
    steps: Collection[str] | None = None,
    inside: str = "",
) -> dict[str, object]:
    """Return the inputs by name as JSON values.

    Args:
        pipeline: The definition.
        given: The inputs.
        steps: The steps that run; None for all. What only others ask for need not be given, unless a model declares it.
        inside: The step whose work the pipeline is; empty if it runs by itself.

    Raises:
        InputError: If one is missing, unknown to the declared model, does not fit, or is not JSON.
    """
    named: dict[Any, object] = dict(field_values(given)) if isinstance(given, BaseModel) else dict(given or {})
    if odd := {str(name): "is no text; names are." for name in named if not isinstance(name, str)}:
        raise InputError(pipeline.name, odd)
    if pipeline.inputs is None:
        needing = [step for step in pipeline.steps if steps is None or step.name in steps]
        where = f"Give it in `inputs=` of the step {inside!r}." if inside else _HOW
        return _undeclared(pipeline, named, needing, hint=where)
    try:
        checked = pipeline.inputs.model_validate(named, by_alias=True, by_name=True)
    except ValidationError as error:
        fields = pipeline.inputs.model_fields
        texts = [name for name in named if any(_is_no_text(problem, name) for problem in error.errors())]
        as_json = f" On the command line, what is no text is written as JSON: {texts[0]}:=JSON." if texts else ""
        raise InputError(
            pipeline.name,
            {
                ".".join(map(str, problem["loc"])): "is missing."
                if problem["type"] == "missing"
                else f"does not fit: {problem['msg']}."
                for problem in error.errors(include_input=False, include_url=False)
            },
            hint=f"It takes: {', '.join(fields)}.{as_json}",
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


def _is_no_text(problem: ErrorDetails, name: str) -> bool:
    """Return whether the input is a text, and the problem is that it is one."""
    of_type = problem["type"].endswith("_type")  # "dict_type", "model_type", ...: no kind of text will do
    return of_type and problem["loc"][:1] == (name,) and isinstance(problem["input"], str)


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


def missing_inputs(
    pipeline: Pipeline, given: Collection[str], steps: Iterable[PipelineStep]
) -> Iterator[tuple[str, str, str]]:
    """Yield which inputs are not given and that one of these steps cannot do without: the step, the name, and why.

    Each name is told once, with the name that may have been meant.

    Raises:
        DataPathError: If a path of a step is malformed.
    """
    names = {step.name for step in pipeline.steps}
    told: set[str] = set()
    for step in steps:
        items = part_names(step)
        for name, why, others in _wanted(step, names, items):
            if name in given or name in told:
                continue
            told.add(name)
            hint = "" if others is None else what_was_meant(name)
            if len(told) <= _MOST_SUGGESTIONS:
                hint = nearest(name, given if others is None else {*given, *names, *others} - {step.name}) + hint
            yield step.name, name, f"{why}{hint}"


def unused_inputs(pipeline: Pipeline, given: Collection[str]) -> Iterator[str]:
    """Yield that no step reads an input, for each that is given for nothing to a pipeline without an input model."""
    if pipeline.inputs is not None or not given:
        return
    read = {name for step in pipeline.steps for name in _names_read(step, pipeline)}
    for name in sorted(set(given) - read):
        yield f"No step reads the input {name!r}.{nearest(name, read)}"


def _names_read(step: PipelineStep, pipeline: Pipeline) -> list[str]:
    try:
        return list(names_read(step, pipeline.global_constraints))
    except DataPathError:
        return []  # the step's own check names the malformed path


def _wanted(step: PipelineStep, steps: Set[str], items: Set[str]) -> Iterator[tuple[str, str, Collection[str] | None]]:
    """Yield the inputs without which a step cannot work, and why it needs them.

    With each go the names that would do besides those of steps and inputs, None if nothing but an input would.
    """
    yield from _wanted_by_paths(step, steps, items)
    if step.pipeline is not None:
        yield from _wanted_inside(step, step.pipeline, steps, items)
    conditions = list(conditions_of(step))
    own = {*items, OUTPUT} if step.depends_on or step.until is not None else items
    for function in _functions(step, conditions):
        for parameter in signature_of(function).parameters:
            name = parameter.name
            if parameter.is_required and not (parameter.is_context or name in steps or name in own):
                yield name, f"the function of step {step.name!r} asks for it.", own
    for condition in conditions:
        for name in sorted(condition.inputs_needed):
            guard = f"has({path_text('inputs', (name,))}) && ..."
            yield name, f"a condition of step {step.name!r} reads it. If it may be missing, write {guard}.", None


def _wanted_by_paths(
    step: PipelineStep, steps: Set[str], items: Set[str]
) -> Iterator[tuple[str, str, Collection[str]]]:
    """Yield what a step follows paths into, besides steps and items."""
    if step.for_each is not None and (root := DataPath.parse(step.for_each).root) not in steps:
        yield root, f"`for_each` of step {step.name!r} goes through it.", ()
    if step.switch_on is not None and (root := DataPath.parse(step.switch_on).root) not in steps:
        yield root, f"the step {step.name!r} chooses by it.", ()
    for root in (DataPath.parse(written).root for written in step.read_data):
        if root not in steps and root not in items:
            yield root, f"`read_data` of step {step.name!r} names it.", items


def _wanted_inside(
    step: PipelineStep, pipeline: Pipeline, steps: Set[str], items: Set[str]
) -> Iterator[tuple[str, str, Collection[str]]]:
    """Yield what the pipeline inside a step needs of the inputs, those besides steps and items."""
    if isinstance(step.inputs, Mapping):
        for path in map(DataPath.parse, step.inputs.values()):
            if path.root not in steps and path.root not in items:
                yield path.root, f"the step {step.name!r} hands it to its pipeline.", items
    elif step.inputs is None:
        for name, _ in inputs_required(pipeline):
            if name not in steps and name not in items:
                yield name, f"the pipeline of step {step.name!r} asks for it.", items


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


def _undeclared(
    pipeline: Pipeline, named: dict[str, object], steps: Iterable[PipelineStep], *, hint: str
) -> dict[str, object]:
    problems: dict[str, str] = {}
    values: dict[str, object] = {}
    for name, value in named.items():
        try:
            values[name] = OutputType().dump(value, step=name)
        except StepOutputError:
            problems[name] = "cannot be written as JSON."
    problems |= {name: f"is missing; {why}" for _, name, why in missing_inputs(pipeline, named, steps)}
    if problems:
        raise InputError(pipeline.name, problems, hint=hint)
    return values
