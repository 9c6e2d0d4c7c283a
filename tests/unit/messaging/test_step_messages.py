"""The mail of a step: what it sends and receives is true exactly if it succeeds."""

import asyncio

import pytest

from builders import services
from tagent.bridge import BlockingCallError, Bridge
from tagent.effects import EffectBuffer
from tagent.messaging import MessageTimeoutError, NoReplyWantedError, StepMessages
from tagent.messaging.received import ReceivedMessage
from tagent.messaging.sending import reply_to
from tagent.names import InvalidNameError
from tagent.payloads import PayloadError, PayloadTooLargeError
from tagent.ports import Services
from tagent.testing import ManualClock


class Attempt:
    """One attempt at a step, and what it gathers."""

    def __init__(self, opened: Services, *, pipeline: str = "p", run_id: str = "r", step: str = "s") -> None:
        self.services = opened
        self.buffer = EffectBuffer()
        self.messages = StepMessages(
            opened,
            pipeline=pipeline,
            run_id=run_id,
            key=f"{run_id}/{step}",
            bridge=Bridge(asyncio.get_running_loop()),
            buffer=self.buffer,
        )

    async def succeed(self) -> None:
        """Commit what was gathered."""
        await self.buffer.write(self.services.store, self.services.store.write)


async def data_in(opened: Services, topic: str) -> list[object]:
    """Return the data of the messages in a topic of the store."""
    return [ReceivedMessage.of(message).data for message in await opened.store.messages(topic)]


async def test_what_is_sent_is_there_when_the_step_succeeds() -> None:
    """A step that fails has told nobody anything."""
    opened = services()
    attempt = Attempt(opened)
    attempt.messages.send("q", 1)
    attempt.messages.send("run:x", 2)
    await attempt.messages.abroadcast("orders.created", 3)
    assert await opened.store.topics() == []
    await attempt.succeed()
    for topic, data in (("pipeline/q", 1), ("run/x/mail", 2), ("topic/orders.created", 3)):
        assert await data_in(opened, topic) == [data]


async def test_what_is_sent_now_is_there_at_once_and_once() -> None:
    """The next attempt does the same again."""
    opened = services()
    for _ in range(2):
        attempt = Attempt(opened)
        await attempt.messages.asend("q", 1, now=True)
        await attempt.messages.asend("q", 2, now=True)
        await attempt.messages.abroadcast("t", 3, now=True)
        await attempt.messages.abroadcast("t", 4, now=True, key="own")
    await Attempt(opened, step="other").messages.asend("q", 5, now=True)
    assert await data_in(opened, "pipeline/q") == [1, 2, 5]
    assert await data_in(opened, "topic/t") == [3, 4]


async def test_several_messages_are_received_in_order_and_read_when_the_step_succeeds() -> None:
    """A message must not be lost with an attempt that fails."""
    opened = services()
    sender = Attempt(opened, pipeline="q")
    for number in range(3):
        sender.messages.send("p", number)
    await sender.succeed()
    for _ in range(2):
        attempt = Attempt(opened)
        first, second = await attempt.messages.areceive(), await attempt.messages.areceive()
        assert (first.data, first.seq, first.sender, first.topic) == (0, 1, "pipeline:q", "pipeline:p")
        assert second.data == 1
    await attempt.succeed()
    other_run = Attempt(opened, run_id="r2")
    assert (await other_run.messages.areceive()).data == 2
    with pytest.raises(MessageTimeoutError, match=r"'pipeline:p' within 0 s"):
        await other_run.messages.areceive(timeout=0)


async def test_two_that_receive_at_once_get_different_messages() -> None:
    """A step's function may work in several tasks."""
    opened = services()
    attempt = Attempt(opened)
    receiving = [asyncio.ensure_future(attempt.messages.areceive()) for _ in range(5)]
    await asyncio.sleep(0)
    for number in range(5):
        await Attempt(opened, step=f"s{number}").messages.asend("p", number, now=True)
    assert sorted([(await it).data for it in receiving]) == [0, 1, 2, 3, 4]


async def test_a_run_has_mail_of_its_own() -> None:
    """Somebody answers one run, not whichever is there."""
    opened = services()
    await Attempt(opened).messages.asend("run:r", "go on", now=True)
    assert (await Attempt(opened).messages.areceive(source="run")).data == "go on"
    with pytest.raises(MessageTimeoutError):
        await Attempt(opened, run_id="other").messages.areceive(source="run", timeout=0)
    with pytest.raises(InvalidNameError, match="Write pipeline or run"):
        await Attempt(opened).messages.areceive(source="topic")  # type: ignore[arg-type]  # on purpose


