"""`PipelineCommunicator`: the mail of a pipeline, from outside its runs."""

from collections.abc import AsyncIterator, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from tagent.messaging.background import Subscribed
from tagent.messaging.dead_letters import DeadLetter
from tagent.messaging.listening import FailurePolicy, Handler
from tagent.messaging.mail import Mail, Since, at_home
from tagent.messaging.received import ReceivedMessage, Where
from tagent.messaging.sending import broadcast_topic
from tagent.names import checked_name, mailbox
from tagent.pipeline.journal.connection import Connection
from tagent.ports.services import Services


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
        self._connection = Connection(store=store, services=services)
        self._bridge = self._connection.bridge
        self._mail = Mail(pipeline_id, self._connection.services, bridge=self._bridge, holding=self._connection)

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
        for subscribed in self._mail.subscribed:
            subscribed.stop()
        self._connection.close()

    async def aclose(self) -> None:
        """End the subscriptions and close the store, unless it was given open."""
        for subscribed in self._mail.subscribed:
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
        self._bridge.wait(self._mail.write(self._mail.message(mailbox(to), data, key=key)))

    async def asend(self, to: str, data: object, *, key: str | None = None) -> None:
        """Send a message."""
        await self._bridge.carry(self._mail.write(self._mail.message(mailbox(to), data, key=key)))

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
        self._bridge.wait(self._mail.write(self._mail.message(broadcast_topic(topic), data, key=key)))

    async def abroadcast(self, topic: str, data: object, *, key: str | None = None) -> None:
        """Send a message to everybody who listens to a topic."""
        await self._bridge.carry(self._mail.write(self._mail.message(broadcast_topic(topic), data, key=key)))

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
        return self._bridge.wait(self._mail.receive(timeout, schema=schema))

    async def areceive(self, *, timeout: float | None = None, schema: object = None) -> ReceivedMessage:  # noqa: ASYNC109 - by our clock
        """Return the next message of the pipeline's mailbox."""
        return await self._bridge.carry(self._mail.receive(timeout, schema=schema))

    def reply(self, message: ReceivedMessage, data: object) -> None:
        """Answer a message whose sender waits for that. Only the first answer counts.

        Raises:
            NoReplyWantedError: If he does not.
            PayloadError: If the data cannot be written as JSON, or are too large.
            StoreError: If it cannot be sent now.
        """
        self._bridge.wait(self._mail.write(self._mail.answer(message, data)))

    async def areply(self, message: ReceivedMessage, data: object) -> None:
        """Answer a message whose sender waits for that."""
        await self._bridge.carry(self._mail.write(self._mail.answer(message, data)))

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
        return self._bridge.wait(self._mail.request(to, data, seconds=timeout, schema=schema))

    async def arequest(self, to: str, data: object, *, timeout: float, schema: object = None) -> Any:  # noqa: ASYNC109 - by our clock
        """Send a message, wait for the answer and return its data."""
        return await self._bridge.carry(self._mail.request(to, data, seconds=timeout, schema=schema))

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
        home = at_home(handler, away_from=self._bridge)
        policy = FailurePolicy(max_failures, backoff_seconds)
        return self._bridge.wait(
            self._mail.subscribe(pattern, home, subscriber=subscriber, since=since, where=where, policy=policy)
        )

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
        home = at_home(handler, away_from=self._bridge)
        policy = FailurePolicy(max_failures, backoff_seconds)
        return await self._bridge.carry(
            self._mail.subscribe(pattern, home, subscriber=subscriber, since=since, where=where, policy=policy)
        )

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
        inbox = self._bridge.wait(self._mail.inbox(pattern, subscriber, since=since, where=where))
        while (message := self._bridge.wait(self._mail.next(inbox, timeout, schema=schema))) is not None:
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
        inbox = await self._bridge.carry(self._mail.inbox(pattern, subscriber, since=since, where=where))
        while (message := await self._bridge.carry(self._mail.next(inbox, timeout, schema=schema))) is not None:
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
        return self._bridge.wait(self._mail.dead_letters(subscriber, after=after, limit=limit))

    async def adead_letters(
        self, subscriber: str | None = None, *, after: int = 0, limit: int = 100
    ) -> Sequence[DeadLetter]:
        """Return the messages that a subscriber could not handle and about which nobody has decided."""
        return await self._bridge.carry(self._mail.dead_letters(subscriber, after=after, limit=limit))

    def redeliver(self, letter: DeadLetter, subscriber: str | None = None) -> bool:
        """Let the handler of a subscriber, and nobody else, have a message once more.

        It is handled in no order with those of its topic, and counts its failures anew.

        Returns:
            False if somebody had decided about it.

        Raises:
            InvalidNameError: If the subscriber's name is none.
            StoreError: If the store fails.
        """
        return self._bridge.wait(self._mail.redeliver(letter, subscriber))

    async def aredeliver(self, letter: DeadLetter, subscriber: str | None = None) -> bool:
        """Let a subscriber, and nobody else, handle a message once more; False if somebody had decided about it."""
        return await self._bridge.carry(self._mail.redeliver(letter, subscriber))

    def discard(self, letter: DeadLetter, subscriber: str | None = None) -> bool:
        """Give a message up for good; False if somebody had decided about it.

        Raises:
            InvalidNameError: If the subscriber's name is none.
            StoreError: If the store fails.
        """
        return self._bridge.wait(self._mail.discard(letter, subscriber))

    async def adiscard(self, letter: DeadLetter, subscriber: str | None = None) -> bool:
        """Give a message up for good; False if somebody had decided about it."""
        return await self._bridge.carry(self._mail.discard(letter, subscriber))
