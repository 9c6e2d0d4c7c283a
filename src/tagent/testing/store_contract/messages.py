"""Messages: ordered topics, and subscribers who read them."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from tagent.ports.effect_errors import CursorConflictError
from tagent.ports.effects import Effects
from tagent.ports.messages import Cursor, NewMessage, Receipt, Subscription, Topic
from tagent.ports.store import Store
from tagent.ports.store_errors import ConflictError
from tagent.testing.store_contract.opening import OpenedStore
from tagent.testing.store_contract.samples import SHORT, at_once, batch, new_run


def sent(*payloads: bytes, topic: str = "t") -> Effects:
    """Return messages to a topic."""
    return Effects(messages=tuple(NewMessage(topic, payload) for payload in payloads))


def read(seq: int, *, expected: int, subscriber: str = "me", topic: str = "t", failures: int = 0) -> Effects:
    """Return a receipt."""
    return Effects(receipts=(Receipt(subscriber, topic, expected, seq, failures),))


class Messages(OpenedStore):
    """A message is there once, in its place, and is read once by each subscriber."""

    async def test_messages_come_back_as_they_were_sent_and_in_order(self, store: Store) -> None:
        """Whoever reads must be able to rely on what came before."""
        first = NewMessage("t", '{"naïve": "☂"}'.encode(), "key", "somebody", "answers")
        written = await store.write(Effects(messages=(first, NewMessage("t", b"2"), NewMessage("u", b"3"))))
        assert written.seqs == (1, 2, 1)
        assert (await store.write(sent(b"4"))).seqs == (3,)
        found = await store.messages("t")
        assert [(it.topic, it.seq, it.payload) for it in found] == [
            ("t", 1, first.payload),
            ("t", 2, b"2"),
            ("t", 3, b"4"),
        ]
        assert (found[0].key, found[0].sender, found[0].reply_to) == ("key", "somebody", "answers")
        assert found[0].at <= found[1].at <= found[2].at
        assert [it.seq for it in await store.messages("t", after_seq=1)] == [2, 3]
        assert [it.seq for it in await store.messages("t", after_seq=1, limit=1)] == [2]
        assert list(await store.messages("nowhere")) == []

    async def test_many_who_send_at_once_leave_no_gap(self, store: Store) -> None:
        """A reader who waits for the next place must not wait for ever, nor be overtaken."""
        outcomes = await at_once([partial(store.write, sent(str(number).encode())) for number in range(50)])
        assert set(outcomes) == {"done"}
        found = await store.messages("t")
        assert [it.seq for it in found] == list(range(1, 51))
        assert sorted(int(it.payload) for it in found) == list(range(50))

    async def test_a_message_with_the_same_key_is_there_once(self, store: Store) -> None:
        """A sender who does not know whether he has sent sends again."""
        message = NewMessage("t", b"1", key="k")
        assert (await store.write(Effects(messages=(message, NewMessage("t", b"2"))))).seqs == (1, 2)
        again = replace(message, payload=b"other")
        assert (await store.write(Effects(messages=(again, again, NewMessage("t", b"3"))))).seqs == (1, 1, 3)
        assert [it.payload for it in await store.messages("t")] == [b"1", b"2", b"3"]
        assert (await store.write(Effects(messages=(replace(message, topic="u"),)))).seqs == (1,)

    async def test_a_subscriber_reads_on_from_where_he_stands(self, store: Store) -> None:
        """Each has a place of his own."""
        await store.write(sent(b"1", b"2", b"3"))
        assert [it.seq for it in await store.unread("me", ["t"])] == [1, 2, 3]
        await store.write(read(2, expected=0))
        assert [it.seq for it in await store.unread("me", ["t", "nowhere"])] == [3]
        assert [it.seq for it in await store.unread("you", ["t"], limit=2)] == [1, 2]
        await store.write(read(3, expected=2))
        assert list(await store.unread("me", ["t"])) == []
        assert list(await store.unread("me", [])) == []
        assert list(await store.cursors()) == [Cursor("me", "t", 3)]

    async def test_several_topics_are_read_by_time(self, store: Store) -> None:
        """Who listens to many hears first what came first."""
        for topic, payload in (("b", b"1"), ("a", b"2"), ("b", b"3")):
            await store.write(sent(payload, topic=topic))
            await self.let_pass(0.002)
        assert [it.payload for it in await store.unread("me", ["a", "b"])] == [b"1", b"2", b"3"]
        assert [it.payload for it in await store.unread("me", ["a", "b"], limit=1)] == [b"1", b"2"]

    async def test_a_receipt_from_another_place_writes_nothing(self, store: Store) -> None:
        """Of two processes that read the same message, one has done it."""
        await store.write(sent(b"1", b"2"))
        await store.write(read(1, expected=0))
        with pytest.raises(CursorConflictError, match="nothing was written") as raised:
            await store.write(replace(read(1, expected=0), messages=(NewMessage("t", b"9"),)))
        error = raised.value
        assert (error.subscriber, error.topic, error.expected_seq, error.found_seq) == ("me", "t", 0, 1)
        assert len(await store.messages("t")) == 2
        outcomes = await at_once([partial(store.write, read(2, expected=1))] * 10)
        assert sorted(outcomes) == ["CursorConflictError"] * 9 + ["done"]

    async def test_failures_at_a_message_are_counted(self, store: Store) -> None:
        """A message that nobody can handle must not be tried for ever, not even across crashes."""
        await store.write(sent(b"1", b"2"))
        await store.write(read(0, expected=0, failures=1))
        await store.write(read(0, expected=0, failures=2))
        assert list(await store.cursors(subscriber="me", topic="t")) == [Cursor("me", "t", 0, 2)]
        await store.write(read(1, expected=0))
        assert list(await store.cursors(subscriber="me")) == [Cursor("me", "t", 1, 0)]

    async def test_a_subscription_begins_behind_the_newest_message(self, store: Store) -> None:
        """Who waits for an event waits for one that is still to come."""
        await store.write(sent(b"1", b"2"))
        subscription = Effects(subscriptions=(Subscription("me", "t"), Subscription("me", "later")))
        await store.write(replace(subscription, messages=(NewMessage("t", b"3"),)))
        assert [it.payload for it in await store.unread("me", ["t"])] == [b"3"]
        await store.write(sent(b"4"))
        await store.write(subscription)
        assert [it.payload for it in await store.unread("me", ["t"])] == [b"3", b"4"]
        await store.write(sent(b"5", topic="later"))
        assert [it.payload for it in await store.unread("me", ["later"])] == [b"5"]
        await store.write(replace(read(4, expected=2), subscriptions=subscription.subscriptions))

    async def test_cursors_are_found_by_subscriber_and_by_topic(self, store: Store) -> None:
        """Somebody asks who lags behind."""
        for subscriber, topic in (("b", "t"), ("a", "u"), ("a", "t")):
            await store.write(read(1, expected=0, subscriber=subscriber, topic=topic))
        ours, other, theirs = Cursor("a", "t", 1), Cursor("a", "u", 1), Cursor("b", "t", 1)
        assert list(await store.cursors()) == [ours, other, theirs]
        assert list(await store.cursors(subscriber="a")) == [ours, other]
        assert list(await store.cursors(topic="t")) == [ours, theirs]
        assert list(await store.cursors(subscriber="b", topic="u")) == []

    async def test_topics_are_found_by_prefix(self, store: Store) -> None:
        """A pattern is matched against the names that there are."""
        for topic in ("b/2", "b", "a", "b_2"):
            await store.write(sent(b"1", b"2", topic=topic))
        assert list(await store.topics()) == [Topic(name, 2, 2) for name in ("a", "b", "b/2", "b_2")]
        assert [topic.name for topic in await store.topics("b/")] == ["b/2"]
        assert [topic.name for topic in await store.topics("b_")] == ["b_2"]

    async def test_messages_are_committed_with_the_records(self, store: Store) -> None:
        """What a step has sent and read is true exactly if the step is done."""
        await store.write(sent(b"1"))
        begins = Effects(messages=(NewMessage("t", b"2"),), subscriptions=(Subscription("r", "t"),))
        await store.create_run(replace(new_run("r"), effects=begins))
        assert [it.payload for it in await store.unread("r", ["t"])] == [b"2"]
        done = replace(read(2, expected=1, subscriber="r"), messages=(NewMessage("u", b"3"),))
        await store.commit(replace(batch("r", 1, 1), effects=done))
        assert list(await store.unread("r", ["t"])) == []
        assert len(await store.messages("u")) == 1
        with pytest.raises(ConflictError):
            await store.commit(replace(batch("r", 1, 1), effects=done))
        with pytest.raises(CursorConflictError):
            await store.commit(replace(batch("r", 2, 2), effects=done))
        assert (len(await store.messages("u")), (await store.run("r")).last_seq) == (1, 1)
        with pytest.raises(CursorConflictError):
            await store.create_run(replace(new_run("q"), effects=done))
        assert [run.run_id for run in await store.runs()] == ["r"]

    async def test_one_write_that_fails_does_not_disturb_another(self, store: Store) -> None:
        """Many are written together."""
        calls = [partial(store.write, sent(b"1", topic=f"t{number}")) for number in range(20)]
        outcomes = await at_once([*calls, *[partial(store.write, read(1, expected=5))] * 5, *calls])
        assert sorted(outcomes) == ["CursorConflictError"] * 5 + ["done"] * 40
        assert [topic.messages for topic in await store.topics()] == [2] * 20

    async def test_a_sweep_removes_old_messages_and_leaves_the_places(self, store: Store) -> None:
        """Who lags behind or begins anew must not take a new message for an old one."""
        await store.write(Effects(messages=(NewMessage("t", b"1", "k"), NewMessage("t", b"2"))))
        await store.write(read(1, expected=0))
        await self.let_pass(4 * SHORT)
        await store.write(sent(b"3"))
        assert (await store.sweep(messages_older_than_seconds=2 * SHORT)).messages == 2
        assert list(await store.topics()) == [Topic("t", 3, 1)]
        assert [(it.seq, it.payload) for it in await store.unread("me", ["t"])] == [(3, b"3")]
        assert (await store.write(Effects(messages=(NewMessage("t", b"4", "k"),)))).seqs == (4,)
        assert (await store.sweep(messages_older_than_seconds=3600)).messages == 0

    async def test_forgetting_takes_topics_and_subscribers_that_begin_so(self, store: Store) -> None:
        """A deleted run has no mailbox and reads no more."""
        for topic in ("run/a/inbox", "run/ab/inbox", "t"):
            await store.write(sent(b"1", topic=topic))
        for subscriber, topic in (("run/a/step", "t"), ("me", "run/a/inbox"), ("me", "t")):
            await store.write(read(1, expected=0, subscriber=subscriber, topic=topic))
        await store.forget("run/a/")
        assert [topic.name for topic in await store.topics()] == ["run/ab/inbox", "t"]
        assert list(await store.cursors()) == [Cursor("me", "t", 1)]
        assert list(await store.messages("run/a/inbox")) == []
        assert (await store.write(sent(b"2", topic="run/a/inbox"))).seqs == (1,)

    async def test_whoever_waits_hears_of_a_message(self, store: Store) -> None:
        """A receiver must not have to ask all the time."""
        seen = await store.wait_for_change(0, seconds=60)
        waiting = asyncio.ensure_future(store.wait_for_change(seen, seconds=60))
        await asyncio.sleep(0)
        await store.write(sent(b"1"))
        assert await waiting != seen
