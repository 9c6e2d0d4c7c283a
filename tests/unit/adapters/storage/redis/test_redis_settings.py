"""What `tagent doctor` can say about a server's settings."""

from collections.abc import Iterator

import pytest

from redis_server import RedisServer
from tagent.adapters.storage.redis.settings import append_only_problem, eviction_problem
from tagent.adapters.storage.redis.store import open_redis

PASSWORD = "hunter2"  # noqa: S105 - it guards nothing
"""Of servers and users that live as long as a test."""


@pytest.fixture(scope="module")
def forgetful() -> Iterator[RedisServer]:
    server = RedisServer("--appendonly", "no")
    yield server
    server.remove()


async def test_a_server_without_an_append_only_file_is_warned_of(forgetful: RedisServer) -> None:
    """It is how Redis is delivered, and a restart loses every run."""
    store = open_redis(forgetful.url())
    assert "append-only file is off" in await store.append_only_problem()
    forgetful.command("CONFIG", "SET", "appendonly", "yes")
    assert await store.append_only_problem() == ""
    forgetful.command("CONFIG", "SET", "appendfsync", "no")
    assert "leaves fsync to the system" in await store.append_only_problem()
    forgetful.command("CONFIG", "SET", "appendonly", "no")
    await store.close()


async def test_a_server_that_keeps_its_settings_to_itself_is_asked_in_another_way(forgetful: RedisServer) -> None:
    """Hosted servers have no CONFIG; some users may not even ask for INFO."""
    forgetful.command("ACL", "SETUSER", "guest", "on", f">{PASSWORD}", "~*", "+@all", "-config")
    forgetful.command("ACL", "SETUSER", "stranger", "on", f">{PASSWORD}", "~*", "+@all", "-config", "-info")
    for user, words in (("guest", "append-only file is off"), ("stranger", "It does not tell")):
        store = open_redis(forgetful.url(user=user, password=PASSWORD))
        assert words in await store.append_only_problem()
        assert await store.eviction_problem() == ""
        await store.close()


async def test_a_server_that_may_evict_runs_is_warned_of(forgetful: RedisServer) -> None:
    """A cache's settings do not suit a store."""
    store = open_redis(forgetful.url())
    assert await store.eviction_problem() == ""
    forgetful.command("CONFIG", "SET", "maxmemory", "100mb")
    forgetful.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    assert "maxmemory-policy allkeys-lru" in await store.eviction_problem()
    forgetful.command("CONFIG", "SET", "maxmemory", "0")
    await store.close()


def test_every_problem_is_told() -> None:
    """Each has another remedy."""
    assert append_only_problem({"aof_enabled": "1", "aof_last_write_status": "ok"}, appendfsync="everysec") == ""
    assert append_only_problem({"aof_enabled": "1"}, appendfsync="") == ""
    assert "disk" in append_only_problem({"aof_enabled": "1", "aof_last_write_status": "err"}, appendfsync="always")
    assert eviction_problem({"maxmemory": "5", "maxmemory_policy": "volatile-lru"}) == ""
    assert eviction_problem({"maxmemory": "0", "maxmemory_policy": "allkeys-lru"}) == ""
