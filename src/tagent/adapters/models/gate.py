"""The way to a provider: its circuit breaker, then its limits, then the request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from tagent.adapters.models.breaker import CircuitBreaker, Outcome
from tagent.adapters.models.limits import Limiter, Passage
from tagent.config import ModelLimits
from tagent.ports.model_errors import ModelError, ModelTimeoutError, ModelUnavailableError

FAIR_SHARE = 0.5
"""A timeout is the provider's fault only if it had this share of the call's time: waiting takes of it too."""


class Gate:
    """Lets requests to one provider through.

    Args:
        breaker: The provider's circuit; None when it has none.
        limiter: What holds requests back; None when nothing does.
        limits: What this caller allows itself.
    """

    def __init__(
        self, breaker: CircuitBreaker | None = None, limiter: Limiter | None = None, limits: ModelLimits | None = None
    ) -> None:
        self._breaker = breaker
        self._limiter = limiter
        self._limits = limits or ModelLimits()

    @property
    def is_shut(self) -> bool:
        """Whether the circuit is open, so that trying again is of no use."""
        return self._breaker is not None and self._breaker.is_open

    @asynccontextmanager
    async def passage(
        self, *, model: str, tokens: int, seconds_left: float, timeout_seconds: float
    ) -> AsyncIterator[Passage]:
        """Let one request through; how its block ends is what the circuit learns.

        Args:
            model: The model's name, for errors.
            tokens: An estimate of what the request takes.
            seconds_left: Until the deadline of the call.
            timeout_seconds: The time of the whole call.

        Raises:
            ModelCircuitOpenError: If the provider is left alone now.
            ModelRateLimitError: If the request's turn would come too late.
        """
        deadline = asyncio.get_running_loop().time() + seconds_left
        if self._breaker is not None:
            self._breaker.refuse(model)  # before any waiting
        turn = (
            nullcontext(Passage(tokens))
            if self._limiter is None
            else self._limiter.passage(self._limits, model=model, tokens=tokens, seconds_left=seconds_left)
        )
        async with turn as passage, self._admitted(model, deadline, timeout_seconds):
            yield passage

    @asynccontextmanager
    async def _admitted(self, model: str, deadline: float, timeout_seconds: float) -> AsyncIterator[None]:
        if self._breaker is None:
            yield
            return
        # What waiting has left of the call's time is what the provider has for its answer.
        seconds_left = max(0.0, deadline - asyncio.get_running_loop().time())
        admission = self._breaker.admit(model, seconds=seconds_left)
        outcome = Outcome.UNKNOWN  # cancelled, or a mistake of ours
        try:
            yield
            outcome = Outcome.ANSWERED
        except ModelTimeoutError:
            outcome = Outcome.FAILED if seconds_left >= FAIR_SHARE * timeout_seconds else Outcome.UNKNOWN
            raise
        except ModelUnavailableError:
            outcome = Outcome.FAILED
            raise
        except ModelError:
            outcome = Outcome.ANSWERED
            raise
        finally:
            self._breaker.report(admission, outcome)
