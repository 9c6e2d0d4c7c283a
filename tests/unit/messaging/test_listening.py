"""Listeners: what a handler does happens exactly once, together with the fact that the message is handled."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from builders import services
from tagent.adapters.storage.memory import MemoryStore
from tagent.bridge import Bridge
from tagent.messaging import Delivery
from tagent.messaging.dead_letters import open_dead_letters
from tagent.messaging.listening import FailurePolicy, Handler, Listener
from tagent.messaging.received import ReceivedMessage, Where
from tagent.messaging.sending import new_message
from tagent.payloads import decoded
from tagent.ports import Services
from tagent.ports.effects import Effects, Written
from tagent.ports.messages import Cursor
from tagent.ports.store_errors import StoreUnavailableError
from tagent.testing import ManualClock

POLICY = FailurePolicy(max_failures=3, backoff_seconds=1.0)


class CountingStore(MemoryStore):
    """Counts writes, and fails at those that it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[Effects] = []
        self.fails_before = 0
        self.loses_answers = 0

    async def write(self, effects: Effects) -> Written:
        """Write, or fail before or behind that."""
        if self.fails_before:
            self.fails_before -= 1
            raise StoreUnavailableError("The store is away.")
        written = await super().write(effects)
        self.writes.append(effects)
        if self.loses_answers:
            self.loses_answers -= 1
            raise StoreUnavailableError("The answer is lost.")
        return written


async def sent(opened: Services, *data: object, topic: str = "topic/orders.created") -> None:
    """Send messages."""
    await opened.store.write(Effects(messages=tuple(new_message(topic, it) for it in data)))


@asynccontextmanager
async def listening(
    opened: Services, handler: Handler, *, source: str = "topic/orders.*", where: Where | None = None
) -> AsyncIterator[Listener]:
    """Let a listener run for as long as a block."""
    bridge = Bridge(asyncio.get_running_loop())
    listener = Listener(opened, "me", source, handler, pipeline="p", bridge=bridge, where=where, policy=POLICY)
    task = asyncio.ensure_future(listener.run())
    try:
        yield listener
    finally:
        task.cancel()
        await asyncio.wait([task])


async def read_up_to(opened: Services, seq: int, *, topic: str = "topic/orders.created") -> None:
    """Return when the listener has read so far."""
    changes = 0
    while not (found := await opened.store.cursors(subscriber="me", topic=topic)) or found[0].seq < seq:
        changes = await opened.store.wait_for_change(changes, seconds=60)


async def failed(opened: Services, failures: int) -> None:
    """Return when the listener has failed so often."""
    changes = 0
    while not (found := await opened.store.cursors(subscriber="me")) or found[0].failures < failures:
        changes = await opened.store.wait_for_change(changes, seconds=60)


async def data_in(opened: Services, topic: str) -> list[object]:
    """Return the data of the messages in a topic of the store."""
    return [ReceivedMessage.of(message).data for message in await opened.store.messages(topic, limit=1000)]


async def forwarding(delivery: Delivery) -> None:
    """Send on what comes."""
    delivery.send("q", delivery.message.data)


async def test_what_a_handler_does_is_written_with_the_receipt() -> None:
    """Either all of it has happened or the message comes again."""
    store = CountingStore()
    opened = services(store=store)
    await sent(opened, 1)

    async def handler(delivery: Delivery) -> None:
        delivery.broadcast("out", delivery.message.data)
        await delivery.memory.aput("seen", delivery.message.seq)
        await delivery.space("shared").aput("seen", delivery.message.topic)

    async with listening(opened, handler):
        await read_up_to(opened, 1)
    done = store.writes[-1]
    assert (len(done.messages), len(done.puts), len(done.receipts)) == (1, 2, 1)
    assert done.messages[0].sender == "pipeline:p"
    seen = await store.document("space/shared", "seen")
    assert seen is not None
    assert decoded(seen.value, what="It") == "orders.created"


async def test_messages_of_every_topic_that_fits_are_handled_in_the_order_of_their_topics() -> None:
    """A pattern includes topics that begin later."""
    opened = services()
    await sent(opened, 1, 2)
    async with listening(opened, forwarding):
        await sent(opened, 3, topic="topic/orders.deleted")
        await sent(opened, 9, topic="topic/prices.changed")
        await read_up_to(opened, 1, topic="topic/orders.deleted")
        await sent(opened, 4)
        await read_up_to(opened, 3)
    assert await data_in(opened, "pipeline/q") == [1, 2, 3, 4]


