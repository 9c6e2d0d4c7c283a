"""What comes in portions: long lists, long journals, large messages. And what is left in the end."""

from collections.abc import AsyncIterator, Sequence
from functools import partial

import pytest

from redis_server import RedisServer, redis_server
from tagent.adapters.storage.redis import readers as readers_module
from tagent.adapters.storage.redis import store as store_module
from tagent.adapters.storage.redis import writer as writer_module
from tagent.adapters.storage.redis.link import Link, Reply
from tagent.adapters.storage.redis.scripts import Command
from tagent.adapters.storage.redis.store import RedisStore, open_redis
from tagent.exceptions import StoreError
from tagent.ports.records import Blob, RunQuery, RunSummary
from tagent.ports.store_errors import UnknownRunError
from tagent.testing.store_contract.samples import at_once, batch, end, new_run, seqs

PREFIX = "portions"


@pytest.fixture
def server() -> RedisServer:
    return redis_server()


@pytest.fixture
async def store(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RedisStore]:
    for key in keys(server):
        server.command("DEL", key)
    monkeypatch.setattr(store_module, "SEARCH_PORTION", 3)
    monkeypatch.setattr(store_module, "RECORDS_PORTION", 3)
    store = open_redis(server.url(PREFIX))
    yield store
    await store.close()


def keys(server: RedisServer) -> list[str]:
    found = server.command("KEYS", f"{PREFIX}:*")
    assert isinstance(found, list)
    return sorted(key.decode() for key in found)


async def create(store: RedisStore, count: int, *, at: float | None = None) -> list[str]:
    """Create runs, every third of which has failed; return their ids, the newest first."""
    for number in range(count):
        status = "running" if number % 3 else "failed"
        summary = RunSummary(status, 1.0, text=f"text of {number}", is_finished=True)
        begins = batch("", 1, 1, summary=summary)
        await store.create_run(new_run(f"r{number:02}", at=number if at is None else at, begins=begins))
    return [f"r{number:02}" for number in reversed(range(count))]


@pytest.mark.parametrize("at", [None, 5.0], ids=["at different times", "at the same time"])
@pytest.mark.parametrize("count", [0, 2, 3, 4, 10])
async def test_a_search_goes_on_behind_its_last_portion(store: RedisStore, count: int, at: float | None) -> None:
    """Nothing is left out or told twice where two portions meet."""
    names = await create(store, count, at=at)
    for limit in (1, 2, 3, 4, 100):
        assert [run.run_id for run in await store.runs(RunQuery(limit=limit))] == names[:limit]
        failed = [name for name in names if int(name[1:]) % 3 == 0]
        assert [run.run_id for run in await store.runs(RunQuery(limit=limit, statuses=("failed",)))] == failed[:limit]
    assert len(await store.runs(RunQuery(limit=0))) == 0
    if at is None:
        between = RunQuery(since=1.0, until=8.0)
        assert [run.run_id for run in await store.runs(between)] == [it for it in names if 1 <= int(it[1:]) < 8]
    assert [run.run_id for run in await store.runs(RunQuery(words=("of 1",)))] == [it for it in names if it == "r01"]


@pytest.mark.parametrize("at", [None, 5.0], ids=["at different times", "at the same time"])
async def test_a_search_goes_on_where_a_run_is_deleted_meanwhile(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch, at: float | None
) -> None:
    """Somebody cleans up while somebody else looks."""
    names = await create(store, 10, at=at)
    read = store._readers.read

    async def read_then_delete(*commands: Command) -> list[Reply]:
        replies = await read(*commands)
        (answer,) = replies
        assert isinstance(answer, list)
        last = answer[1]
        if isinstance(last, bytes) and last:
            await store.delete(last.decode())
        return replies

    monkeypatch.setattr(store._readers, "read", read_then_delete)
    assert [run.run_id for run in await store.runs()] == names


