"""Shows a run's events to its subscribers, redacted if the user wants that. Nothing that they do fails a run."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from tagent.pipeline.events import (
    AgentNoticed,
    AgentProgressed,
    ApprovalAnswered,
    ApprovalRequested,
    ConditionJudged,
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
from tagent.ports.event_sink import EventSink
from tagent.task_agent.redaction import Redact
from tagent.task_agent.redaction import redacted as redacted_of_agent

logger = logging.getLogger("tagent")

_OfStep = (
    StepCompleted | PartCompleted | ApprovalRequested | StepSubstituted | StepGiven | ApprovalAnswered | StepFailed
    | StepSkipped | StepCancelled | PartFailed | ConditionJudged | StepStarted | StepExpanded | PartStarted
)  # fmt: skip

_TEXTS = ("goal",)
"""What of an added step may hold data of the run."""


class Audience:
    """Everybody who is shown the events of a run.

    Args:
        sinks: Who they are.
        redact: What they may see of contents; None shows all.
    """

    def __init__(self, sinks: Sequence[EventSink], redact: Redact | None = None) -> None:
        self._sinks = sinks
        self._redact = redact

    def show(self, event: RunEvent | AgentNoticed) -> None:
        """Show the event to each; what one of them, or the redaction, raises is logged."""
        if not self._sinks:
            return
        try:
            shown = event if self._redact is None else redacted(event, self._redact)
        except Exception:
            logger.exception("The redaction failed on %s, so nobody is shown it.", type(event).__name__)
            return
        for sink in self._sinks:
            try:
                sink.emit(shown)
            except Exception:
                logger.exception("A sink failed on %s; the run goes on.", type(event).__name__)


def redacted(event: RunEvent | AgentNoticed, redact: Redact) -> RunEvent | AgentNoticed:
    """Return the event with every content replaced by what `redact` makes of it.

    Example:
        >>> redacted(StepCompleted("greet", 1, "Dear Ada", at=0.0), lambda value: "***").output
        '***'
    """
    match event:
        case AgentProgressed():
            return replace(event, event=redacted_of_agent(event.event, redact))
        case AgentNoticed():
            return replace(event, notice=redacted_of_agent(event.notice, redact))
        case InnerProgressed():
            inner = redacted(event.event, redact)
            return event if isinstance(inner, AgentNoticed) else replace(event, event=inner)
        case RunStarted():
            labels = {name: str(redact(label)) for name, label in event.labels.items()}
            shown = replace(event, inputs=_each(event.inputs, redact), shared=_each(event.shared, redact))
            return replace(shown, labels=labels)
        case RunForked():
            return replace(event, edits=_each(event.edits, redact))
        case RunHalted() | RunPaused() | RunFinished():
            return replace(event, reason=_text(event.reason, redact))
        case RunResumed():
            return event
        case _:
            return _redacted_of_step(event, redact)


def _redacted_of_step(event: _OfStep, redact: Redact) -> RunEvent:
    match event:
        case StepCompleted() | PartCompleted() | ApprovalRequested():
            return _redacted_output(event, redact)
        case StepSubstituted() | StepGiven():
            return replace(event, output=redact(event.output))
        case ApprovalAnswered():
            output = redact(event.output) if event.is_edited else None
            return replace(event, comment=_text(event.comment, redact), output=output)
        case StepFailed() | StepSkipped() | StepCancelled() | PartFailed() | ConditionJudged():
            return replace(event, reason=_text(event.reason, redact))
        case StepStarted() | StepExpanded() | PartStarted():
            return event
        case _:
            assert_never(event)


def _redacted_output(
    event: StepCompleted | PartCompleted | ApprovalRequested, redact: Redact
) -> StepCompleted | PartCompleted | ApprovalRequested:
    """Return what an attempt gave, redacted; of added steps the texts, as what else is said of them is no content."""
    facts, memories = _each(event.facts, redact), _each(event.memories, redact)
    change = event.change
    if change is not None and change.added:
        added = tuple({**spec, **{key: redact(spec[key]) for key in _TEXTS if spec.get(key)}} for spec in change.added)
        change = replace(change, added=added)
    if isinstance(event, ApprovalRequested):
        event = replace(
            event, question=_text(event.question, redact), effects=None
        )  # what would be written is nobody's to see
    return replace(event, output=redact(event.output), facts=facts, memories=memories, change=change)


def _each(values: Mapping[str, object], redact: Redact) -> dict[str, object]:
    return {name: redact(value) for name, value in values.items()}


def _text(told: str, redact: Redact) -> str:
    return str(redact(told)) if told else ""
