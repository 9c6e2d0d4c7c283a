"""Pipelines inside the steps of others: all of them, how deep they lie, and copies of the whole. Pure."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tagent.pipeline.models import Pipeline, PipelineStep

if TYPE_CHECKING:
    from tagent.pipeline.course.run_state import PipelineState

MAX_DEPTH = 10
"""In so many pipelines one may be."""


def copied_whole(pipeline: Pipeline) -> Pipeline:
    """Return a copy of `pipeline` and of all pipelines inside it; one that is there several times is copied once.

    Example:
        >>> inner = Pipeline("inner").step("facts", run=lambda: 7)
        >>> copy = copied_whole(Pipeline("outer").step("a", pipeline=inner).step("b", pipeline=inner))
        >>> copy.steps[0].pipeline is inner, copy.steps[0].pipeline is copy.steps[1].pipeline
        (False, True)
    """
    return _copied(pipeline, {})


def _copied(pipeline: Pipeline, copies: dict[int, Pipeline]) -> Pipeline:
    if (known := copies.get(id(pipeline))) is not None:
        return known
    copies[id(pipeline)] = copy = Pipeline(pipeline)  # noted first: a circle, which validation refuses, ends here
    for step in copy.steps:
        inner: object = step.pipeline
        if isinstance(inner, Pipeline):
            step.pipeline = _copied(inner, copies)
    return copy


def steps_inside(pipeline: Pipeline, *, path: str = "", depth: int = 0) -> Iterator[tuple[str, PipelineStep]]:
    """Yield the steps of a valid pipeline and, behind each that has one, those of the pipeline inside it, by path.

    Example:
        >>> inner = Pipeline("inner").step("facts", "Find facts")
        >>> [path for path, _ in steps_inside(Pipeline("outer").step("research", pipeline=inner))]
        ['research', 'research/facts']
    """
    for step in pipeline.steps:
        yield f"{path}{step.name}", step
        if step.pipeline is not None and depth < MAX_DEPTH:
            yield from steps_inside(step.pipeline, path=f"{path}{step.name}/", depth=depth + 1)


def runs_inside(state: "PipelineState", pipeline: Pipeline) -> Iterator[tuple["PipelineState", Pipeline]]:
    """Yield the runs inside the steps of a run that have not ended, at every depth, each with its pipeline."""
    inside = {step.name: step.pipeline for step in pipeline.steps if step.pipeline is not None}
    for name, pipeline_inside in inside.items():
        if name not in state.steps or state.statuses[name].is_terminal:
            continue
        record = state.steps[name]
        for inner in [record.inner, *(part.inner for part in record.parts.values())]:
            if inner is not None and not inner.is_finished:
                yield inner, pipeline_inside
                yield from runs_inside(inner, pipeline_inside)
