"""When a failed request is repeated, and after how long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagent.adapters.models.tries import TRIES, retry_wait
from tagent.ports import (
    ModelAuthenticationError,
    ModelError,
    ModelOutputError,
    ModelRateLimitError,
    ModelRejectedError,
    ModelUnavailableError,
    UnknownModelError,
)
from tagent.retries import RetryPolicy

POLICY = RetryPolicy(base_seconds=2)


def wait(error: ModelError, failures: int = 1, *, seconds_left: float = 10, jitter: float = 1) -> float | None:
    """Return the wait by the policy of this test."""
    return retry_wait(error, failures, seconds_left=seconds_left, jitter=jitter, policy=POLICY)


def asking_for(seconds: float | None) -> tuple[ModelError, ...]:
    """Return the errors with which a provider can ask for a wait."""
    return (
        ModelRateLimitError("m", retry_after_seconds=seconds),
        ModelUnavailableError("m", "It is down.", retry_after_seconds=seconds),
    )


@pytest.mark.parametrize("error", asking_for(None))
def test_repeats_what_may_pass(error: ModelError) -> None:
    """Without a word of the provider the wait is ours to choose: it doubles, scaled by chance."""
    assert [wait(error, failures, jitter=0.5) for failures in range(1, TRIES)] == [1, 2]


@pytest.mark.parametrize("error", asking_for(0))
def test_ends_after_the_last_try(error: ModelError) -> None:
    """A step may try again much later; here somebody waits."""
    assert wait(error, TRIES) is None


@pytest.mark.parametrize("kind", [ModelAuthenticationError, ModelOutputError, ModelRejectedError, UnknownModelError])
def test_does_not_repeat_what_will_not_pass(kind: type[ModelRejectedError]) -> None:
    """The re-asks for an answer that does not fit are another matter."""
    assert wait(kind("m", "It says no.")) is None


@pytest.mark.parametrize("seconds", [0.0, 0.5, 9.0])
def test_waits_as_asked_while_there_is_time(seconds: float) -> None:
    """Coming back sooner would only be refused again."""
    assert [wait(error) for error in asking_for(seconds)] == [seconds, seconds]


@given(
    asked=st.none() | st.floats(0, 1e6),
    failures=st.integers(1, 9),
    left=st.floats(-10, 1e6),
    jitter=st.floats(0, 1),
)
def test_never_begins_a_wait_that_outlasts_the_deadline(
    asked: float | None, failures: int, left: float, jitter: float
) -> None:
    """At the deadline nobody is there any more to take the answer."""
    for error in asking_for(asked):
        seconds = retry_wait(error, failures, seconds_left=left, jitter=jitter)
        assert seconds is None or 0 <= seconds < left
