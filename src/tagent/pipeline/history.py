"""A run's history as people audit it: what happened when, by whom, in which attempt, with which model, for how much."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tagent.pipeline.events import (
    AgentProgressed,
    ConditionJudged,
    PartCompleted,
    PartFailed,
    PartStarted,
    RunEvent,
    RunFinished,
    RunForked,
    RunHalted,
    RunPaused,
    RunResumed,
    RunStarted,
    StepCancelled,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSubstituted,
)
from tagent.ports.language_model import ModelRetried, ModelSwitched
from tagent.task_agent.budgets import UNITS
from tagent.task_agent.events import (
    AgentEvent,
    BudgetExceeded,
    Evaluated,
    ModelFailed,
    Planned,
    PlanRejected,
    TaskFailed,
    TaskStarted,
    calls_of,
)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One event of a run. What does not apply is empty, 0 or None.

    Attributes:
        seq: Its place in the journal, from 1; where `fork` and `state_at` can go.
        at: When, in seconds since 1970-01-01 UTC.
        event: Its name; that of the agent's event inside a step.
        actor: Who did it: the process that started, resumed or forked the run.
        step: The step.
        attempt: Which try.
        model: The model that was asked.
        input_tokens: The size of what it was asked.
        output_tokens: The size of what it answered.
        cost_usd: The price of the call; None when it is unknown.
        detail: What else there is to say.
    """

    seq: int
    at: float
    event: str
    actor: str = ""
    step: str = ""
    attempt: int = 0
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    detail: str = ""


def history(events: Iterable[RunEvent], *, after_seq: int = 0) -> Iterator[HistoryEntry]:
    """Yield an entry for each event; the first follows the place `after_seq`."""
    for seq, event in enumerate(events, after_seq + 1):
        yield _entry(seq, event)


def _entry(seq: int, event: RunEvent) -> HistoryEntry:
    name = type(event).__name__
    match event:
        case RunStarted():
            return HistoryEntry(seq, event.at, name, event.actor)
        case RunResumed():
            detail = "with another definition" if event.definition else ""
            return HistoryEntry(seq, event.at, name, event.actor, detail=detail)
        case RunForked():
            edits = ", ".join(event.edits)
            detail = f"from run {event.parent}, after event {event.forked_seq}{f'; edited: {edits}' if edits else ''}"
            return HistoryEntry(seq, event.at, name, event.actor, detail=detail)
        case RunFinished():
            return HistoryEntry(seq, event.at, name, detail=" ".join(filter(None, (event.status, event.reason))))
        case StepStarted() | StepCompleted():
            return HistoryEntry(seq, event.at, name, step=event.step, attempt=event.attempt)
        case StepFailed():
            again = "" if event.retry_at is None else f" Tried again in {event.retry_at - event.at:.1f} s."
            return HistoryEntry(
                seq, event.at, name, step=event.step, attempt=event.attempt, detail=f"{event.reason}{again}"
            )
        case StepSkipped() | StepCancelled():
            return HistoryEntry(seq, event.at, name, step=event.step, detail=event.reason)
        case RunHalted():
            return HistoryEntry(seq, event.at, name, event.actor, detail=event.reason)
        case RunPaused():
            return HistoryEntry(seq, event.at, name, detail=event.reason)
        case ConditionJudged(step, holds, reason):
            return HistoryEntry(
                seq, event.at, name, step=step, detail=f"{'holds' if holds else 'does not hold'}: {reason}"
            )
        case StepExpanded(step, count):
            return HistoryEntry(seq, event.at, name, step=step, detail=f"{count} parts")
        case StepSubstituted(step, _, by):
            return HistoryEntry(seq, event.at, name, step=step, detail=f"by {by}")
        case PartStarted() | PartCompleted() | PartFailed():
            return _of_part(seq, event)
        case AgentProgressed():
            return _of_agent(seq, event, event.event)


def _of_part(seq: int, event: PartStarted | PartCompleted | PartFailed) -> HistoryEntry:
    detail = event.part
    if isinstance(event, PartFailed):
        again = "" if event.retry_at is None else f" Tried again in {event.retry_at - event.at:.1f} s."
        detail = f"{event.part}: {event.reason}{again}"
    return HistoryEntry(seq, event.at, type(event).__name__, step=event.step, attempt=event.attempt, detail=detail)


def _of_agent(seq: int, progressed: AgentProgressed, event: AgentEvent) -> HistoryEntry:
    call = next(iter(calls_of(event)), None)
    return HistoryEntry(
        seq,
        progressed.at,
        type(event).__name__,
        step=progressed.step,
        attempt=progressed.attempt,
        model=call.model if call else "",
        input_tokens=call.usage.input_tokens if call else 0,
        output_tokens=call.usage.output_tokens if call else 0,
        cost_usd=call.cost_usd if call else None,
        detail=_detail_of_agent(event),
    )


def _detail_of_agent(event: AgentEvent) -> str:
    match event:
        case Planned(tasks):
            return ", ".join(task.tool_name for task in tasks)
        case PlanRejected(problems):
            return " ".join(problems.splitlines())
        case Evaluated(reason):
            return reason
        case ModelFailed():
            return event.message
        case TaskStarted():
            return event.tool_name
        case TaskFailed():
            return event.message if event.retry_at is None else f"{event.message} It is called again."
        case ModelRetried(model, code, tries, wait_seconds):
            return f"{model}: {code}, try {tries} of it; the next in {wait_seconds:.1f} s"
        case ModelSwitched(model, code, next_model):
            return f"{model}: {code}; now {next_model}"
        case BudgetExceeded(limit, allowed, spent):
            told = "unknown" if spent is None else f"{spent:g}"
            return f"{limit} {allowed:g} {UNITS.get(limit, '')}, spent {told}"
        case _:
            return ""
