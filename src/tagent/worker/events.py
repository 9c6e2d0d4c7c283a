"""`EventSource`: an event trigger at work. Each message starts one run, whoever sees it first."""

import logging
import math
from collections.abc import Mapping, Sequence

from tagent.exceptions import StoreError, TAgentError
from tagent.messaging.dead_letters import dead_letter, original
from tagent.messaging.reading import Reader
from tagent.messaging.received import ReceivedMessage, fits
from tagent.messaging.subscribing import begin_now
from tagent.names import redelivered, shown
from tagent.payloads import PayloadError
from tagent.pipeline.exceptions import InputError, PipelineValidationError
from tagent.pipeline.models import Pipeline
from tagent.pipeline.stored.definition import Origin
from tagent.pipeline.triggers import EventTrigger
from tagent.ports.effect_errors import CursorConflictError
from tagent.ports.effects import Effects
from tagent.ports.messages import Message, Receipt
from tagent.ports.services import Services
from tagent.worker.crew import Crew, RunCrashedError
from tagent.worker.status import note

REST_SECONDS = 30.0
"""How long a trigger rests when its pipeline cannot be started here: what is wrong is not with the message."""


class EventSource:
    """Reads for one trigger and starts runs.

    Args:
        trigger: What starts them.
        pipeline: What is started.
        origin: Where the pipeline's code is.
        services: Where the messages are.
        crew: Drives the runs.
    """

    def __init__(
        self, trigger: EventTrigger, pipeline: Pipeline, origin: Origin, *, services: Services, crew: Crew
    ) -> None:
        self._trigger = trigger
        self._pipeline = pipeline
        self._origin = origin
        self._store = services.store
        self._clock = services.clock
        self._crew = crew
        self._source = trigger.source(pipeline.name)
        self._subscriber = trigger.subscriber(pipeline.name)
        self._reader = Reader(services.store, self._subscriber, self._source, redelivered(self._subscriber))
        self._rests_until = 0.0
        self._is_behind = False

    def due_at(self) -> float:
        """Return when it wants to look, even without a hint."""
        return 0.0 if self._is_behind else self._rests_until or math.inf

    async def begin(self) -> None:
        """Let a trigger that is new begin behind the newest message."""
        await begin_now(self._source, self._subscriber, self._store)

    async def take(self) -> None:
        """Start runs for messages that were not read yet, as long as there is room; some, as others want their turn.

        Raises:
            StoreUnavailableError: If the store cannot be reached.
        """
        if self._clock.now() < self._rests_until or not self._crew.has_room:
            return
        self._rests_until = 0.0
        page = await self._reader.unread()
        self._is_behind = bool(page)
        try:
            await self._take_page(page)
        except CursorConflictError:
            return  # another worker has read on: look again from there
        except StoreError:
            raise
        except TAgentError as error:
            self._rest(error)

    async def _take_page(self, page: Sequence[Message]) -> None:
        passed: dict[str, Receipt] = {}
        for message in page:
            if not self._crew.has_room:
                break
            receipt = self._reader.receipt(message)
            if await self._take(message, receipt):
                passed.pop(message.topic, None)
                self._reader.written([receipt])
            else:
                passed[message.topic] = receipt
        if passed:
            await self._store.write(Effects(receipts=tuple(passed.values())))

    async def _take(self, message: Message, receipt: Receipt) -> bool:
        """Start a run for a message, together with its receipt; False if the message is not meant."""
        meant = message
        try:
            meant = original(message, self._subscriber)
            received = ReceivedMessage.of(meant)
            if not fits(self._trigger.where, received):
                return False
            await self._crew.start(
                self._pipeline,
                self._inputs_of(received),
                origin=self._origin,
                cause=f"{shown(meant.topic)} {meant.seq}",
                effects=Effects(receipts=(receipt,)),
            )
        except (InputError, PipelineValidationError, PayloadError, RunCrashedError) as error:
            await self._give_up(meant, receipt, error)
        return True

    def _inputs_of(self, message: ReceivedMessage) -> Mapping[str, object] | None:
        if message.data is None or isinstance(message.data, Mapping):
            return message.data
        problem = f"is {type(message.data).__name__}; inputs have names."
        raise InputError(self._pipeline.name, {"the message": problem}, hint="Send a model or a dict.")

    async def _give_up(self, message: Message, receipt: Receipt, error: TAgentError) -> None:
        """Put a message that does not fit aside, so that the ones behind it are not held up."""
        letter = dead_letter(self._subscriber, message, error, failures=1)
        await self._store.write(Effects(messages=(letter,), receipts=(receipt,)))
        where = f"{shown(message.topic)} {message.seq}"
        note(
            "message_refused",
            f"{self._pipeline.name} cannot be started for {where}: {error}",
            level=logging.WARNING,
            pipeline=self._pipeline.name,
            trigger=where,
            code=error.code,
        )

    def _rest(self, error: TAgentError) -> None:
        self._is_behind = False
        self._rests_until = self._clock.now() + REST_SECONDS
        note(
            "trigger_rests",
            f"{self._pipeline.name} cannot be started here; its messages wait: {error}",
            level=logging.WARNING,
            pipeline=self._pipeline.name,
            code=error.code,
        )
