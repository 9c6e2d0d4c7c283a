"""Laws of a circuit, for whatever its calls come to, in whatever order they end."""

import math
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tagent.circuit import CircuitPolicy
from tagent.circuits import Admission, CircuitOpenError, Circuits, Outcome

POLICY = CircuitPolicy(failures=3, open_seconds=10, ceiling_seconds=40)
KEYS = ("a", "b")
PROBE_SECONDS = 15.0


@dataclass
class Expected:
    """What is known of one circuit, kept as a reader of its page would.

    Attributes:
        failures: In a row, while it is closed.
        wait: How long it is open; 0 while it is closed.
        opened_at: When it was opened last.
        probe: The call that probes.
        probe_ends: When another one may probe.
    """

    failures: int = 0
    wait: float = 0.0
    opened_at: float = 0.0
    probe: Admission | None = None
    probe_ends: float = math.inf

    def lets_through(self, now: float) -> bool:
        """Return whether a call may be made."""
        if not self.wait:
            return True
        return now >= self.probe_ends if self.probe is not None else now >= self.opened_at + self.wait

    def started(self, call: Admission, now: float) -> None:
        """A call was let through."""
        if self.wait:
            self.probe, self.probe_ends = call, now + PROBE_SECONDS

    def ended(self, call: Admission, outcome: Outcome, now: float) -> None:
        """A call came to its end."""
        if call is self.probe:
            self.probe = None
            if outcome is Outcome.ANSWERED:
                self.failures, self.wait = 0, 0.0
            elif outcome is Outcome.FAILED:
                self.wait, self.opened_at = min(40.0, 2 * self.wait), now
            else:
                self.opened_at = now - self.wait  # another one may probe at once
        elif not self.wait:
            self.failures = {Outcome.ANSWERED: 0, Outcome.FAILED: self.failures + 1}.get(outcome, self.failures)
            if self.failures == 3:
                self.wait, self.opened_at = 10.0, now


@dataclass
class Call:
    """A call that has not ended."""

    key: str
    admission: Admission = field(repr=False)


class CircuitsAreAsExpected(RuleBasedStateMachine):
    """Circuits, beside what is expected of them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.circuits = Circuits()
        self.expected = {key: Expected() for key in KEYS}
        self.running: list[Call] = []

    @rule(key=st.sampled_from(KEYS))
    def call(self, key: str) -> None:
        """Begin a call; it is let through exactly when it should be."""
        expected = self.expected[key]
        try:
            admission = self.circuits.admit(key, now=lambda: self.now, seconds=PROBE_SECONDS)
        except CircuitOpenError:
            assert not expected.lets_through(self.now)
            return
        assert expected.lets_through(self.now)
        expected.started(admission, self.now)
        self.running.append(Call(key, admission))

    @rule(place=st.integers(0, 9), outcome=st.sampled_from(Outcome))
    def end(self, place: int, outcome: Outcome) -> None:
        """End one of the calls, not always the first."""
        if not self.running:
            return
        call = self.running.pop(place % len(self.running))
        self.circuits.report(call.admission, outcome, now=lambda: self.now, policy=POLICY)
        self.expected[call.key].ended(call.admission, outcome, self.now)

    @rule(key=st.sampled_from(KEYS), times=st.integers(1, 4))
    def fail(self, key: str, times: int) -> None:
        """Make calls that fail at once, as most of a circuit's life is about."""
        for _ in range(times):
            before = len(self.running)
            self.call(key)
            if len(self.running) > before:
                self.end(before, Outcome.FAILED)

    @rule(seconds=st.sampled_from([1, 10, 20, 40]))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds

    @invariant()
    def is_open_as_expected(self) -> None:
        """A circuit is open until a probe is answered."""
        for key, expected in self.expected.items():
            assert self.circuits.is_open(key) is bool(expected.wait)


TestCircuits = CircuitsAreAsExpected.TestCase
TestCircuits.settings = settings(deadline=None, max_examples=100, stateful_step_count=60)
