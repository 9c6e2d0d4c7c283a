"""A sample of `make fuzz`: every hostile condition, two thousand random ones, and five hundred definitions."""

import pytest

from fuzz.hostile import HOSTILE
from fuzz.run import BatchFailedError, run_batch


def test_hostile_and_random_conditions_end_with_an_answer_or_a_clear_error() -> None:
    """Conditions come with definitions from elsewhere: none of them may hang, crash or run anything."""
    outcomes = run_batch("conditions", 0, 2_000)
    assert outcomes.keys() == {"is True", "is False", "cannot be read", "cannot be answered"}
    assert outcomes.total() == len(HOSTILE) + 2_000
    assert len(set(HOSTILE)) >= 200
    assert min(outcomes.values()) > 10


def test_random_definitions_end_with_an_answer_or_a_clear_error() -> None:
    """A run can be imported from a stranger; and whoever misuses an option should be told, not shown a stack trace."""
    outcomes = run_batch("definitions", 0, 500)
    assert outcomes.keys() >= {"read", "run.import", "valid", "has problems"}
    assert outcomes.total() == 500


def test_a_batch_that_breaks_is_told() -> None:
    """A fuzzer that cannot fail finds nothing: here is a kind of case that there is not."""
    with pytest.raises(BatchFailedError, match="exit status 1 .an exception."):
        run_batch("nothing", 1, 10)
