"""What becomes of a circuit breaker's circuit with what happens. Pure: every event brings its time along.

What is guarded is a model's provider, a step or a tool, and a request is one call of it. What counts as a failure is
said by who reports it. `circuits` keeps those of a process.

Source:
    "Release It!", Nygard, 2nd edition 2018, chapter 5 (circuit breaker).
"""

import math
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
        open_seconds: How long it stays open the first time, from 0; it doubles while probes fail.
        ceiling_seconds: The longest that it stays open, from `open_seconds`.

    Raises:
        ValueError: If a number is none, not finite or out of its range.

    Example:
        >>> from tagent.pipeline import Pipeline
        >>> guarded = CircuitPolicy(failures=3, open_seconds=60)
        >>> Pipeline("p").step("search", run=lambda: ["hit"], circuit=guarded).steps[0].circuit.ceiling_seconds
        300.0
    """

    failures: int = 5
    open_seconds: float = 30.0
    ceiling_seconds: float = 300.0

    def __post_init__(self) -> None:
        if type(self.failures) is not int or self.failures < 1:
            raise ValueError(f"A circuit opens after a whole number of failures from 1, not {self.failures!r}.")
        for seconds in (self.open_seconds, self.ceiling_seconds):
            if not _is_number(seconds) or not 0 <= seconds < math.inf:
                raise ValueError(f"A circuit is open for a finite number of seconds from 0, not {seconds!r}.")
        if self.ceiling_seconds < self.open_seconds:
            raise ValueError(
                f"A circuit that is open for {self.open_seconds:g} s at first cannot be open for "
                f"{self.ceiling_seconds:g} s at most. Raise `ceiling_seconds`."
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


POLICY = CircuitPolicy()

PROBE_RETRY_SECONDS = 1.0
"""When to come back while a probe is on its way."""

CLOCK_TOLERANCE_SECONDS = 1.0
"""By so much the clocks of two runs in one process may differ."""


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
    """A request was answered; a refusal is an answer."""


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """A request failed through the fault of what is guarded."""

    at: float


@dataclass(frozen=True, slots=True)
class ProbeStarted:
    """One request goes out to see whether it works again; it is over at `until` at the latest."""

    until: float


@dataclass(frozen=True, slots=True)
class ProbeAnswered:
    """It works again."""


@dataclass(frozen=True, slots=True)
class ProbeFailed:
    """It does not."""

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


def seconds_shut(circuit: Circuit, now: float) -> float:
    """Return for how long no request goes through yet, 0 if one may go now.

    While a probe is on its way it is a second at most: most answers come within seconds, long before a deadline.

    Args:
        circuit: Where it stands.
        now: On the clock of its events. If that was set back, so that the wait would be longer than the circuit is ever
            meant to be open, a request may go.

    Example:
        >>> opened = Circuit(CircuitPhase.OPEN, failures=5, open_seconds=30.0, until=130.0)
        >>> [seconds_shut(opened, now) for now in (100.0, 120.0, 130.0, 10.0)]
        [30.0, 10.0, 0.0, 0.0]
    """
    wait = max(0.0, circuit.until - now)
    match circuit.phase:
        case CircuitPhase.CLOSED:
            return 0.0
        case CircuitPhase.OPEN:
            return 0.0 if wait > circuit.open_seconds + CLOCK_TOLERANCE_SECONDS else wait
        case CircuitPhase.HALF_OPEN:
            return min(wait, PROBE_RETRY_SECONDS)
        case _:
            assert_never(circuit.phase)


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
