"""The limits of a provider, kept in Redis for every process that names the same one.

The rate is one number per limit, moved by one script with Redis's own clock, so that the clocks of the machines
need not agree. A place among the requests at the same time is a lease that ends with its request's deadline, so
that a process that is killed gives its places back.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tagent.adapters.models.connections import Connections
from tagent.adapters.models.gcra import Rate
from tagent.adapters.models.limits import Passage, placed, rates_of
from tagent.adapters.models.slots import Slots
from tagent.config import ModelLimits
from tagent.exceptions import ConfigurationError, MissingExtraError
from tagent.ports.model_errors import ModelLimitsUnavailableError, ModelRateLimitError

try:
    from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
except ImportError:
    raise MissingExtraError("persistence", feature="Sharing limits through Redis") from None

if TYPE_CHECKING:
    from redis.asyncio.client import Redis as RedisClient

CONNECTIONS = 8
"""To the server, for each event loop; who needs one waits for it."""

LEASE_GRACE_SECONDS = 5.0
"""How much longer a lease lasts than its request may."""

FIRST_LOOK_SECONDS = 0.02
CLOSING_SECONDS = 1.0
"""How long an answer that is there waits for the accounts to be settled."""

LAST_LOOK_SECONDS = 0.5
"""How often one looks for a free place: ever more seldom. Each process looks with as many as may go at once."""

SCHEMES = ("redis://", "rediss://")

RESERVE = """
-- KEYS: paid_at of requests, paid_at of tokens. ARGV: microseconds left, then for each limit
-- interval, tolerance and units, in microseconds; an interval of 0 is no limit.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local start = now
for place = 1, 2 do
    local interval, tolerance = tonumber(ARGV[3 * place - 1]), tonumber(ARGV[3 * place])
    if interval > 0 then
        start = math.max(start, tonumber(redis.call('GET', KEYS[place]) or '0') - tolerance)
    end
end
if start > now and start - now >= tonumber(ARGV[1]) then
    return {0, math.ceil(start - now)}
end
local found, left = {'', ''}, {'', ''}
for place = 1, 2 do
    local interval, units = tonumber(ARGV[3 * place - 1]), tonumber(ARGV[3 * place + 1])
    if interval > 0 then
        found[place] = redis.call('GET', KEYS[place]) or '0'
        local paid_at = math.max(tonumber(found[place]), start) + units * interval
        left[place] = string.format('%.0f', paid_at)
        redis.call('SET', KEYS[place], left[place], 'PX', math.ceil((paid_at - now) / 1000) + 60000)
    end
end
return {1, math.ceil(start - now), found[1], found[2], left[1], left[2]}
"""
"""See `gcra`, of which this is the same in Lua. Returns whether it is reserved and the wait; then what both keys
held before and hold now, empty where there is no limit."""

STEP_BACK = """
-- KEYS: as of RESERVE. ARGV: what both keys held before it, and after it.
-- Only the last one in line can step back: those behind it have been told their time.
for place = 1, 2 do
    if ARGV[place + 2] ~= '' and redis.call('GET', KEYS[place]) ~= ARGV[place + 2] then
        return 0
    end
end
for place = 1, 2 do
    if ARGV[place + 2] ~= '' then
        redis.call('SET', KEYS[place], ARGV[place], 'KEEPTTL')
    end
end
return 1
"""

SETTLE = """
-- KEYS: paid_at of tokens. ARGV: microseconds to add.
local paid_at = redis.call('GET', KEYS[1])
if paid_at then
    redis.call('SET', KEYS[1], string.format('%.0f', paid_at + ARGV[1]), 'KEEPTTL')
