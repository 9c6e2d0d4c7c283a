"""Everything wrong with a definition, at once, each with what would be right. Imports and runs nothing of it."""

from collections.abc import Collection, Iterator
from copy import copy
from dataclasses import dataclass, replace
from typing import cast, get_args

from pydantic import BaseModel

from tagent.pipeline.exceptions import PipelineValidationError, Problem
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.models import MemoryUse, Pipeline, PipelineStep
from tagent.pipeline.schema_paths import field_problem
from tagent.pipeline.validating.cache_checks import cache_problems, cache_warnings
from tagent.pipeline.validating.condition_checks import when_problems
from tagent.pipeline.validating.dependency_checks import dependency_hints, dependency_problems
from tagent.pipeline.validating.failure_checks import failure_problems, failure_warnings, settings_problems
from tagent.pipeline.validating.inner_checks import inner_problems, inner_warnings, names_inside, nesting_problem
from tagent.pipeline.validating.known import Known
from tagent.pipeline.validating.null_paths import null_warnings
from tagent.pipeline.validating.order_checks import order_problems
from tagent.pipeline.validating.parts_checks import MAX_BRANCHES, parts_problems, parts_warnings
from tagent.pipeline.validating.pipeline_checks import memory_problem, pipeline_problems
from tagent.pipeline.validating.round_checks import round_problems
from tagent.pipeline.validating.route_checks import route_problems, route_warnings
from tagent.pipeline.validating.type_checks import type_problems
from tagent.pipeline.validating.unsure_names import unsure_names
from tagent.pipeline.validating.work_checks import (
    MAX_NAME_LENGTH,
    reading_problems,
    warnings_of,
    without_servers,
    work_problems,
)

__all__ = [
    "MAX_BRANCHES", "MAX_NAME_LENGTH", "field_problem", "require_valid", "validate",
    "without_servers",
]  # fmt: skip

_CHECKS = (
    work_problems,
    dependency_problems,
    when_problems,
    parts_problems,
    failure_problems,
    route_problems,
    round_problems,
    inner_problems,
    cache_problems,
    reading_problems,
)
"""The checks of one step, in the order in which their problems are listed."""


def validate(
    pipeline: Pipeline, *, inputs: Collection[str] | None = None, tools: Collection[object] = ()
) -> list[Problem]:
    """Return every problem of `pipeline`, in definition order; hints and warnings are among them.

    Args:
        pipeline: The definition.
        inputs: The names that a run is given; None when they are not known yet.
        tools: The functions that the run offers to every step.

    Example:
        >>> pipeline = Pipeline("p").step("facts", "Find facts").step("text", "Describe {facts} and {fact.name}")
        >>> for problem in validate(pipeline):
        ...     print(problem.severity, problem)
        warning step 'text': {fact.name} names no step or input and stays as it is. Did you mean 'facts'?
    """
    return _examined(pipeline, inputs, tools)[0]


def _examined(
    pipeline: Pipeline, inputs: Collection[str] | None, tools: Collection[object]
) -> tuple[list[Problem], Known | None]:
    """Return every problem, and what was found out about the pipeline on the way; None if nothing could be."""
    if (unaskable := nesting_problem(pipeline)) is not None:
        return [unaskable], None
    return _examined_here(pipeline, inputs, tools)


def _examined_here(
    pipeline: Pipeline, inputs: Collection[str] | None, tools: Collection[object], *, is_undone: bool = False
) -> tuple[list[Problem], Known | None]:
    if not _is_model(pipeline.inputs):
        return [Problem("bad_type", f"`inputs` is {pipeline.inputs!r}; it must be a Pydantic model class.")], None
    unreadable = {id(step): wrong for step in pipeline.steps if (wrong := list(type_problems(step)))}
    readable = _readable(pipeline, unreadable) if unreadable else pipeline
    known = Known(
        readable, set(pipeline.inputs.model_fields) if pipeline.inputs else inputs, tools, is_undone=is_undone
    )
    found = [] if pipeline.steps else [Problem("empty", "The pipeline has no steps. Add one with .step(name, goal).")]
    found += pipeline_problems(known)
    if not unreadable:
        found += order_problems(known)
    for step in pipeline.steps:
        if messages := unreadable.get(id(step)):  # nothing else can be asked of such a step
            found += [Problem("bad_type", message, str(step.name)[:MAX_NAME_LENGTH]) for message in messages]
        else:
            found += _step_problems(step, known)
            if step.pipeline is not None:
                found += _problems_inside(step, step.pipeline, known)
    return found, known


def _problems_inside(step: PipelineStep, pipeline: Pipeline, known: Known) -> Iterator[Problem]:
    """Yield the problems of the pipeline inside `step`, each with the path of its step."""
    shown = step.name[:MAX_NAME_LENGTH]
    is_undone = known.is_undone and step.compensate is None
    for problem in _examined_here(pipeline, names_inside(step, known), known.tools, is_undone=is_undone)[0]:
        yield replace(problem, step=f"{shown}/{problem.step}" if problem.step else shown)


def _is_model(declared: object) -> bool:
    return declared is None or (isinstance(declared, type) and issubclass(declared, BaseModel))


def _readable(pipeline: Pipeline, unreadable: Collection[int]) -> Pipeline:
    """Return `pipeline` with steps in the place of unreadable ones of which nothing but the name is known."""
    shown = copy(pipeline)
    named = [(step, name) for step in pipeline.steps if isinstance(name := cast("object", step.name), str)]
    shown.steps = [
        PipelineStep(name=name, wait_for="unreadable") if id(step) in unreadable else step for step, name in named
    ]
    return shown


def _step_problems(step: PipelineStep, known: Known) -> Iterator[Problem]:
    shown = step.name[:MAX_NAME_LENGTH]
    for check in _CHECKS:
        for code, message in check(step, known):
            yield Problem(code, message, shown)
    if step.memory is not None and step.memory not in get_args(MemoryUse):
        yield memory_problem(step.memory, step=shown)
    yield from settings_problems(step.config, step=step.name)
    yield from warnings_of(step, known)
    yield from unsure_names(step, known)
    yield from null_warnings(step, known)
    yield from parts_warnings(step)
    yield from failure_warnings(step, known)
    yield from cache_warnings(step, known)
    yield from route_warnings(step, known)
    yield from inner_warnings(step)
    yield from dependency_hints(step, known)


def require_valid(
    pipeline: Pipeline, *, inputs: Collection[str] | None = None, tools: Collection[object] = ()
) -> list[Problem]:
    """Return the warnings and hints of `pipeline`.

    Raises:
        PipelineValidationError: If it has any error; all of them are listed.
    """
    return list(checked(pipeline, inputs=inputs, tools=tools).problems)


def checked(pipeline: Pipeline, *, inputs: Collection[str] | None = None, tools: Collection[object] = ()) -> "Checked":
    """Return the graph of `pipeline`, with its warnings and hints.

    Raises:
        PipelineValidationError: If it has any error; all of them are listed.

    Example:
        >>> checked(Pipeline("p").step("facts", "Find facts").step("text", "Describe {facts}")).graph.sinks
        ('text',)
    """
    problems, known = _examined(pipeline, inputs, tools)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors or known is None:
        raise PipelineValidationError(pipeline.name, errors)
    return Checked(known.graph, tuple(problems))


@dataclass(frozen=True, slots=True)
class Checked:
    """What a definition without errors has come to.

    Attributes:
        graph: What it compiles to.
        problems: Its warnings and hints.
    """

    graph: ExecutionGraph
    problems: tuple[Problem, ...]
