"""Readings of a run's state: how a step went, and what the whole run came to."""

from collections.abc import Mapping
from typing import Any

from tagent.pipeline.changes import added_by
from tagent.pipeline.context import StepReport
from tagent.pipeline.course.records import StepRecord, WorkRecord
from tagent.pipeline.course.run_state import PipelineState
from tagent.pipeline.course.sinks import final_of
from tagent.pipeline.course.skip_codes import CONDITION_FALSE
from tagent.pipeline.events import ASIDE
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.journal.blobs import StoredOutput
from tagent.pipeline.models import Pipeline, PipelineResult, RunStatus, StepStatus
from tagent.ports.records import RunSummary
from tagent.search import searchable

_OF_QUESTION = ("of", "question", "at", "due_at", "default")
_OF_ANSWER = ("is_approved", "actor", "comment", "by_default", "is_edited")


def report_of(state: PipelineState, name: str) -> StepReport:
    """Return how the step `name` went so far."""
    record = state.steps[name]
    return StepReport(
        status=state.statuses[name],
        attempts=record.attempts,
        execution_time=record.seconds,
        model=", ".join(record.spending.models),
        usage=record.spending.usage,
        cost_usd=record.spending.cost_usd,
        unpriced_calls=record.spending.unpriced_calls,
    )


def final_step(pipeline: Pipeline, graph: ExecutionGraph) -> str:
    """Return the step whose output is that of the run if it does all of the pipeline; see `final_of`."""
    return pipeline.final or graph.sinks[-1]


def result_of(pipeline: Pipeline, state: PipelineState, outputs: Mapping[str, Any]) -> PipelineResult:
    """Return what the run came to.

    Args:
        pipeline: The definition.
        state: The run's state.
        outputs: What the completed steps gave.
    """
    return PipelineResult(
        pipeline_name=pipeline.name,
        run_id=state.run_id,
        status=state.status,
        success=state.status is RunStatus.COMPLETED,
        execution_time=state.last_at - state.started_at,
        code=state.code,
        reason=state.reason,
        total_cost=state.cost_usd,
        unpriced_calls=sum(record.spending.unpriced_calls for record in state.steps.values()),
        cost_per_step={name: record.spending.cost_usd for name, record in state.steps.items()},
        token_usage={name: record.spending.usage for name, record in state.steps.items()},
        step_outputs=outputs,
        step_metadata=step_metadata(state),
        final_output=outputs.get(final_of(pipeline, state)),
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
        *(_in_memory(record.output) for record in state.steps.values() if record.output is not None),
    )
    text = searchable(remembered)
    return RunSummary(state.status.value, state.last_at, state.cost_usd, is_finished=state.is_finished, text=text)


def _in_memory(output: object) -> object:
    return output.excerpt if isinstance(output, StoredOutput) else output


def step_metadata(state: PipelineState) -> dict[str, dict[str, Any]]:
    """Return how each step went, by name, as `PipelineResult.step_metadata` describes it."""
    added = added_by(state.changes)
    return {name: _metadata(state, name, added_by=added.get(name, "")) for name in state.steps}


def _metadata(state: PipelineState, name: str, *, added_by: str) -> dict[str, object]:
    record = state.steps[name]
    return {
        "status": _standing(state, record, state.statuses[name]),
        "attempts": record.attempts,
        "retry_count": max(0, record.attempts - 1),
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "execution_time": record.seconds,
        "model": ", ".join(record.spending.models),
        "code": record.code,
        "reason": record.reason,
        "cached": record.cached,
        "substituted_by": record.substituted_by,
        **({"given_by": record.given_by} if record.given_by else {}),
        **({"added_by": added_by} if added_by else {}),
        **({"optional": True} if state.graph.rules(name).is_optional else {}),
        **_soft(state, name),
        **_approval(state, name),
        **({"condition": {"holds": record.holds, "reason": record.verdict}} if _has_condition(record) else {}),
        **({} if record.count is None else {"part_count": record.count}),
        **({"parts": _parts(state, record)} if record.parts else {}),
        **_inside(record),
    }


def _standing(state: PipelineState, work: WorkRecord, status: StepStatus) -> StepStatus:
    """Return where work stands for whoever looks: what was begun in a run that waits for somebody waits too."""
    waits = state.status is RunStatus.WAITING or (work.inner is not None and work.inner.status is RunStatus.WAITING)
    return StepStatus.WAITING if waits and status is StepStatus.RUNNING else status


def _approval(state: PipelineState, name: str) -> dict[str, object]:
    """Return what somebody is asked about a step, and what was said, as far as anybody is or was asked."""
    asked, answer = state.asked.get(name), state.steps[name].answer
    told: dict[str, object] = {}
    if asked is not None:
        told["asked"] = {key: getattr(asked, key) for key in _OF_QUESTION}
    if answer is not None:
        told["approval"] = {**{key: getattr(answer, key) for key in _OF_ANSWER}, "at": answer.given_at}
    return told


def _has_condition(record: StepRecord) -> bool:
    """Return whether a condition of the step's own was judged, not only the check of a dependency."""
    return record.holds is not None and record.verdict != "" and record.verdict_code in ("", CONDITION_FALSE)


def _soft(state: PipelineState, name: str) -> dict[str, object]:
    """Return which SOFT dependencies a step saw when it began, and why it did not see the others."""
    record, soft = state.steps[name], state.graph.soft.get(name, ())
    if not soft or not (record.attempts or record.count is not None):
        return {}
    began_at = record.attempt_began_at if record.count is None else record.started_at or 0.0
    unseen = {source: _why_unseen(state, source, at=began_at) for source in soft if source not in record.seen}
    return {"seen": list(record.seen), "unseen": unseen}


def _why_unseen(state: PipelineState, source: str, *, at: float) -> str:
    status, ended_at = state.statuses[source], state.steps[source].finished_at
    has_output = status in {StepStatus.COMPLETED, StepStatus.COMPENSATED}
    if has_output or not status.is_terminal or ended_at is None or ended_at > at:
        return "not settled"
    return status.value


def _parts(state: PipelineState, record: StepRecord) -> dict[str, dict[str, object]]:
    """Return how the parts of a step went, in the order in which they began."""
    return {
        name: {
            "status": _standing(state, part, part.status),
            "attempts": part.attempts,
            "started_at": part.started_at,
            "finished_at": part.finished_at,
            "execution_time": part.seconds,
            "cost": part.spending.cost_usd,
            "cached": part.cached,
            "code": part.code,
            "reason": part.reason,
            **_inside(part),
        }
        for name, part in record.parts.items()
    }


def _inside(work: WorkRecord) -> dict[str, object]:
    """Return how the steps of the pipeline inside some work went, by name, and what each has cost."""
    inner = work.inner
    if inner is None:
        return {}
    costs = {name: record.spending.cost_usd for name, record in inner.steps.items()}
    return {"steps": {name: {**facts, "cost": costs[name]} for name, facts in step_metadata(inner).items()}}


def parts_done(state: PipelineState, name: str) -> int:
    """Return how many of the items or branches of a step have completed."""
    parts = state.steps[name].parts.items()
    return sum(part.status is StepStatus.COMPLETED for name, part in parts if name not in ASIDE)
