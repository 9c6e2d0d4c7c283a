"""What a circuit learns of requests that had to wait for their turn; on a clock that the tests move."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import pytest

from tagent.adapters.models.breaker import CircuitBreaker
from tagent.adapters.models.gate import Gate
from tagent.adapters.models.limits import Passage
from tagent.circuit import POLICY
from tagent.config import ModelLimits
from tagent.ports import ModelTimeoutError
from tagent.ports.model_errors import ModelCircuitOpenError

MODEL = "any"
CALL_SECONDS = 1.0


class Line:
    """A limiter that lets each request wait, and the clock by which it does.

    Attributes:
        now: The time.
        wait_seconds: How long a request waits.
    """

    def __init__(self, wait_seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.wait_seconds = wait_seconds
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        self.breaker = CircuitBreaker(lambda: self.now)
        self.gate = Gate(self.breaker, self)

    @asynccontextmanager
    async def passage(
        self, limits: ModelLimits, *, model: str, tokens: int, seconds_left: float
    ) -> AsyncIterator[Passage]:
        """Wait, then let the request go."""
        self.now += self.wait_seconds
        yield Passage(tokens)

    async def time_out(self) -> None:
        """Make a request that ends with its deadline."""
        deadline = self.now + CALL_SECONDS
        with suppress(ModelTimeoutError):
            async with self.request():
                self.now = deadline
                raise ModelTimeoutError(MODEL, seconds=CALL_SECONDS)

    def request(self) -> AbstractAsyncContextManager[Passage]:
        """Make a request that has all the time of its call."""
        return self.gate.passage(model=MODEL, tokens=1, seconds_left=CALL_SECONDS, timeout_seconds=CALL_SECONDS)


@pytest.mark.parametrize(("wait_seconds", "opens"), [(0.9, False), (0.1, True)])
async def test_a_timeout_counts_only_if_the_provider_had_its_time(
    monkeypatch: pytest.MonkeyPatch,
    wait_seconds: float,
    opens: bool,  # noqa: FBT001 - a case
) -> None:
    """A limit of our own must not have the provider left alone."""
    line = Line(wait_seconds, monkeypatch)
    for _ in range(POLICY.failures):
        await line.time_out()
    assert line.gate.is_shut == opens


async def test_a_probe_that_waited_is_over_with_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then another one may go; nobody waits for a request that is gone."""
    line = Line(0.0, monkeypatch)
    for _ in range(POLICY.failures):
        await line.time_out()
    line.now += POLICY.open_seconds
    line.wait_seconds = 0.9
    async with line.request():
        with pytest.raises(ModelCircuitOpenError) as raised:
            line.breaker.refuse(MODEL)
    assert raised.value.retry_after_seconds == pytest.approx(0.1)
