"""How many requests a provider gets at once and per minute, and when it gets none at all."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from endpoints import Endpoint, Silence, Slow, answer, completion, failure
from model_calls import KEY, Notes, ask, ask_in_vain, config_for, isolate, request_for
from redis_server import RedisServer, redis_server
from tagent import TAgentConfig
from tagent.adapters.models import breaker, opening
from tagent.adapters.models.breaker import CircuitBreaker, Outcome, circuit_breakers
from tagent.adapters.models.connections import shared_connections
from tagent.adapters.models.gcra import Rate
from tagent.adapters.models.limits import Limiter, ProcessLimiter
from tagent.adapters.models.per_provider import PerProvider
from tagent.adapters.models.redis_limits import redis_limiter
from tagent.circuit import CircuitPolicy
from tagent.config import ModelLimits
from tagent.exceptions import ConfigurationError, MissingExtraError
from tagent.ports import ModelRateLimitError
from tagent.ports.language_model import ModelRetried
from tagent.ports.model_errors import ModelCircuitOpenError, ModelLimitsUnavailableError


@pytest.fixture(autouse=True)
def nothing_but_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine, and no waiting."""
    isolate(monkeypatch)


@pytest.fixture(params=["process", "redis"])
def store(request: pytest.FixtureRequest) -> str | None:
    """Where the limits are kept."""
    return None if request.param == "process" else redis_server().url("limits")


def limited(endpoint: Endpoint, store: str | None, *, key: str = "", **limits: int) -> TAgentConfig:
    """Return settings that ask the endpoint no more than `limits` say."""
    provider = key or urlsplit(endpoint.base_url).netloc
    return config_for(endpoint, limits={provider: limits}, limits_store=store, request_timeout_seconds=30)


async def ask_together(config: TAgentConfig, count: int) -> None:
    """Ask so often at once."""
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(ask(config))


# At once


@pytest.mark.parametrize("key", ["", "*"])
async def test_asks_no_more_at_once_than_allowed(store: str | None, key: str) -> None:
    """However many agents there are, each with services of its own."""
    with Endpoint(Slow(answer("blue"), 0.02)) as endpoint:
        await ask_together(limited(endpoint, store, key=key, concurrent_requests=3), 20)
    assert endpoint.most_answering <= 3
    assert len(endpoint.requests) == 20


def test_the_limit_is_that_of_all_threads(store: str | None) -> None:
    """Each sync call has an event loop of its own, and the provider sees all of them."""
    with Endpoint(Slow(answer("blue"), 0.02)) as endpoint:
        config = limited(endpoint, store, concurrent_requests=2)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: asyncio.run(ask_together(config, 3)), range(4)))
    assert endpoint.most_answering <= 2
    assert len(endpoint.requests) == 12


async def test_who_is_cancelled_gives_the_place_back(store: str | None) -> None:
    """A run that is stopped does not block the next one until its deadline."""
    with Endpoint(Silence(), answer("blue")) as endpoint:
        config = limited(endpoint, store, concurrent_requests=1)
        asking = asyncio.ensure_future(ask(config))
        await asyncio.to_thread(endpoint.asked.wait, 30)
        waiting = asyncio.ensure_future(ask(config))
        asking.cancel()
        assert (await waiting).output
    assert len(endpoint.requests) == 2


async def test_who_fails_gives_the_place_back(store: str | None) -> None:
    """So that the next try has one."""
    with Endpoint(failure(500)) as endpoint:
        await ask_in_vain(limited(endpoint, store, concurrent_requests=1))
    assert len(endpoint.requests) == 3


async def test_waiting_for_a_place_ends_with_the_deadline(store: str | None) -> None:
    """Nobody waits longer than they said, and nothing is asked that nobody waits for."""
    with Endpoint(Silence()) as endpoint:
        config = limited(endpoint, store, concurrent_requests=1)
        asking = asyncio.ensure_future(ask(config))
        await asyncio.to_thread(endpoint.asked.wait, 30)
        error = await ask_in_vain(config.merged(TAgentConfig(request_timeout_seconds=0.2)))
        assert isinstance(error, ModelRateLimitError)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert len(endpoint.requests) == 1


# Per minute


async def test_refuses_at_once_what_would_be_too_late(store: str | None) -> None:
    """The wait is told, so that a step can plan; the deadline is not sat out."""
    with Endpoint(answer("blue")) as endpoint:
        config = limited(endpoint, store, requests_per_minute=1)
        await ask(config)
        notes = Notes()
        error = await ask_in_vain(config, request_for(notes=notes))
    assert isinstance(error, ModelRateLimitError)
    assert error.retry_after_seconds is not None
    assert 30 < error.retry_after_seconds <= 60
    assert notes.of(ModelRetried) == []
    assert len(endpoint.requests) == 1


async def test_spreads_requests_over_the_minute(store: str | None) -> None:
    """What comes after the burst waits for its turn, and gets it."""
    rate = Rate(600)
    with Endpoint(answer("blue")) as endpoint:
        config = limited(endpoint, store, requests_per_minute=rate.per_minute)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await ask_together(config, rate.burst + 4)
        assert loop.time() - began >= 4 * rate.interval_seconds
    assert len(endpoint.requests) == rate.burst + 4


