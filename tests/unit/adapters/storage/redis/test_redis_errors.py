"""What goes wrong with a server: our errors, which say what happened, to which store, and what to do."""

import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from redis import exceptions

from redis_server import RedisServer
from tagent.adapters.storage.redis.errors import translated
from tagent.adapters.storage.redis.store import RedisStore, open_redis
from tagent.exceptions import StoreError
from tagent.ports.records import Batch, Blob, NewRun, Record, RunQuery, RunSummary
from tagent.ports.store_errors import StoreUnavailableError, StoreVersionError
from tagent.testing.store_contract.samples import batch, claim, end, new_run, seqs

PASSWORD = "hunter2"  # noqa: S105 - it guards nothing
"""Of servers and users that live as long as a test."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    server = RedisServer("--save", "")
    yield server
    server.remove()


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    server.command("FLUSHALL")
    store = open_redis(server.url())
    await store.create_run(new_run("r", begins=batch("r", 1, 1)))
    yield store
    await store.close()


@pytest.fixture(scope="module")
def locked() -> Iterator[RedisServer]:
    server = RedisServer("--save", "", password=PASSWORD)
    yield server
    server.remove()


def test_a_server_that_does_not_run_is_unavailable_and_the_password_is_not_shown() -> None:
    """Messages get into logs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        with pytest.raises(StoreUnavailableError, match="cannot be reached") as raised:
            open_redis(f"redis://me:hunter2@127.0.0.1:{port}/3")
    assert f"redis://127.0.0.1:{port}/3" in raised.value.message
    assert_hidden(raised.value)


@pytest.mark.parametrize("options", ["", "&ssl_ca_certs=/nowhere/ca.pem"])
def test_a_server_without_tls_is_not_spoken_to_in_the_clear(server: RedisServer, options: str) -> None:
    """Whoever writes `rediss` does not want his password on the wire."""
    with pytest.raises(StoreUnavailableError, match="cannot be reached|does not answer"):
        open_redis(f"rediss://me:hunter2@127.0.0.1:{server.port}/0?socket_timeout=0.2{options}")


@pytest.mark.parametrize("login", ["", ":hunter3@", "nobody:hunter3@"])
def test_a_wrong_password_is_told_and_not_shown(locked: RedisServer, login: str) -> None:
    """Trying again does not help."""
    with pytest.raises(StoreError, match="refuses the name or the password") as raised:
        open_redis(f"redis://{login}127.0.0.1:{locked.port}")
    assert not raised.value.is_retryable
    assert_hidden(raised.value)


async def test_the_right_password_opens_the_store_and_is_shown_nowhere(locked: RedisServer) -> None:
    """Nor by whoever prints a store, or an error of a later call."""
    store = open_redis(locked.url(password=PASSWORD))
    await store.create_run(new_run("r"))
    await store.close()
    with pytest.raises(StoreError) as raised:
        await store.run("r")
    assert_hidden(raised.value)
    assert "hunter2" not in repr(store)


def assert_hidden(error: BaseException | None) -> None:
    while error is not None:
        assert "hunter" not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__


def test_a_store_of_a_newer_format_is_not_touched(server: RedisServer) -> None:
    """Writing to it could damage it."""
    server.command("SET", "newer:format", "2")
    with pytest.raises(StoreVersionError, match="has format 2; this tagent knows up to 1"):
        open_redis(server.url("newer"))
    server.command("SET", "newer:format", "a letter")
    with pytest.raises(StoreError, match="keys of another program"):
        open_redis(server.url("newer"))
    server.command("DEL", "newer:format")
    server.command("LPUSH", "newer:format", "a list")
    with pytest.raises(StoreError, match="keys of another program"):
        open_redis(server.url("newer"))


async def test_a_store_says_which_format_it_has(server: RedisServer, store: RedisStore) -> None:
    """Else a newer tagent could not tell."""
    assert server.command("GET", "tagent:format") == b"1"


async def test_opening_a_store_writes_nothing(server: RedisServer) -> None:
    """Whoever only looks should leave nothing behind."""
    server.command("FLUSHALL")
    store = open_redis(server.url())
    assert await store.runs() == ()
    await store.close()
    assert server.command("DBSIZE") == 0


