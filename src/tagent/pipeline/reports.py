"""Readings of a run's state: how a step went, and what the whole run came to."""

from collections.abc import Callable

from tagent.pipeline.context import StepReport
from tagent.pipeline.models import Pipeline, PipelineResult, RunStatus, StepStatus
from tagent.pipeline.search import searchable
from tagent.pipeline.state import PipelineState, StepRecord
from tagent.ports.records import RunSummary


def report_of(state: PipelineState, name: str) -> StepReport:
    """Return how the step `name` went so far."""
    record = state.steps[name]
    return StepReport(
        status=state.statuses[name],
        attempts=record.attempts,
        execution_time=_seconds(record),
        model=", ".join(record.spending.models),
        usage=record.spending.usage,
        cost_usd=record.spending.cost_usd,
        unpriced_calls=record.spending.unpriced_calls,
    )


def result_of(pipeline: Pipeline, state: PipelineState, *, output_of: Callable[[str], object]) -> PipelineResult:
    """Return what the run came to.

    Args:
        pipeline: The definition.
        state: The run's state.
        output_of: Gives a completed step's output as its declared type.
    """
    outputs = {name: output_of(name) for name, status in state.statuses.items() if status is StepStatus.COMPLETED}
    final = pipeline.final or state.graph.sinks[-1]
    return PipelineResult(
        pipeline_name=pipeline.name,
        run_id=state.run_id,
        status=state.status,
        success=state.status is RunStatus.COMPLETED,
        execution_time=state.last_at - state.started_at,
        total_cost=state.cost_usd,
        unpriced_calls=sum(record.spending.unpriced_calls for record in state.steps.values()),
        cost_per_step={name: record.spending.cost_usd for name, record in state.steps.items()},
        token_usage={name: record.spending.usage for name, record in state.steps.items()},
        step_outputs=outputs,
        step_metadata={name: _metadata(state, name) for name in state.steps},
        final_output=outputs.get(final),
        learned_facts=dict(state.facts),
        saved_memories=dict(state.memories),
    )


def summary_of(state: PipelineState) -> RunSummary:
    """Return what lists show of the run, and what it is found by."""
    remembered = (
        state.pipeline,
        state.run_id,
        *state.labels.values(),
        state.inputs or "",
        *(record.reason for record in state.steps.values()),
        *(record.output for record in state.steps.values() if record.output is not None),
    )
    text = searchable(remembered)
    return RunSummary(state.status.value, state.last_at, state.cost_usd, is_finished=state.is_finished, text=text)


def _metadata(state: PipelineState, name: str) -> dict[str, object]:
    record = state.steps[name]
    return {
        "status": state.statuses[name],
        "attempts": record.attempts,
        "retry_count": max(0, record.attempts - 1),
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "execution_time": _seconds(record),
        "model": ", ".join(record.spending.models),
        "code": record.code,
        "reason": record.reason,
        "cached": False,
    }


def _seconds(record: StepRecord) -> float:
    if record.started_at is None or record.finished_at is None:
        return 0.0
    return record.finished_at - record.started_at
