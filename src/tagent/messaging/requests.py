"""Waiting for the answer to one request."""

from typing import Any

from tagent.messaging.errors import MessageTimeoutError
from tagent.messaging.received import ReceivedMessage
from tagent.messaging.waiting import deadline, wait_until
from tagent.ports.messages import Message
from tagent.ports.services import Services


async def answer_in(topic: str, services: Services, *, asked: str, seconds: float, schema: object = None) -> Any:
    """Return the data of the first message in `topic`, which is there for one answer.

    Args:
        topic: The store's topic in which the answer is awaited.
        services: Where the messages are.
        asked: Who was asked, for messages.
        seconds: How long to wait.
        schema: The type to read the answer as.

    Raises:
        MessageTimeoutError: If there is none in time.
        PayloadError: If it does not fit the schema.
    """

    async def look() -> Message | None:
        return next(iter(await services.store.messages(topic, limit=1)), None)

    until = deadline(services.clock, seconds)
    answer = await wait_until(look, store=services.store, clock=services.clock, until=until)
    if answer is None:
        raise MessageTimeoutError(asked, seconds=seconds, hint="Whoever reads there must `reply` to the request.")
    return ReceivedMessage.of(answer, schema).data
