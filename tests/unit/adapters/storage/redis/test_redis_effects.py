"""What is Redis's own about memory and messages: portions, what is left in the end, and what a server can refuse."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from redis_server import RedisServer
from tagent.adapters.storage.redis import effect_store
from tagent.adapters.storage.redis.store import RedisStore, open_redis
from tagent.exceptions import StoreError
from tagent.ports.documents import Document, DocumentQuery, Put, Quota, ScopeUsage
from tagent.ports.effects import Effects, Swept
from tagent.ports.messages import Cursor, NewMessage, Receipt, Subscription, Topic
from tagent.ports.store_errors import StoreUnavailableError
from tagent.testing.store_contract.samples import batch, new_run, seqs

PASSWORD = "hunter2"  # noqa: S105 - it guards nothing
"""Of a user who lives as long as a test."""

SOON = 0.02
"""Seconds after which a document has expired."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    server = RedisServer("--save", "")
    yield server
    server.remove()


@pytest.fixture
async def store(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RedisStore]:
    server.command("FLUSHALL")
    monkeypatch.setattr(effect_store, "PORTION", 3)
    store = open_redis(server.url())
    yield store
    await store.close()


def puts(*keys: str, scope: str = "s", text: str = "", ttl_seconds: float | None = None) -> Effects:
    return Effects(tuple(Put(scope, key, b"1", text, ttl_seconds=ttl_seconds) for key in keys))


def keys_of(documents: object) -> list[str]:
    assert isinstance(documents, list)
    return [document.key for document in documents if isinstance(document, Document)]


@pytest.mark.parametrize("count", [0, 2, 3, 4, 7])
async def test_documents_go_on_behind_their_last_portion(store: RedisStore, count: int) -> None:
    """Nothing is left out or told twice where two portions meet, nor for what has expired between them."""
    names = [f"k{number}" for number in range(count)]
    await store.write(puts(*names, text="tea"))
    await store.write(puts(*(f"{name}-expired" for name in names), text="tea", ttl_seconds=SOON))
    await asyncio.sleep(2 * SOON)
    for limit in (1, 2, 3, 4, 100):
        assert keys_of(await store.documents(DocumentQuery("s", limit=limit))) == names[:limit]
        assert keys_of(await store.documents(DocumentQuery("s", words=("tea",), limit=limit))) == names[:limit]
        assert keys_of(await store.documents(DocumentQuery("s", "k", after="k1", limit=limit))) == names[2:][:limit]
    assert keys_of(await store.documents(DocumentQuery("s", limit=0))) == []


@pytest.mark.parametrize("count", [0, 2, 3, 4, 7])
async def test_messages_go_on_behind_their_last_portion(store: RedisStore, count: int) -> None:
    """The same for topics, of which some end before others."""
    await store.write(Effects(messages=(*[NewMessage("t", b"1")] * count, NewMessage("u", b"1"))))
    for limit in (0, 1, 3, 4, 100):
        places = list(range(1, count + 1))[:limit]
        assert [it.seq for it in await store.messages("t", limit=limit)] == places
        read = await store.unread("me", ["u", "t"], limit=limit)
        assert [it.seq for it in read if it.topic == "t"] == places
        assert len(read) == len(places) + min(limit, 1)
    assert [it.seq for it in await store.messages("t", after_seq=2)] == list(range(3, count + 1))


@pytest.mark.parametrize("count", [0, 2, 3, 4, 7])
async def test_names_go_on_behind_their_last_portion(store: RedisStore, count: int) -> None:
    """The same for scopes, topics and cursors."""
    names = [f"n{number}" for number in range(count)]
    for name in names:
        await store.write(Effects((Put(name, "k", b"1"),), (NewMessage(name, b"1"),), (Receipt(name, "t", 0, 1),)))
    assert list(await store.scopes("n")) == [ScopeUsage(name, 1, 1) for name in names]
    assert list(await store.topics()) == [Topic(name, 1, 1) for name in names]
    for found in (await store.cursors(), await store.cursors(topic="t")):
        assert list(found) == [Cursor(name, "t", 1) for name in names]


async def test_what_has_expired_goes_with_the_next_write_that_counts(store: RedisStore) -> None:
    """A scope that is always full of short-lived documents must not be counted through with every write."""
    await store.write(puts("a", "b", "c", "d", ttl_seconds=SOON))
    await asyncio.sleep(2 * SOON)
    await store.write(Effects((Put("s", "e", b"1", quota=Quota(documents=1, bytes=1)),)))
    assert list(await store.scopes()) == [ScopeUsage("s", 1, 1)]
    assert await store.sweep(messages_older_than_seconds=60) == Swept(documents=0, messages=0)


async def test_a_topic_that_was_swept_empty_is_swept_again(store: RedisStore) -> None:
    """It is noted anew when its first message was appended."""
    for _ in range(2):
        await store.write(Effects(messages=(NewMessage("t", b"1"),)))
        await asyncio.sleep(2 * SOON)
        assert await store.sweep(messages_older_than_seconds=SOON) == Swept(documents=0, messages=1)


