"""What a run has recorded of each step and of each of its parts: what the last attempt did, and how it ended."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tagent.pipeline.events import (
    AgentProgressed,
    PartCompleted,
    PartFailed,
    PartStarted,
    RunEvent,
    RunForked,
    StepCancelled,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepStarted,
)
from tagent.task_agent.events import AgentEvent

_OfWork = StepStarted | StepCompleted | StepFailed | PartStarted | PartCompleted | PartFailed | AgentProgressed
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
        given: The steps whose output a person wrote, in a fork.

    Example:
        >>> recorded = Recorded([PartStarted("fetch", "0", 1, "", 0.0), PartCompleted("fetch", "0", 1, "page", 1.0)])
        >>> recorded.of("fetch", "0").ended.output, recorded.of("fetch", "1").ended
        ('page', None)
    """

    def __init__(self, events: Iterable[RunEvent]) -> None:
        self._works: dict[str, dict[str, RecordedWork]] = {}
        self.seen: dict[str, tuple[str, ...]] = {}
        self.given: set[str] = set()
        for event in events:
            self._take(event)

    def of(self, step: str, part: str = "") -> RecordedWork:
        """Return what is recorded of a step, or of a part of it; something empty if it never started."""
        return self._works.get(step, {}).get(part) or RecordedWork(step, part)

    def of_step(self, step: str) -> tuple[RecordedWork, ...]:
        """Return what is recorded of a step and of its parts, as far as they started."""
        return tuple(self._works.get(step, {}).values())

    def _take(self, event: RunEvent) -> None:
        match event:
            case StepStarted() | PartStarted():
                self._begin(event)
            case StepCompleted() | StepFailed() | PartCompleted() | PartFailed():
                if event.attempt:  # else it failed without being tried, and does so again
                    self._work(event).ended = event
            case AgentProgressed():
                self._work(event).agent_events.append(event.event)
            case StepCancelled():
                for work in self.of_step(event.step):
                    work.was_cut_off = work.ended is None
            case StepExpanded():
                self.seen[event.step] = event.seen
            case RunForked():
                self.given |= _outputs_in(event.edits)
            case _:
                pass

    def _begin(self, event: StepStarted | PartStarted) -> None:
        self.given.discard(event.step)
        if isinstance(event, StepStarted):
            self.seen[event.step] = event.seen
        work = self._work(event)
        if work.attempt != event.attempt:
            work.agent_events.clear()
        work.attempt, work.ended, work.was_cut_off = event.attempt, None, False

    def _work(self, event: _OfWork) -> RecordedWork:
        part = getattr(event, "part", "")
        return self._works.setdefault(event.step, {}).setdefault(part, RecordedWork(event.step, part))


def _outputs_in(edits: Mapping[str, object]) -> set[str]:
    """Return the steps whose output the edits of a fork name."""
    steps = edits.get("steps")
    named = steps if isinstance(steps, Mapping) else {}
    return {name for name, parts in named.items() if isinstance(parts, Mapping) and "output" in parts}
