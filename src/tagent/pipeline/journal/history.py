"""A run's history as people audit it: what happened when, by whom, in which attempt, with which model, for how much."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import assert_never

from tagent.budget import LIMITS
from tagent.pipeline.approval import VERDICTS, verdict
from tagent.pipeline.changes import told_change
from tagent.pipeline.events import (
    BY_HAND,
    CONDITION,
    ROUNDS,
    AgentProgressed,
    ApprovalAnswered,
    ApprovalRequested,
    ConditionJudged,
    EventOfRun,
    InnerProgressed,
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
    StepGiven,
    StepSkipped,
    StepStarted,
    StepSubstituted,
)
from tagent.pipeline.stored.definition import Definition
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

_OfStep = (
    ConditionJudged | StepExpanded | StepStarted | StepCompleted | StepFailed | StepSubstituted | StepSkipped
    | StepCancelled | StepGiven | ApprovalRequested | ApprovalAnswered | PartStarted | PartCompleted | PartFailed
)  # fmt: skip

WORTH_TELLING_SECONDS = 1.0
"""So much later than an answer was given, a run has to have taken it up for its history to tell both times."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One event of a run. What does not apply is empty, 0 or None.

    Attributes:
        seq: Its place in the journal, from 1; where `fork` and `state_at` can go.
        at: When, in seconds since 1970-01-01 UTC.
        event: Its name; that of the agent's event inside a step.
        actor: Who did it: who started, resumed, forked or cancelled the run, or said yes or no.
        step: The step; of a halt the one whose failure it is. Of one inside another step the path: `outer/inner`, or
            `outer/2/inner` for an item or a round of the outer one.
        part: The item or branch of it, its condition or its compensation; empty for the step itself.
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
    part: str = ""
    attempt: int = 0
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    detail: str = ""


def history(
    events: Iterable[RunEvent], *, after_seq: int = 0, definition: Definition | None = None
) -> Iterator[HistoryEntry]:
    """Yield an entry for each event.

    Args:
        events: The events, in order.
        after_seq: The place which the first one follows.
        definition: What the run was defined by before them; without it, whatever is new is another definition.
    """
    for seq, event in enumerate(events, after_seq + 1):
        if isinstance(event, RunResumed) and event.definition:
            now = Definition.read(event.definition.encode())
            what = "budget" if definition is not None and _but_limits(definition) == _but_limits(now) else "definition"
            yield replace(_entry(seq, event), detail=f"with another {what}")
            definition = now
        else:
            yield _entry(seq, event)


def _but_limits(definition: Definition) -> dict[str, object]:
    """Return what is defined, apart from what the whole run may spend."""
    config = definition.spec["config"] or {}
    but_limits = {name: value for name, value in config.items() if name not in LIMITS}
    return {**definition.spec, "version": 0, "config": but_limits, "budget": None}


def _entry(seq: int, event: RunEvent) -> HistoryEntry:
    if isinstance(event, AgentProgressed):
        return _of_agent(seq, event, event.event)
    if isinstance(event, InnerProgressed):
        return _inside(event, _entry(seq, event.event))
    return HistoryEntry(
        seq,
        event.at,
        type(event).__name__,
        actor=getattr(event, "actor", ""),
        step=getattr(event, "step", ""),
        part=getattr(event, "part", ""),
        attempt=getattr(event, "attempt", 0),
        detail=_detail_of_run(event) if isinstance(event, EventOfRun) else _detail_of_step(event),
    )


def _inside(event: InnerProgressed, entry: HistoryEntry) -> HistoryEntry:
    """Return the entry of an event of the pipeline inside a step as one of the run."""
    if not entry.step:
        return replace(entry, at=event.at, step=event.step, part=event.part)
    return replace(entry, at=event.at, step="/".join(filter(None, (event.step, event.part, entry.step))))