@asynccontextmanager
async def limiter_at(store: str | None, provider: str) -> AsyncIterator[Limiter]:
    """Open the provider's limiter."""
    async with shared_connections() as connections:
        yield ProcessLimiter() if store is None else await redis_limiter(store, provider, connections)


@pytest.mark.parametrize("limits", [{"requests_per_minute": 1}, {"requests_per_minute": 1, "tokens_per_minute": 100}])
async def test_who_steps_back_from_the_end_of_the_line_leaves_no_gap(store: str | None, limits: dict[str, int]) -> None:
    """Its turn goes to whoever comes next."""
    async with limiter_at(store, f"stepping-back-{len(limits)}") as limiter:

        async def wait() -> float:
            """Return after how long there would be a turn."""
            try:
                async with limiter.passage(ModelLimits(**limits), model="m", tokens=1, seconds_left=0.5):
                    return 0.0
            except ModelRateLimitError as error:
                return error.retry_after_seconds or 0.0

        async def wait_long() -> None:
            async with limiter.passage(ModelLimits(**limits), model="m", tokens=1, seconds_left=3600):
                raise AssertionError

        assert await wait() == 0
        assert await wait() == pytest.approx(60, abs=30)
        waiting = asyncio.ensure_future(wait_long())
        while await wait() < 90:  # noqa: ASYNC110 - only the limiter knows
            await asyncio.sleep(0)
        for _ in range(10):  # what the store has answered is known once it has answered others since
            await wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await wait() == pytest.approx(60, abs=29)


async def test_only_the_last_in_line_can_step_back(store: str | None) -> None:
    """Those behind it have been told their time; two must not go at once."""
    async with limiter_at(store, "not-the-last") as limiter:
        limits = ModelLimits(requests_per_minute=1)
        told = 0.0

        async def ask_when_it_may(*, ahead_seconds: float) -> None:
            async with limiter.passage(limits, model="m", tokens=1, seconds_left=ahead_seconds):
                pass

        async def turn() -> float:
            with pytest.raises(ModelRateLimitError) as raised:
                await ask_when_it_may(ahead_seconds=0.5)
            return raised.value.retry_after_seconds or 0.0

        await ask_when_it_may(ahead_seconds=0.5)
        waiting = []
        for told in (90, 150):
            waiting.append(asyncio.ensure_future(ask_when_it_may(ahead_seconds=3600)))
            while await turn() < told:  # noqa: ASYNC110 - only the limiter knows
                await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        assert await turn() > 150
        waiting[1].cancel()
        await asyncio.wait(waiting[1:])


async def test_counts_the_tokens_that_an_answer_took(store: str | None) -> None:
    """The estimate before is small; what the provider counts is what it limits."""
    usage = {"prompt_tokens": 90_000, "completion_tokens": 10_000, "total_tokens": 100_000}
    with Endpoint(completion('{"output": "blue"}', usage=usage)) as endpoint:
        config = limited(endpoint, store, tokens_per_minute=1000)
        await ask(config)
        error = await ask_in_vain(config)
    assert isinstance(error, ModelRateLimitError)
    assert error.retry_after_seconds is not None
    assert error.retry_after_seconds > 60
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(("asked", "limited"), [("openai-chat", "openai"), ("openai", "openai-chat")])
async def test_openai_has_one_limit_however_it_is_asked(
    monkeypatch: pytest.MonkeyPatch, asked: str, limited: str
) -> None:
    """It counts the requests of both of its interfaces together."""
    limiters = PerProvider(ProcessLimiter)
    monkeypatch.setattr(opening, "process_limiters", limiters)
    limits = ModelLimits(requests_per_minute=1)
    async with limiters.of("openai").passage(limits, model="m", tokens=1, seconds_left=1):
        pass
    config = TAgentConfig(model=f"{asked}:any", api_key=KEY, limits={limited: limits}, request_timeout_seconds=1)
    error = await ask_in_vain(config)
    assert isinstance(error, ModelRateLimitError)


async def test_a_limit_for_nobody_is_refused() -> None:
    """It would hold for nothing, and nobody would know."""
    with Endpoint(answer("blue")) as endpoint, pytest.raises(ConfigurationError, match="Did you mean 'openai'"):
        await ask(limited(endpoint, None, key="opnai", requests_per_minute=1))


async def test_a_provider_that_is_not_named_has_no_limit() -> None:
    """A limit is for whom it is written."""
    with Endpoint(answer("blue")) as endpoint:
        config = limited(endpoint, None, key="openai", requests_per_minute=1)
        await ask_together(config, 5)
    assert len(endpoint.requests) == 5


# Through Redis


