"""A step that waits for a message. Its output is what that says."""

import re
from collections.abc import Collection, Mapping

from pydantic_core import to_json

from tagent.exceptions import DataPathError
from tagent.messaging.errors import MessageTimeoutError
from tagent.messaging.inbox import Inbox
from tagent.messaging.subscribing import subscriptions_to
from tagent.names import run_subscriber
from tagent.paths import DataPath
from tagent.pipeline.awaited import Event, event_of
from tagent.pipeline.exceptions import StepInputError
from tagent.pipeline.models import Pipeline
from tagent.pipeline.placeholders import PLACEHOLDER
from tagent.pipeline.work.reading import RunReader
from tagent.ports.effects import Effects
from tagent.ports.messages import Subscription
from tagent.ports.services import Services
from tagent.ports.store import Store
from tagent.task_agent.attempt import Attempt
from tagent.threads import ThreadedCall


class EventStep:
    """An event, ready to be waited for in a run.

    Args:
        name: The step's name.
        event: What it waits for.
        reader: The run.
        services: Where the messages are.
        pipeline: The pipeline's name.
        timeout: How many seconds to wait, from when the attempt began, in whichever process; None for ever.

    Attributes:
        abandoned: Nothing: it has no thread.
    """

    def __init__(
        self,
        name: str,
        event: Event,
        reader: RunReader,
        services: Services,
        *,
        pipeline: str,
        timeout: float | None = None,
    ) -> None:
        self._name = name
        self._event = event
        self._reader = reader
        self._services = services
        self._pipeline = pipeline
        self._timeout = timeout
        self.abandoned: list[ThreadedCall] = []

    async def run(self, attempt: Attempt) -> tuple[object, None]:
        """Return what the event says. That it was read is among the attempt's effects.

        Raises:
            MessageTimeoutError: If it has not happened in time.
            StepInputError: If what it is compared with is not there.
            PayloadError: If a message cannot be read.
        """
        run_id = self._reader.context(self._name, attempt).run_id
        source = self._event.source(pipeline=self._pipeline, run_id=run_id)
        inbox = Inbox(self._services, run_subscriber(run_id, self._name), source, where=self._where())
        until = None if self._timeout is None else attempt.began_at + self._timeout
        message = await inbox.next(until=until)
        if message is None:
            raise MessageTimeoutError(self._event.shown, seconds=self._timeout or 0.0)
        for receipt in inbox.receipts():
            attempt.effects.receive(receipt)
        return message.data, None

    def _where(self) -> Mapping[str, object]:
        known = self._reader.known(self._name)
        try:
            return {path: filled(expected, known) for path, expected in self._event.where.items()}
        except DataPathError as error:
            message = f"The step {self._name!r} compares with what is not there: {error}"
            raise StepInputError(self._name, message) from error


async def listening(pipeline: Pipeline, *, run_id: str, store: Store, done: Collection[str] = ()) -> Effects:
    """Return what is written when a run begins, so that its steps see what is sent from then on, and nothing older.

    Args:
        pipeline: The definition.
        run_id: The run.
        store: Where the messages are.
        done: The steps that wait for nothing any more.
    """
    begun: list[Subscription] = []
    for step in pipeline.steps:
        if step.wait_for is not None and step.name not in done:
            source = event_of(step.wait_for).source(pipeline=pipeline.name, run_id=run_id)
            begun += await subscriptions_to(source, run_subscriber(run_id, step.name), store)
    return Effects(subscriptions=tuple(begun))


def filled(expected: object, values: Mapping[str, object]) -> object:
    """Return what a field must be equal to, with the placeholders replaced that `values` names.

    Raises:
        DataPathError: If a path leads nowhere.

    Example:
        >>> filled("{order.id}", {"order": {"id": 7}}), filled("order-{order.id}", {"order": {"id": 7}})
        (7, 'order-7')
    """
    if not isinstance(expected, str):
        return expected
    whole = PLACEHOLDER.fullmatch(expected)
    if whole and DataPath.parse(whole[1]).root in values:
        return DataPath.parse(whole[1]).look_up(values)

    def replaced(match: re.Match[str]) -> str:
        path = DataPath.parse(match[1])
        if path.root not in values:
            return match[0]
        found = path.look_up(values)
        return found if isinstance(found, str) else to_json(found).decode()

    return PLACEHOLDER.sub(replaced, expected)
