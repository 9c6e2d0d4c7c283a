"""What is special about a PostgreSQL server: it goes away and comes back, others write beside us, and it tells."""

import asyncio
import itertools
import logging
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
import pytest

from postgres import PASSWORD, PostgresServer, server
from tagent.adapters.storage.sql import notifications
from tagent.adapters.storage.sql.driver import Cursor
from tagent.adapters.storage.sql.postgresql import open_postgresql
from tagent.adapters.storage.sql.store import SqlStore
from tagent.exceptions import StoreError
from tagent.ports.documents import DocumentQuery, Put
from tagent.ports.effect_errors import DocumentConflictError
from tagent.ports.effects import Effects, Written
from tagent.ports.messages import NewMessage, Receipt, Subscription, Topic
from tagent.ports.records import Batch, Blob, RunSummary
from tagent.ports.store_errors import StoreUnavailableError
from tagent.testing.store_contract.samples import Call, at_once, batch, end, new_run, seqs

NEVER = 3600.0
"""Seconds: longer than any test."""

PATIENCE = 60.0
"""Seconds after which a test fails that waits for what does not come."""

_numbers = itertools.count()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return server().place(tmp_path)


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlStore]:
    store = open_postgresql(url)
    await store.create_run(new_run("r"))
    yield store
    await store.close()


@pytest.fixture
async def other(store: SqlStore, url: str) -> AsyncIterator[SqlStore]:
    """The same store, as another process has it open."""
    other = open_postgresql(url)
    yield other
    await other.close()


@pytest.fixture
def database() -> str:
    """The name of a new database."""
    name = f"database_{next(_numbers)}"
    server().new_database(name)
    return name


@pytest.fixture
def ending() -> Iterator[PostgresServer]:
    """The server, for a test that stops it: it runs again afterwards."""
    yield server()
    server().stop()
    server().start()


def shown(cursor: Cursor, *, setting: str) -> str:
    cursor.execute(f"SHOW {setting}")
    return str(cursor.fetchall()[0][0])


async def quiet(store: SqlStore) -> int:
    """Return what the store says when all that was committed so far has been told of."""
    seen = await store.wait_for_change(0, seconds=PATIENCE)
    while (found := await store.wait_for_change(seen, seconds=0.2)) != seen:
        seen = found
    return seen


@pytest.mark.parametrize("way", ["an orderly restart", "a crash"])
async def test_a_store_survives_a_restart_of_the_server(store: SqlStore, ending: PostgresServer, way: str) -> None:
    """Servers are upgraded while agents run for days; the first write and the first read afterwards go through."""
    await store.commit(batch("r", 1, 1))
    assert await seqs(store, "r") == [1]
    ending.stop(suddenly=way == "a crash")
    ending.start()
    await store.commit(batch("r", 2, 2))
    assert await seqs(store, "r") == [1, 2]


async def test_without_its_server_a_store_is_unavailable_until_it_is_back(
    store: SqlStore, ending: PostgresServer
) -> None:
    """The run waits and tries again, and its journal has no gap."""
    await store.commit(batch("r", 1, 1))
    await store.run("r")
    ending.stop()
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="cannot be reached: Connection refused") as raised:
            await store.commit(batch("r", 2, 2))
        assert raised.value.is_retryable
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            await store.run("r")
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            await asyncio.to_thread(store.renew, "r", epoch=1, lease_seconds=1)
    ending.start()
    await store.commit(batch("r", 2, 2))
    assert await seqs(store, "r") == [1, 2]


async def test_a_write_that_loses_its_server_is_unavailable_and_not_tried_again(
    store: SqlStore, ending: PostgresServer
) -> None:
    """Nobody knows whether it was kept: only whoever reads the journal can tell."""
    calls: list[str] = []

    def write_and_lose_the_server(cursor: Cursor) -> None:
        calls.append("written")
        cursor.execute("UPDATE run SET status = 'changed'")
        ending.stop(suddenly=True)
        ending.start()

    outcomes = await at_once(
        [lambda: store._writer.submit(write_and_lose_the_server), partial(store.commit, batch("r", 1, 1))]
    )
    assert (outcomes, calls) == (["StoreUnavailableError"] * 2, ["written"])
    assert (await store.run("r")).status == "running"
    await store.commit(batch("r", 1, 1))


