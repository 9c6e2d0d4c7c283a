"""Shows a run's events to its subscribers, redacted if the user wants that. Nothing that they do fails a run."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from tagent.pipeline.events import (
    AgentNoticed,
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
from tagent.ports.event_sink import EventSink
from tagent.task_agent.redaction import Redact
from tagent.task_agent.redaction import redacted as redacted_of_agent

logger = logging.getLogger("tagent")


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

    def each(values: Mapping[str, object]) -> dict[str, object]:
        return {name: redact(value) for name, value in values.items()}

    match event:
        case RunStarted():
            labels = {name: str(redact(label)) for name, label in event.labels.items()}
            return replace(event, inputs=each(event.inputs), shared=each(event.shared), labels=labels)
        case RunForked():
            return replace(event, edits=each(event.edits))
        case StepCompleted() | PartCompleted():
            return replace(event, output=redact(event.output), facts=each(event.facts), memories=each(event.memories))
        case StepSubstituted():
            return replace(event, output=redact(event.output))
        case (
            StepFailed() | StepSkipped() | StepCancelled() | PartFailed() | ConditionJudged()
            | RunHalted() | RunPaused() | RunFinished()
        ):  # fmt: skip
            return replace(event, reason=str(redact(event.reason))) if event.reason else event
        case AgentProgressed():
            return replace(event, event=redacted_of_agent(event.event, redact))
        case AgentNoticed():
            return replace(event, notice=redacted_of_agent(event.notice, redact))
        case RunResumed() | StepStarted() | StepExpanded() | PartStarted():
            return event
        case _:
            assert_never(event)