@pytest.mark.parametrize("last", [1, 2, 3, 4, 6, 10])
async def test_a_journal_goes_on_behind_its_last_portion(store: RedisStore, last: int) -> None:
    """Nothing is left out where two portions meet."""
    await store.create_run(new_run("r", begins=batch("r", 1, last)))
    for after in range(last + 2):
        assert [it.seq for it in await store.records("r", after_seq=after)] == list(range(after + 1, last + 1))


async def test_a_journal_that_is_deleted_while_it_is_read_is_unknown(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a journal looks like a whole one."""
    await store.create_run(new_run("r", begins=batch("r", 1, 5)))
    await store.commit(end("r", 6))
    read = store._readers.read

    async def read_then_delete(*commands: Command) -> list[Reply]:
        replies = await read(*commands)
        monkeypatch.setattr(store._readers, "read", read)
        await store.delete("r")
        return replies

    monkeypatch.setattr(store._readers, "read", read_then_delete)
    with pytest.raises(UnknownRunError):
        await store.records("r")


async def test_what_waits_together_goes_in_one_message_unless_it_is_large(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One way to the server and one fsync for all; but it does not take more than 1 GB at once."""
    names = [f"r{number}" for number in range(10)]
    await at_once([partial(store.create_run, new_run(name)) for name in names])
    sent: list[int] = []
    exchange = Link.exchange

    def recorded(link: Link, commands: Sequence[Command]) -> list[Reply]:
        sent.append(len(commands))
        return exchange(link, commands)

    monkeypatch.setattr(Link, "exchange", recorded)
    for message_bytes, expected in ((10**6, [10]), (1, [1] * 10)):
        monkeypatch.setattr(writer_module, "MESSAGE_BYTES", message_bytes)
        first = 1 if message_bytes > 1 else 4
        assert await at_once([partial(store.commit, batch(it, first, first + 2)) for it in names]) == ["done"] * 10
        assert sent == expected
        sent.clear()
    assert [await seqs(store, name) for name in names] == [[1, 2, 3, 4, 5, 6]] * 10


async def test_nothing_of_deleted_runs_is_left(server: RedisServer, store: RedisStore) -> None:
    """A store that is cleaned up regularly does not grow."""
    before = keys(server)
    for run_id in ("r", "s"):
        summary = RunSummary("running", 1.0, text="a text")
        begins = batch(run_id, 1, 2, summary=summary, blobs=(Blob("shared", b"x"), Blob(f"of {run_id}", b"x")))
        await store.create_run(new_run(run_id, definition_hash=f"of {run_id}", begins=begins))
        await store.commit(batch(run_id, 3, 3, blobs=(Blob("shared", b"x"), Blob("shared", None))))
        await store.commit(end(run_id, 4))
    await store.delete("r")
    assert await store.blob("shared") == b"x"
    await store.delete("s")
    assert before == []
    assert keys(server) == [f"{PREFIX}:changes", f"{PREFIX}:format"]


async def test_the_stream_of_changes_stays_short(server: RedisServer, store: RedisStore) -> None:
    """Nobody reads it but those who wait at this moment."""
    await store.create_run(new_run("r"))
    await at_once([lambda: store.commit(batch("r", 9, 9))] * 3 + [partial(store.commit, batch("r", 1, 1))])
    for seq in range(2, 400):
        await store.commit(batch("r", seq, seq))
    length = server.command("XLEN", f"{PREFIX}:changes")
    assert isinstance(length, int)
    assert 0 < length < 300


async def test_a_connection_on_which_was_read_is_used_again(store: RedisStore) -> None:
    """To open one costs more than to read a run."""
    await store.runs()
    (link,) = store._readers._idle
    await store.runs()
    assert store._readers._idle == [link]


async def test_only_a_few_connections_are_kept(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server has a limit for all who use it."""
    monkeypatch.setattr(readers_module, "IDLE_LINKS", 1)
    await store.runs()
    assert len(store._readers._idle) == 1
    monkeypatch.setattr(readers_module, "IDLE_LINKS", 0)
    await store.runs()
    assert store._readers._idle == []


async def test_a_closed_store_refuses_to_tell_its_settings(store: RedisStore) -> None:
    """Like everything else."""
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.eviction_problem()
