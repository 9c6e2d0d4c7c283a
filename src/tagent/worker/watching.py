"""`RunWatch`: what a worker sees of one run that it drives."""

import asyncio
from collections.abc import Callable

from tagent.pipeline.changes import events_awaited
from tagent.pipeline.events import (
    ApprovalRequested,
    PartCompleted,
    PartFailed,
    PartStarted,
    RunResumed,
    RunStarted,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSubstituted,
)
from tagent.pipeline.models import Pipeline

_ENDS_FOR_NOW = StepCompleted | StepFailed | StepSubstituted | StepSkipped | StepCancelled | ApprovalRequested
"""After these nothing of a step is at work, none of its parts either, until it begins again."""


class RunWatch:
    """A sink for the events of one run.

    Args:
        pipeline: Its pipeline.
        run_id: The run; empty while it is not there yet.
        on_begun: Called once it has begun, or was taken up.
        on_wait: Called when from now on it does nothing but wait for events.

    Attributes:
        pipeline: The name of its pipeline.
        run_id: The run; empty while it is not there yet.
        begun: Done once it has begun, or was taken up; holds what has kept it from that.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        run_id: str = "",
        on_begun: Callable[["RunWatch"], None],
        on_wait: Callable[[], None],
    ) -> None:
        self.pipeline = pipeline.name
        self.run_id = run_id
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_begun = on_begun
        self._on_wait = on_wait
        self._waiting_steps = {step.name for step in pipeline.steps if step.wait_for is not None}
        self._running: set[tuple[str, str]] = set()

    @property
    def only_waits(self) -> bool:
        """Whether it does nothing but wait for events.

        A step that was added before the run was taken up counts as work, as nothing tells that it waits.
        """
        return bool(self._running) and all(not part and step in self._waiting_steps for step, part in self._running)

    def emit(self, event: object) -> None:
        """Take in an event that is committed."""
        if isinstance(event, RunStarted):
            self.run_id = event.run_id
        if isinstance(event, RunStarted | RunResumed):
            self.settle()
            self._on_begun(self)
        else:
            self._note(event)
        if self.only_waits:
            self._on_wait()

    def _note(self, event: object) -> None:
        """Note which work begins, and which has ended for now."""
        if isinstance(event, StepStarted):
            self._running.add((event.step, ""))
        elif isinstance(event, PartStarted):
            self._running.add((event.step, event.part))
        elif isinstance(event, PartCompleted | PartFailed):
            self._running.discard((event.step, event.part))
        elif isinstance(event, _ENDS_FOR_NOW):
            self._running = {(step, part) for step, part in self._running if step != event.step}
        if isinstance(event, StepCompleted | PartCompleted) and event.change is not None:
            self._waiting_steps |= events_awaited(event.change)

    def settle(self, error: Exception | None = None) -> bool:
        """Say that it has begun, or why it has not; False if that was known."""
        if self.begun.done():
            return False
        if error is None:
            self.begun.set_result(None)
        else:
            self.begun.set_exception(error)
        return True