end
"""

LEASE = """
-- KEYS: the leases. ARGV: limit, lease, microseconds that it lasts.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then
    return 0
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[3]), ARGV[2])
redis.call('PEXPIRE', KEYS[1], math.max(math.ceil(ARGV[3] / 1000), redis.call('PTTL', KEYS[1])))
return 1
"""

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Server:
    """A Redis server, as one event loop reaches it.

    Attributes:
        client: Talks to it.
        name: Its URL without user and password.
        prefix: What the names of all keys begin with.
    """

    client: "RedisClient"
    name: str
    prefix: str


class RedisLimiter:
    """Of one provider, for all processes.

    Args:
        server: Where the limits are kept.
        provider: Whose they are.
    """

    def __init__(self, server: Server, provider: str) -> None:
        self._server = server
        # One hash tag, so that a server that is part of a cluster keeps them together.
        keys = f"{server.prefix}:limits:{{{provider}}}"
        self._paid_at = (f"{keys}:requests", f"{keys}:tokens")
        self._leases = f"{keys}:leases"
        self._slots = Slots()

    @asynccontextmanager
    async def passage(
        self, limits: ModelLimits, *, model: str, tokens: int, seconds_left: float
    ) -> AsyncIterator[Passage]:
        """Wait for the request's turn; see `Limiter`.

        Raises:
            ModelRateLimitError: If its turn is too late.
            ModelLimitsUnavailableError: If Redis does not answer: nothing is asked that nobody has counted.
        """
        deadline = asyncio.get_running_loop().time() + seconds_left
        # In this process whoever came first goes first; only they look for a place among all processes.
        async with (
            placed(self._slots, limits, model=model, seconds_left=seconds_left),
            self._leased(limits, model, deadline),
        ):
            await self._wait_for_turn(limits, model, tokens, deadline)
            passage = Passage(tokens)
            try:
                yield passage
            finally:
                await self._settle(limits, passage.tokens - tokens)

    @asynccontextmanager
    async def _leased(self, limits: ModelLimits, model: str, deadline: float) -> AsyncIterator[None]:
        if limits.concurrent_requests is None:
            yield
            return
        lease = secrets.token_hex(8)
        try:
            await self._lease(lease, limits.concurrent_requests, model, deadline)
            yield
        finally:
            # Also when nobody knows whether it was given. If this fails too, it ends by itself.
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(CLOSING_SECONDS):
                    await self._server.client.zrem(self._leases, lease)

    async def _lease(self, lease: str, limit: int, model: str, deadline: float) -> None:
        now = asyncio.get_running_loop().time
        pause = FIRST_LOOK_SECONDS
        while True:
            lasts = max(0.0, deadline - now()) + LEASE_GRACE_SECONDS
            arguments = (limit, lease, int(lasts * MICROSECONDS))
            if await self._eval(LEASE, (self._leases,), arguments, model, deadline):
                return
            if now() + pause >= deadline:
                raise ModelRateLimitError(model)
            await asyncio.sleep(pause)
            pause = min(LAST_LOOK_SECONDS, 1.5 * pause)

    async def _wait_for_turn(self, limits: ModelLimits, model: str, tokens: int, deadline: float) -> None:
        requests, words = rates_of(limits)
        if requests is None and words is None:
            return
        left = max(0.0, deadline - asyncio.get_running_loop().time())
        arguments = (int(left * MICROSECONDS), *_in_microseconds(requests, 1), *_in_microseconds(words, tokens))
        is_reserved, wait, *kept = await self._eval(RESERVE, self._paid_at, arguments, model, deadline)
        wait_seconds = int(wait) / MICROSECONDS
        if not is_reserved:
            raise ModelRateLimitError(model, retry_after_seconds=wait_seconds)
        if wait_seconds <= 0:
            return
        try:
            await asyncio.sleep(wait_seconds)
        except BaseException:
            with suppress(RedisError, OSError, TimeoutError):  # its turn is lost then, as one that was used
                await self._server.client.eval(STEP_BACK, 2, *self._paid_at, *kept)
            raise

    async def _settle(self, limits: ModelLimits, more: int) -> None:
        _, words = rates_of(limits)
        if words is None or not more:
            return
        with suppress(RedisError, OSError, TimeoutError):  # the estimate stays; the answer is there all the same
            add = int(more * words.interval_seconds * MICROSECONDS)
            async with asyncio.timeout(CLOSING_SECONDS):
                await self._server.client.eval(SETTLE, 1, self._paid_at[1], str(add))

    async def _eval(
        self, script: str, keys: tuple[str, ...], arguments: tuple[object, ...], model: str, deadline: float
    ) -> Any:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._server.client.eval(script, len(keys), *keys, *map(str, arguments))
        except (RedisError, OSError, TimeoutError) as error:
            kind = type(error).__name__
        raise ModelLimitsUnavailableError(model, store=self._server.name, kind=kind)


def _in_microseconds(rate: Rate | None, units: int) -> tuple[float, float, int]:
    if rate is None:
        return (0, 0, 0)
    return (rate.interval_seconds * MICROSECONDS, rate.tolerance_seconds * MICROSECONDS, units)


async def redis_limiter(url: str, provider: str, connections: Connections) -> RedisLimiter:
    """Return the provider's limiter for the event loop that `connections` belong to.

    Raises:
        ConfigurationError: If `url` is no Redis URL.
    """
    server = await connections.opened(("limits", url), lambda: _connected(url))
    # The limiter is shared too: its queue is what keeps this process in order.
    return await connections.opened(("limiter", url, provider), lambda: _made(server, provider))


@asynccontextmanager
async def _made(server: Server, provider: str) -> AsyncIterator[RedisLimiter]:
    yield RedisLimiter(server, provider)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Server]:
    from tagent.adapters.storage.redis.address import address_of

    if not url.startswith(SCHEMES):
        raise ConfigurationError("limits_store is not a Redis URL.", hint="Write it like redis://localhost:6379/0.")
    address = address_of(url)
    kind = SSLConnection if address.is_encrypted else Connection
    # Nothing is sent twice by itself: what was reserved twice would be lost.
    pool = BlockingConnectionPool(
        max_connections=CONNECTIONS,
        timeout=None,
        connection_class=kind,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        **address.settings,  # type: ignore[arg-type]  # a connection's settings, which the pool passes on
    )
    client = Redis(connection_pool=pool)
    try:
        yield Server(client, address.name, address.prefix)
    finally:
        await client.aclose()
        await pool.aclose()
