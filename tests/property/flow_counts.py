"""What a state counts as events come in, compared with what is worked out from its statuses alone."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import accumulate

from property.flow_rules import LEFT_OUT, NOT_TAKEN
from tagent.pipeline import StepStatus
from tagent.pipeline.course.reopening import recount
from tagent.pipeline.course.run_state import PipelineState
from tagent.pipeline.events import RunEvent
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.state import apply


def check_fold(graph: ExecutionGraph, events: Sequence[RunEvent], commits: Sequence[int]) -> PipelineState:
    """Return what the events come to; check after each commit that what is counted is what is there.

    Raises:
        AssertionError: If a queue of the state differs from the one that is worked out afresh.
    """
    state = PipelineState(graph)
    ends = set(accumulate(commits))
    for number, event in enumerate(events, 1):
        apply(state, event)
        if number in ends:
            every = [state, *inside(state)]
            afresh = deepcopy(state, {id(it.graph): it.graph for it in every})
            for known, again in zip(every, [afresh, *inside(afresh)], strict=True):
                _count_anew(again)
                assert _queues(known) == _queues(again), f"after {number}. {event}"
    return state


def inside(state: PipelineState) -> Iterator[PipelineState]:
    """Yield the states of the pipelines inside the steps of a run, however deep."""
    for record in state.steps.values():
        for work in (record, *record.parts.values()):
            if work.inner is not None:
                yield work.inner
                yield from inside(work.inner)


def _count_anew(state: PipelineState) -> None:
    for name, part in state.running_parts:
        state.steps[name].parts[part].is_interrupted = True
    recount(state)
    if running := [name for name in state.running if name in state.graph.serial]:
        state.serial_running = running[0]


def _kind(code: str) -> str:
    """Return what is of account of a reason to skip a step: of several the first one is told."""
    return code if code == NOT_TAKEN else "left out" if code in LEFT_OUT else "failed"


def _queues(state: PipelineState) -> dict[str, object]:
    """Return all that is counted, without what is of no account any more, in an order of its own."""
    if state.halted is not None:  # nothing begins any more, whatever waits for it
        return {"unfinished": state.unfinished, "to_undo": state.to_undo, "timers": sorted(state.timers)}
    lost = {*state.doomed, *state.broken}
    waits = [name for name, status in state.statuses.items() if status is StepStatus.PENDING and name not in lost]
    return {
        # Worked out afresh, another reason may come first.
        "postponed": {name: _kind(code) for name, (code, _) in state.postponed.items()},
        "doomed": {name: _kind(code) for name, (code, _) in state.doomed.items()},
        "passed_by": {name for name in state.passed_by if name in waits},
        "asked": state.asked,
        "broken": dict(sorted(state.broken.items())),
        "stood_in": dict(sorted(state.stood_in.items())),
        "ready": sorted(state.ready),
        "ready_serial": sorted(state.ready_serial),
        "to_judge": state.to_judge,
        "queues": {
            name: (list(q.waiting), q.limit, q.allowed_failures, q.running, q.resting, q.failures)
            for name, q in sorted(state.queues.items())
        },
        "startable": state.startable,
        "to_undo": state.to_undo,
        "serial_running": state.serial_running,
        "unfinished": state.unfinished,
        "unmet": {name: state.unmet[name] for name in waits},
        "patient": {name: state.patient[name] for name in waits},
        "timers": sorted(state.timers),
    }
