"""Which steps of a run come last: what becomes of them is what becomes of the run. Pure."""

from tagent.pipeline.course.run_state import PipelineState
from tagent.pipeline.course.skip_codes import BRANCH_NOT_TAKEN, NOT_SELECTED
from tagent.pipeline.kinds import StepStatus
from tagent.pipeline.models import Pipeline


def sinks_of(state: PipelineState) -> list[str]:
    """Return the steps of a run on which no other of its steps depends, in definition order.

    A step of a branch that was not taken is none. Of a run that does a part of its pipeline only the steps count that
    run; if none do, those whose outputs are given.
    """
    names = [name for name in state.graph.names if not is_outside(state, name)]
    if len(names) == len(state.graph.names):
        found = list(state.graph.sinks)
    elif names:
        found = _last_of(state, set(names))
    else:
        found = [name for name in state.graph.sinks if state.steps[name].given_by]
    return [name for name in found if not _is_skipped(state, name, BRANCH_NOT_TAKEN)]


def final_of(pipeline: Pipeline, state: PipelineState) -> str:
    """Return the step whose output is that of the run as it stands; empty if none is.

    That is the one that the pipeline names, if it is in the run; else the last sink.
    """
    if pipeline.final and not _is_skipped(state, pipeline.final, NOT_SELECTED):
        return pipeline.final
    return next(reversed(sinks_of(state)), "")


def is_outside(state: PipelineState, name: str) -> bool:
    """Return whether a step is not of the part of its pipeline that a run does."""
    return bool(state.steps[name].given_by) or _is_skipped(state, name, NOT_SELECTED)


def _is_skipped(state: PipelineState, name: str, code: str) -> bool:
    return state.statuses.get(name) is StepStatus.SKIPPED and state.steps[name].code == code


def _last_of(state: PipelineState, names: set[str]) -> list[str]:
    """Return the steps among these on which no other of them depends, and which take no place of another of them."""
    graph = state.graph
    return [
        name
        for name in graph.names
        if name in names
        and not any(source in names for source in graph.stands_in_for.get(name, ()))
        and not any(edge.target in names and not edge.is_fallback for edge in graph.outgoing[name])
    ]
