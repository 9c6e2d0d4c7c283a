"""A provider that fails again and again is left alone for a while: a circuit breaker.

What its circuit becomes is decided in `circuit`; a `CircuitBreaker` keeps one for every thread and event loop of the
process.
"""

import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import assert_never

from tagent.circuit import (
    POLICY,
    Circuit,
    CircuitEvent,
    CircuitPhase,
    CircuitPolicy,
    ProbeAbandoned,
    ProbeAnswered,
    ProbeFailed,
    ProbeStarted,
    RequestAnswered,
    RequestFailed,
    next_circuit,
)
from tagent.adapters.models.per_provider import PerProvider
from tagent.ports.model_errors import ModelCircuitOpenError

PROBE_RETRY_SECONDS = 1.0
"""When to come back while a probe is on its way: most answers come within seconds, long before a deadline."""


class Outcome(Enum):
    """What came of a request, as its circuit sees it."""

    ANSWERED = "answered"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Admission:
    """Leave to send one request."""


class CircuitBreaker:
    """The circuit of one provider.

    Args:
        now: A clock that never goes back, in seconds.
        policy: When it opens, and for how long; `POLICY` when None.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, policy: CircuitPolicy | None = None) -> None:
        self._now = now
        self._policy = policy
        self._lock = threading.Lock()
        self._circuit = Circuit()
        self._probe: Admission | None = None

    @property
    def is_open(self) -> bool:
        """Whether requests do not go through now, except for one as a probe."""
        return self._circuit.phase is not CircuitPhase.CLOSED

    def refuse(self, model: str) -> None:
        """Raise if a request could not go through now.

        Raises:
            ModelCircuitOpenError: If it could not.
        """
        with self._lock:
            self._refuse(model)

    def admit(self, model: str, *, seconds: float) -> Admission:
        """Return leave to send a request, which is over after `seconds` at the latest.

        Raises:
            ModelCircuitOpenError: If the provider is left alone now, or a probe is on its way.
        """
        with self._lock:
            self._refuse(model)
            admission = Admission()
            if self._circuit.phase is not CircuitPhase.CLOSED:
                self._probe = admission
                self._happened(ProbeStarted(until=self._now() + seconds))
            return admission

    def report(self, admission: Admission, outcome: Outcome) -> None:
        """Tell what came of a request."""
        with self._lock:
            if admission is self._probe:
                self._probe = None
                self._happened(self._event_of_probe(outcome))
            elif outcome is Outcome.ANSWERED:
                self._happened(RequestAnswered())
            elif outcome is Outcome.FAILED:
                self._happened(RequestFailed(at=self._now()))

    def _event_of_probe(self, outcome: Outcome) -> CircuitEvent:
        match outcome:
            case Outcome.ANSWERED:
                return ProbeAnswered()
            case Outcome.FAILED:
                return ProbeFailed(at=self._now())
            case Outcome.UNKNOWN:
                return ProbeAbandoned(at=self._now())
            case _:
                assert_never(outcome)

    def _refuse(self, model: str) -> None:
        wait = self._circuit.until - self._now()
        if self.is_open and wait > 0:
            is_probing = self._circuit.phase is CircuitPhase.HALF_OPEN
            raise ModelCircuitOpenError(
                model, retry_after_seconds=min(wait, PROBE_RETRY_SECONDS) if is_probing else wait
            )

    def _happened(self, event: CircuitEvent) -> None:
        self._circuit = next_circuit(self._circuit, event, self._policy or POLICY)


circuit_breakers = PerProvider(CircuitBreaker)
"""Those of this process."""
