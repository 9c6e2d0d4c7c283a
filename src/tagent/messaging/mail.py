"""`Mail`: what a pipeline sends and reads from outside its runs, in the event loop of the store."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

from tagent.bridge import Bridge
from tagent.exceptions import StoreError
from tagent.messaging.background import Subscribed
from tagent.messaging.dead_letters import DeadLetter, discard, open_dead_letters, redeliver
from tagent.messaging.delivery import Delivery
from tagent.messaging.errors import MessageTimeoutError
from tagent.messaging.inbox import Inbox
from tagent.messaging.listening import FailurePolicy, Handler, Listener, is_async
from tagent.messaging.received import ReceivedMessage, Where
from tagent.messaging.requests import answer_in
from tagent.messaging.sending import address_of, new_message, reply_to
from tagent.messaging.subscribing import begin_now
from tagent.messaging.waiting import deadline
from tagent.names import checked_name, mailbox, named_subscriber, pipeline_mailbox, reply_topic, source
from tagent.ports.effects import Effects
from tagent.ports.messages import NewMessage
from tagent.ports.services import Services

Since = Literal["oldest", "now"]
"""Where a new subscriber begins: with the oldest message that is kept, or behind the newest."""


class Mail:
    """The mail of one pipeline. `PipelineCommunicator` says of each method what it does, and what it raises.

    Args:
        pipeline: The name of the pipeline.
        services: Open services.
        bridge: The way to their event loop, for handlers.
        holding: What must live as long as a subscription.

    Attributes:
        subscribed: The subscriptions that are under way, and some that have ended.
    """

    def __init__(self, pipeline: str, services: Services, *, bridge: Bridge, holding: object) -> None:
        self.subscribed: list[Subscribed] = []
        self._pipeline = pipeline
        self._mailbox = pipeline_mailbox(pipeline)
        self._sender = address_of(pipeline)
        self._services = services
        self._bridge = bridge
        self._holding = holding

    def message(self, topic: str, data: object, *, key: str | None = None) -> NewMessage:
        """Return a message of the pipeline.

        Raises:
            PayloadError: If the data cannot be written as JSON, or are too large.
        """
        return new_message(topic, data, key=key or "", sender=self._sender)

    def answer(self, message: ReceivedMessage, data: object) -> NewMessage:
        """Return the answer of the pipeline to a message.

        Raises:
            NoReplyWantedError: If its sender does not wait for one.
            PayloadError: If the data cannot be written as JSON, or are too large.
        """
        return reply_to(message, data, sender=self._sender)

    async def write(self, message: NewMessage) -> None:
        """Send a message."""
        await self._services.store.write(Effects(messages=(message,)))

    async def receive(self, seconds: float | None, *, schema: object) -> ReceivedMessage:
        """Return the next message of the pipeline's mailbox, which counts as read from then on."""
        inbox = Inbox(self._services, self._mailbox, self._mailbox)
        until = deadline(self._services.clock, seconds)
        while (message := await inbox.next(until=until, schema=schema)) is not None:
            if await inbox.acknowledge():
                return message
        raise MessageTimeoutError(self._sender, seconds=seconds or 0.0)

    async def request(self, to: str, data: object, *, seconds: float, schema: object) -> Any:
        """Send a message, wait for the answer and return its data."""
        services = self._services
        answers = reply_topic(f"{services.new_id()}/answer")  # no topic begins with another
        await self.write(new_message(mailbox(to), data, sender=self._sender, reply_to=answers))
        try:
            return await answer_in(answers, services, asked=to, seconds=seconds, schema=schema)
        finally:
            with suppress(StoreError):  # the answer is here; what is left behind is swept some day
                await services.store.forget(answers)

    async def subscribe(
        self,
        pattern: str,
        handler: Handler,
        *,
        subscriber: str | None,
        since: Since,
        where: Where | None,
        policy: FailurePolicy,
    ) -> Subscribed:
        """Let `handler` be called for each message, in the background, and return what stops it."""
        reads, who = await self._begun(pattern, subscriber, since=since)
        listener = Listener(
            self._services,
            who,
            reads,
            handler,
            pipeline=self._pipeline,
            bridge=self._bridge,
            where=where,
            policy=policy,
        )
        subscribed = Subscribed(who, listener, self._bridge, holding=self._holding)
        self.subscribed = [*(it for it in self.subscribed if it.is_listening), subscribed]
        return subscribed

    async def inbox(self, pattern: str, subscriber: str | None, *, since: Since, where: Where | None) -> Inbox:
        """Return where a subscriber finds the messages of a pattern."""
        reads, who = await self._begun(pattern, subscriber, since=since)
        return Inbox(self._services, who, reads, where=where)

    async def next(self, inbox: Inbox, seconds: float | None, *, schema: object) -> ReceivedMessage | None:
        """Return the next message of an inbox, where the one before counts as read; None if there is none in time."""
        await inbox.acknowledge()
        message = await inbox.next(until=deadline(self._services.clock, seconds), schema=schema)
        if message is None:
            await inbox.acknowledge()  # what was passed over
        return message

    async def dead_letters(self, subscriber: str | None, *, after: int, limit: int) -> Sequence[DeadLetter]:
        """Return the messages that a subscriber could not handle and about which nobody has decided."""
        return await open_dead_letters(self._services.store, self._subscriber(subscriber), after=after, limit=limit)

    async def redeliver(self, letter: DeadLetter, subscriber: str | None) -> bool:
        """Let a subscriber handle a message once more; False if somebody had decided about it."""
        return await redeliver(self._services.store, self._subscriber(subscriber), letter)

    async def discard(self, letter: DeadLetter, subscriber: str | None) -> bool:
        """Give a message up for good; False if somebody had decided about it."""
        return await discard(self._services.store, self._subscriber(subscriber), letter)

    async def _begun(self, pattern: str, subscriber: str | None, *, since: Since) -> tuple[str, str]:
        """Return what is read and who reads, once he has his place."""
        reads = source(pattern)
        who = self._subscriber(subscriber)
        if since == "now":
            await begin_now(reads, who, self._services.store)
        return reads, who

    def _subscriber(self, name: str | None) -> str:
        return self._mailbox if name is None else named_subscriber(checked_name(name))


def at_home(handler: Handler, *, away_from: Bridge) -> Handler:
    """Return `handler`, brought back to the loop that is running, where its program has what it works with."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return handler
    if loop is away_from.loop or not is_async(handler):
        return handler
    home = Bridge(loop)

    async def brought_back(delivery: Delivery) -> None:
        if loop.is_closed():  # its program has ended: that is no failure of the message
            raise asyncio.CancelledError
        await home.carry(handler(delivery))  # type: ignore[arg-type]  # just asked

    return brought_back
