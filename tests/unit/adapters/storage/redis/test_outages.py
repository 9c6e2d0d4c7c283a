"""The server goes away and comes back: what was acknowledged is there, and the store goes on."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest

from redis_server import RedisServer
from tagent.adapters.storage.redis.store import RedisStore, open_redis
from tagent.exceptions import StoreError
from tagent.ports.documents import DocumentQuery, Put
from tagent.ports.effect_errors import DocumentConflictError
from tagent.ports.effects import NO_EFFECTS, Effects
from tagent.ports.messages import NewMessage
from tagent.ports.store_errors import ConflictError, StoreUnavailableError
from tagent.testing.store_contract.messages import sent
from tagent.testing.store_contract.samples import at_once, batch, new_run, seqs


@pytest.fixture
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.remove()


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    store = open_redis(server.url())
    await store.create_run(new_run("r", begins=batch("r", 1, 1)))
    yield store
    await store.close()


async def calls_of(store: RedisStore) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "create_run": lambda: store.create_run(new_run("s")),
        "claim": lambda: store.claim("r", owner="you", lease_seconds=1, is_gone=lambda owner: True),
        "renew": lambda: asyncio.to_thread(store.renew, "r", epoch=1, lease_seconds=1),
        "release": lambda: store.release("r", epoch=1),
        "commit": lambda: store.commit(batch("r", 2, 2)),
        "run": lambda: store.run("r"),
        "runs": store.runs,
        "records": lambda: store.records("r"),
        "definition": lambda: store.definition("hash"),
        "blob": lambda: store.blob("tea"),
        "delete": lambda: store.delete("r"),
        "append_only_problem": store.append_only_problem,
        "write": lambda: store.write(sent(b"1")),
        "document": lambda: store.document("s", "k"),
        "documents": lambda: store.documents(DocumentQuery("s")),
        "scopes": store.scopes,
        "topics": store.topics,
        "messages": lambda: store.messages("t"),
        "unread": lambda: store.unread("me", ["t"]),
        "cursors": store.cursors,
        "forget": lambda: store.forget("s"),
        "sweep": lambda: store.sweep(messages_older_than_seconds=1),
    }


async def test_every_call_says_that_the_server_is_gone_and_none_does_when_it_is_back(
    server: RedisServer, store: RedisStore
) -> None:
    """Whoever gets this error waits and tries again; nothing needs to be opened anew."""
    server.stop()
    for call in (await calls_of(store)).values():
        with pytest.raises(StoreUnavailableError, match="cannot be reached") as raised:
            await call()
        assert f"redis://127.0.0.1:{server.port}/0" in raised.value.message
    server.start()
    await store.commit(batch("r", 2, 2))
    assert await seqs(store, "r") == [1, 2]


@pytest.mark.parametrize("reads_first", [True, False])
async def test_a_restart_between_two_calls_is_not_noticed(
    server: RedisServer, store: RedisStore, *, reads_first: bool
) -> None:
    """The store sees that its connections are closed before it sends what it could not send twice."""
    for seq in range(2, 5):
        server.restart()
        if reads_first:
            assert len(await seqs(store, "r")) == seq - 1
        await store.commit(batch("r", seq, seq))
        store.renew("r", epoch=1, lease_seconds=60)
    assert await seqs(store, "r") == [1, 2, 3, 4]


async def test_closed_connections_are_not_noticed(server: RedisServer, store: RedisStore) -> None:
    """An administrator, or a firewall, cuts them."""
    await at_once([store.runs] * 5)
    server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert await at_once([store.runs] * 5 + [lambda: store.commit(batch("r", 2, 2))]) == ["done"] * 6


async def test_a_server_that_has_forgotten_the_scripts_gets_them_again(server: RedisServer, store: RedisStore) -> None:
    """They are a cache, which may be emptied at any time."""
    server.command("SCRIPT", "FLUSH")
    assert [run.run_id for run in await store.runs()] == ["r"]
    server.command("SCRIPT", "FLUSH")
    calls = [lambda: store.create_run(new_run("s")), lambda: store.commit(batch("r", 2, 2))]
    await at_once([*calls, *[lambda: store.write(sent(b"1"))] * 3])
    assert [it.seq for it in await store.messages("t")] == [1, 2, 3]
    assert await seqs(store, "r") == [1, 2]
    assert (await store.run("s")).epoch == 1


async def test_a_server_that_is_killed_loses_nothing_that_was_acknowledged(server: RedisServer) -> None:
    """With `appendfsync always`, an answer says that it is on disk."""
    store = open_redis(server.url())
    acknowledged: dict[str, int] = {}
    enough = asyncio.Event()

    async def write(run_id: str) -> None:
        await store.create_run(new_run(run_id))
        acknowledged[run_id] = 0
        seq = 1
        while True:
            await store.commit(batch(run_id, seq, seq + 1))
            acknowledged[run_id] = seq + 1
            seq += 2
            if sum(acknowledged.values()) >= 500:
                enough.set()

    async def kill() -> None:
        await enough.wait()
        await asyncio.to_thread(server.kill)

    outcomes = await at_once([*(lambda name=f"w{number}": write(name) for number in range(10)), kill])
    assert set(outcomes) == {"StoreUnavailableError", "done"}
    server.start()
    for run_id, last in acknowledged.items():
        found = await seqs(store, run_id)
        assert found == list(range(1, len(found) + 1))
        assert len(found) in (last, last + 2), "the answer to one batch may have been lost, and no acknowledged one"
    await store.close()


class Proxy:
    """Stands between a store and its server, and can keep an answer to itself.

    Attributes:
        is_losing: Whether the next answer is lost together with its connection.
        url: The store's URL through it.
    """

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._listening: asyncio.Server | None = None
        self.is_losing = False
        self.url = ""

    async def __aenter__(self) -> "Proxy":
        self._listening = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listening
        self._listening.close()

    async def _relay(self, asked: asyncio.StreamReader, answering: asyncio.StreamWriter) -> None:
        answered, asking = await asyncio.open_connection("127.0.0.1", self._server.port)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump(asked, asking, is_answer=False))
            group.create_task(self._pump(answered, answering, is_answer=True))

    async def _pump(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, *, is_answer: bool) -> None:
        while data := await source.read(65536):
            if is_answer and self.is_losing:
                self.is_losing = False
                break
            to.write(data)
        to.close()


async def test_a_write_whose_answer_is_lost_is_told_so_and_is_not_repeated(
    server: RedisServer, store: RedisStore
) -> None:
    """Nobody knows whether it was written; the same batch again finds out."""
    async with Proxy(server) as proxy:
        unlucky = await asyncio.to_thread(open_redis, proxy.url)
        await unlucky.commit(batch("r", 2, 2))
        proxy.is_losing = True
        with pytest.raises(StoreUnavailableError, match="the next try finds out"):
            await unlucky.commit(batch("r", 3, 3))
        assert await seqs(store, "r") == [1, 2, 3]
        with pytest.raises(ConflictError, match="at record 3, not at record 2"):
            await unlucky.commit(batch("r", 3, 3))
        await unlucky.close()


async def test_effects_whose_answer_is_lost_may_be_written_again(server: RedisServer, store: RedisStore) -> None:
    """Nobody knows whether they were written; the same ones again do no harm, and are not repeated by themselves."""
    await store.write(sent(b"1"))  # from now on the server knows the scripts
    await store.commit(replace(batch("r", 2, 2), effects=sent(b"2")))
    keyed = Effects(messages=(NewMessage("t", b"3", key="k"),))
    guarded = Effects((Put("s", "k", b"1", expected_version=0),), (NewMessage("t", b"4"),))
    with_records = replace(batch("r", 3, 3), effects=sent(b"5"))
    async with Proxy(server) as proxy:
        unlucky = await asyncio.to_thread(open_redis, proxy.url)
        writes: list[Callable[[], Awaitable[object]]] = [
            partial(unlucky.write, keyed),
            partial(unlucky.write, guarded),
            partial(unlucky.commit, with_records),
        ]
        for write in writes:
            await unlucky.write(NO_EFFECTS)  # it is connected again
            proxy.is_losing = True
            with pytest.raises(StoreUnavailableError, match="the next try finds out"):
                await write()
        assert (await unlucky.write(keyed)).seqs == (3,)
        with pytest.raises(DocumentConflictError):
            await unlucky.write(guarded)
        with pytest.raises(ConflictError, match="at record 3, not at record 2"):
            await unlucky.commit(with_records)
        await unlucky.close()
    assert [it.payload for it in await store.messages("t")] == [b"1", b"2", b"3", b"4", b"5"]


async def test_a_server_that_does_not_answer_is_unavailable(server: RedisServer, store: RedisStore) -> None:
    """A machine that has gone without a word must not hold a run for ever."""
    impatient = open_redis(server.url() + "?socket_timeout=0.1")
    server.command("CLIENT", "PAUSE", "500", "ALL")
    for call in (impatient.commit(batch("r", 2, 2)), impatient.runs()):
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            await call
    await impatient.close()
    assert await seqs(store, "r") in ([1], [1, 2])


async def test_a_call_on_its_way_when_the_server_dies_is_answered(server: RedisServer, store: RedisStore) -> None:
    """Nobody waits for an answer that cannot come."""
    server.command("CLIENT", "PAUSE", "60000", "ALL")
    reading, writing = asyncio.ensure_future(store.runs()), asyncio.ensure_future(store.commit(batch("r", 2, 2)))
    await asyncio.sleep(0.05)
    await asyncio.to_thread(server.kill)
    for call in (reading, writing):
        with pytest.raises(StoreUnavailableError):
            await call
    server.start()
    assert len(await seqs(store, "r")) in (1, 2)


async def test_whoever_waits_for_a_change_is_woken_after_an_outage(server: RedisServer, store: RedisStore) -> None:
    """What was committed meanwhile must not be missed."""
    seen = 0
    for _ in range(100):  # until it is quiet
        if (found := await store.wait_for_change(seen, seconds=0.02)) == seen:
            break
        seen = found
    waiting = asyncio.ensure_future(store.wait_for_change(seen, seconds=60))
    await asyncio.sleep(0.02)
    await asyncio.to_thread(server.restart)
    seen = await asyncio.wait_for(waiting, 60)
    waiting = asyncio.ensure_future(store.wait_for_change(seen, seconds=60))
    await asyncio.sleep(0.02)
    await store.commit(batch("r", 2, 2))
    assert await asyncio.wait_for(waiting, 60) != seen


async def test_closing_wakes_whoever_waits_for_a_change(store: RedisStore) -> None:
    """A process that ends must not wait for what cannot come."""

    async def wait() -> None:
        seen = 0
        while True:
            seen = await store.wait_for_change(seen, seconds=3600)

    waiting = asyncio.ensure_future(wait())
    await asyncio.sleep(0.05)
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await asyncio.wait_for(waiting, 60)


async def test_closing_does_not_need_the_server(server: RedisServer, store: RedisStore) -> None:
    """A process that ends must end."""
    server.kill()
    outcomes = await at_once([lambda: store.commit(batch("r", 2, 2)), store.close])
    assert outcomes == ["StoreUnavailableError", "done"]


def test_one_store_serves_several_event_loops_and_threads(server: RedisServer) -> None:
    """Every synchronous call of an agent runs a loop of its own."""
    store = open_redis(server.url())
    failures: list[BaseException] = []

    async def drive(run_id: str) -> None:
        await store.create_run(new_run(run_id))
        for seq in range(1, 6):
            await store.commit(batch(run_id, seq, seq))
            await store.wait_for_change(0, seconds=1)
        assert await seqs(store, run_id) == [1, 2, 3, 4, 5]

    def run(run_id: str) -> None:
        try:
            asyncio.run(drive(run_id))
        except BaseException as error:  # noqa: BLE001 - it is shown below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(f"r{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(store.close())
    assert failures == []


def test_a_loop_that_closes_before_the_answer_harms_nobody(server: RedisServer) -> None:
    """A run was cancelled together with its loop; others go on."""
    store = open_redis(server.url())
    asyncio.run(store.create_run(new_run("r")))
    server.command("CLIENT", "PAUSE", "100", "ALL")

    async def give_up() -> None:
        store._writer.submit(scripts_call(store))
        await asyncio.sleep(0.01)

    asyncio.run(give_up())
    asyncio.run(store.commit(batch("r", 2, 2)))  # behind the other
    assert asyncio.run(seqs(store, "r")) == [1, 2]
    asyncio.run(store.close())


def scripts_call(store: RedisStore) -> tuple[bytes, ...]:
    """Return a commit to the run `r`, as it is sent."""
    from tagent.adapters.storage.redis.scripts import COMMIT
    from tagent.adapters.storage.redis.values import commit_arguments

    return COMMIT.call(b"tagent:", b"r", *commit_arguments(batch("r", 1, 1)))
