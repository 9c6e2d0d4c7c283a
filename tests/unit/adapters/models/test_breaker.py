"""When a provider is left alone, and how it is found to be back; all on a clock that the tests move."""

from pathlib import Path

import pytest

from tagent.adapters.models.breaker import Admission, CircuitBreaker, Outcome
from tagent.circuit import TABLE, CircuitPolicy
from tagent.ports.model_errors import ModelCircuitOpenError

POLICY = CircuitPolicy(failures=5, open_seconds=30, ceiling_seconds=300)
MODEL = "any"
PROBE_SECONDS = 120.0


class Provider:
    """A circuit and a clock.

    Attributes:
        now: The time.
        breaker: The circuit.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.breaker = CircuitBreaker(lambda: self.now, POLICY)

    def admit(self) -> Admission:
        """Let a request go."""
        return self.breaker.admit(MODEL, seconds=PROBE_SECONDS)

    def request(self, outcome: Outcome) -> None:
        """Make a request that ends so."""
        self.breaker.report(self.admit(), outcome)

    def fail(self, times: int) -> None:
        """Make requests that fail."""
        for _ in range(times):
            self.request(Outcome.FAILED)

    def refused_for(self) -> float:
        """Return for how long a request is refused now."""
        with pytest.raises(ModelCircuitOpenError) as raised:
            self.admit()
        return raised.value.retry_after_seconds


def test_opens_after_failures_in_a_row() -> None:
    """A provider that is down is not waited for by each of a thousand agents."""
    provider = Provider()
    provider.fail(4)
    provider.request(Outcome.ANSWERED)
    provider.fail(4)
    assert not provider.breaker.is_open
    provider.fail(1)
    assert provider.refused_for() == 30


def test_cancelled_requests_say_nothing() -> None:
    """A user who stops a run does not make a provider ill, nor well."""
    provider = Provider()
    provider.fail(4)
    provider.request(Outcome.UNKNOWN)
    provider.fail(1)
    assert provider.breaker.is_open


def test_lets_exactly_one_probe_through() -> None:
    """A provider that comes back is not run over."""
    provider = Provider()
    provider.fail(5)
    provider.now += 30
    probe = provider.admit()
    assert 0 < provider.refused_for() <= 1
    provider.breaker.report(probe, Outcome.ANSWERED)
    provider.request(Outcome.ANSWERED)


def test_a_probe_that_fails_doubles_the_wait_up_to_a_ceiling() -> None:
    """Who is down for long is asked ever more seldom."""
    provider = Provider()
    provider.fail(5)
    waits = []
    for _ in range(6):
        waits.append(provider.refused_for())
        provider.now += waits[-1]
        provider.fail(1)
    assert waits == [30, 60, 120, 240, 300, 300]


def test_a_probe_that_is_abandoned_makes_room_for_another() -> None:
    """Cancelling the one run that probes must not lock out all others."""
    provider = Provider()
    provider.fail(5)
    provider.now += 30
    provider.request(Outcome.UNKNOWN)
    provider.request(Outcome.ANSWERED)
    assert not provider.breaker.is_open


def test_a_probe_that_never_reports_is_replaced_after_its_deadline() -> None:
    """Its thread may be gone; the circuit must not stay half open for ever."""
    provider = Provider()
    provider.fail(5)
    provider.now += 30
    lost = provider.admit()
    provider.now += PROBE_SECONDS
    second = provider.admit()
    provider.breaker.report(lost, Outcome.ANSWERED)
    assert provider.breaker.is_open
    provider.breaker.report(second, Outcome.ANSWERED)
    assert not provider.breaker.is_open


def test_requests_from_before_say_nothing_about_now() -> None:
    """Those that began while the circuit was closed end late, one way or the other."""
    provider = Provider()
    late = [provider.admit() for _ in range(3)]
    provider.fail(5)
    provider.breaker.report(late[0], Outcome.ANSWERED)
    provider.breaker.report(late[1], Outcome.FAILED)
    assert provider.refused_for() == 30
    provider.now += 30
    probe = provider.admit()
    provider.breaker.report(late[2], Outcome.FAILED)
    provider.breaker.report(probe, Outcome.ANSWERED)
    assert not provider.breaker.is_open


def test_the_diagram_in_the_docs_is_the_table() -> None:
    """A page that is drawn by hand is wrong after the first change."""
    page = (Path(__file__).parents[4] / "docs/explanation/models.md").read_text(encoding="utf-8")
    assert TABLE.mermaid() in page
