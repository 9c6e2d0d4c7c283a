"""`StepMessages`: the mail of one attempt at a step, or of a tool of its agent."""

import asyncio
import itertools
from typing import Any, Literal

from tagent.bridge import Bridge
from tagent.effects import EffectBuffer
from tagent.messaging.errors import MessageTimeoutError
from tagent.messaging.reading import Reader
from tagent.messaging.received import ReceivedMessage
from tagent.messaging.requests import answer_in
from tagent.messaging.sending import address_of, broadcast_topic, new_message, reply_to
from tagent.messaging.waiting import deadline, wait_until
from tagent.names import InvalidNameError, mailbox, pipeline_mailbox, reply_topic, run_mailbox, shown
from tagent.ports.effects import Effects
from tagent.ports.messages import NewMessage
from tagent.ports.services import Services

MailSource = Literal["pipeline", "run"]
"""Whose mail a step receives: that of its pipeline, which all runs share, or that of its run."""


class StepMessages:
    """What a step sends and receives counts when its attempt succeeds, unless it is sent `now`.

    Each method that waits for the store blocks and has an async twin, whose name begins with an `a`.

    Args:
        services: Where the messages are.
        pipeline: The pipeline's name.
        run_id: The run.
        key: Names the work, equal in every attempt at it and different from all other work.
        bridge: The way to the store's event loop.
        buffer: Gathers what is sent and what was received.

    Example:
        >>> from tagent.agent import run_pipeline
        >>> from tagent.pipeline import Pipeline, StepContext
        >>> def write(context: StepContext) -> None:
        ...     context.messages.send(f"run:{context.run_id}", "hello")
        >>> def read(context: StepContext) -> object:
        ...     return context.messages.receive(source="run", timeout=5).data
        >>> run_pipeline(Pipeline("mail").step("write", run=write).step("read", run=read)).final_output
        'hello'
    """

    def __init__(
        self, services: Services, *, pipeline: str, run_id: str, key: str, bridge: Bridge, buffer: EffectBuffer
    ) -> None:
        self._services = services
        self._sender = address_of(pipeline)
        self._run_id = run_id
        self._key = key
        self._bridge = bridge
        self._buffer = buffer
        self._occurrences: dict[str, itertools.count[int]] = {}
        self._receiving = asyncio.Lock()
        self._mailboxes = {"pipeline": pipeline_mailbox(pipeline), "run": run_mailbox(run_id)}

    def send(self, to: str, data: object, *, key: str | None = None, now: bool = False) -> None:
        """Send a message.

        Args:
            to: The name of a pipeline, `pipeline:NAME`, `run:ID` or `topic:NAME`.
            data: A Pydantic model, dataclass, dict, list or scalar.
            key: Names the message where it goes: a second one with the same key is not sent. Without one,
                what is sent `now` is sent once, even if the attempt fails and the next one sends it again.
            now: Send at once, whatever becomes of the attempt.

        Raises:
            InvalidNameError: If `to` is no address.
            PayloadError: If the data cannot be written as JSON, or are too large.
            StoreError: If it cannot be sent now.
        """
        self._send(mailbox(to), data, key, now=now)

    async def asend(self, to: str, data: object, *, key: str | None = None, now: bool = False) -> None:
        """Send a message."""
        await self._asend(mailbox(to), data, key, now=now)

    def broadcast(self, topic: str, data: object, *, key: str | None = None, now: bool = False) -> None:
        """Send a message to everybody who listens to a topic, like `orders.created`; otherwise like `send`.

        Raises:
            InvalidNameError: If it is no topic.
            PayloadError: If the data cannot be written as JSON, or are too large.
            StoreError: If it cannot be sent now.
        """
        self._send(broadcast_topic(topic), data, key, now=now)

    async def abroadcast(self, topic: str, data: object, *, key: str | None = None, now: bool = False) -> None:
        """Send a message to everybody who listens to a topic."""
        await self._asend(broadcast_topic(topic), data, key, now=now)

    def receive(
        self, *, timeout: float | None = None, schema: object = None, source: MailSource = "pipeline"
    ) -> ReceivedMessage:
        """Return the next message, as soon as there is one. If the attempt fails, the next one gets it again.

        Args:
            timeout: How many seconds to wait; 0 only looks, None waits as long as the step may run.
            schema: The type to read the data as. A message that does not fit stays where it is.
            source: Whose mail: the pipeline's, of which each message goes to one of its runs, or the run's.

        Raises:
            MessageTimeoutError: If none comes in time.
            PayloadError: If it does not fit the schema.
            InvalidNameError: If there is no such mail.
            StoreError: If the store fails.
        """
        return self._bridge.wait(self._receive(source, timeout, schema))

    async def areceive(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - by our clock
        schema: object = None,
        source: MailSource = "pipeline",
    ) -> ReceivedMessage:
        """Return the next message, as soon as there is one."""
        return await self._bridge.carry(self._receive(source, timeout, schema))

    def reply(self, message: ReceivedMessage, data: object) -> None:
        """Answer a message whose sender waits for that.

        Raises:
            NoReplyWantedError: If he does not.
            PayloadError: If the data cannot be written as JSON, or are too large.
        """
        self._buffer.send(reply_to(message, data, sender=self._sender))

    def request(self, to: str, data: object, *, timeout: float, schema: object = None) -> Any:
        """Send a message at once, wait for the answer and return its data.

        An attempt that is made again does not ask again: it waits for the answer to the first question.

        Args:
            to: As for `send`.
            data: As for `send`.
            timeout: How many seconds to wait for the answer.
            schema: The type to read the answer as.

        Raises:
            MessageTimeoutError: If there is no answer in time.
            PayloadError: If the data cannot be written as JSON or are too large, or the answer does not fit.
            InvalidNameError: If `to` is no address.
            StoreError: If it cannot be sent now.
        """
        return self._bridge.wait(self._request(to, self._question(to, data), timeout, schema))

    async def arequest(self, to: str, data: object, *, timeout: float, schema: object = None) -> Any:  # noqa: ASYNC109 - by our clock
        """Send a message at once, wait for the answer and return its data."""
        return await self._bridge.carry(self._request(to, self._question(to, data), timeout, schema))

    def _send(self, topic: str, data: object, key: str | None, *, now: bool) -> None:
        message = self._message(topic, data, key, now=now)
        if now:
            self._buffer.reach_out()
            self._bridge.wait(self._services.store.write(Effects(messages=(message,))))
        else:
            self._buffer.send(message)

    async def _asend(self, topic: str, data: object, key: str | None, *, now: bool) -> None:
        message = self._message(topic, data, key, now=now)
        if now:
            self._buffer.reach_out()
            await self._bridge.carry(self._services.store.write(Effects(messages=(message,))))
        else:
            self._buffer.send(message)

    def _message(self, topic: str, data: object, key: str | None, *, now: bool) -> NewMessage:
        """Return a message. What is written with the step's success is there once, and needs no key."""
        if key is None:
            key = self._next_key(topic) if now else ""
        return new_message(topic, data, key=key, sender=self._sender)

    def _question(self, to: str, data: object) -> NewMessage:
        topic = mailbox(to)
        key = self._next_key(topic)
        answers = reply_topic(key, run_id=self._run_id)
        return new_message(topic, data, key=key, sender=self._sender, reply_to=answers)

    def _next_key(self, topic: str) -> str:
        """Return the key of what this work sends next to `topic`; in another attempt it is the same again."""
        return f"{self._key}/{topic}/{next(self._occurrences.setdefault(topic, itertools.count()))}"

    async def _request(self, to: str, question: NewMessage, seconds: float, schema: object) -> Any:
        self._buffer.reach_out()
        await self._services.store.write(Effects(messages=(question,)))
        return await answer_in(question.reply_to, self._services, asked=to, seconds=seconds, schema=schema)

    async def _receive(self, source: MailSource, seconds: float | None, schema: object) -> ReceivedMessage:
        if source not in self._mailboxes:
            raise InvalidNameError(source, "is no mail of a step.", hint="Write pipeline or run.")
        mail = self._mailboxes[source]

        async def look() -> ReceivedMessage | None:
            async with self._receiving:  # two threads of a step must not be given the same message
                return await self._next(mail, schema)

        services = self._services
        until = deadline(services.clock, seconds)
        received = await wait_until(look, store=services.store, clock=services.clock, until=until)
        if received is None:
            raise MessageTimeoutError(shown(mail), seconds=seconds or 0.0)
        return received

    async def _next(self, mail: str, schema: object) -> ReceivedMessage | None:
        reader = Reader(
            self._services.store,
            mail,
            mail,
            read_up_to=lambda topic, seq: self._buffer.read_up_to(mail, topic, seq=seq),
        )
        message = await reader.next()
        if message is None:
            return None
        received = ReceivedMessage.of(message, schema)
        for receipt in reader.receipts():
            self._buffer.receive(receipt)
        return received