async def test_every_kind_of_write_is_told_of(store: RedisStore) -> None:
    """Whoever waits for a message, or shows what there is, must not have to ask all the time."""
    await store.create_run(new_run("r"))
    seen = 0
    for _ in range(100):  # until it is quiet
        if (found := await store.wait_for_change(seen, seconds=0.02)) == seen:
            break
        seen = found
    for write in (
        store.write(puts("k", ttl_seconds=SOON)),
        store.commit(replace(batch("r", 1, 1), effects=puts("l"))),
        store.forget("s"),
        store.write(puts("k", ttl_seconds=0.0)),
        store.sweep(messages_older_than_seconds=60),
    ):
        waiting = asyncio.ensure_future(store.wait_for_change(seen, seconds=60))
        await asyncio.sleep(0)
        await write
        told = await waiting
        assert told != seen
        seen = told


async def test_a_sweep_ends_though_a_key_is_lost(server: RedisServer, store: RedisStore) -> None:
    """A server that is set to throw keys away must not hang in a script, which nobody could stop."""
    for kind in ("expiring", "documents"):
        await store.write(puts("k", scope=kind, ttl_seconds=SOON))
        server.command("DEL", f"tagent:{kind}:{kind}")
    await store.write(Effects(messages=(NewMessage("t", b"1"),)))
    server.command("DEL", "tagent:messages:t")
    await asyncio.sleep(2 * SOON)
    await store.sweep(messages_older_than_seconds=SOON)
    assert await store.sweep(messages_older_than_seconds=SOON) == Swept(documents=0, messages=0)


async def test_a_sweep_goes_on_until_nothing_is_old(store: RedisStore) -> None:
    """Each portion is a script of its own, so that others are served in between."""
    for name in "abcde":
        await store.write(puts("k", "l", "m", "n", scope=name, ttl_seconds=SOON))
        await store.write(Effects(messages=tuple(NewMessage(name, b"1", key) for key in "xyz")))
    await store.write(puts("kept", ttl_seconds=3600.0))
    await asyncio.sleep(2 * SOON)
    assert await store.sweep(messages_older_than_seconds=SOON) == Swept(documents=20, messages=15)
    assert await store.sweep(messages_older_than_seconds=SOON) == Swept(documents=0, messages=0)
    assert list(await store.scopes()) == [ScopeUsage("s", 1, 1)]
    assert list(await store.topics()) == [Topic(name, 3, 0) for name in "abcde"]


@pytest.mark.parametrize("old", range(6))
async def test_a_sweep_cuts_a_topic_where_its_messages_are_young_enough(
    server: RedisServer, store: RedisStore, old: int
) -> None:
    """It finds the place without reading the messages, wherever it is."""
    times = [time.time() - 1000] * old + [time.time()] * (5 - old)
    for seq, at in enumerate(times, 1):  # as `messages.lua` would have written them then
        fields = ("at", str(at), "payload", "1", "key", f"k{seq}", "sender", "", "reply_to", "")
        server.command("XADD", "tagent:messages:t", f"{seq}-0", *fields)
        server.command("ZADD", "tagent:message-keys:t", str(seq), f"k{seq}")
    server.command("HSET", "tagent:topic:t", "last_seq", "5", "last_at", str(times[-1]))
    server.command("ZADD", "tagent:topics", "0", "t")
    server.command("ZADD", "tagent:oldest", str(times[0]), "t")
    assert await store.sweep(messages_older_than_seconds=500) == Swept(documents=0, messages=old)
    assert [it.seq for it in await store.messages("t")] == list(range(old + 1, 6))
    again = tuple(NewMessage("t", b"2", f"k{seq}") for seq in range(1, 6))
    assert (await store.write(Effects(messages=again))).seqs == (*range(6, 6 + old), *range(old + 1, 6))


async def test_messages_keep_their_order_when_the_clock_is_set_back(server: RedisServer, store: RedisStore) -> None:
    """Who reads several topics by time must not get the messages of one out of order."""
    await store.write(Effects(messages=(NewMessage("t", b"1"),)))
    server.command("HSET", "tagent:topic:t", "last_at", "9000000000")
    await store.write(Effects(messages=(NewMessage("t", b"2"), NewMessage("t", b"3"))))
    assert [(it.seq, it.at) for it in await store.messages("t", after_seq=1)] == [(2, 9e9), (3, 9e9)]


