"""Laws of messages: what a pattern stands for, and that what is done happens exactly once, whatever fails."""

import asyncio
from collections.abc import Sequence
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import services
from tagent.adapters.storage.memory import MemoryStore
from tagent.bridge import Bridge
from tagent.messaging import Delivery
from tagent.messaging.dead_letters import open_dead_letters
from tagent.messaging.listening import FailurePolicy, Listener
from tagent.messaging.received import ReceivedMessage
from tagent.messaging.sending import new_message
from tagent.names import literal_beginning, matches
from tagent.payloads import decoded
from tagent.ports.effects import Effects, Written
from tagent.ports.messages import Message
from tagent.ports.store_errors import StoreUnavailableError

LAW = settings(deadline=None)

WORDS = st.sampled_from(["a", "b", "ab", "_", "a-b"])
TOPICS = st.lists(WORDS, min_size=1, max_size=5).map(".".join)
PATTERNS = st.lists(WORDS | st.sampled_from(["*", "#"]), min_size=1, max_size=5).map(".".join)


def stands_for(pattern: Sequence[str], topic: Sequence[str]) -> bool:
    """Return what the words of a pattern say about those of a topic, one after the other."""
    if not pattern:
        return not topic
    first, rest = pattern[0], pattern[1:]
    if first == "#":
        return any(stands_for(rest, topic[skipped:]) for skipped in range(len(topic) + 1))
    return bool(topic) and first in ("*", topic[0]) and stands_for(rest, topic[1:])


@LAW
@given(PATTERNS, TOPICS)
def test_a_pattern_stands_for_what_its_words_say(pattern: str, topic: str) -> None:
    """Also where several `#` follow each other."""
    assert matches(pattern, topic) == stands_for(pattern.split("."), topic.split("."))


@LAW
@given(PATTERNS, TOPICS)
def test_a_topic_that_fits_begins_with_what_its_pattern_begins_with(pattern: str, topic: str) -> None:
    """A store is asked for those topics only."""
    if matches(pattern, topic):
        assert topic.startswith(literal_beginning(pattern))


class FaultyStore(MemoryStore):
    """Fails at the calls that it is told to: before they are made, or behind that, so that the answer is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    async def write(self, effects: Effects) -> Written:
        """Write, or fail."""
        fault = self._next()
        if fault == "before":
            raise StoreUnavailableError("The store is away.")
        written = await super().write(effects)
        if fault == "behind":
            raise StoreUnavailableError("The answer is lost.")
        await asyncio.sleep(0)
        return written

    async def unread(self, subscriber: str, topics: Sequence[str], *, limit: int = 100) -> Sequence[Message]:
        """Read, or fail."""
        if self._next() == "before":
            raise StoreUnavailableError("The store is away.")
        await asyncio.sleep(0)
        return await super().unread(subscriber, topics, limit=limit)

    def _next(self) -> str:
        return self.faults.pop(0) if self.faults else ""


FAULTS = st.lists(st.sampled_from(["", "", "before", "behind"]), max_size=40)
BEHAVIOURS = st.lists(st.sampled_from(["good", "good", "fails once", "bad", "conflicts"]), min_size=1, max_size=25)


@settings(deadline=None, max_examples=150)
@given(FAULTS, BEHAVIOURS, st.lists(st.integers(0, 30), max_size=4))
def test_what_handlers_do_happens_exactly_once(faults: list[str], behaviours: list[str], pauses: list[int]) -> None:
    """With two listeners of one name, stops at any time, failing handlers and a store that comes and goes."""
    asyncio.run(exactly_once(faults, behaviours, pauses))


async def exactly_once(faults: list[str], behaviours: list[str], pauses: list[int]) -> None:
    """Let listeners come and go, and compare what has happened with what should."""
    store = FaultyStore()
    opened = services(store=store)
    sent = [new_message(f"topic/t.{n % 2}", [n, it]) for n, it in enumerate(behaviours)]
    await store.write(Effects(messages=tuple(sent)))
    store.faults.extend(faults)
    failed: set[int] = set()

    async def handler(delivery: Delivery) -> None:
        number, behaviour = delivery.message.data
        delivery.broadcast(f"out.{number % 2}", number)
        await delivery.memory.aput("count", 1, merge=lambda old, new: cast("int", old) + cast("int", new))
        if behaviour == "conflicts":
            await delivery.memory.aput(f"{number}", 1, expected_version=99)
        if behaviour == "bad" or (behaviour == "fails once" and number not in failed):
            failed.add(number)
            raise ValueError(behaviour)

    def start() -> asyncio.Future[None]:
        bridge = Bridge(asyncio.get_running_loop())
        policy = FailurePolicy(max_failures=3)
        listener = Listener(opened, "me", "topic/t.*", handler, pipeline="p", bridge=bridge, policy=policy)
        return asyncio.ensure_future(listener.run())

    listening = [start(), start()]
    for pause in pauses:
        for _ in range(pause):
            await asyncio.sleep(0)
        stopped = listening.pop(0)
        stopped.cancel()
        await asyncio.wait([stopped])
        listening.append(start())
    changes = 0
    while sum([cursor.seq for cursor in await store.cursors(subscriber="me")]) < len(behaviours):
        changes = await store.wait_for_change(changes, seconds=60)
    for it in listening:
        it.cancel()
    await asyncio.wait(listening)

    good = [n for n, behaviour in enumerate(behaviours) if behaviour in ("good", "fails once")]
    for parity in (0, 1):
        out = [ReceivedMessage.of(it).data for it in await store.messages(f"topic/out.{parity}")]
        assert out == [n for n in good if n % 2 == parity]
    letters = [letter.message.data[0] for letter in await open_dead_letters(store, "me")]
    assert sorted(letters) == [n for n in range(len(behaviours)) if n not in good]
    count = await store.document("pipeline/p", "count")
    assert (0 if count is None else decoded(count.value, what="It")) == len(good)