async def test_a_sync_handler_works_in_a_thread() -> None:
    """It may block, and read memory."""
    opened = services()
    await sent(opened, *range(10))

    def handler(delivery: Delivery) -> None:
        delivery.memory.put("count", delivery.memory.get("count", 0) + 1)

    async with listening(opened, handler):
        await read_up_to(opened, 10)
    count = await opened.store.document("pipeline/p", "count")
    assert count is not None
    assert decoded(count.value, what="It") == 10


async def test_quick_handlers_share_a_write() -> None:
    """A disk that takes ten milliseconds must not mean a hundred messages a second."""
    store = CountingStore()
    opened = services(store=store)
    await sent(opened, *range(250))
    async with listening(opened, forwarding):
        await read_up_to(opened, 250)
    assert len(store.writes) <= 1 + 4
    assert await data_in(opened, "pipeline/q") == list(range(250))


async def test_what_is_merged_is_merged_for_each_message() -> None:
    """Two additions of one are two, also when they are written together."""
    opened = services()
    await sent(opened, *range(20))

    async def handler(delivery: Delivery) -> None:
        await delivery.memory.aput("count", 1, merge=lambda old, new: old + new)

    async with listening(opened, handler):
        await read_up_to(opened, 20)
    count = await opened.store.document("pipeline/p", "count")
    assert count is not None
    assert decoded(count.value, what="It") == 20


async def test_a_slow_handler_does_not_hold_up_what_is_done() -> None:
    """Somebody may wait for the answer to the message before."""
    opened = services(clock=ManualClock())
    await sent(opened, 1, 2)
    may_go_on = asyncio.Event()

    async def handler(delivery: Delivery) -> None:
        await forwarding(delivery)
        if delivery.message.data == 2:
            await may_go_on.wait()

    async with listening(opened, handler):
        await read_up_to(opened, 1)
        assert await data_in(opened, "pipeline/q") == [1]
        may_go_on.set()
        await read_up_to(opened, 2)
    assert await data_in(opened, "pipeline/q") == [1, 2]


async def test_a_message_that_is_not_meant_counts_as_read() -> None:
    """It must not be looked at again and again."""
    opened = services()
    await sent(opened, {"id": 1}, {"id": 2}, {"id": 1}, "nothing")
    async with listening(opened, forwarding, where={"id": 1}):
        await read_up_to(opened, 4)
    assert await data_in(opened, "pipeline/q") == [{"id": 1}, {"id": 1}]


async def test_a_message_at_which_the_handler_fails_becomes_a_dead_letter() -> None:
    """One that nobody can handle must not stop all others, and must not be lost."""
    clock = ManualClock()
    opened = services(clock=clock)
    await sent(opened, "good", "bad", "better")
    tries = []

    async def handler(delivery: Delivery) -> None:
        tries.append(delivery.message.data)
        delivery.send("q", delivery.message.data)
        if delivery.message.data == "bad":
            raise ValueError("It is no order.")

    async with listening(opened, handler):
        await read_up_to(opened, 3)
    assert tries == ["good", "bad", "bad", "bad", "better"]
    assert await data_in(opened, "pipeline/q") == ["good", "better"]
    (letter,) = await open_dead_letters(opened.store, "me")
    assert (letter.code, letter.error, letter.failures) == ("ValueError", "It is no order.", 3)
    assert (letter.message.topic, letter.message.seq, letter.message.data) == ("orders.created", 2, "bad")
    assert [it for it in clock.waits if it >= 1] == [1.0, 2.0]


async def test_failures_are_counted_across_processes() -> None:
    """A program that is restarted after each failure must come to an end as well."""
    opened = services()
    await sent(opened, "bad")
    failures = 0

    async def handler(delivery: Delivery) -> None:
        nonlocal failures
        failures += 1
        raise ValueError

    for number in (1, 2):
        async with listening(opened, handler):
            await failed(opened, number)
    async with listening(opened, handler):
        await read_up_to(opened, 1)
    assert failures == 3


async def test_a_topic_that_rests_does_not_hold_up_another() -> None:
    """Order is kept within a topic, and only there."""
    opened = services(clock=ManualClock())
    await sent(opened, "bad", "later")
    await sent(opened, 1, 2, topic="topic/orders.deleted")
    handled: list[object] = []

    async def handler(delivery: Delivery) -> None:
        handled.append(delivery.message.data)
        if delivery.message.data == "bad" and handled.count("bad") < 2:
            raise ValueError

    async with listening(opened, handler):
        await read_up_to(opened, 2)
    assert handled == ["bad", 1, 2, "bad", "later"]


