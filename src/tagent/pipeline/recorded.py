"""What a run has recorded of each step and of each of its parts: what the last attempt did, and how it ended."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tagent.pipeline.events import (
    AgentProgressed,
    PartCompleted,
    PartFailed,
    PartStarted,
    RunEvent,
    StepCancelled,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepStarted,
)
from tagent.task_agent.events import AgentEvent

Ended = StepCompleted | StepFailed | PartCompleted | PartFailed


@dataclass(slots=True)
class RecordedWork:
    """What a run has recorded of a step, or of a part of it.

    Attributes:
        step: The step's name.
        part: The part; empty for the step itself.
        attempt: The number of its last attempt; 0 when it never started.
        agent_events: What its agent did in that attempt.
        ended: How the attempt ended; None when it did not.
        was_cut_off: Whether it did not because the run ended first.
    """

    step: str
    part: str = ""
    attempt: int = 0
    agent_events: list[AgentEvent] = field(default_factory=list)
    ended: Ended | None = None
    was_cut_off: bool = False

    @property
    def completed(self) -> StepCompleted | PartCompleted | None:
        """How it ended, if well."""
        return self.ended if isinstance(self.ended, StepCompleted | PartCompleted) else None


class Recorded:
    """What the events of a run tell of its steps and their parts.

    Args:
        events: The run's journal.

    Attributes:
        seen: Step -> the SOFT dependencies whose outputs its last attempt saw, for each that began.

    Example:
        >>> recorded = Recorded([PartStarted("fetch", "0", 1, "", 0.0), PartCompleted("fetch", "0", 1, "page", 1.0)])
        >>> recorded.of("fetch", "0").ended.output, recorded.of("fetch", "1").ended
        ('page', None)
    """

    def __init__(self, events: Iterable[RunEvent]) -> None:
        self._works: dict[tuple[str, str], RecordedWork] = {}
        self.seen: dict[str, tuple[str, ...]] = {}
        for event in events:
            self._take(event)

    def of(self, step: str, part: str = "") -> RecordedWork:
        """Return what is recorded of a step, or of a part of it; something empty if it never started."""
        return self._works.get((step, part)) or RecordedWork(step, part)

    def _take(self, event: RunEvent) -> None:
        match event:
            case StepStarted():
                self._begin(event.step, "", event.attempt)
                self.seen[event.step] = event.seen
            case PartStarted():
                self._begin(event.step, event.part, event.attempt)
            case StepExpanded():
                self.seen[event.step] = event.seen
            case AgentProgressed():
                self._works[event.step, event.part].agent_events.append(event.event)
            case StepCompleted():
                self._works[event.step, ""].ended = event
            case StepFailed(step=step) if event.attempt:  # else it failed without being tried, and does so again
                self._works[step, ""].ended = event
            case PartCompleted() | PartFailed():
                self._works[event.step, event.part].ended = event
            case StepCancelled():
                for (step, _), work in self._works.items():
                    work.was_cut_off |= step == event.step and work.ended is None
            case _:
                pass

    def _begin(self, step: str, part: str, attempt: int) -> None:
        known = self._works.get((step, part))
        if known is None or known.attempt != attempt:
            known = self._works[step, part] = RecordedWork(step, part, attempt)
        known.ended, known.was_cut_off = None, False