async def test_a_replica_refuses_writes(server: RedisServer, store: RedisStore) -> None:
    """After a failover the URL may lead to the wrong server for a while."""
    server.command("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(StoreUnavailableError, match="is a replica"):
            await store.commit(batch("r", 2, 2))
    finally:
        server.command("REPLICAOF", "NO", "ONE")
    await store.commit(batch("r", 2, 2))
    assert await seqs(store, "r") == [1, 2]


async def test_a_server_without_memory_refuses_whole_batches_and_still_deletes(
    server: RedisServer, store: RedisStore
) -> None:
    """Deleting is how to get memory back."""
    await store.create_run(new_run("old", begins=batch("old", 1, 1, blobs=(Blob("tea", b"x"),))))
    await store.commit(end("old", 2))
    server.command("CONFIG", "SET", "maxmemory", "1")
    try:
        for write in (
            store.commit(batch("r", 2, 3, summary=RunSummary("failed", 2.0, text="x"))),
            store.create_run(new_run("s")),
            store.release("r", epoch=1),
            claim(store, "r", gone="me"),
        ):
            with pytest.raises(StoreUnavailableError, match="has no memory left"):
                await write
        await store.delete("old")
    finally:
        server.command("CONFIG", "SET", "maxmemory", "0")
    assert [(run.run_id, run.status, run.owner) for run in await store.runs()] == [("r", "running", "me")]
    assert await seqs(store, "r") == [1]


async def test_half_a_surrogate_pair_is_refused(store: RedisStore) -> None:
    """It is no text: it cannot be written as UTF-8. What others write at the same moment is not harmed."""
    for call in (
        store.commit(Batch("r", 1, (Record(2, "\ud800", 1.0, b"{}"),))),
        store.create_run(new_run("\ud800")),
        store.create_run(new_run("s", labels={"team": "\ud800"})),
        store.runs(RunQuery(words=("\ud800",))),
    ):
        with pytest.raises(StoreError, match="surrogate"):
            await call
    assert (await store.run("r")).last_seq == 1
    assert len(await store.runs()) == 1


async def test_records_that_do_not_follow_each_other_are_refused_whole(store: RedisStore) -> None:
    """All of a batch is there, or nothing of it."""
    record = Record(2, "Happened", 1.0, b"{}")
    with pytest.raises(StoreError, match="Record 2 stands where 3 belongs: nothing was written"):
        await store.commit(Batch("r", 1, (record, record)))
    with pytest.raises(StoreError, match="Record 2 stands where 1 belongs"):
        await store.create_run(new_run("s", begins=Batch("s", 1, (record,))))
    assert await seqs(store, "r") == [1]


async def test_a_time_that_is_no_number_writes_nothing(store: RedisStore) -> None:
    """No list could say where the run belongs."""
    with pytest.raises(StoreError):
        await store.create_run(new_run("s", at=float("nan")))
    assert [run.run_id for run in await store.runs()] == ["r"]


async def test_a_journal_that_was_cut_off_is_not_taken_for_a_whole_one(server: RedisServer, store: RedisStore) -> None:
    """A run resumed from it would do its steps a second time."""
    await store.commit(batch("r", 2, 5))
    server.command("XDEL", "tagent:journal:r", "5-0")
    with pytest.raises(StoreError, match="record 5 is missing"):
        await store.records("r")
    server.command("DEL", "tagent:journal:r")
    with pytest.raises(StoreError, match="record 1 is missing"):
        await store.records("r")


async def test_a_journal_with_a_hole_is_not_taken_for_a_whole_one(server: RedisServer, store: RedisStore) -> None:
    """The same, from the middle."""
    await store.commit(batch("r", 2, 5))
    server.command("XDEL", "tagent:journal:r", "3-0")
    with pytest.raises(StoreError, match="record 3 is missing"):
        await store.records("r")


async def test_keys_of_another_program_are_refused_before_anything_is_written(
    server: RedisServer, store: RedisStore
) -> None:
    """A server may have other users."""
    server.command("SET", "tagent:journal:s", "somebody else's")
    with pytest.raises(StoreError, match="keys of another program"):
        await store.create_run(new_run("s", begins=batch("s", 1, 1)))
    assert [run.run_id for run in await store.runs()] == ["r"]
    server.command("XADD", "tagent:journal:t", "1-0", "a", "letter")
    server.command("HSET", "tagent:run:t", "last_seq", "1")
    with pytest.raises(StoreError, match="entry that tagent has not written"):
        await store.records("t")


async def test_a_user_needs_no_key_outside_the_prefix(server: RedisServer, store: RedisStore) -> None:
    """A shared server gives each of its users a part of it."""
    server.command("ACL", "SETUSER", "me", "on", f">{PASSWORD}", "~mine:*", "+@all", "-@dangerous")
    mine = open_redis(server.url("mine", user="me", password=PASSWORD))
    begins = batch("r", 1, 1, summary=RunSummary("running", 1.0, text="t"), blobs=(Blob("b", b"x"),))
    await mine.create_run(new_run("r", begins=begins))
    await mine.commit(batch("r", 2, 2))
    await mine.release("r", epoch=1)
    await claim(mine, "r")
    mine.renew("r", epoch=2, lease_seconds=60)
    assert await mine.wait_for_change(0, seconds=1)
    assert len(await mine.runs(RunQuery(words=("t",)))) == 1
    await mine.commit(end("r", 3, epoch=2))
    await mine.delete("r")
    await mine.close()
    for user, prefix in (("me", "tagent"), ("nobody-may", "mine")):
        server.command("ACL", "SETUSER", "nobody-may", "on", f">{PASSWORD}", "~*", "+@read", "+eval", "+evalsha")
        with pytest.raises(StoreError, match="does not allow this user"):
            await open_redis(server.url(prefix, user=user, password=PASSWORD)).create_run(new_run("x"))


async def test_two_prefixes_are_two_stores(server: RedisServer, store: RedisStore) -> None:
    """One server holds many."""
    other = open_redis(server.url("other"))
    assert await other.runs() == ()
    await other.create_run(new_run("r", pipeline="another", begins=batch("r", 1, 2, blobs=(Blob("b", b"theirs"),))))
    await store.commit(batch("r", 2, 2, blobs=(Blob("b", b"ours"),)))
    await other.commit(end("r", 3))
    await other.delete("r")
    assert (await store.run("r")).pipeline == "p"
    assert (await seqs(store, "r"), await store.blob("b")) == ([1, 2], b"ours")
    await other.close()


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (exceptions.BusyLoadingError("Redis is loading"), StoreUnavailableError, "is still reading its files"),
        (exceptions.TimeoutError("Timeout reading"), StoreUnavailableError, "does not answer"),
        (exceptions.ConnectionError("Connection reset"), StoreUnavailableError, "cannot be reached"),
        (OSError(5, "I/O"), StoreUnavailableError, "cannot be reached"),
        (exceptions.ResponseError("MISCONF Redis is configured to save"), StoreUnavailableError, "cannot write its"),
        (exceptions.ResponseError("ERR script: @user_script: 3: MISCONF Errors"), StoreUnavailableError, "write its"),
        (exceptions.OutOfMemoryError("command not allowed"), StoreUnavailableError, "has no memory left"),
        (exceptions.ReadOnlyError("You can't write against a read only replica."), StoreUnavailableError, "a replica"),
        (exceptions.ResponseError("ERR The user executing the script can't access at"), StoreError, "not allow this"),
        (exceptions.AuthorizationError("secret"), StoreError, "refuses the name or the password"),
        (exceptions.ClusterCrossSlotError("Keys"), StoreError, "belongs to a cluster"),
        (exceptions.MovedError("1 127.0.0.1:7000"), StoreError, "belongs to a cluster"),
        (exceptions.ResponseError("ERR unknown command 'XADD', with args: secret"), StoreError, "refused: ERR"),
        (exceptions.ResponseError("NOREPLICAS Not enough good"), StoreUnavailableError, "too few replicas"),
        (exceptions.ResponseError("BUSY Redis is busy running"), StoreUnavailableError, "somebody's script"),
        (exceptions.InvalidResponse("secret"), StoreError, "failed: InvalidResponse"),
    ],
)
def test_what_the_server_reports_is_told_in_our_words(error: Exception, kind: type[StoreError], words: str) -> None:
    """It says whether trying again may help, and holds nothing that was written."""
    ours = translated(error, store="redis://host:6379/0")
    assert type(ours) is kind
    assert words in ours.message
    assert ours.hint
    assert "redis://host:6379/0" in ours.message
    assert "secret" not in str(ours)


def test_an_error_of_ours_stays_what_it_is() -> None:
    """It says already what happened."""
    error = StoreError("ours")
    assert translated(error, store="x") is error


async def test_names_and_labels_may_hold_nul(store: RedisStore) -> None:
    """They pass through JSON and Lua, and neither may cut them."""
    run = NewRun("a\0b", "p\0", b"{}", "h\0", "me\0", 60.0, 0.1 + 0.2, labels={"l\0": "v\0", "/": "\x7f\u2028"})
    created = await store.create_run(run)
    assert await store.run("a\0b") == created
    assert list(await store.runs(RunQuery(labels={"l\0": "v\0", "/": "\x7f\u2028"}, limit=1))) == [created]
    assert (await claim(store, "a\0b", gone="me\0")).created_at == 0.1 + 0.2
