"""A state once more, for whoever goes on with it alone."""

from copy import deepcopy
from typing import Any

from tagent.pipeline.course.run_state import PipelineState


def copied(state: PipelineState) -> PipelineState:
    """Return a copy of `state` that may be changed; what nobody changes in place, like outputs, is in both.

    Example:
        >>> from tagent.pipeline import ExecutionGraph, Pipeline
        >>> state = PipelineState(ExecutionGraph.build(Pipeline("p").step("facts", "Find facts")))
        >>> other = copied(state)
        >>> other == state, other is state, other.graph is state.graph
        (True, False, True)
    """
    shared: dict[int, Any] = {}
    _share(state, shared)
    return deepcopy(state, shared)


def _share(state: PipelineState, shared: dict[int, Any]) -> None:
    contents: list[object] = [state.graph, state.defined, state.inputs]
    contents += [*state.shared_writes, *state.asked.values(), *state.changes]
    for record in state.steps.values():
        contents += [record.held, record.answer]
        for work in (record, *record.parts.values()):
            contents += [work.output, *work.agent_events]
            if work.inner is not None:
                _share(work.inner, shared)
    for content in contents:
        shared[id(content)] = content
