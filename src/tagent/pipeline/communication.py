"""`PipelineCommunicator`: the mail of a pipeline, from outside its runs."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self

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
from tagent.messaging.sending import address_of, broadcast_topic, new_message, reply_to
from tagent.messaging.subscribing import begin_now
from tagent.messaging.waiting import deadline
from tagent.names import checked_name, mailbox, named_subscriber, pipeline_mailbox, reply_topic, source
from tagent.pipeline.journal.connection import Connection
from tagent.ports.effects import Effects
from tagent.ports.messages import NewMessage
from tagent.ports.services import Services

Since = Literal["oldest", "now"]
"""Where a new subscriber begins: with the oldest message that is kept, or behind the newest."""


class PipelineCommunicator:
    """Sends and receives for a pipeline; usable in any program, also while its runs go on.

    Each method that waits blocks and has an async twin, whose name begins with an `a`. It ends its subscriptions and
    closes its store at the end of a `with` or `async with` block, or with `close`; from then on each raises
    `ClosedBridgeError`. With `services` a blocking method raises `BlockingCallError` in their loop.

    Args:
        pipeline_id: The name of the pipeline.
        store: The URL of the store; None takes that of the settings. `memory://` is of this object alone.
        services: Open services to use instead, in the loop that is running.

    Attributes:
        pipeline_id: The name of the pipeline.

    Raises:
        InvalidNameError: If the name of the pipeline is no name.
        StoreError: If the store cannot be opened.
        ConfigurationError: If the URL names no store.

    Example:
        >>> with PipelineCommunicator("report", store="memory://") as communicator:
        ...     communicator.send("report", {"city": "Porto"})
        ...     communicator.receive(timeout=5).data
        {'city': 'Porto'}
    """

    def __init__(self, pipeline_id: str, *, store: str | None = None, services: Services | None = None) -> None:
        self.pipeline_id = checked_name(pipeline_id)
        self._mailbox = pipeline_mailbox(pipeline_id)
        self._sender = address_of(pipeline_id)
        self._connection = Connection(store=store, services=services)
        self._services = self._connection.services
        self._bridge = self._connection.bridge
        self._subscribed: list[Subscribed] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def close(self) -> None:
        """End the subscriptions and close the store, unless it was given open; a second time does nothing."""
        for subscribed in self._subscribed:
            subscribed.stop()
        self._connection.close()

    async def aclose(self) -> None:
        """End the subscriptions and close the store, unless it was given open."""
        for subscribed in self._subscribed:
            await subscribed.astop()
        self._connection.close()

    def send(self, to: str, data: object, *, key: str | None = None) -> None:
        """Send a message.

        Args:
            to: The name of a pipeline, `pipeline:NAME`, `run:ID` or `topic:NAME`.
            data: A Pydantic model, dataclass, dict, list or scalar.
            key: Names the message where it goes: a second one with the same key is not sent. So one that may or
                may not have been sent can be sent again.

        Raises:
            InvalidNameError: If `to` is no address.
            PayloadError: If the data cannot be written as JSON, or are too large.
            StoreError: If it cannot be sent now.
        """
        self._bridge.wait(self._write(self._message(mailbox(to), data, key)))

    async def asend(self, to: str, data: object, *, key: str | None = None) -> None:
        """Send a message."""
        await self._bridge.carry(self._write(self._message(mailbox(to), data, key)))

    def broadcast(self, topic: str, data: object, *, key: str | None = None) -> None:
        """Send a message to everybody who listens to a topic, like `orders.created`; otherwise like `send`.

        Raises:
            InvalidNameError: If it is no topic.
            PayloadError: If the data cannot be written as JSON, or are too large.
            StoreError: If it cannot be sent now.

        Example:
            >>> with PipelineCommunicator("shop", store="memory://") as communicator:
            ...     communicator.broadcast("orders.created", {"id": 7})
            ...     [message.data for message in communicator.messages("orders.*", timeout=0)]
            [{'id': 7}]
        """
        self._bridge.wait(self._write(self._message(broadcast_topic(topic), data, key)))

    async def abroadcast(self, topic: str, data: object, *, key: str | None = None) -> None:
        """Send a message to everybody who listens to a topic."""
        await self._bridge.carry(self._write(self._message(broadcast_topic(topic), data, key)))

    def receive(self, *, timeout: float | None = None, schema: object = None) -> ReceivedMessage:
        """Return the next message of the pipeline's mailbox, which its runs read as well; each goes to one reader.

        When this returns, the message counts as read, whatever becomes of it: should the program end now, nobody
        gets it again. Where that matters, `subscribe`, or read `messages`.

        Args:
            timeout: How many seconds to wait; 0 only looks, None waits for ever.
            schema: The type to read the data as. A message that does not fit stays where it is.

        Raises:
            MessageTimeoutError: If none comes in time.
            PayloadError: If it does not fit the schema.
            StoreError: If the store fails.
        """
        return self._bridge.wait(self._receive(timeout, schema))

    async def areceive(self, *, timeout: float | None = None, schema: object = None) -> ReceivedMessage:  # noqa: ASYNC109 - by our clock
        """Return the next message of the pipeline's mailbox."""
        return await self._bridge.carry(self._receive(timeout, schema))

    def reply(self, message: ReceivedMessage, data: object) -> None:
        """Answer a message whose sender waits for that. Only the first answer counts.

        Raises:
            NoReplyWantedError: If he does not.
            PayloadError: If the data cannot be written as JSON, or are too large.
            StoreError: If it cannot be sent now.
        """
        self._bridge.wait(self._write(reply_to(message, data, sender=self._sender)))

    async def areply(self, message: ReceivedMessage, data: object) -> None:
        """Answer a message whose sender waits for that."""
        await self._bridge.carry(self._write(reply_to(message, data, sender=self._sender)))

    def request(self, to: str, data: object, *, timeout: float, schema: object = None) -> Any:
        """Send a message, wait for the answer and return its data.

        Args:
            to: As for `send`.
            data: As for `send`.
            timeout: How many seconds to wait for the answer.
            schema: The type to read the answer as.

        Raises:
            MessageTimeoutError: If there is no answer in time.
            PayloadError: If the data cannot be written as JSON or are too large, or the answer does not fit.
            InvalidNameError: If `to` is no address.
            StoreError: If the store fails.

        Example:
            >>> with PipelineCommunicator("prices", store="memory://") as communicator:
            ...     subscribed = communicator.subscribe("pipeline:prices", lambda delivery: delivery.reply(3))
            ...     communicator.request("prices", "tea", timeout=5)
            3
        """
        return self._bridge.wait(self._request(to, data, timeout, schema))

    async def arequest(self, to: str, data: object, *, timeout: float, schema: object = None) -> Any:  # noqa: ASYNC109 - by our clock
        """Send a message, wait for the answer and return its data."""
        return await self._bridge.carry(self._request(to, data, timeout, schema))

    def subscribe(
        self,
        pattern: str,
        handler: Handler,
        *,
        subscriber: str | None = None,
        since: Since = "oldest",
        where: Where | None = None,
        max_failures: int = 5,
        backoff_seconds: float = 1.0,
    ) -> Subscribed:
        """Let `handler` be called for each message, in the background, and return what stops it.

        What the handler does through its `Delivery`, like a reply, is written together with the fact that the
        message is handled: it happens exactly once, those of a topic in order. The handler itself may be called again
        for a message, after a crash. Where it fails, it is called again later; at last the message is put among the
        dead letters, and the next one is handled.

        Args:
            pattern: A topic; a pattern like `orders.*`, where `*` is one word and `#` any number of words; or a
                mailbox, `pipeline:NAME` or `run:ID`.
            handler: Called with a `Delivery`. An async one runs in the loop in which it is subscribed, a sync one in
                a thread.
            subscriber: Who reads: programs that give the same name share the messages. None is the pipeline.
            since: Where a subscriber begins who is not known yet.
            where: Which messages are handled: a test, or what fields of the data must be equal to. The others count
                as read.
            max_failures: After how many failures a message becomes a dead letter, from 1.
            backoff_seconds: How long its topic rests after the first failure; twice as long after each further one.

        Raises:
            InvalidNameError: If the pattern or the subscriber's name is none.
            StoreError: If the store fails now. When it fails later, it is waited for.
        """
        home = _at_home(handler, away_from=self._bridge)
        policy = FailurePolicy(max_failures, backoff_seconds)
        return self._bridge.wait(self._subscribe(pattern, home, subscriber, since, where, policy))

    async def asubscribe(
        self,
        pattern: str,
        handler: Handler,
        *,
        subscriber: str | None = None,
        since: Since = "oldest",
        where: Where | None = None,
        max_failures: int = 5,
        backoff_seconds: float = 1.0,
    ) -> Subscribed:
        """Let `handler` be called for each message, in the background, and return what stops it."""
        home = _at_home(handler, away_from=self._bridge)
        policy = FailurePolicy(max_failures, backoff_seconds)
        return await self._bridge.carry(self._subscribe(pattern, home, subscriber, since, where, policy))

    def messages(
        self,
        pattern: str,
        *,
        subscriber: str | None = None,
        since: Since = "oldest",
        where: Where | None = None,
        timeout: float | None = None,
        schema: object = None,
    ) -> Iterator[ReceivedMessage]:
        """Yield messages. One counts as read when the next one is asked for; until then it comes again after a crash.

        Args:
            pattern: As for `subscribe`.
            subscriber: As for `subscribe`.
            since: As for `subscribe`.
            where: Which messages are meant: a test, or what fields of the data must be equal to. The others are
                passed over.
            timeout: How many seconds to wait for each; then it ends. 0 yields what is there, None waits for ever.
            schema: The type to read the data as. A message that does not fit stays where it is.

        Raises:
            PayloadError: If a message does not fit the schema.
            InvalidNameError: If the pattern or the subscriber's name is none.
            StoreError: If the store fails.
        """
        inbox = self._bridge.wait(self._inbox(pattern, subscriber, since, where))
        while (message := self._bridge.wait(self._next(inbox, timeout, schema))) is not None:
            yield message

    async def amessages(
        self,
        pattern: str,
        *,
        subscriber: str | None = None,
        since: Since = "oldest",
        where: Where | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - by our clock
        schema: object = None,
    ) -> AsyncIterator[ReceivedMessage]:
        """Yield messages. One counts as read when the next one is asked for."""
        inbox = await self._bridge.carry(self._inbox(pattern, subscriber, since, where))
        while (message := await self._bridge.carry(self._next(inbox, timeout, schema))) is not None:
            yield message

    def dead_letters(self, subscriber: str | None = None, *, after: int = 0, limit: int = 100) -> Sequence[DeadLetter]:
        """Return the messages that a subscriber could not handle and about which nobody has decided, the oldest first.

        Args:
            subscriber: Who; None is the pipeline.
            after: Only those behind this one, by its `id`.
            limit: How many to look at.

        Raises:
            InvalidNameError: If the subscriber's name is none.
            StoreError: If the store fails.
        """
        return self._bridge.wait(self._dead_letters(subscriber, after, limit))

    async def adead_letters(
        self, subscriber: str | None = None, *, after: int = 0, limit: int = 100
    ) -> Sequence[DeadLetter]:
        """Return the messages that a subscriber could not handle and about which nobody has decided."""
        return await self._bridge.carry(self._dead_letters(subscriber, after, limit))

    def redeliver(self, letter: DeadLetter, subscriber: str | None = None) -> bool:
        """Let the handler of a subscriber, and nobody else, have a message once more.

        It is handled in no order with those of its topic, and counts its failures anew.

        Returns:
            False if somebody had decided about it.

        Raises:
            InvalidNameError: If the subscriber's name is none.
            StoreError: If the store fails.
        """
        return self._bridge.wait(redeliver(self._services.store, self._subscriber(subscriber), letter))

    async def aredeliver(self, letter: DeadLetter, subscriber: str | None = None) -> bool:
        """Let a subscriber, and nobody else, handle a message once more; False if somebody had decided about it."""
        return await self._bridge.carry(redeliver(self._services.store, self._subscriber(subscriber), letter))

    def discard(self, letter: DeadLetter, subscriber: str | None = None) -> bool:
        """Give a message up for good; False if somebody had decided about it.

        Raises:
            InvalidNameError: If the subscriber's name is none.
            StoreError: If the store fails.
        """
        return self._bridge.wait(discard(self._services.store, self._subscriber(subscriber), letter))

    async def adiscard(self, letter: DeadLetter, subscriber: str | None = None) -> bool:
        """Give a message up for good; False if somebody had decided about it."""
        return await self._bridge.carry(discard(self._services.store, self._subscriber(subscriber), letter))

    def _message(self, topic: str, data: object, key: str | None) -> NewMessage:
        return new_message(topic, data, key=key or "", sender=self._sender)

    async def _write(self, message: NewMessage) -> None:
        await self._services.store.write(Effects(messages=(message,)))

    async def _receive(self, seconds: float | None, schema: object) -> ReceivedMessage:
        inbox = Inbox(self._services, self._mailbox, self._mailbox)
        until = deadline(self._services.clock, seconds)
        while (message := await inbox.next(until=until, schema=schema)) is not None:
            if await inbox.acknowledge():
                return message
        raise MessageTimeoutError(self._sender, seconds=seconds or 0.0)

    async def _request(self, to: str, data: object, seconds: float, schema: object) -> Any:
        services = self._services
        answers = reply_topic(f"{services.new_id()}/answer")  # no topic begins with another
        await self._write(new_message(mailbox(to), data, sender=self._sender, reply_to=answers))
        try:
            return await answer_in(answers, services, asked=to, seconds=seconds, schema=schema)
        finally:
            with suppress(StoreError):  # the answer is here; what is left behind is swept some day
                await services.store.forget(answers)

    async def _subscribe(
        self,
        pattern: str,
        handler: Handler,
        subscriber: str | None,
        since: Since,
        where: Where | None,
        policy: FailurePolicy,
    ) -> Subscribed:
        reads, who = await self._begun(pattern, subscriber, since)
        listener = Listener(
            self._services,
            who,
            reads,
            handler,
            pipeline=self.pipeline_id,
            bridge=self._bridge,
            where=where,
            policy=policy,
        )
        subscribed = Subscribed(who, listener, self._bridge, holding=self._connection)
        self._subscribed = [*(it for it in self._subscribed if it.is_listening), subscribed]
        return subscribed

    async def _begun(self, pattern: str, subscriber: str | None, since: Since) -> tuple[str, str]:
        """Return what is read and who reads, once he has his place."""
        reads = source(pattern)
        who = self._subscriber(subscriber)
        if since == "now":
            await begin_now(reads, who, self._services.store)
        return reads, who

    async def _inbox(self, pattern: str, subscriber: str | None, since: Since, where: Where | None) -> Inbox:
        reads, who = await self._begun(pattern, subscriber, since)
        return Inbox(self._services, who, reads, where=where)

    async def _next(self, inbox: Inbox, seconds: float | None, schema: object) -> ReceivedMessage | None:
        await inbox.acknowledge()
        message = await inbox.next(until=deadline(self._services.clock, seconds), schema=schema)
        if message is None:
            await inbox.acknowledge()  # what was passed over
        return message

    async def _dead_letters(self, subscriber: str | None, after: int, limit: int) -> Sequence[DeadLetter]:
        return await open_dead_letters(self._services.store, self._subscriber(subscriber), after=after, limit=limit)

    def _subscriber(self, name: str | None) -> str:
        return self._mailbox if name is None else named_subscriber(checked_name(name))


def _at_home(handler: Handler, *, away_from: Bridge) -> Handler:
    """Return `handler`, brought back to the loop that is running, where its program has what it works with."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return handler
    if loop is away_from.loop or not is_async(handler):
        return handler
    home = Bridge(loop)

    async def at_home(delivery: Delivery) -> None:
        if loop.is_closed():  # its program has ended: that is no failure of the message
            raise asyncio.CancelledError
        await home.carry(handler(delivery))  # type: ignore[arg-type]  # just asked

    return at_home
