"""`PipelineCommunicator`: messages for any program, with `await` and without."""

import asyncio
import threading

import pytest

from builders import services
from tagent.adapters.clock import SystemClock
from tagent.adapters.storage.memory import MemoryStore
from tagent.bridge import BlockingCallError, ClosedBridgeError
from tagent.exceptions import StoreError
from tagent.messaging import Delivery, MessageTimeoutError, ReceivedMessage
from tagent.names import InvalidNameError
from tagent.payloads import PayloadError
from tagent.pipeline.communication import PipelineCommunicator
from tagent.ports import Services
from tagent.ports.effects import Effects, Written
from tagent.testing import ManualClock


def both(opened: Services) -> tuple[PipelineCommunicator, PipelineCommunicator]:
    """Return the communicators of two pipelines that share a store."""
    return PipelineCommunicator("asker", services=opened), PipelineCommunicator("answerer", services=opened)


async def test_two_programs_in_two_threads_ask_and_answer() -> None:
    """Neither needs an event loop of its own."""
    asker, answerer = both(services(clock=SystemClock()))
    answers: list[object] = []

    def answer() -> None:
        for _ in range(3):
            question = answerer.receive(timeout=60, schema=int)
            answerer.reply(question, question.data * 2)

    def ask() -> None:
        answers.extend(asker.request("answerer", number, timeout=60, schema=float) for number in range(3))

    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(answer))
        group.create_task(asyncio.to_thread(ask))
    assert answers == [0.0, 2.0, 4.0]


async def test_nothing_is_left_of_a_request_that_is_answered() -> None:
    """Otherwise a store would fill with topics that nobody reads any more."""
    opened = services()
    asker, answerer = both(opened)

    async def handler(delivery: Delivery) -> None:
        delivery.reply("yes")

    async with answerer:
        await answerer.asubscribe("pipeline:answerer", handler)
        assert await asker.arequest("answerer", "?", timeout=60) == "yes"
    assert [topic.name for topic in await opened.store.topics()] == ["pipeline/answerer"]


async def test_who_awaits_answers_what_is_received() -> None:
    """A program in an event loop takes no handler to be asked."""
    asker, answerer = both(services())

    async def answer() -> None:
        question = await answerer.areceive(timeout=60)
        await answerer.areply(question, question.data * 2)
        await answerer.areply(question, "late")  # only the first answer counts

    async with asyncio.TaskGroup() as group:
        group.create_task(answer())
        assert await asker.arequest("answerer", 21, timeout=60) == 42


async def test_a_request_without_an_answer_ends() -> None:
    """And nobody waits where the answer would come."""
    clock = ManualClock(now=10)
    asker, _ = both(services(clock=clock))
    with pytest.raises(MessageTimeoutError, match="'answerer' within 5 s"):
        await asker.arequest("answerer", "?", timeout=5)
    assert clock.now() == 15


async def test_each_message_of_a_mailbox_goes_to_one_reader() -> None:
    """Two processes of a pipeline share its mail."""
    opened = services()
    first, second = PipelineCommunicator("p", services=opened), PipelineCommunicator("p", services=opened)
    receiving = [asyncio.ensure_future(it.areceive(timeout=60)) for it in (first, second)]
    for number in range(2):
        await first.asend("p", number)
    assert sorted([(await it).data for it in receiving]) == [0, 1]
    with pytest.raises(MessageTimeoutError):
        await first.areceive(timeout=0)


class SlowStore(MemoryStore):
    """Lets others go first before it writes."""

    async def write(self, effects: Effects) -> Written:
        """Write a little later."""
        await asyncio.sleep(0)
        return await super().write(effects)


async def test_who_was_not_fast_enough_gets_the_next_message() -> None:
    """Two that have looked at the same message must not both return it."""
    opened = services(store=SlowStore())
    first, second = PipelineCommunicator("p", services=opened), PipelineCommunicator("p", services=opened)
    for number in range(10):
        await first.asend("p", number)
    receiving = [asyncio.ensure_future(it.areceive(timeout=60)) for it in (first, second) * 5]
    assert sorted([(await it).data for it in receiving]) == list(range(10))


