"""A provider that fails again and again is left alone for a while: a circuit breaker for each.

They are circuits like those of steps and tools, on a clock of their own and with the errors of models.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tagent.adapters.models.per_provider import PerProvider
from tagent.circuit import POLICY, CircuitPolicy
from tagent.circuits import Admission, CircuitOpenError, Circuits, Outcome
from tagent.ports.model_errors import ModelCircuitOpenError

__all__ = ["Admission", "CircuitBreaker", "Outcome", "circuit_breakers"]

_ITS_OWN = "provider"
"""The key of the one circuit that a breaker has."""


class CircuitBreaker:
    """The circuit of one provider.

    Args:
        now: A clock that never goes back, in seconds.
        policy: When it opens, and for how long; `POLICY` when None.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, policy: CircuitPolicy | None = None) -> None:
        self._now = now
        self._policy = policy
        self._circuits = Circuits()

    @property
    def is_open(self) -> bool:
        """Whether requests do not go through now, except for one as a probe."""
        return self._circuits.is_open(_ITS_OWN)

    def refuse(self, model: str) -> None:
        """Raise if a request could not go through now.

        Raises:
            ModelCircuitOpenError: If it could not.
        """
        with _told_of(model):
            self._circuits.refuse(_ITS_OWN, now=self._now)

    def admit(self, model: str, *, seconds: float) -> Admission:
        """Return leave to send a request, which is over after `seconds` at the latest.

        Raises:
            ModelCircuitOpenError: If the provider is left alone now, or a probe is on its way.
        """
        with _told_of(model):
            return self._circuits.admit(_ITS_OWN, now=self._now, seconds=seconds)

    def report(self, admission: Admission, outcome: Outcome) -> None:
        """Tell what came of a request."""
        self._circuits.report(admission, outcome, now=self._now, policy=self._policy or POLICY)


@contextmanager
def _told_of(model: str) -> Iterator[None]:
    try:
        yield
    except CircuitOpenError as error:
        raise ModelCircuitOpenError(model, retry_after_seconds=error.retry_after_seconds) from None


circuit_breakers = PerProvider(CircuitBreaker)
"""Those of this process."""