async def test_waiting_ends_with_the_time() -> None:
    """Nobody waits for ever who has not said so."""
    clock = ManualClock(now=100)
    with pytest.raises(MessageTimeoutError) as raised:
        await Attempt(services(clock=clock)).messages.areceive(timeout=30)
    assert (raised.value.awaited, raised.value.seconds, raised.value.is_retryable) == ("pipeline:p", 30, False)
    assert clock.now() == 130


async def test_a_message_that_does_not_fit_stays_where_it_is() -> None:
    """It can be looked at without a schema."""
    opened = services()
    await Attempt(opened).messages.asend("p", "seven", now=True)
    attempt = Attempt(opened)
    with pytest.raises(PayloadError, match="does not fit int"):
        await attempt.messages.areceive(schema=int)
    assert not attempt.buffer
    assert (await attempt.messages.areceive(schema=str)).data == "seven"


async def test_a_request_is_sent_once_and_every_attempt_finds_its_answer() -> None:
    """After a crash a question is not asked again."""
    opened = services()
    asking = asyncio.ensure_future(Attempt(opened).messages.arequest("q", {"n": 1}, timeout=60, schema=float))
    answering = Attempt(opened, pipeline="q", run_id="r2")
    question = await answering.messages.areceive(schema=dict[str, int])
    assert question.wants_reply
    assert question.data == {"n": 1}
    assert not asking.done()
    answering.messages.reply(question, 2)
    answering.messages.reply(question, 3)
    await answering.succeed()
    assert await asking == 2.0
    assert await Attempt(opened).messages.arequest("q", {"n": 1}, timeout=60) == 2
    assert len(await opened.store.messages("pipeline/q")) == 1
    await opened.store.forget("run/r/")
    assert [topic.name for topic in await opened.store.topics()] == ["pipeline/q"]


async def test_a_second_request_is_another_one() -> None:
    """Its answer is not that of the first."""
    opened = services()
    attempt = Attempt(opened)
    asking = [asyncio.ensure_future(attempt.messages.arequest("q", number, timeout=60)) for number in range(2)]
    answering = Attempt(opened, pipeline="q", run_id="r2")
    for _ in asking:
        question = await answering.messages.areceive()
        answering.messages.reply(question, question.data * 10)
    await answering.succeed()
    assert [await it for it in asking] == [0, 10]


async def test_a_request_that_nobody_answers_ends() -> None:
    """The error says what to do."""
    with pytest.raises(MessageTimeoutError, match="must `reply`"):
        await Attempt(services()).messages.arequest("q", 1, timeout=5)


async def test_only_a_request_is_answered() -> None:
    """Otherwise an answer would go nowhere and nobody would know."""
    opened = services()
    await Attempt(opened).messages.asend("p", 1, now=True)
    message = await Attempt(opened).messages.areceive()
    with pytest.raises(NoReplyWantedError, match="Message 1 of 'pipeline:p'") as raised:
        Attempt(opened).messages.reply(message, 2)
    assert (raised.value.topic, raised.value.seq) == ("pipeline:p", 1)
    with pytest.raises(NoReplyWantedError):
        reply_to(message, 2)


async def test_what_cannot_be_sent_is_refused_when_it_is_sent() -> None:
    """There, the program can still do something about it."""
    messages = Attempt(services()).messages
    with pytest.raises(PayloadTooLargeError):
        messages.send("q", "x" * 300_000)
    with pytest.raises(PayloadError):
        messages.send("q", float("nan"))
    with pytest.raises(InvalidNameError):
        messages.broadcast("orders.*", 1)
    with pytest.raises(InvalidNameError):
        messages.send("", 1)


async def test_threads_block_and_the_loop_may_not() -> None:
    """A sync step works in a thread; in the loop, blocking would never end."""
    opened = services()
    attempt = Attempt(opened)
    await asyncio.to_thread(attempt.messages.send, "p", 1, now=True)
    await asyncio.to_thread(attempt.messages.broadcast, "t", 1, now=True)
    assert (await asyncio.to_thread(attempt.messages.receive, timeout=60)).data == 1
    with pytest.raises(BlockingCallError):
        attempt.messages.receive()


async def test_an_answer_that_is_there_is_found_by_a_thread() -> None:
    """The blocking form of a request is the same request."""
    opened = services()
    asking = asyncio.ensure_future(asyncio.to_thread(Attempt(opened).messages.request, "q", 1, timeout=60))
    answering = Attempt(opened, pipeline="q")
    answering.messages.reply(await answering.messages.areceive(), 2)
    await answering.succeed()
    assert await asking == 2
