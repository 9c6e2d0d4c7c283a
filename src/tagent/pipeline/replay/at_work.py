"""Which piece of a replayed run is at work, and when nothing of it goes on any more."""

import asyncio
from contextvars import ContextVar

from tagent.pipeline.context import StepContext
from tagent.pipeline.events import (
    InnerProgressed,
    PartCompleted,
    PartFailed,
    PartStarted,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepSkipped,
    StepStarted,
)

Place = tuple[tuple[str, str], ...]
"""A piece of work: its step and part, behind those of the work in whose run it is."""

AT_WORK: ContextVar[Place] = ContextVar("at_work", default=())
"""The piece of work whose attempt the current task is."""


class WorkNotes:
    """Notes which piece of work of one run the current task is.

    Args:
        depth: In how many runs that run is.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth

    async def note(self, context: StepContext) -> None:
        """Note it: a hook that comes before each attempt, in the task of it."""
        AT_WORK.set((*AT_WORK.get()[: self._depth], (context.step, context.part)))


def part_at_work(step: str) -> str:
    """Return the part of `step` that is at work; empty for the step itself."""
    place = AT_WORK.get()
    return place[-1][1] if place and place[-1][0] == step else ""


class Standstill:
    """Knows when nothing of a run goes on but what was cut off when it was recorded; a sink of its events.

    What was cut off has nothing more to say. It waits to be cut off again, and is told here if nobody will.
    """

    def __init__(self) -> None:
        self._running: set[Place] = set()
        self._waiting: set[Place] = set()
        self._changed = asyncio.Event()

    def emit(self, event: object) -> None:
        """Note what begins and what ends."""
        around: Place = ()
        while isinstance(event, InnerProgressed):
            around, event = (*around, (event.step, event.part)), event.event
        match event:
            case StepStarted(step=step):
                self._running.add((*around, (step, "")))
            case PartStarted(step=step, part=part):
                self._running.add((*around, (step, part)))
            case PartCompleted(step=step, part=part) | PartFailed(step=step, part=part):
                self._end(around, step, {part})
            case StepCompleted(step=step) | StepFailed(step=step) | StepSkipped(step=step) | StepCancelled(step=step):
                self._end(around, step, None)
            case _:
                pass
        self._changed.set()

    def _end(self, around: Place, step: str, parts: set[str] | None) -> None:
        """Note that a step is not at work any more, or only these parts of it, with all inside."""
        at = len(around)
        self._running = {
            place
            for place in self._running
            if not (place[:at] == around and place[at][0] == step and (parts is None or place[at][1] in parts))
        }

    async def reached(self, place: Place) -> None:
        """Return when all that still runs waits here."""
        self._waiting.add(place)
        self._changed.set()
        while True:
            await self._changed.wait()
            await asyncio.sleep(0)  # what is committed together is shown together
            if self._innermost() <= self._waiting:
                return
            self._changed.clear()

    def _innermost(self) -> set[Place]:
        """Return what runs and has nothing running inside."""
        around = {place[:depth] for place in self._running for depth in range(1, len(place))}
        return self._running - around
