"""What a provider may be asked at once and per minute, kept for all threads and event loops of the process."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from tagent.adapters.models.gcra import Rate, earliest_start, paid_after
from tagent.adapters.models.per_provider import PerProvider
from tagent.adapters.models.slots import Slots
from tagent.config import ModelLimits
from tagent.ports.model_errors import ModelRateLimitError


@dataclass(slots=True)
class Passage:
    """A request on its way.

    Attributes:
        tokens: What it takes of the tokens: an estimate, until the answer says it.
    """

    tokens: int


class Limiter(Protocol):
    """Holds requests to one provider back until they may go."""

    def passage(
        self, limits: ModelLimits, *, model: str, tokens: int, seconds_left: float
    ) -> AbstractAsyncContextManager[Passage]:
        """Wait for the request's turn, and let the next one go when it is over.

        Args:
            limits: What this caller allows itself.
            model: The model's name, for errors.
            tokens: An estimate of what the request takes; set `tokens` of the passage to what it took.
            seconds_left: How long the request may wait.

        Raises:
            ModelRateLimitError: If its turn is too late; at once, where that is known.
        """
        ...


class ProcessLimiter:
    """Of one provider, for this process.

    Args:
        now: A clock that never goes back, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._slots = Slots()
        self._requests_paid_at = 0.0
        self._tokens_paid_at = 0.0

    @asynccontextmanager
    async def passage(
        self, limits: ModelLimits, *, model: str, tokens: int, seconds_left: float
    ) -> AsyncIterator[Passage]:
        """Wait for the request's turn; see `Limiter`.

        The place comes before the turn: who had a turn and then waited for a place would go together with others.

        Raises:
            ModelRateLimitError: If its turn is too late.
        """
        deadline = self._now() + seconds_left
        async with placed(self._slots, limits, model=model, seconds_left=seconds_left):
            turn = self._reserve(limits, model, tokens, deadline)
            await self._wait(turn)
            passage = Passage(tokens)
            try:
                yield passage
            finally:
                self._settle(limits, passage.tokens - tokens)

    def _reserve(self, limits: ModelLimits, model: str, tokens: int, deadline: float) -> "_Turn":
        requests, words = rates_of(limits)
        with self._lock:
            before = (self._requests_paid_at, self._tokens_paid_at)
            now = self._now()
            start = now
            if requests is not None:
                start = earliest_start(requests, paid_at=self._requests_paid_at, now=start)
            if words is not None:
                start = earliest_start(words, paid_at=self._tokens_paid_at, now=start)
            if start > now and start >= deadline:
                raise ModelRateLimitError(model, retry_after_seconds=start - now)
            if requests is not None:
                self._requests_paid_at = paid_after(requests, paid_at=self._requests_paid_at, start=start, units=1)
            if words is not None:
                self._tokens_paid_at = paid_after(words, paid_at=self._tokens_paid_at, start=start, units=tokens)
            return _Turn(start - now, before, (self._requests_paid_at, self._tokens_paid_at))

    async def _wait(self, turn: "_Turn") -> None:
        if turn.wait_seconds <= 0:
            return
        try:
            await asyncio.sleep(turn.wait_seconds)
        except BaseException:
            with self._lock:
                # Only the last one in line can step back: those behind it have been told their time.
                if (self._requests_paid_at, self._tokens_paid_at) == turn.after:
                    self._requests_paid_at, self._tokens_paid_at = turn.before
            raise

    def _settle(self, limits: ModelLimits, more: int) -> None:
        _, words = rates_of(limits)
        if words is not None and more:
            with self._lock:
                self._tokens_paid_at += more * words.interval_seconds


@dataclass(frozen=True, slots=True)
class _Turn:
    """When a request may go, and what the limiter knew before and after it was told so."""

    wait_seconds: float
    before: tuple[float, float]
    after: tuple[float, float]


@asynccontextmanager
async def placed(slots: Slots, limits: ModelLimits, *, model: str, seconds_left: float) -> AsyncIterator[None]:
    """Hold one of the places that `limits` allows at once, if it limits them.

    Raises:
        ModelRateLimitError: If none gets free within `seconds_left`.
    """
    if limits.concurrent_requests is None:
        yield
        return
    try:
        slot = await slots.take(limits.concurrent_requests, seconds=seconds_left)
    except TimeoutError:
        slot = None
    if slot is None:
        raise ModelRateLimitError(model)
    try:
        yield
    finally:
        slots.give_back(slot)


def rates_of(limits: ModelLimits) -> tuple[Rate | None, Rate | None]:
    """Return the rates of requests and of tokens; None where there is no limit."""
    requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
    return (None if requests is None else Rate(requests)), (None if tokens is None else Rate(tokens))


process_limiters = PerProvider(ProcessLimiter)
"""Those of this process."""
