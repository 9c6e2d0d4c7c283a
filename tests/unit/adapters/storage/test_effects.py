"""Memory and messages in SQL: a group of writes is decided one by one and written together, as if it were not."""

import asyncio
import operator
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postgres import server
from tagent.adapters.storage.memory import MemoryStore
from tagent.adapters.storage.sql.effect_statements import AT_ONCE, end_of_prefix
from tagent.adapters.storage.urls import open_store
from tagent.exceptions import StoreError
from tagent.ports import Store
from tagent.ports.documents import DocumentQuery, Put, Quota, ScopeUsage
from tagent.ports.effect_errors import QuotaExceededError
from tagent.ports.effects import Effects, Written
from tagent.ports.messages import NewMessage, Receipt, Subscription, Topic
from tagent.testing.store_contract.samples import at_once, batch, new_run

MANY = 2 * AT_ONCE + 1
"""More than one statement takes."""

AWKWARD = [
    "",
    "a",
    "a%",
    "a_",
    "a'b",
    'a"b',
    "a:b",
    ":a",
    "?",
    "%s",
    "%(a)s",
    "a\\",
    "a\ud7ff",
    "a\ue000",
    "a\U0010ffff",
]
"""Names that would mean something if they were ever taken for SQL or for a pattern, or end a range of characters."""

EXPIRED = -1.0
"""Seconds from now at which a document is over before anybody can see it."""

Kind = TypeVar("Kind")

NAMES = st.sampled_from(["a", "a/b", "c"])
PUTS = st.builds(
    Put,
    NAMES,
    NAMES,
    st.sampled_from([b"1", b"12345", None]),
    st.just(""),
    st.sampled_from([None, None, 0, 1, 2]),
    st.sampled_from([None, None, EXPIRED]),
    st.sampled_from([None, Quota(2, 8)]),
)
MESSAGES = st.builds(NewMessage, NAMES, st.sampled_from([b"1", b"2"]), st.sampled_from(["", "k", "l"]))
RECEIPTS = st.builds(Receipt, NAMES, NAMES, st.integers(0, 2), st.integers(0, 3), st.integers(0, 1))
SUBSCRIPTIONS = st.builds(Subscription, NAMES, NAMES)


def some(kind: st.SearchStrategy[Kind], *unique: str) -> st.SearchStrategy[tuple[Kind, ...]]:
    """Return a few of a kind, of which no two have the same in all fields of `unique`, if any is named."""
    by = operator.attrgetter(*unique) if unique else None
    return st.lists(kind, max_size=3, unique_by=by).map(tuple)


EFFECTS = st.builds(
    Effects,
    some(PUTS, "scope", "key"),
    some(MESSAGES),
    some(RECEIPTS, "subscriber", "topic"),
    some(SUBSCRIPTIONS, "subscriber", "topic"),
)


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store = open_store(f"sqlite:///{tmp_path}/runs.db" if request.param == "sqlite" else server().place(tmp_path))
    yield store
    await store.close()


async def outcomes(store: Store, group: Sequence[Effects]) -> list[object]:
    """Return what each of the writes came to, all submitted in one turn of the loop."""
    async with asyncio.TaskGroup() as tasks:
        writes = [tasks.create_task(outcome(store, effects)) for effects in group]
    return [write.result() for write in writes]


async def outcome(store: Store, effects: Effects) -> object:
    try:
        return await store.write(effects)
    except StoreError as error:
        return type(error).__name__, str(error)


async def contents(store: Store) -> list[object]:
    """Return all that can be read, without the times."""
    await store.sweep(messages_older_than_seconds=3600)
    usages, topics = await store.scopes(), await store.topics()
    documents = [it for usage in usages for it in await store.documents(DocumentQuery(usage.scope))]
    kept = [it for topic in topics for it in await store.messages(topic.name)]
    unread = [replace(it, at=0.0) for name in ("a", "c") for it in await store.unread(name, ["a", "c"], limit=2)]
    messages = [replace(it, at=0.0) for it in kept]
    unread.sort(key=lambda it: it.topic)  # the times tell in which order topics are read
    return [[replace(it, at=0.0) for it in documents], *usages, *topics, messages, unread, *await store.cursors()]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(groups=st.lists(st.lists(EFFECTS, min_size=1, max_size=4), min_size=1, max_size=4), sweeps=st.booleans())