async def test_a_read_that_loses_its_server_is_unavailable_and_the_next_one_works(
    store: SqlStore, ending: PostgresServer
) -> None:
    """Reading again costs nothing."""

    def lose_the_server(cursor: Cursor) -> None:
        ending.stop(suddenly=True)
        ending.start()
        cursor.execute("SELECT 1")

    with pytest.raises(StoreUnavailableError, match="lost its connection"):
        await store._readers.read(lose_the_server)
    assert (await store.run("r")).last_seq == 0


async def test_every_connection_that_lay_idle_while_the_server_restarted_is_replaced(
    store: SqlStore, ending: PostgresServer
) -> None:
    """A read changes nothing, so it is done again; many run at once in a process that watches runs."""
    together = threading.Barrier(3)

    def count_together(cursor: Cursor) -> object:
        together.wait(PATIENCE)
        cursor.execute("SELECT count(*) FROM run")
        return cursor.fetchall()[0][0]

    async def counted() -> list[object]:
        async with asyncio.TaskGroup() as group:
            reads = [group.create_task(store._readers.read(count_together)) for _ in range(3)]
        return [read.result() for read in reads]

    assert await counted() == [1, 1, 1]
    ending.stop(suddenly=True)
    ending.start()
    assert await counted() == [1, 1, 1]


