"""A provider that fails again and again is left alone for a while: a circuit breaker.

`next_circuit` is pure, and says what a circuit becomes; `CircuitBreaker` keeps one of them for every thread and
event loop of the process. What counts as a failure is said by who reports it.

Source:
    "Release It!", Nygard, 2nd edition 2018, chapter 5 (circuit breaker).
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

from tagent.ports.model_errors import ModelCircuitOpenError
from tagent.transitions import TransitionTable


class CircuitPhase(Enum):
    """Whether requests go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """When a circuit opens, and for how long.

    Attributes:
        failures: So many in a row open it, from 1.
        open_seconds: How long it stays open the first time; it doubles while probes fail.
        ceiling_seconds: The longest that it stays open.
    """

    failures: int = 5
    open_seconds: float = 30.0
    ceiling_seconds: float = 300.0


POLICY = CircuitPolicy()

PROBE_RETRY_SECONDS = 1.0
"""When to come back while a probe is on its way: most answers come within seconds, long before a deadline."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """Where a circuit stands.

    Attributes:
        phase: Whether requests go through.
        failures: In a row, while it is closed.
        open_seconds: How long it stays or stayed open; 0 while it is closed.
        until: While it is open, when a probe may go; while it is half open, when another one may, because the
            first must have come to its end. On the clock of the events.
    """

    phase: CircuitPhase = CircuitPhase.CLOSED
    failures: int = 0
    open_seconds: float = 0.0
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class RequestAnswered:
    """The provider answered a request; a refusal is an answer."""


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """A request failed through the provider's fault."""

    at: float


@dataclass(frozen=True, slots=True)
class ProbeStarted:
    """One request goes out to see whether the provider is back; it is over at `until` at the latest."""

    until: float


@dataclass(frozen=True, slots=True)
class ProbeAnswered:
    """The provider is back."""


@dataclass(frozen=True, slots=True)
class ProbeFailed:
    """It is not."""

    at: float


@dataclass(frozen=True, slots=True)
class ProbeAbandoned:
    """Nobody knows: who sent the probe does not wait for it any more."""

    at: float


CircuitEvent = RequestAnswered | RequestFailed | ProbeStarted | ProbeAnswered | ProbeFailed | ProbeAbandoned

_CLOSED, _OPEN, _HALF_OPEN = CircuitPhase.CLOSED, CircuitPhase.OPEN, CircuitPhase.HALF_OPEN

TABLE = TransitionTable(
    {
        (_CLOSED, RequestAnswered): (_CLOSED,),
        (_CLOSED, RequestFailed): (_CLOSED, _OPEN),
        # Requests that began before it opened come to their end; they say nothing about now.
        (_OPEN, RequestAnswered): (_OPEN,),
        (_OPEN, RequestFailed): (_OPEN,),
        (_OPEN, ProbeStarted): (_HALF_OPEN,),
        (_HALF_OPEN, RequestAnswered): (_HALF_OPEN,),
        (_HALF_OPEN, RequestFailed): (_HALF_OPEN,),
        (_HALF_OPEN, ProbeStarted): (_HALF_OPEN,),
        (_HALF_OPEN, ProbeAnswered): (_CLOSED,),
        (_HALF_OPEN, ProbeFailed): (_OPEN,),
        (_HALF_OPEN, ProbeAbandoned): (_OPEN,),
    }
)
"""Every move of a circuit."""


def next_circuit(circuit: Circuit, event: CircuitEvent, policy: CircuitPolicy = POLICY) -> Circuit:
    """Return what `circuit` becomes.

    Raises:
        IllegalTransitionError: If `event` cannot happen in its phase.

    Example:
        >>> circuit = Circuit()
        >>> for _ in range(5):
        ...     circuit = next_circuit(circuit, RequestFailed(at=100.0))
        >>> circuit.phase.value, circuit.until
        ('open', 130.0)
    """
    after = _after(circuit, event, policy)
    TABLE.check(circuit.phase, type(event), after.phase)
    return after


def _after(circuit: Circuit, event: CircuitEvent, policy: CircuitPolicy) -> Circuit:
    match event:
        case RequestAnswered():
            return Circuit() if circuit.phase is _CLOSED else circuit
        case RequestFailed(at):
            if circuit.phase is not _CLOSED:
                return circuit
            failures = circuit.failures + 1
            if failures < policy.failures:
                return replace(circuit, failures=failures)
            return Circuit(_OPEN, failures, policy.open_seconds, at + policy.open_seconds)
        case ProbeStarted(until):
            return replace(circuit, phase=_HALF_OPEN, until=until)
        case ProbeAnswered():
            return Circuit()
        case ProbeFailed(at):
            seconds = min(policy.ceiling_seconds, 2 * circuit.open_seconds)
            return replace(circuit, phase=_OPEN, open_seconds=seconds, until=at + seconds)
        case ProbeAbandoned(at):
            return replace(circuit, phase=_OPEN, until=at)
        case _:
            assert_never(event)


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


class CircuitBreakers:
    """The circuits of this process, one for each provider."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._breakers: dict[str, CircuitBreaker] = {}

    def of(self, provider: str) -> CircuitBreaker:
        """Return the provider's circuit breaker, the same for every caller."""
        with self._lock:
            return self._breakers.setdefault(provider, CircuitBreaker())


circuit_breakers = CircuitBreakers()
"""Those of this process."""
