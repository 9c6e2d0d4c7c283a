"""Which piece of a replayed run is at work, and when nothing of it goes on any more."""

import asyncio
from contextvars import ContextVar

from tagent.pipeline.context import StepContext
from tagent.pipeline.events import (
    PartCompleted,
    PartFailed,
    PartStarted,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepSkipped,
    StepStarted,
)

AT_WORK: ContextVar[tuple[str, str]] = ContextVar("at_work", default=("", ""))
"""The step and the part whose attempt the current task is."""


async def note_work(context: StepContext) -> None:
    """Note which piece of work the current task is: a hook that comes before each attempt, in the task of it."""
    AT_WORK.set((context.step, context.part))


def part_at_work(step: str) -> str:
    """Return the part of `step` that is at work; empty for the step itself."""
    at_work, part = AT_WORK.get()
    return part if at_work == step else ""


class Standstill:
    """Knows when nothing of a run goes on but what was cut off when it was recorded; a sink of its events.

    What was cut off has nothing more to say. It waits to be cut off again, and is told here if nobody will.
    """

    def __init__(self) -> None:
        self._running: set[tuple[str, str]] = set()
        self._waiting: set[tuple[str, str]] = set()
        self._changed = asyncio.Event()

    def emit(self, event: object) -> None:
        """Note what begins and what ends."""
        match event:
            case StepStarted(step=step):
                self._running.add((step, ""))
            case PartStarted(step=step, part=part):
                self._running.add((step, part))
            case PartCompleted(step=step, part=part) | PartFailed(step=step, part=part):
                self._running.discard((step, part))
            case StepCompleted() | StepFailed() | StepSkipped() | StepCancelled():
                self._running -= {unit for unit in self._running if unit[0] == event.step}
            case _:
                pass
        self._changed.set()

    async def reached(self, step: str, part: str) -> None:
        """Return when all that still runs waits here."""
        self._waiting.add((step, part))
        self._changed.set()
        while True:
            await self._changed.wait()
            await asyncio.sleep(0)  # what is committed together is shown together
            if self._running <= self._waiting:
                return
            self._changed.clear()