async def test_a_commit_wakes_who_waits_in_another_process(
    store: SqlStore, other: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dashboard shows a step when it ends, not a while later."""
    monkeypatch.setattr(notifications, "POLL_SECONDS", NEVER)
    waiting = await quiet(other)
    for seq in (1, 2, 3):
        woken = asyncio.ensure_future(other.wait_for_change(waiting, seconds=PATIENCE))
        await asyncio.sleep(0)
        await store.commit(batch("r", seq, seq))
        assert await woken != waiting
        waiting = await quiet(other)


async def test_a_commit_of_which_nobody_told_is_noticed_all_the_same(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process may be killed between its commit and its NOTIFY."""
    monkeypatch.setattr(notifications, "POLL_SECONDS", 0.01)
    seen = await quiet(store)
    server().execute("CREATE TABLE IF NOT EXISTS elsewhere (n int); INSERT INTO elsewhere VALUES (1)")
    assert await store.wait_for_change(seen, seconds=PATIENCE) != seen


async def test_whoever_waits_is_woken_when_the_server_is_lost_and_told_of_changes_when_it_is_back(
    store: SqlStore, ending: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He can then ask for himself; and must not be deaf for ever after."""
    monkeypatch.setattr(notifications, "POLL_SECONDS", 0.01)
    seen = await quiet(store)
    waiting = asyncio.ensure_future(store.wait_for_change(seen, seconds=PATIENCE))
    await asyncio.sleep(0)
    ending.stop(suddenly=True)
    assert await waiting != seen
    ending.start()
    seen = await quiet(store)
    await store.commit(batch("r", 1, 1))
    assert await store.wait_for_change(seen, seconds=PATIENCE) != seen


async def test_closing_wakes_who_waits_and_leaves_no_connection(database: str) -> None:
    """A closed store holds nothing open, and nobody waits for it in vain."""
    store = open_postgresql(server().url(database))
    await store.create_run(new_run("r"))
    await store.runs()

    async def wait_for_ever() -> None:
        seen = 0
        while True:  # a hint may come without a change
            seen = await store.wait_for_change(seen, seconds=NEVER)

    waiting = asyncio.ensure_future(wait_for_ever())
    await quiet(store)
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await asyncio.wait_for(waiting, PATIENCE)
    server().execute(f"DROP DATABASE {database}")  # waits some seconds for connections to end, then refuses


async def test_deletions_and_forks_of_two_processes_lose_no_blob(store: SqlStore, other: SqlStore) -> None:
    """A fork that succeeds finds what it shares, whoever deletes the parent meanwhile."""
    for number in range(30):
        begins = batch("r", 1, 1, blobs=(Blob(f"b{number}", b"x"),))
        await store.create_run(new_run(f"r{number}", begins=begins, definition_hash=f"d{number}"))
        await store.commit(end(f"r{number}", 2))

    async def fork(number: int) -> None:
        begins = batch("s", 1, 1, blobs=(Blob(f"b{number}", None),))
        await other.create_run(new_run(f"s{number}", begins=begins, definition_hash=f"d{number}"))

    # One after the other in each process, so that transactions of both meet in all their parts.
    async def one_by_one(calls: Sequence[Call]) -> list[str]:
        return [outcome for call in calls for outcome in await at_once([call])]

    async with asyncio.TaskGroup() as group:
        deleting = group.create_task(one_by_one([partial(store.delete, f"r{number}") for number in range(30)]))
        forking = group.create_task(one_by_one([partial(fork, number) for number in range(30)]))
    assert deleting.result() == ["done"] * 30
    assert set(forking.result()) <= {"done", "MissingBlobError"}
    for number, outcome in enumerate(forking.result()):
        if outcome == "done":
            assert await store.blob(f"b{number}") == b"x"
            assert await store.definition(f"d{number}")


@pytest.mark.parametrize("shared", [(), (Blob("tea", None),)], ids=["the definition", "a blob as well"])
async def test_a_deletion_waits_for_a_fork_under_way_and_keeps_what_it_needs(
    store: SqlStore, other: SqlStore, shared: tuple[Blob, ...]
) -> None:
    """What another process is about to need, nobody can see before its commit."""
    begins = batch("parent", 1, 1, blobs=(Blob("tea", b"green"),))
    await store.create_run(new_run("parent", begins=begins, definition_hash="d"))
    await store.commit(end("parent", 2))
    deletions: list[Future[None]] = []
    loop = asyncio.get_running_loop()

    def fork_while_the_parent_is_deleted(cursor: Cursor) -> None:
        forked = new_run("fork", begins=batch("fork", 1, 1, blobs=shared), definition_hash="d")
        other._writes.create_run(cursor, run=forked)
        deletions.append(asyncio.run_coroutine_threadsafe(store.delete("parent"), loop))
        while not server().waits_for_a_lock() and not deletions[0].done():
            pass

    await other._writer.submit(fork_while_the_parent_is_deleted)
    await asyncio.wrap_future(deletions[0])
    assert {run.run_id for run in await store.runs()} == {"r", "fork"}
    assert await store.definition("d")
    for blob in shared:
        assert await store.blob(blob.hash) == b"green"


async def test_processes_that_write_the_same_blobs_do_not_lock_each_other_out(store: SqlStore, other: SqlStore) -> None:
    """Two forks may produce the same outputs, in any order."""
    await store.create_run(new_run("s"))
    names = [f"blob {number}" for number in range(50)]
    for seq in range(1, 6):
        blobs = tuple(Blob(f"{name} {seq}", b"x" * 1000) for name in names)
        writes = [
            partial(store.commit, batch("r", seq, seq, blobs=blobs)),
            partial(other.commit, batch("s", seq, seq, blobs=blobs[::-1])),
        ]
        assert await at_once(writes) == ["done", "done"]


async def test_a_deadlock_with_another_program_is_resolved(store: SqlStore, url: str) -> None:
    """The server ends one of the two; ours is then done again."""
    await store.create_run(new_run("s"))
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE run SET status = 'theirs' WHERE run_id = 's'")
        entered = asyncio.Event()
        loop = asyncio.get_running_loop()

        def write_r_then_s(cursor: Cursor) -> None:
            cursor.execute("UPDATE run SET status = 'ours' WHERE run_id = 'r'")
            loop.call_soon_threadsafe(entered.set)
            cursor.execute("UPDATE run SET status = 'ours' WHERE run_id = 's'")

        writing = store._writer.submit(write_r_then_s)
        await entered.wait()
        with suppress(psycopg.errors.DeadlockDetected):
            await asyncio.to_thread(connection.execute, "UPDATE run SET status = 'theirs' WHERE run_id = 'r'")
        connection.rollback()
    await writing
    assert {run.status for run in await store.runs()} == {"ours"}


async def test_a_lock_of_another_program_is_not_waited_for_for_ever(store: SqlStore, url: str) -> None:
    """Meanwhile the leases of all runs would end."""
    await store._writer.submit(lambda cursor: cursor.execute("SET lock_timeout = '10ms'"))
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE run")
        with pytest.raises(StoreUnavailableError, match="is busy"):
            await store.commit(batch("r", 1, 1))
        connection.rollback()
    await store.commit(batch("r", 1, 1))


async def test_writes_do_not_depend_on_how_the_server_was_set_up(database: str) -> None:
    """At a stricter level every write that has waited for another one would fail."""
    server().execute(f"ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'")
    store = open_postgresql(server().url(database))
    level, lock, stalled = [
        await store._writer.submit(partial(shown, setting=it))
        for it in ("transaction_isolation", "lock_timeout", "idle_in_transaction_session_timeout")
    ]
    assert (level, lock, stalled) == ("read committed", "5s", "30s")
    await store.close()


async def test_a_reader_cannot_write(store: SqlStore) -> None:
    """There is one writer."""
    with pytest.raises(StoreUnavailableError, match="read-only"):
        await store._readers.read(lambda cursor: cursor.execute("DELETE FROM run"))
    assert (await store.run("r")).run_id == "r"


async def test_a_database_that_is_read_only_can_be_read(database: str) -> None:
    """A standby shows runs; it does not execute them."""
    url = server().url(database)
    await open_postgresql(url).close()
    server().execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    store = open_postgresql(url)
    assert list(await store.runs()) == []
    with pytest.raises(StoreUnavailableError, match="cannot be written: it is read-only"):
        await store.create_run(new_run("r"))
    await store.close()


async def test_processes_that_write_the_same_effects_in_any_order_all_do(store: SqlStore, other: SqlStore) -> None:
    """They take turns; nobody waits in a circle, and nobody is refused."""

    def effects(names: Sequence[str]) -> Effects:
        return Effects(tuple(Put(it, "k", b"1") for it in names), tuple(NewMessage(it, b"1") for it in names))

    names = [f"name {number}" for number in range(20)]
    writes = [partial(it.write, effects(order)) for it, order in ((store, names), (other, names[::-1])) * 20]
    assert await at_once(writes) == ["done"] * 40
    assert list(await store.topics()) == [Topic(name, 40, 40) for name in sorted(names)]
    assert {it.version for name in names for it in await store.documents(DocumentQuery(name))} == {40}


async def test_effects_wait_for_those_of_another_process(store: SqlStore, other: SqlStore) -> None:
    """What a write was decided on must still be so when it is written."""
    put = Effects((Put("s", "k", b"1", expected_version=0),))
    others: list[Future[Written]] = []
    loop = asyncio.get_running_loop()

    def write_while_the_other_wants_to(cursor: Cursor) -> bool:
        store._writes.write(cursor, effects=put)
        others.append(asyncio.run_coroutine_threadsafe(other.write(put), loop))
        while not server().waits_for_a_lock() and not others[0].done():
            pass
        return others[0].done()

    assert not await store._writer.submit(write_while_the_other_wants_to)
    with pytest.raises(DocumentConflictError):
        await asyncio.wrap_future(others[0])
    assert [it.version for it in await store.documents(DocumentQuery("s"))] == [1]


async def test_two_processes_that_wait_for_each_other_both_write_whole(store: SqlStore, other: SqlStore) -> None:
    """The server ends one of them; what it had done is done again."""
    met = threading.Barrier(2)

    def define_then_send(cursor: Cursor) -> None:
        store._writes.create_run(cursor, run=new_run("q", definition_hash="new"))
        with suppress(threading.BrokenBarrierError):  # done again, it goes on at once
            met.wait(PATIENCE)
        met.abort()
        store._writes.write(cursor, effects=Effects(messages=(NewMessage("t", b"1"),)))

    def send_then_define(cursor: Cursor) -> None:
        other._writes.write(cursor, effects=Effects(messages=(NewMessage("t", b"2"),)))
        with suppress(threading.BrokenBarrierError):
            met.wait(PATIENCE)
        met.abort()
        other._writes.create_run(cursor, run=new_run("p", definition_hash="new"))

    ours, theirs = store._writer.submit(define_then_send), other._writer.submit(send_then_define)
    await ours
    await theirs
    assert {run.run_id for run in await store.runs()} == {"p", "q", "r"}
    assert sorted(it.payload for it in await store.messages("t")) == [b"1", b"2"]


@pytest.mark.parametrize(
    "effects",
    [
        Effects((Put("a\0b", "k", b"1"),)),
        Effects((Put("s", "a\0b", b"1"),)),
        Effects((Put("s", "k", b"1", "a\0b"),)),
        Effects(messages=(NewMessage("a\0b", b"1"),)),
        Effects(messages=(NewMessage("t", b"1", "a\0b"),)),
        Effects(messages=(NewMessage("t", b"1", "", "a\0b"),)),
        Effects(receipts=(Receipt("a\0b", "t", 0, 1),)),
        Effects(subscriptions=(Subscription("s", "a\0b"),)),
    ],
    ids=["scope", "key", "text", "topic", "message key", "sender", "subscriber", "subscribed topic"],
)
async def test_a_nul_in_effects_is_refused_and_spoils_nothing(store: SqlStore, effects: Effects) -> None:
    """Whoever writes at the same moment is not to blame, and must not be given a place that does not last."""
    good = Effects((Put("s", "good", b"1"),), (NewMessage("t", b"1"),))
    outcomes = await at_once([partial(store.write, it) for it in (good, effects, good)])
    assert outcomes == ["done", "StoreError", "done"]
    with pytest.raises(StoreError, match="NUL"):
        await store.commit(replace(batch("r", 1, 1), effects=effects))
    assert (await store.run("r")).last_seq == 0
    assert list(await store.topics()) == [Topic("t", 2, 2)]
    assert [(it.key, it.version) for it in await store.documents(DocumentQuery("s"))] == [("good", 2)]


async def test_names_sort_by_code_point_whatever_the_database_sorts_by(database: str) -> None:
    """What begins alike is a range of names, and a page of a scope begins behind the last key of the one before."""
    await open_postgresql(server().url(database)).close()
    found = server().execute(
        "SELECT attrelid::regclass || '.' || attname, collname FROM pg_attribute JOIN pg_collation c"
        " ON c.oid = attcollation WHERE attname IN ('scope', 'key', 'topic', 'subscriber') AND attnum > 0"
        " AND attrelid IN (SELECT oid FROM pg_class WHERE relkind = 'r')",
        database=database,
    )
    names = ["cursor.subscriber", "cursor.topic", "document.key", "document.scope"]
    names += ["message.key", "message.topic", "scope.scope", "topic.topic"]
    assert sorted(found) == [(name, "C") for name in names]


@pytest.mark.parametrize(
    "write",
    [
        batch("r", 1, 1, kind="a\0b"),
        batch("r", 1, 1, summary=RunSummary("a\0b", 1.0)),
        batch("r", 1, 1, summary=RunSummary("running", 1.0, text="a\0b")),
        batch("r", 1, 1, blobs=(Blob("a\0b", b""),)),
    ],
    ids=["kind", "status", "text", "hash"],
)
async def test_a_nul_in_a_text_is_refused_and_spoils_nothing(store: SqlStore, write: Batch) -> None:
    """PostgreSQL has no place for it; whoever writes at the same moment is not to blame."""
    await store.create_run(new_run("s"))
    assert await at_once([partial(store.commit, write), partial(store.commit, batch("s", 1, 1))]) == [
        "StoreError",
        "done",
    ]
    with pytest.raises(StoreError, match="NUL") as raised:
        await store.commit(write)
    assert not raised.value.is_retryable
    assert (await store.run("r")).last_seq == 0


@pytest.mark.parametrize("label", ["a\0b", "\ud800"], ids=["NUL", "half a surrogate pair"])
async def test_a_label_that_could_not_be_searched_is_refused(store: SqlStore, label: str) -> None:
    """As JSON it could be written; then every search by labels would fail."""
    with pytest.raises(StoreError):
        await store.create_run(new_run("s", labels={"team": label}))
    assert [run.run_id for run in await store.runs()] == ["r"]


async def test_half_of_a_surrogate_pair_is_refused(store: SqlStore) -> None:
    """It is not Unicode."""
    with pytest.raises(StoreError, match="surrogate"):
        await store.commit(batch("r", 1, 1, kind="\ud800"))


async def test_a_character_that_the_database_has_not_is_refused() -> None:
    """A database may be older than Unicode."""
    server().execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    store = open_postgresql(server().url("latin"))
    await store.create_run(new_run("naïve"))
    with pytest.raises(StoreError, match="encoding UTF8"):
        await store.create_run(new_run("茶"))
    assert [run.run_id for run in await store.runs()] == ["naïve"]
    await store.close()


async def test_the_password_is_shown_nowhere(database: str, caplog: pytest.LogCaptureFixture) -> None:
    """Messages, logs and what a debugger prints get around."""
    caplog.set_level(logging.DEBUG)
    url = server().url(database)
    store = open_postgresql(url)
    await store.create_run(new_run("r"))
    told = [repr(vars(part)) for part in (store, *vars(store).values())]
    told.append(repr(store._readers._connect))
    await store._writer.submit(lambda cursor: cursor.execute("SELECT 1"))
    await quiet(store)
    server().execute(f"DROP DATABASE {database} WITH (FORCE)")
    for call in (store.runs, partial(store.commit, batch("r", 1, 1))):
        with pytest.raises(StoreError) as raised:
            await call()
        told += [str(raised.value), repr(raised.value), repr(raised.value.__cause__)]
    await store.close()
    with pytest.raises(StoreError, match="does not exist") as raised:
        open_postgresql(url)
    everything = "\n".join([*told, str(raised.value), caplog.text])
    assert f"postgresql://postgres@127.0.0.1:{server().port}/{database}" in everything
    assert PASSWORD not in everything
    assert "hunter2" not in everything