async def test_what_cannot_be_written_fails_alone() -> None:
    """One of several that were to be written together must not spoil the others."""
    opened = services()
    await sent(opened, *range(6))

    async def handler(delivery: Delivery) -> None:
        delivery.send("q", delivery.message.data)
        if delivery.message.data == 3:
            await delivery.memory.aput("key", 1, expected_version=99)

    async with listening(opened, handler):
        await read_up_to(opened, 6)
    assert await data_in(opened, "pipeline/q") == [0, 1, 2, 4, 5]
    (letter,) = await open_dead_letters(opened.store, "me")
    assert (letter.code, letter.message.data) == ("store.document_conflict", 3)


async def test_a_handler_may_compare_and_set() -> None:
    """What it reads of the message before is not at a version yet; that is no failure of the message."""
    opened = services()
    await sent(opened, *range(30))

    async def handler(delivery: Delivery) -> None:
        entry = await delivery.memory.aentry("count")
        value, version = (entry.value, entry.version) if entry else (0, 0)
        await delivery.memory.aput("count", value + 1, expected_version=version)

    async with listening(opened, handler):
        await read_up_to(opened, 30)
    count = await opened.store.document("pipeline/p", "count")
    assert count is not None
    assert decoded(count.value, what="It") == 30
    assert {cursor.failures for cursor in await opened.store.cursors()} == {0}
    assert isinstance(opened.clock, ManualClock)
    assert max(opened.clock.waits) < 1, "nothing has rested"


async def test_a_clock_that_is_set_back_loses_nothing() -> None:
    """The order of a topic is that of its places, whatever the times say."""
    times = iter([50.0, 40.0, 30.0])
    opened = services(store=MemoryStore(now=lambda: next(times, 20.0)))
    for number in range(3):
        await sent(opened, number)
    async with listening(opened, forwarding):
        await read_up_to(opened, 3)
    assert await data_in(opened, "pipeline/q") == [0, 1, 2]


async def test_of_two_with_one_name_each_message_is_done_by_one() -> None:
    """Programs that share the work may not double it."""
    opened = services()
    async with listening(opened, forwarding), listening(opened, forwarding):
        for number in range(100):
            await sent(opened, number)
            await asyncio.sleep(0)
        await read_up_to(opened, 100)
    assert await data_in(opened, "pipeline/q") == list(range(100))


@pytest.mark.parametrize("trouble", ["fails_before", "loses_answers"])
async def test_a_store_that_is_away_is_waited_for(trouble: str) -> None:
    """Whether the last write was written, nobody knows: it must not happen twice."""
    store = CountingStore()
    opened = services(clock=ManualClock(), store=store)
    await sent(opened, 1, 2)
    setattr(store, trouble, 1)
    async with listening(opened, forwarding):
        await read_up_to(opened, 2)
        await sent(opened, 3)
        await read_up_to(opened, 3)
    assert await data_in(opened, "pipeline/q") == [1, 2, 3]
    assert await open_dead_letters(store, "me") == ()


async def test_a_message_that_cannot_be_read_becomes_a_dead_letter() -> None:
    """A newer program may have sent it."""
    opened = services(clock=ManualClock())
    newer = new_message("topic/orders.created", 1)
    newer = type(newer)(newer.topic, b'{"v":99,"data":1}')
    await opened.store.write(Effects(messages=(newer,)))
    async with listening(opened, forwarding):
        await read_up_to(opened, 1)
    (letter,) = await open_dead_letters(opened.store, "me")
    assert letter.code == "payload.invalid"
    assert letter.kept.payload == newer.payload


async def test_what_is_handled_is_written_when_it_is_stopped() -> None:
    """Only the message in hand comes again."""
    opened = services(clock=ManualClock())
    await sent(opened, 1, 2)
    started = asyncio.Event()

    async def handler(delivery: Delivery) -> None:
        delivery.send("q", delivery.message.data)
        if delivery.message.data == 2:
            started.set()
            await asyncio.Event().wait()

    async with listening(opened, handler):
        await started.wait()
    assert await data_in(opened, "pipeline/q") == [1]
    handled: Sequence[Cursor] = await opened.store.cursors(subscriber="me")
    assert [cursor.seq for cursor in handled] == [1]