def _detail_of_run(event: EventOfRun) -> str:
    match event:
        case RunStarted() | RunResumed():
            return ""
        case RunForked(parent, forked_seq):
            edits = ", ".join(event.edits)
            return f"from run {parent}, after event {forked_seq}{f'; edited: {edits}' if edits else ''}"
        case RunHalted(code, reason) | RunPaused(code, reason):
            return f"[{code}] {reason}"
        case RunFinished(status, _, code, reason):
            return " ".join(filter(None, (status, f"[{code}]" if code else "", reason)))
        case _:
            assert_never(event)


def _detail_of_step(event: _OfStep) -> str:
    match event:
        case StepFailed() | PartFailed():
            return f"[{event.code}] {event.reason}{_what_follows(event)}"
        case StepSkipped(_, code, reason) | StepCancelled(_, code, reason):
            return f"[{code}] {reason}"
        case ConditionJudged(_, holds, reason):
            return _verdict(reason, holds=holds)
        case StepExpanded() | StepStarted() | PartStarted():
            return _beginning(event)
        case StepSubstituted(_, _, by):
            return "its default output" if by == "default" else f"the output of {by}"
        case StepGiven(_, _, source):
            return "given by hand" if source == BY_HAND else f"given: run {source}"
        case ApprovalRequested() | ApprovalAnswered():
            return _approval(event)
        case StepCompleted() | PartCompleted():
            return _success(event)
        case _:
            assert_never(event)


def _beginning(event: StepExpanded | StepStarted | PartStarted) -> str:
    """Return how many parts there are, and which of the SOFT dependencies are there."""
    seen = f"sees {', '.join(event.seen)}" if event.seen else ""
    if not isinstance(event, StepExpanded):
        return seen
    if event.of == ROUNDS:
        return "; ".join(filter(None, ("1 round" if event.count == 1 else f"at most {event.count} rounds", seen)))
    return "; ".join(filter(None, ("1 part" if event.count == 1 else f"{event.count} parts", seen)))


def _success(event: StepCompleted | PartCompleted) -> str:
    """Return what else is to be said of a success: what a condition comes to, that nothing ran, what was changed."""
    if isinstance(event, PartCompleted):
        if event.part == CONDITION and isinstance(event.output, dict):
            return _verdict(str(event.output.get("reason", "")), holds=event.output.get("holds") is True)
        ended = "the last round" if event.is_last else ""
    else:
        ended = ""
    changed = "" if event.change is None else told_change(event.change)
    return "; ".join(filter(None, (ended, "from the cache" if event.cached else "", changed)))


def _approval(event: ApprovalRequested | ApprovalAnswered) -> str:
    if isinstance(event, ApprovalRequested):
        limit = (
            "" if event.due_at is None else f"in {event.due_at - event.at:.1f} s it counts as {VERDICTS[event.default]}"
        )
        return "; ".join(filter(None, (f"of its {event.of}", event.question, limit)))
    told = verdict(is_approved=event.is_approved)
    edited = "with another output" if event.is_edited else ""
    late = "as nobody answered in time" if event.by_default else ""
    said = ": ".join(filter(None, (" ".join(filter(None, (told, edited, late))), event.comment)))
    return f"{said}; said {_moment(event.given_at)}" if event.at - event.given_at >= WORTH_TELLING_SECONDS else said


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _verdict(reason: str, *, holds: bool) -> str:
    return " ".join(filter(None, ("holds:" if holds else "does not hold:", reason))).rstrip(":")


def _what_follows(event: StepFailed | PartFailed) -> str:
    if event.retry_at is not None:
        return f" Tried again in {event.retry_at - event.at:.1f} s."
    return " Something else takes its place." if isinstance(event, StepFailed) and event.falls_back else ""


def _of_agent(seq: int, progressed: AgentProgressed, event: AgentEvent) -> HistoryEntry:
    call = next(iter(calls_of(event)), None)
    return HistoryEntry(
        seq,
        progressed.at,
        type(event).__name__,
        step=progressed.step,
        part=progressed.part,
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
