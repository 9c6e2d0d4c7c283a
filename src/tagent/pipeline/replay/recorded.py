"""What a run has recorded of each step and of each of its parts: what the last attempt did, and how it ended."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tagent.pipeline.events import (
    AgentProgressed,
    InnerProgressed,
    PartCompleted,
    PartFailed,
    PartStarted,
    RunEvent,
    RunForked,
    RunStarted,
    StepCancelled,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepStarted,
)
from tagent.pipeline.replay.at_work import AT_WORK, Place
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
        inputs: What the run was given, by name.

    Example:
        >>> recorded = Recorded([PartStarted("fetch", "0", 1, "", 0.0), PartCompleted("fetch", "0", 1, "page", 1.0)])
        >>> recorded.of("fetch", "0").ended.output, recorded.of("fetch", "1").ended
        ('page', None)
    """

    def __init__(self, events: Iterable[RunEvent]) -> None:
        self._works: dict[str, dict[str, RecordedWork]] = {}
        self.seen: dict[str, tuple[str, ...]] = {}
        self.given: set[str] = set()
        self.inputs: Mapping[str, object] = {}
        self._inside: dict[str, dict[str, Recorded]] = {}
        for event in events:
            self.take(event)

    def of(self, step: str, part: str = "") -> RecordedWork:
        """Return what is recorded of a step, or of a part of it; something empty if it never started."""
        return self._works.get(step, {}).get(part) or RecordedWork(step, part)

    def of_step(self, step: str) -> tuple[RecordedWork, ...]:
        """Return what is recorded of a step and of its parts, as far as they started."""
        return tuple(self._works.get(step, {}).values())

    def inside(self, step: str, part: str = "") -> "Recorded":
        """Return what is recorded of the run inside a step, or inside a part of it; something empty if none began."""
        return self._inside.get(step, {}).get(part) or Recorded(())

    def all_inside(self, step: str) -> "Iterator[Recorded]":
        """Yield what is recorded of each run inside a step and its parts."""
        yield from self._inside.get(step, {}).values()

    def take(self, event: RunEvent) -> None:
        """Add what one more event tells."""
        match event:
            case RunStarted():
                self.inputs = event.inputs
            case InnerProgressed():
                self._take_inside(event)
            case RunForked():
                self.given |= _outputs_in(event.edits)
            case _:
                self._take_work(event)

    def _take_work(self, event: RunEvent) -> None:
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
            case _:
                pass

    def _take_inside(self, event: InnerProgressed) -> None:
        inside = self._inside.setdefault(event.step, {})
        if event.part not in inside or isinstance(event.event, RunStarted):
            inside[event.part] = Recorded(())
        inside[event.part].take(event.event)

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


class RecordedAt:
    """What is recorded of a pipeline where it is in the whole: of the run itself, or of each run inside a step.

    Which of these is meant says the piece of work that the current task is.

    Args:
        whole: What is recorded of the outermost run.
        within: The steps around it, the outermost first.
    """

    def __init__(self, whole: Recorded, within: tuple[str, ...] = ()) -> None:
        self._whole = whole
        self._within = within

    @property
    def depth(self) -> int:
        """In how many runs it is."""
        return len(self._within)

    def inside(self, step: str) -> "RecordedAt":
        """Return what is recorded of the pipeline inside a step."""
        return RecordedAt(self._whole, (*self._within, step))

    def place_of(self, step: str, part: str) -> Place:
        """Return the piece of work that the current task is, or works for."""
        return (*AT_WORK.get()[: self.depth], (step, part))

    def of(self, step: str, part: str = "") -> RecordedWork:
        """Return what is recorded of a step, or of a part of it, in the run that is at work."""
        return self._here().of(step, part)

    def inputs_inside(self, step: str, part: str) -> Mapping[str, object]:
        """Return what the run inside a step, or inside a part of it, was given in the run that is at work."""
        return self._here().inside(step, part).inputs

    def of_step(self, step: str) -> tuple[RecordedWork, ...]:
        """Return what is recorded of a step and of its parts, in all runs."""
        return tuple(work for run in self._every() for work in run.of_step(step))

    @property
    def seen(self) -> Mapping[str, tuple[str, ...]]:
        """Step -> the SOFT dependencies whose outputs its last attempt saw, in the first run in which it began."""
        seen: dict[str, tuple[str, ...]] = {}
        for run in self._every():
            seen = {**run.seen, **seen}
        return seen

    @property
    def given(self) -> set[str]:
        """The steps whose output a person wrote, in a fork."""
        return {step for run in self._every() for step in run.given}

    def _here(self) -> Recorded:
        found = self._whole
        for step, part in AT_WORK.get()[: self.depth]:
            found = found.inside(step, part)
        return found

    def _every(self) -> list[Recorded]:
        found = [self._whole]
        for step in self._within:
            found = [inside for run in found for inside in run.all_inside(step)]
        return found