async def test_names_and_values_may_hold_anything(store: RedisStore) -> None:
    """None may be taken for another, or be cut."""
    names = ("a", "a:b", "a\0", "a\n", "a ", " ", "a:", "\U0010ffff", "é")
    value = bytes(range(256))
    for name in names:
        await store.write(
            Effects(
                (Put(name, name, value, name),),
                (NewMessage(name, value, name, name, name),),
                (Receipt(name, name, 0, 1, 2),),
                (Subscription(name, f"{name}!"),),
            )
        )
    for name in names:
        (document,) = await store.documents(DocumentQuery(name, words=(name,)))
        assert document == await store.document(name, name)
        assert (document.key, document.value) == (name, value)
        (message,) = await store.messages(name)
        assert (message.payload, message.key, message.sender, message.reply_to) == (value, name, name, name)
        assert list(await store.cursors(subscriber=name)) == [Cursor(name, name, 1, 2), Cursor(name, f"{name}!")]
        assert list(await store.cursors(topic=name)) == [Cursor(name, name, 1, 2)]
    assert [it.scope for it in await store.scopes()] == sorted(names)
    assert [it.name for it in await store.topics("a")] == sorted(it for it in names if it[0] == "a")


async def test_nothing_is_left_of_what_was_forgotten(server: RedisServer, store: RedisStore) -> None:
    """A store that is cleaned up regularly does not grow."""
    effects = Effects(
        (Put("run/s", "k", b"1", "text", ttl_seconds=60.0, quota=Quota(9, 9)), Put("run/s", "l", b"1")),
        (NewMessage("run/t", b"1", "key"),),
        (Receipt("run/r", "t", 0, 1),),
        (Subscription("me", "run/t"),),
    )
    await store.write(effects)
    await store.forget("run/")
    found = server.command("KEYS", "*")
    assert isinstance(found, list)
    assert sorted(found) == [b"tagent:changes", b"tagent:format"]


async def test_a_server_without_memory_refuses_whole_writes_and_still_deletes(
    server: RedisServer, store: RedisStore
) -> None:
    """Deleting is how to get memory back."""
    await store.create_run(new_run("r", begins=batch("r", 1, 1)))
    await store.write(replace(puts("k", "l"), messages=(NewMessage("t", b"1"),)))
    await store.write(puts("short", ttl_seconds=SOON))
    await asyncio.sleep(2 * SOON)
    server.command("CONFIG", "SET", "maxmemory", "1")
    try:
        for write in (
            store.write(puts("m")),
            store.write(Effects(messages=(NewMessage("t", b"2"),))),
            store.write(Effects(receipts=(Receipt("me", "t", 0, 1),))),
            store.commit(replace(batch("r", 2, 2), effects=puts("m"))),
            store.create_run(replace(new_run("q"), effects=puts("m"))),
        ):
            with pytest.raises(StoreUnavailableError, match="has no memory left"):
                await write
        await store.write(Effects((Put("s", "k", None),)))
        await store.forget("nothing begins so")
        await store.forget("t")
        assert await store.sweep(messages_older_than_seconds=60) == Swept(documents=1, messages=0)
    finally:
        server.command("CONFIG", "SET", "maxmemory", "0")
    assert keys_of(await store.documents(DocumentQuery("s"))) == ["l"]
    assert (list(await store.topics()), list(await store.cursors()), await seqs(store, "r")) == ([], [], [1])


async def test_what_cannot_be_kept_is_refused_before_anything_is_written(store: RedisStore) -> None:
    """A script that fails half-way leaves half."""
    await store.create_run(new_run("r"))
    for bad in (
        puts("\ud800"),
        puts("k", ttl_seconds=float("nan")),
        Effects(messages=(NewMessage("\ud800", b"1"),)),
        Effects(receipts=(Receipt("\ud800", "t", 0, 1),)),
        Effects(subscriptions=(Subscription("\ud800", "t"),)),
    ):
        both = puts("first").plus(bad)
        for call in (store.write(both), store.commit(replace(batch("r", 1, 1), effects=both))):
            with pytest.raises(StoreError, match="surrogate|no number"):
                await call
    assert await store.document("s", "first") is None
    assert await seqs(store, "r") == []


async def test_a_user_needs_no_key_outside_the_prefix(server: RedisServer, store: RedisStore) -> None:
    """A shared server gives each of its users a part of it."""
    server.command("ACL", "SETUSER", "me", "on", f">{PASSWORD}", "~mine:*", "+@all", "-@dangerous")
    mine = open_redis(server.url("mine", user="me", password=PASSWORD))
    effects = Effects(
        (Put("s", "k", b"1", "text", ttl_seconds=60.0, quota=Quota(9, 9)),), (NewMessage("t", b"1", "key"),)
    )
    await mine.create_run(replace(new_run("r"), effects=effects))
    await mine.commit(replace(batch("r", 1, 1), effects=Effects(receipts=(Receipt("me", "t", 0, 1),))))
    assert await mine.document("s", "k") is not None
    assert len(await mine.documents(DocumentQuery("s", words=("text",)))) == 1
    assert (len(await mine.scopes()), len(await mine.topics()), len(await mine.cursors())) == (1, 1, 1)
    assert list(await mine.unread("me", ["t"])) == []
    assert (await mine.sweep(messages_older_than_seconds=60)) == Swept(0, 0)
    await mine.forget("s")
    await mine.close()
    assert list(await store.topics()) == []