async def test_nothing_is_asked_while_redis_is_away() -> None:
    """A limit that cannot be read is not no limit."""
    server = RedisServer()
    try:
        with Endpoint(answer("blue")) as endpoint:
            config = limited(endpoint, server.url(), requests_per_minute=1000, concurrent_requests=2)
            await ask(config)
            server.kill()
            error = await ask_in_vain(config)
            assert isinstance(error, ModelLimitsUnavailableError)
            assert error.is_retryable
            assert len(endpoint.requests) == 1
            server.start()
            await ask(config)
    finally:
        server.remove()


async def test_never_tells_redis_s_password() -> None:
    """It stands in the URL, and errors are told to everybody."""
    with Endpoint(answer("blue")) as endpoint:
        error = await ask_in_vain(limited(endpoint, "redis://me:hidden@127.0.0.1:1/0", requests_per_minute=9))
    assert isinstance(error, ModelLimitsUnavailableError)
    assert "hidden" not in f"{error!r} {error} {vars(error)}"
    assert "127.0.0.1:1" in str(error)


async def test_a_place_of_a_process_that_was_killed_comes_back() -> None:
    """A lease ends with the deadline of its request, whoever held it."""
    server = redis_server()
    with Endpoint(answer("blue")) as endpoint:
        config = limited(endpoint, server.url("limits"), concurrent_requests=1)
        provider = urlsplit(endpoint.base_url).netloc
        server.command("ZADD", f"limits:limits:{{{provider}}}:leases", "1", "of somebody killed long ago")
        await ask(config)
    assert server.command("ZCARD", f"limits:limits:{{{provider}}}:leases") == 0


@pytest.mark.parametrize("url", ["http://127.0.0.1/0", "sqlite:///x", "redis://host:port/0"])
async def test_refuses_what_is_no_redis(url: str) -> None:
    """Told when the model is opened, not when it is first asked."""
    with Endpoint(answer("blue")) as endpoint, pytest.raises(ConfigurationError):
        await ask(limited(endpoint, url, requests_per_minute=9))


async def test_says_that_redis_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line to copy."""
    import sys

    monkeypatch.delitem(sys.modules, "tagent.adapters.models.redis_limits", raising=False)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with Endpoint(answer("blue")) as endpoint, pytest.raises(MissingExtraError, match="persistence"):
        await ask(limited(endpoint, "redis://127.0.0.1:1/0", requests_per_minute=9))


# The circuit


async def test_leaves_a_provider_alone_that_fails_again_and_again() -> None:
    """Each failed try counts; when the circuit opens amid the tries of a request, they end."""
    with Endpoint(failure(500)) as endpoint:
        codes = [(await ask_in_vain(config_for(endpoint))).code for _ in range(3)]
    assert codes == ["model.unavailable", "model.unavailable", "model.circuit_open"]
    assert len(endpoint.requests) == 5


@pytest.mark.parametrize("provider", ["openai", "openai-chat", "openai-responses"])
async def test_openai_has_one_circuit_however_it_is_asked(monkeypatch: pytest.MonkeyPatch, provider: str) -> None:
    """When it is away, both of its interfaces are."""
    breakers = PerProvider(CircuitBreaker)
    monkeypatch.setattr(opening, "circuit_breakers", breakers)
    for _ in range(5):
        breakers.of("openai").report(breakers.of("openai").admit("m", seconds=1), Outcome.FAILED)
    config = TAgentConfig(model=f"{provider}:any", api_key=KEY, request_timeout_seconds=1)
    assert isinstance(await ask_in_vain(config), ModelCircuitOpenError)


@pytest.mark.parametrize("response", [failure(401), failure(429), completion('{"output": 1}')])
async def test_what_is_not_the_provider_s_fault_opens_nothing(response: object) -> None:
    """A wrong key of one user must not stop all others."""
    with Endpoint(response) as endpoint:  # type: ignore[arg-type]  # one of the responses
        for _ in range(7):
            error = await ask_in_vain(config_for(endpoint))
            assert not isinstance(error, ModelCircuitOpenError)


async def test_a_silent_provider_is_left_alone_too() -> None:
    """Waiting for it costs more than its errors would."""
    with Endpoint(Silence()) as endpoint:
        config = config_for(endpoint, request_timeout_seconds=0.05)
        codes = [(await ask_in_vain(config)).code for _ in range(6)]
    assert codes == ["model.timeout"] * 5 + ["model.circuit_open"]


async def test_one_probe_finds_the_provider_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all that wait for it, one asks; then all do."""
    monkeypatch.setattr(breaker, "POLICY", CircuitPolicy(open_seconds=0.0))
    with Endpoint(*[failure(500)] * 5, Slow(answer("blue"), 0.2), answer("blue")) as endpoint:
        for _ in range(2):
            await ask_in_vain(config_for(endpoint))
        assert circuit_breakers.of(urlsplit(endpoint.base_url).netloc).is_open
        endpoint.asked.clear()
        probing = asyncio.ensure_future(ask(config_for(endpoint)))
        await asyncio.to_thread(endpoint.asked.wait, 30)
        assert isinstance(await ask_in_vain(config_for(endpoint)), ModelCircuitOpenError)
        assert (await probing).output
        await ask_together(config_for(endpoint), 5)
    assert len(endpoint.requests) == 5 + 1 + 5
