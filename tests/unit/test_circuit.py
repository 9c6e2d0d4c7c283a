"""What a circuit becomes with what happens, and what a policy may say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagent.circuit import (
    CLOCK_TOLERANCE_SECONDS,
    TABLE,
    Circuit,
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
from tagent.exceptions import IllegalTransitionError

POLICY = CircuitPolicy(failures=5, open_seconds=30, ceiling_seconds=300)

EVENTS = st.one_of(
    st.just(RequestAnswered()),
    st.builds(RequestFailed, at=st.floats(0, 1e6)),
    st.builds(ProbeStarted, until=st.floats(0, 1e6)),
    st.just(ProbeAnswered()),
    st.builds(ProbeFailed, at=st.floats(0, 1e6)),
    st.builds(ProbeAbandoned, at=st.floats(0, 1e6)),
)


@given(st.lists(EVENTS, max_size=60), st.floats(0, 1e6))
def test_moves_only_as_its_table_says(events: list[object], now: float) -> None:
    """What the table does not have raises, and leaves the circuit as it was."""
    circuit = Circuit()
    for event in events:
        if (circuit.phase, type(event)) in TABLE.moves:
            circuit = next_circuit(circuit, event, POLICY)  # type: ignore[arg-type]  # one of the events
        else:
            with pytest.raises(IllegalTransitionError):
                next_circuit(circuit, event, POLICY)  # type: ignore[arg-type]  # one of the events
        assert (circuit.open_seconds == 0) is (circuit.phase is CircuitPhase.CLOSED)
        assert circuit.open_seconds <= POLICY.ceiling_seconds
        assert 0 <= seconds_shut(circuit, now) <= POLICY.ceiling_seconds + CLOCK_TOLERANCE_SECONDS


def test_a_clock_that_was_set_back_keeps_nothing_shut() -> None:
    """A circuit that opened tomorrow, says a run of yesterday's time, would be shut for a day."""
    circuit = next_circuit(Circuit(), RequestFailed(at=100_000.0), CircuitPolicy(failures=1))
    assert seconds_shut(circuit, 100_001.0) == 29
    assert seconds_shut(circuit, 13_600.0) == 0


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({"failures": 0}, "whole number of failures from 1"),
        ({"failures": 2.0}, "whole number of failures from 1"),
        ({"failures": True}, "whole number of failures from 1"),
        ({"open_seconds": -1}, "finite number of seconds"),
        ({"open_seconds": float("nan")}, "finite number of seconds"),
        ({"ceiling_seconds": float("inf")}, "finite number of seconds"),
        ({"ceiling_seconds": "300"}, "finite number of seconds"),
        ({"open_seconds": 600}, "Raise `ceiling_seconds`"),
    ],
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, object], advice: str) -> None:
    """A circuit that never opens, or never closes, is found when it is written."""
    with pytest.raises(ValueError, match=advice):
        CircuitPolicy(**wrong)  # type: ignore[arg-type]  # wrong on purpose
