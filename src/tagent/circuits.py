"""What fails again and again is left alone for a while: the circuit breakers of a process.

What becomes of a circuit is decided in `circuit`. Here they are kept by name, for every thread and event loop of the
process, and calls are let through or refused. Nothing of it outlives the process.
"""

import asyncio
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from tagent.circuit import (
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
    seconds_shut,
)
from tagent.exceptions import TAgentError
from tagent.retries import MISTAKES

_ABOUT_OTHERS = frozenset({"circuit.open", "model.circuit_open", "model.limits_unavailable", "run.stopped"})
_OF_THE_STORE = "store."
_LONGEST = 200
"""Characters of a failure that are kept."""


class CircuitOpenError(TAgentError):
    """A step or tool has failed so often that it is left alone for a while.

    Attributes:
        circuit: Whose circuit it is: `step:PIPELINE/STEP`.
        retry_after_seconds: When it is called again, for one probe.
        last: Its last failure, for people; empty if that is not known. May hold secrets, which who shows it takes out.

    Example:
        >>> error = CircuitOpenError("step:report/search", retry_after_seconds=20, last="OSError: refused")
        >>> error.code, error.is_retryable
        ('circuit.open', True)
        >>> print(error.message)
        The step 'search' has failed again and again and is not called for 20.0 s; the last time: OSError: refused.
    """

    code = "circuit.open"
    is_retryable = True

    def __init__(self, circuit: str, *, retry_after_seconds: float, last: str = "") -> None:
        self.circuit = circuit
        self.retry_after_seconds = retry_after_seconds
        self.last = last
        kind, _, name = circuit.partition(":")
        whose = f"The step {name.partition('/')[2]!r}" if kind == "step" and "/" in name else repr(circuit)
        why = f"; the last time: {last.rstrip('.')}" if last else ""
        super().__init__(
            f"{whose} has failed again and again and is not called for {retry_after_seconds:.1f} s{why}.",
            hint="Wait, or mend what it calls.",
        )


class Outcome(Enum):
    """What came of a call, as its circuit sees it."""

    ANSWERED = "answered"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, eq=False)  # each is another leave, although all of a circuit look alike
class Admission:
    """Leave to make one call.

    Attributes:
        key: Whose circuit gave it.
    """

    key: str


class Circuits:
    """Circuits by key. One that has nothing to remember takes no memory, so that there may be any number of keys.

    Each method takes a clock that hardly ever goes back, in seconds, and may be called from every thread.

    Example:
        >>> kept = Circuits()
        >>> policy = CircuitPolicy(failures=1, open_seconds=30)
        >>> kept.report(kept.admit("search", now=lambda: 100.0), Outcome.FAILED, now=lambda: 100.0, policy=policy)
        >>> kept.admit("search", now=lambda: 110.0)
        Traceback (most recent call last):
        tagent.circuits.CircuitOpenError: 'search' has failed again and again and is not called for 20.0 s. Wait, or ...
        >>> probe = kept.admit("search", now=lambda: 130.0)
        >>> kept.report(probe, Outcome.ANSWERED, now=lambda: 131.0, policy=policy)
        >>> kept.is_open("search")
        False
    """

    def __init__(self) -> None:
        # Re-entrant: the collector may close a call that nobody awaits any more in here, which then reports.
        self._lock = threading.RLock()
        self._circuits: dict[str, Circuit] = {}
        self._probes: dict[str, Admission] = {}
        self._last: dict[str, str] = {}

    def is_open(self, key: str) -> bool:
        """Return whether calls do not go through now, except for one as a probe."""
        with self._lock:
            return self._circuit(key).phase is not CircuitPhase.CLOSED

    def refuse(self, key: str, *, now: Callable[[], float]) -> None:
        """Raise if a call could not go through now.

        Raises:
            CircuitOpenError: If it could not.
        """
        with self._lock:
            self._refuse(key, now())

    def admit(self, key: str, *, now: Callable[[], float], seconds: float = math.inf) -> Admission:
        """Return leave to make a call; what comes of it is then reported, whatever it is.

        Args:
            key: Whose circuit.
            now: The time.
            seconds: The call is over after so many at the latest.

        Raises:
            CircuitOpenError: If it is open, or a probe is on its way.
        """
        admission = Admission(key)
        with self._lock:
            at = now()
            self._refuse(key, at)
            circuit = self._circuit(key)
            if circuit.phase is not CircuitPhase.CLOSED:
                self._probes[key] = admission
                # When a circuit opens is a matter of its policy; that a probe starts is not.
                self._keep(key, next_circuit(circuit, ProbeStarted(until=at + seconds)))
        return admission

    def report(
        self,
        admission: Admission,
        outcome: Outcome,
        *,
        now: Callable[[], float],
        policy: CircuitPolicy,
        told: str = "",
    ) -> None:
        """Tell what came of a call.

        Args:
            admission: The leave for it.
            outcome: What came of it.
            now: The time.
            policy: When the circuit opens, and for how long.
            told: The failure, for people.
        """
        key = admission.key
        with self._lock:
            if outcome is Outcome.FAILED:
                self._last[key] = told
            is_probe = self._probes.get(key) is admission
            if is_probe:
                del self._probes[key]
            event = _event_of_probe(outcome, now()) if is_probe else _event_of_call(outcome, now())
            if event is not None:
                self._keep(key, next_circuit(self._circuit(key), event, policy))

    def _circuit(self, key: str) -> Circuit:
        return self._circuits.get(key, _NEW)

    def _refuse(self, key: str, at: float) -> None:
        if wait := seconds_shut(self._circuit(key), at):
            raise CircuitOpenError(key, retry_after_seconds=wait, last=self._last.get(key, ""))

    def _keep(self, key: str, circuit: Circuit) -> None:
        if circuit == _NEW:
            self._circuits.pop(key, None)
            self._last.pop(key, None)
        else:
            self._circuits[key] = circuit