async def test_a_subscription_whose_store_fails_for_good_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Who waits for it must not wait for ever."""
    opened = services()
    (communicator, _) = both(opened)
    subscribed = await communicator.asubscribe("t", print)
    await opened.store.close()
    with pytest.raises(StoreError, match="closed"):
        await subscribed.ajoin()
    assert "listens no more" in caplog.text
    await communicator.aclose()


async def test_a_message_that_does_not_fit_is_not_lost() -> None:
    """It is still there for whoever reads it without a schema."""
    (communicator, _) = both(services())
    await communicator.asend("asker", "seven")
    for _ in range(2):
        with pytest.raises(PayloadError):
            await communicator.areceive(timeout=0, schema=int)
    message = await communicator.areceive(timeout=0)
    assert (message.data, message.sender) == ("seven", "pipeline:asker")


async def test_a_key_sends_once() -> None:
    """Who does not know whether it was sent sends it again."""
    (communicator, _) = both(services())
    for _ in range(2):
        await communicator.asend("asker", 1, key="k")
        await communicator.abroadcast("t", 1, key="k")
    assert (await communicator.areceive(timeout=0)).data == 1
    with pytest.raises(MessageTimeoutError):
        await communicator.areceive(timeout=0)
    assert [it.data async for it in communicator.amessages("t", timeout=0)] == [1]


async def test_a_message_counts_as_read_when_the_next_one_is_asked_for() -> None:
    """What a program had in hand when it ended comes again."""
    (communicator, _) = both(services())
    for number in range(3):
        await communicator.abroadcast("orders.created", number)
    async for message in communicator.amessages("orders.*", timeout=0):
        if message.data == 1:
            break
    rest = [it.data async for it in communicator.amessages("orders.*", timeout=0)]
    assert rest == [1, 2]
    assert [it.data async for it in communicator.amessages("orders.*", timeout=0)] == []
    other = [it.data async for it in communicator.amessages("orders.#", subscriber="audit", timeout=0)]
    assert other == [0, 1, 2]


async def test_messages_are_chosen_by_their_data() -> None:
    """By what fields are equal to, or by any test."""
    (communicator, _) = both(services())
    for number in range(6):
        await communicator.abroadcast("t", {"n": number, "order": {"parity": number % 2}})

    async def read(where: object, subscriber: str) -> list[int]:
        reading = communicator.amessages("t", where=where, subscriber=subscriber, timeout=0)  # type: ignore[arg-type]  # either
        return [it.data["n"] async for it in reading]

    assert await read({"order.parity": 1}, "a") == [1, 3, 5]
    assert await read({"order.parity": 1}, "a") == []
    assert await read(lambda message: message.data["n"] > 3, "b") == [4, 5]
    assert await read({"nothing": 1}, "c") == []


async def test_a_new_subscriber_may_begin_now() -> None:
    """And later goes on where he was, also on topics that began while he was away."""
    (communicator, _) = both(services())
    await communicator.abroadcast("orders.old", 1)

    async def read() -> list[object]:
        reading = communicator.amessages("orders.*", subscriber="s", since="now", timeout=0)
        return [it.data async for it in reading]

    assert await read() == []
    await communicator.abroadcast("orders.old", 2)
    await communicator.abroadcast("orders.new", 3)
    assert sorted(await read(), key=str) == [2, 3]


async def test_who_subscribes_now_gets_what_is_sent_next() -> None:
    """From the moment at which `subscribe` returns."""
    (communicator, _) = both(services())
    await communicator.abroadcast("t", "old")
    handled: asyncio.Queue[object] = asyncio.Queue()

    async def handler(delivery: Delivery) -> None:
        await handled.put(delivery.message.data)

    async with await communicator.asubscribe("t", handler, since="now") as subscribed:
        await communicator.abroadcast("t", "new")
        assert await handled.get() == "new"
    assert not subscribed.is_listening
    await subscribed.ajoin()


async def test_a_dead_letter_is_delivered_again_or_discarded() -> None:
    """When the handler is mended, nothing is lost."""
    opened = services()
    (communicator, _) = both(opened)
    is_mended = False
    handled: list[ReceivedMessage] = []

    async def handler(delivery: Delivery) -> None:
        if not is_mended:
            raise ValueError("Not yet.")
        handled.append(delivery.message)

    async def read_up_to(seq: int, topic: str) -> None:
        changes = 0
        while not (found := await opened.store.cursors(topic=topic)) or found[0].seq < seq:
            changes = await opened.store.wait_for_change(changes, seconds=60)

    for number in range(3):
        await communicator.abroadcast("t", number)
    async with communicator:
        await communicator.asubscribe("t", handler, subscriber="s", max_failures=1)
        await read_up_to(3, "topic/t")
        letters = await communicator.adead_letters("s")
        assert [(it.id, it.message.data, it.error) for it in letters] == [
            (1, 0, "Not yet."),
            (2, 1, "Not yet."),
            (3, 2, "Not yet."),
        ]
        assert await communicator.adead_letters() == ()
        assert [it.id for it in await communicator.adead_letters("s", after=2)] == [3]
        assert await communicator.aredeliver(letters[1], "s")
        await read_up_to(1, "again/subscriber/s")
        again = (await communicator.adead_letters("s", after=3))[0]
        assert (again.id, again.message.topic, again.message.seq, again.message.data) == (4, "t", 2, 1)
        is_mended = True
        assert await communicator.aredeliver(again, "s")
        assert not await communicator.aredeliver(again, "s")
        assert await communicator.adiscard(letters[0], "s")
        assert not await communicator.aredeliver(letters[0], "s")
        await read_up_to(2, "again/subscriber/s")
    assert [(it.topic, it.seq, it.data) for it in handled] == [("t", 2, 1)]
    assert [it.id for it in await communicator.adead_letters("s")] == [3]


def test_without_an_event_loop_every_method_blocks() -> None:
    """A script has none, and needs none."""
    handled = threading.Event()

    def handler(delivery: Delivery) -> None:
        if delivery.message.data == "bad":
            raise ValueError("Bad.")
        delivery.memory.put("seen", "yes")
        handled.set()

    with PipelineCommunicator("p", store="memory://") as communicator:
        communicator.broadcast("t", 1)
        communicator.broadcast("t", 2)
        assert [it.data for it in communicator.messages("t", subscriber="s", timeout=0)] == [1, 2]
        subscribed = communicator.subscribe("t", handler, where=lambda message: message.data == 2)
        assert handled.wait(60)
        subscribed.stop()
        subscribed.join()
        with communicator.subscribe("mails", handler, max_failures=1):
            communicator.broadcast("mails", "bad")
            while not (letters := communicator.dead_letters()):
                threading.Event().wait(0.001)
        assert communicator.redeliver(letters[0])
        assert not communicator.discard(letters[0])
    with pytest.raises(ClosedBridgeError):
        communicator.send("p", 1)
    communicator.close()


async def test_a_program_that_awaits_may_use_a_store_of_its_own() -> None:
    """Its handlers run in its loop, where what they work with lives, not in that of the store."""
    home = asyncio.get_running_loop()
    handled: asyncio.Queue[tuple[object, bool]] = asyncio.Queue()

    async def handler(delivery: Delivery) -> None:
        await delivery.memory.aput("seen", delivery.message.data)
        await handled.put((await delivery.memory.aget("seen"), asyncio.get_running_loop() is home))

    async with PipelineCommunicator("p", store="memory://") as communicator:
        await communicator.asubscribe("pipeline:p", handler)
        await communicator.asend("p", 1)
        assert await handled.get() == (1, True)


async def test_a_blocking_method_is_refused_in_the_loop_of_the_store() -> None:
    """It would wait for ever."""
    (communicator, _) = both(services(store=MemoryStore()))
    with pytest.raises(BlockingCallError):
        communicator.send("p", 1)


async def test_names_are_checked() -> None:
    """A message to nowhere would be lost."""
    (communicator, _) = both(services())
    with pytest.raises(InvalidNameError):
        PipelineCommunicator("", services=services())
    with pytest.raises(InvalidNameError):
        await communicator.abroadcast("orders.*", 1)
    with pytest.raises(InvalidNameError):
        await communicator.asubscribe("orders created", print)
    with pytest.raises(InvalidNameError):
        await communicator.adead_letters("")