def test_a_group_of_writes_comes_to_what_each_alone_comes_to(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[Effects]], *, sweeps: bool
) -> None:
    """Nobody can tell whether he shared a transaction."""

    async def compare() -> None:
        theirs, ours = MemoryStore(), open_store(f"sqlite:///{tmp_path_factory.mktemp('store')}/runs.db")
        try:
            for group in groups:
                assert await outcomes(ours, group) == [await outcome(theirs, effects) for effects in group]
                if sweeps:
                    assert await contents(ours) == await contents(theirs)
            assert await contents(ours) == await contents(theirs)
        finally:
            await ours.close()

    asyncio.run(compare())


async def test_more_than_one_statement_takes_is_written_and_found(store: Store) -> None:
    """A database takes only so many parameters."""
    names = [f"{number:04}" for number in range(MANY)]
    puts = tuple(Put("s", name, b"12") for name in names)
    messages = tuple(NewMessage("t", b"1", name) for name in names)
    others = tuple(NewMessage(f"t/{name}", name.encode()) for name in names)
    receipts = tuple(Receipt("me", f"t/{name}", 0, 0, 1) for name in names)
    written = await store.write(Effects(puts, (*messages, *others), receipts))
    assert written == Written(tuple(range(1, MANY + 1)), (*range(1, MANY + 1), *(1 for _ in names)))
    again = tuple(replace(put, expected_version=version) for version, put in enumerate(puts, 1))
    assert (await store.write(Effects(again, messages))).seqs == tuple(range(1, MANY + 1))
    assert [it.key for it in await store.documents(DocumentQuery("s", limit=MANY))] == names
    assert len(await store.unread("me", [f"t/{name}" for name in names])) == MANY
    await store.write(Effects(tuple(replace(put, value=None) for put in puts)))
    assert list(await store.scopes()) == []


@pytest.mark.parametrize("name", AWKWARD)
async def test_names_are_never_taken_for_anything_else(store: Store, name: str) -> None:
    """Whoever may name a document must not be able to say what the database does."""
    puts = tuple(Put("s", it, b"1", f"text {it}") for it in AWKWARD)
    scopes = tuple(Put(it, "k", b"1") for it in AWKWARD)
    messages = tuple(NewMessage(it, b"1", it, it, it) for it in AWKWARD)
    await store.write(Effects((*puts, *scopes), messages, (Receipt(name or "me", name, 0, 1),)))
    expected = [it for it in sorted(AWKWARD) if it.startswith(name)]
    keys = [it.key for it in await store.documents(DocumentQuery("s", name))]
    assert keys == [it for it in expected if it]  # the first page begins behind the empty key
    assert [it.key for it in await store.documents(DocumentQuery("s", after=name))] == [
        it for it in sorted(AWKWARD) if it > name
    ]
    assert name in ["", *(it.key for it in await store.documents(DocumentQuery("s", words=(f"text {name}",))))]
    assert [it.scope for it in await store.scopes(name) if it.scope != "s"] == expected
    assert [it.name for it in await store.topics(name)] == expected
    (message,) = await store.messages(name)
    assert (message.topic, message.key, message.sender, message.reply_to) == (name, name, name, name)
    assert list(await store.unread(name or "me", [name])) == []
    await store.forget(name or "me")
    assert [it.name for it in await store.topics()] == [it for it in sorted(AWKWARD) if not name or it not in expected]
    assert list(await store.cursors()) == []