_NEW = Circuit()

process_circuits = Circuits()
"""Those of this process."""


def _event_of_call(outcome: Outcome, at: float) -> CircuitEvent | None:
    match outcome:
        case Outcome.ANSWERED:
            return RequestAnswered()
        case Outcome.FAILED:
            return RequestFailed(at)
        case Outcome.UNKNOWN:
            return None
        case _:
            assert_never(outcome)


def _event_of_probe(outcome: Outcome, at: float) -> CircuitEvent:
    match outcome:
        case Outcome.ANSWERED:
            return ProbeAnswered()
        case Outcome.FAILED:
            return ProbeFailed(at)
        case Outcome.UNKNOWN:
            return ProbeAbandoned(at)
        case _:
            assert_never(outcome)


def outcome_of(error: BaseException) -> Outcome:
    """Return what an error says of the health of what raised it.

    What may pass by itself is a failure: what the table of errors would try again, and every exception that is no
    mistake in the program. All else says nothing, neither that it is ill nor that it is well: a cancellation, wrong
    arguments, a missing key, a spent budget, a goal that is not achieved; nor do failures of something else
    that was to be asked on the way: another circuit that is open, the store of the runs.

    Example:
        >>> [outcome_of(error).name for error in (ConnectionError(), TypeError(), asyncio.CancelledError())]
        ['FAILED', 'UNKNOWN', 'UNKNOWN']
    """
    if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit, *MISTAKES)):
        return Outcome.UNKNOWN
    if isinstance(error, TAgentError):
        is_about_others = error.code in _ABOUT_OTHERS or error.code.startswith(_OF_THE_STORE)
        return Outcome.FAILED if error.is_retryable and not is_about_others else Outcome.UNKNOWN
    return Outcome.FAILED


@contextmanager
def guarded(
    key: str,
    policy: CircuitPolicy | None,
    *,
    now: Callable[[], float],
    seconds: float = math.inf,
    judge: Callable[[BaseException], Outcome] = outcome_of,
    circuits: Circuits = process_circuits,
) -> Iterator[None]:
    """Let the block be one call; how it ends is what the circuit learns. It may `await`.

    Args:
        key: Whose circuit, like `step:PIPELINE/STEP`.
        policy: When it opens; None means that there is no circuit.
        now: The time.
        seconds: The block is over after so many at the latest.
        judge: What an error that leaves the block says.
        circuits: Where it is kept.

    Raises:
        CircuitOpenError: If the block is not to be entered now.

    Example:
        >>> policy, kept = CircuitPolicy(failures=1), Circuits()
        >>> try:
        ...     with guarded("search", policy, now=lambda: 0.0, circuits=kept):
        ...         raise ConnectionError
        ... except ConnectionError:
        ...     kept.is_open("search")
        True
    """
    if policy is None:
        yield
        return
    admission = circuits.admit(key, now=now, seconds=seconds)
    outcome, told = Outcome.UNKNOWN, ""
    try:
        yield
        outcome = Outcome.ANSWERED
    except BaseException as error:
        outcome = judge(error)
        told = _told(error) if outcome is Outcome.FAILED else ""
        raise
    finally:
        circuits.report(admission, outcome, now=now, policy=policy, told=told)


def _told(error: BaseException) -> str:
    """Return a failure in one line. It is cut between words: half a secret is one that nobody recognises any more."""
    message = error.message if isinstance(error, TAgentError) else f"{type(error).__name__}: {error}"
    line = " ".join(message[: 2 * _LONGEST].split()).rstrip(": ")
    return line if len(message) <= _LONGEST else f"{line[:_LONGEST].rpartition(' ')[0]} ..."
