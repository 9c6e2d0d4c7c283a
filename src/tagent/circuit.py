"""What becomes of a circuit breaker's circuit with what happens. Pure: every event brings its time along.

What counts as a failure is said by who reports it.

Source:
    "Release It!", Nygard, 2nd edition 2018, chapter 5 (circuit breaker).
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

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
