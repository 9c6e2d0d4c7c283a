"""The pipelines inside steps: how deep they lie, what they are given, and all that is wrong with them themselves."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from pydantic import BaseModel

from tagent.exceptions import DataPathError, nearest
from tagent.paths import DataPath
from tagent.pipeline import bindings
from tagent.pipeline.exceptions import Problem
from tagent.pipeline.inputs import inputs_required
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.nesting import MAX_DEPTH
from tagent.pipeline.validating.known import Found, Known
from tagent.pipeline.validating.work_checks import MAX_NAME_LENGTH, unknown_field, unknown_name

MOST_STEPS = 100_000
"""How many steps a pipeline may have together with those of the pipelines inside it."""

_NOT_BESIDE = ("agent", "branches", "tools", "tools_filter", "read_data", "constraints")
"""What says something about a goal or about branches, and so nothing about a pipeline."""

_RESERVED = "step"
"""Names in a store have this word where others have the name of a step."""


def nesting_problem(pipeline: Pipeline) -> Problem | None:
    """Return why pipelines lie inside each other in a way that nothing else can be asked of them; None if all is well.

    Nothing here takes longer than the distinct pipelines are many, however often each is used.
    """
    if (found := _circle(pipeline, (), set())) is not None:
        return found
    if _depth(pipeline, {}) > MAX_DEPTH:
        return _too_deep()
    if (count := _count(pipeline, {})) > MOST_STEPS:
        message = f"With those of the pipelines inside it, it has {count:,} steps; {MOST_STEPS:,} are allowed."
        return Problem("too_large", message)
    return None


def _inside(pipeline: Pipeline) -> Iterator[tuple[str, Pipeline]]:
    """Yield the pipelines right inside another one, with the step that each is in."""
    for step in pipeline.steps:
        inner: object = step.pipeline
        if isinstance(inner, Pipeline):
            yield str(step.name)[:MAX_NAME_LENGTH], inner


def _circle(pipeline: Pipeline, around: tuple[int, ...], done: set[int]) -> Problem | None:
    """Return that a pipeline is inside itself, or deeper than allowed; `done` are those in which all is well."""
    if len(around) > MAX_DEPTH:
        return _too_deep()
    for name, inner in _inside(pipeline):
        if id(inner) in (*around, id(pipeline)):
            told = f"The pipeline {inner.name!r} is inside itself. Give the step another one, or `repeat` a step."
            return Problem("cycle", told, name)
        if id(inner) not in done:
            if (found := _circle(inner, (*around, id(pipeline)), done)) is not None:
                return replace(found, step=f"{name}/{found.step}") if found.step else found
            done.add(id(inner))
    return None


def _too_deep() -> Problem:
    return Problem("too_deep", f"Pipelines lie more than {MAX_DEPTH} deep inside each other. Flatten some of them.")


def _depth(pipeline: Pipeline, known: dict[int, int]) -> int:
    if id(pipeline) not in known:
        known[id(pipeline)] = max((1 + _depth(inner, known) for _, inner in _inside(pipeline)), default=0)
    return known[id(pipeline)]


def _count(pipeline: Pipeline, known: dict[int, int]) -> int:
    if id(pipeline) not in known:
        known[id(pipeline)] = len(pipeline.steps) + sum(_count(inner, known) for _, inner in _inside(pipeline))
    return known[id(pipeline)]


def inner_problems(step: PipelineStep, known: Known) -> Iterator[Found]:
    """Yield the mistakes in how `step` runs a pipeline."""
    if step.pipeline is None:
        if step.inputs is not None:
            yield "bad_inputs", "`inputs` says what a pipeline is given, and it has none. Give it pipeline=."
        return
    useless = [name for name in _NOT_BESIDE if getattr(step, name)]
    if useless:
        named = ", ".join(f"`{name}`" for name in useless)
        yield "bad_pipeline", f"It runs a pipeline, whose steps have what they need: remove {named}."
    if step.name == _RESERVED:
        yield "bad_name", f"A step that runs a pipeline cannot be called {_RESERVED!r}."
    yield from _input_problems(step, step.pipeline, known)


def inner_warnings(step: PipelineStep) -> Iterator[Problem]:
    """Yield what in the pipeline of `step` has no effect there."""
    if step.pipeline is not None and step.pipeline.triggers:
        message = f"The triggers of the pipeline {step.pipeline.name!r} start no run where it is inside a step."
        yield Problem("no_effect", message, step.name, "warning")


def names_inside(step: PipelineStep, known: Known) -> Collection[str] | None:
    """Return the names of what the pipeline of `step` is given; None when they are not known."""
    if isinstance(step.inputs, Mapping):
        return set(step.inputs)
    if step.inputs is not None or step.pipeline is None:
        return None
    try:
        asked = bindings.asked_for(step.pipeline)
    except DataPathError:
        return None
    besides = bindings.part_names(step)
    if known.inputs is None:  # whatever is no step may be an input
        return set(asked)
    return {name for name in asked if name in known.names or name in besides}


def _input_problems(step: PipelineStep, pipeline: Pipeline, known: Known) -> Iterator[Found]:
    wanted = step.inputs
    if callable(wanted):
        return  # what it gives is known when it is called
    declared = pipeline.inputs if _is_model(pipeline.inputs) else None
    if isinstance(wanted, Mapping):
        for name, path in wanted.items():
            if declared is not None and name not in _names_of(declared):
                yield "unknown_input", f"Its pipeline takes no input {name!r}.{nearest(name, _names_of(declared))}"
            yield from _path_problems(name, path, step, known)
    given = names_inside(step, known)
    if given is None:
        return
    try:
        required = dict(inputs_required(pipeline))
    except DataPathError:
        return  # the checks of the pipeline itself name the malformed path
    for name, why in required.items():
        if name not in given:
            advice = (
                "Add it to `inputs`" if isinstance(wanted, Mapping) else "Name a step or an input so, or say inputs="
            )
            suggestion = "" if isinstance(wanted, Mapping) else known.nearest_known(name, but=step.name)
            yield "missing_input", f"Nothing gives its pipeline the input {name!r}: {why} {advice}.{suggestion}"


def _is_model(declared: object) -> bool:
    return isinstance(declared, type) and issubclass(declared, BaseModel)


def _names_of(model: type[BaseModel]) -> list[str]:
    aliases = [it.alias for it in model.model_fields.values() if it.alias is not None]
    return [*model.model_fields, *aliases]


def _path_problems(name: str, written: str, step: PipelineStep, known: Known) -> Iterator[Found]:
    try:
        path = DataPath.parse(written)
    except DataPathError as error:
        yield "bad_path", f"In `inputs`, {name!r}: {error.message}"
        return
    if path.root == step.name:
        yield "bad_inputs", f"In `inputs`, {name!r} reads the step itself, which has no output yet."
    elif path.root not in known.names and not bindings.is_item_name(step, path.root):
        yield from unknown_name(path, step, known, where=f"In `inputs`, {name!r}", own=bindings.part_names(step))
    else:
        yield from unknown_field(path, step, known)
