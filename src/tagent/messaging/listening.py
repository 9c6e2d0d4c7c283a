"""`Listener`: hands each message to a handler, and writes what that does together with the receipt."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NoReturn

from tagent.bridge import Bridge
from tagent.effects import EffectBuffer
from tagent.exceptions import TAgentError
from tagent.messaging.batch import MOST_MESSAGES, Batch
from tagent.messaging.dead_letters import dead_letter, original
from tagent.messaging.delivery import Delivery
from tagent.messaging.reading import Reader
from tagent.messaging.received import ReceivedMessage, Where, fits
from tagent.messaging.waiting import wait_until
from tagent.names import redelivered
from tagent.ports.effect_errors import CursorConflictError
from tagent.ports.effects import Effects
from tagent.ports.messages import Message
from tagent.ports.services import Services
from tagent.ports.store_errors import StoreUnavailableError
from tagent.values import value

logger = logging.getLogger("tagent")

Handler = Callable[[Delivery], Awaitable[object] | object]
"""Does something about a message; sync or async. What it returns does not matter, what it raises is a failure."""


@value
class FailurePolicy:
    """What is done about a message at which its handler fails.

    Attributes:
        max_failures: After how many failures it becomes a dead letter, from 1.
        backoff_seconds: How long its topic rests after the first failure; twice as long after each further one.
        longest_backoff_seconds: The longest rest.
    """

    max_failures: int = 5
    backoff_seconds: float = 1.0
    longest_backoff_seconds: float = 60.0

    def rest_seconds(self, failures: int) -> float:
        """Return how long to rest after so many failures in a row.

        Example:
            >>> [FailurePolicy().rest_seconds(failures) for failures in (1, 2, 3, 100)]
            [1.0, 2.0, 4.0, 60.0]
        """
        doublings = min(failures - 1, 30)
        return min(self.backoff_seconds * 2.0**doublings, self.longest_backoff_seconds)


class _StartAgainError(Exception):
    """Something between what was read and what is to be read next was not done: read from there."""


class Listener:
    """A subscriber with a handler. Of several with the same name each message is done by one.

    What a handler does through its `Delivery` happens exactly once, those of a topic in its order; the handler
    itself may be called again for a message, after a crash or when another process was faster.

    Args:
        services: Where the messages are.
        subscriber: Who listens.
        source: A topic of the store, or a pattern of them.
        handler: What is called.
        pipeline: The name of the pipeline for which it listens.
        bridge: The way to the store's event loop, in which this runs.
        where: Which messages are handled; the others count as read.
        policy: What is done about failures.
    """

    def __init__(
        self,
        services: Services,
        subscriber: str,
        source: str,
        handler: Handler,
        *,
        pipeline: str,
        bridge: Bridge,
        where: Where | None = None,
        policy: FailurePolicy = FailurePolicy(),  # noqa: B008 - a value
    ) -> None:
        self._services = services
        self._store = services.store
        self._clock = services.clock
        self._subscriber = subscriber
        self._handler = handler
        self._pipeline = pipeline
        self._bridge = bridge
        self._where = where
        self._policy = policy
        self._reader = Reader(services.store, subscriber, source, redelivered(subscriber))
        self._resting: dict[str, float] = {}
        self._batch = Batch(0.0)
        self._left_alone = 0
        """How many messages are still written each alone: one of them has spoilt what was to be written together."""

    async def run(self) -> NoReturn:
        """Handle messages until cancelled; what is handled by then is written, the message in hand comes again.

        Raises:
            StoreError: If the store fails for good, or is closed.
        """
        outages = 0
        try:
            while True:
                try:
                    await self._handle_page()
                    outages = 0
                except (CursorConflictError, _StartAgainError):
                    self._batch = Batch(0.0)
                except StoreUnavailableError as error:  # what is gathered is written when the store is back
                    outages += 1
                    logger.warning("The subscriber %r waits for the store: %s", self._subscriber, error)
                    await self._clock.sleep(self._policy.rest_seconds(outages))
        except asyncio.CancelledError:
            with suppress(TAgentError, _StartAgainError):
                await self._flush()
            raise

    async def _handle_page(self) -> None:
        await self._flush()
        for message in await self._next_page():
            await self._take(message)
            if self._left_alone or self._batch.is_due(self._clock.now()):
                await self._flush()
            self._left_alone = max(0, self._left_alone - 1)
        await self._flush()

    async def _next_page(self) -> Sequence[Message]:
        """Return messages as soon as there are some, or nothing when a topic has rested enough."""

        async def look() -> Sequence[Message] | None:
            now = self._clock.now()
            self._resting = {topic: until for topic, until in self._resting.items() if until > now}
            return await self._reader.unread(but=self._resting) or None

        until = min(self._resting.values(), default=None)
        return await wait_until(look, store=self._store, clock=self._clock, until=until) or ()

    async def _take(self, message: Message) -> None:
        try:
            done = await self._handled(message)
        except (StoreUnavailableError, _StartAgainError):
            raise
        except Exception as error:  # noqa: BLE001 - what a handler raises is counted, and ends nothing
            await self._flush()
            await self._fail(message, error)
        else:
            if not self._batch.takes(done):
                await self._flush()
            if not self._batch:
                self._batch = Batch(self._clock.now())
            self._batch.add(message, done, self._reader.receipt(message))

    async def _handled(self, message: Message) -> EffectBuffer:
        """Return what the handler does about a message. What others wait for is not held up by a slow one."""
        done = EffectBuffer(self._batch.buffer)
        received = ReceivedMessage.of(original(message, self._subscriber))
        if not fits(self._where, received):
            return done
        delivery = Delivery(received, store=self._store, pipeline=self._pipeline, bridge=self._bridge, buffer=done)
        if not self._batch:
            await self._call(delivery)
            return done
        work = asyncio.ensure_future(self._call(delivery))
        try:
            await self._within_batch(work)
        finally:
            if not work.done():
                work.cancel()
                await asyncio.wait([work])
        return done

    async def _within_batch(self, work: asyncio.Future[None]) -> None:
        """Return when `work` is done, and write what is gathered if that takes longer than it may wait."""
        try:
            async with self._clock.timeout(max(0.0, self._batch.due_at - self._clock.now())) as limit:
                await asyncio.shield(work)
        except TimeoutError:
            if not limit.expired():
                raise
            try:
                await self._flush()
            except CursorConflictError as error:  # not to be taken for one of the handler's
                raise _StartAgainError from error
            await work

    async def _call(self, delivery: Delivery) -> None:
        if is_async(self._handler):
            await self._handler(delivery)  # type: ignore[misc]  # just asked
            return
        returned = await self._services.threads.run(partial(self._handler, delivery))
        if inspect.isawaitable(returned):
            await returned

    async def _flush(self) -> None:
        """Write what is gathered.

        Raises:
            CursorConflictError: If another process of this subscriber was faster; all of this is done there.
            StoreUnavailableError: If nobody knows whether it is written; it stays here for the next try.
        """
        batch = self._batch
        if not batch:
            return
        try:
            await batch.write(self._store)
        except (CursorConflictError, StoreUnavailableError):
            raise
        except Exception as error:
            self._batch = Batch(0.0)
            if self._left_alone:
                await self._fail(batch.messages[-1], error)
            self._left_alone = MOST_MESSAGES
            raise _StartAgainError from error
        self._reader.written(batch.buffer.effects.receipts)
        self._batch = Batch(0.0)

    async def _fail(self, message: Message, error: Exception) -> NoReturn:
        """Count a failure, or give the message up; what was read behind it is read again."""
        failure = self._reader.failure(message.topic)
        failures, most = failure.failures, self._policy.max_failures
        logger.debug("The handler of %r raised.", self._subscriber, exc_info=error)
        logger.warning(
            "%s, failure %d of %d: the subscriber %r cannot handle message %d of %r.",
            type(error).__name__,
            failures,
            most,
            self._subscriber,
            message.seq,
            message.topic,
        )
        if failures < most:
            await self._store.write(Effects(receipts=(failure,)))
            self._resting[message.topic] = self._clock.now() + self._policy.rest_seconds(failures)
        else:
            letter = dead_letter(self._subscriber, message, error, failures=failures)
            await self._store.write(Effects(messages=(letter,), receipts=(self._reader.receipt(message),)))
        raise _StartAgainError


def is_async(handler: Handler) -> bool:
    """Return whether calling `handler` gives a coroutine."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)
