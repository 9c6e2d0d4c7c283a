"""`ScheduleSource`: a schedule at work. Each time starts one run, however many workers there are."""

import logging
from contextlib import suppress

from tagent.exceptions import StoreError, TAgentError
from tagent.names import schedule_scope
from tagent.payloads import decoded, encoded
from tagent.pipeline import bindings
from tagent.pipeline.models import Pipeline
from tagent.pipeline.stored.definition import Origin
from tagent.pipeline.triggers import SCHEDULED_AT, ScheduleTrigger
from tagent.ports.documents import Document, Put
from tagent.ports.effect_errors import DocumentConflictError
from tagent.ports.effects import Effects
from tagent.ports.services import Services
from tagent.worker.crew import Crew
from tagent.worker.events import REST_SECONDS
from tagent.worker.status import note


class ScheduleSource:
    """Starts the runs of one schedule. The last time that has started one is in the store.

    Args:
        trigger: Says when.
        pipeline: What is started.
        origin: Where the pipeline's code is.
        services: Where the last time is kept, and the clock.
        crew: Drives the runs.
    """

    def __init__(
        self, trigger: ScheduleTrigger, pipeline: Pipeline, origin: Origin, *, services: Services, crew: Crew
    ) -> None:
        self._trigger = trigger
        self._pipeline = pipeline
        self._origin = origin
        self._store = services.store
        self._clock = services.clock
        self._crew = crew
        self._takes_time = SCHEDULED_AT in input_names(pipeline)
        self._scope = schedule_scope(pipeline.name)
        self._key = f"{trigger.cron} {trigger.timezone}"
        self._due_at = 0.0

    def due_at(self) -> float:
        """Return when it wants to look, even without a hint."""
        return self._due_at

    async def begin(self) -> None:
        """Let a schedule that is new begin with its next time."""
        with suppress(DocumentConflictError):  # it is not new
            await self._store.write(Effects(puts=(self._put(self._clock.now(), version=0),)))

    async def take(self) -> None:
        """Start a run if its time has come; of several times that have passed, for the newest.

        Raises:
            StoreUnavailableError: If the store cannot be reached.
        """
        now = self._clock.now()
        if now < self._due_at or not self._crew.has_room:
            return
        last = await self._store.document(self._scope, self._key)
        if last is None:  # somebody has deleted it
            await self.begin()
            return
        done = float(decoded(last.value, what=f"The last time of {self._key!r}", schema=float))
        due = self._trigger.next_after(done)
        if due <= now:
            done = await self._start(done, due, max(due, self._trigger.newest_until(now)), last)
            due = self._trigger.next_after(done)
        self._due_at = max(due, self._due_at)

    async def _start(self, done: float, due: float, newest: float, last: Document) -> float:
        """Start the run of a time and return the time that is done now."""
        text = self._trigger.text_of(newest)
        try:
            await self._crew.start(
                self._pipeline,
                {SCHEDULED_AT: text} if self._takes_time else None,
                origin=self._origin,
                cause=f"{self._trigger.cron} {text}",
                effects=Effects(puts=(self._put(newest, version=last.version),)),
            )
        except DocumentConflictError:
            return newest  # another worker has started it
        except StoreError:
            raise
        except TAgentError as error:
            self._due_at = self._clock.now() + REST_SECONDS
            note(
                "trigger_rests",
                f"{self._pipeline.name} cannot be started here for {text}: {error}",
                level=logging.WARNING,
                pipeline=self._pipeline.name,
                code=error.code,
            )
            return done
        if due < newest:
            note(
                "times_missed",
                f"{self._pipeline.name} missed its times from {self._trigger.text_of(due)} on; {text} stands for them",
                level=logging.WARNING,
                pipeline=self._pipeline.name,
                trigger=self._key,
            )
        return newest

    def _put(self, at: float, *, version: int) -> Put:
        return Put(self._scope, self._key, encoded(at, what="A time"), expected_version=version)


def input_names(pipeline: Pipeline) -> set[str]:
    """Return the names that a run of `pipeline` may be given."""
    if pipeline.inputs is not None:
        return set(pipeline.inputs.model_fields)
    read: set[str] = set()
    for step in pipeline.steps:
        read.update(bindings.names_read(step, pipeline.global_constraints))
    return read - {step.name for step in pipeline.steps}