@pytest.mark.parametrize(
    ("prefix", "end"),
    [("", ""), ("a", "b"), ("az", "a{"), ("a\ud7ff", "a\ue000"), ("a\U0010ffff", "b"), ("\U0010ffff" * 2, "")],
)
def test_the_end_of_a_prefix_is_the_first_name_behind_it(prefix: str, end: str) -> None:
    """A range finds what begins so by the index."""
    assert end_of_prefix(prefix) == end


async def test_what_has_expired_makes_room_and_is_counted_off(store: Store) -> None:
    """Counters that drift would in the end refuse every write."""
    expired = tuple(Put("s", f"old {number}", b"123", ttl_seconds=EXPIRED) for number in range(3))
    await store.write(Effects((*expired, Put("other", "old", b"1", ttl_seconds=EXPIRED), Put("s", "k", b"1"))))
    quota = Quota(2, 5)
    await store.write(Effects((Put("s", "l", b"1234", quota=quota),)))
    assert list(await store.scopes("s")) == [ScopeUsage("s", 2, 5)]
    with pytest.raises(QuotaExceededError) as raised:
        await store.write(Effects((Put("s", "m", b"1", quota=quota),)))
    assert (raised.value.documents, raised.value.bytes) == (3, 6)
    assert list(await store.scopes()) == [ScopeUsage("s", 2, 5)]


async def test_a_group_sees_what_its_earlier_writes_have_changed(store: Store) -> None:
    """They are not in the tables yet."""
    fresh = Effects((Put("s", "k", b"12", expected_version=0, quota=Quota(1, 2)),), (NewMessage("t", b"1", "k"),))
    gone = Effects((Put("s", "k", None),), (NewMessage("t", b"1", "l"),), (Receipt("me", "t", 0, 1),))
    found = await outcomes(store, [fresh, fresh, gone, fresh, replace(gone, puts=())])
    assert [found[0], found[2], found[3]] == [Written((1,), (1,)), Written((0,), (2,)), Written((2,), (1,))]
    refused = [it[0] for it in (found[1], found[4]) if isinstance(it, tuple)]
    assert refused == ["DocumentConflictError", "CursorConflictError"]
    assert list(await store.scopes()) == [ScopeUsage("s", 1, 2)]
    assert list(await store.topics()) == [Topic("t", 2, 2)]


async def test_a_group_sees_what_a_sweep_and_a_forgetting_in_it_have_done(store: Store) -> None:
    """They share a transaction with what comes before and behind them."""
    message = Effects((Put("a", "k", b"1", expected_version=0),), (NewMessage("t", b"1", "k"),))
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(store.write(message))
        swept = tasks.create_task(store.sweep(messages_older_than_seconds=-10))
        second = tasks.create_task(store.write(replace(message, puts=())))
        tasks.create_task(store.forget("a"))
        third = tasks.create_task(store.write(message))
    assert (first.result(), second.result(), third.result()) == (
        Written((1,), (1,)),
        Written((), (2,)),
        Written((1,), (2,)),
    )
    assert (swept.result().documents, swept.result().messages) == (0, 1)
    assert list(await store.topics()) == [Topic("t", 2, 1)]


async def test_a_run_that_cannot_begin_or_go_on_leaves_no_effects_in_its_group(store: Store) -> None:
    """What it would have written is decided together with what others write."""
    effects = Effects((Put("s", "k", b"1"),), (NewMessage("t", b"1"),))
    await store.create_run(new_run("r"))
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(store.write(effects))
        refused = tasks.create_task(
            at_once(
                [
                    partial(store.create_run, replace(new_run("r"), effects=effects)),
                    partial(store.commit, replace(batch("r", 5, 5), effects=effects)),
                ]
            )
        )
        last = tasks.create_task(store.write(effects))
    assert refused.result() == ["ConflictError", "ConflictError"]
    assert (first.result(), last.result()) == (Written((1,), (1,)), Written((2,), (2,)))
