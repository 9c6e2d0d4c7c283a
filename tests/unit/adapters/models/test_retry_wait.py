"""When a failed request is repeated, and after how long."""

import pytest

from tagent.adapters.models.pydantic_ai_model import retry_wait
from tagent.ports import (
    ModelAuthenticationError,
    ModelOutputError,
    ModelRateLimitError,
    ModelRejectedError,
    ModelUnavailableError,
    UnknownModelError,
)


@pytest.mark.parametrize("error", [ModelUnavailableError("m", "It is down."), ModelRateLimitError("m")])
def test_repeats_what_may_pass(error: Exception) -> None:
    """Without a word of the provider the wait is ours to choose."""
    assert retry_wait(error, seconds_left=10) is True


@pytest.mark.parametrize("kind", [ModelAuthenticationError, ModelOutputError, ModelRejectedError, UnknownModelError])
def test_does_not_repeat_what_will_not_pass(kind: type[ModelRejectedError]) -> None:
    """The re-asks for an answer that does not fit are over already when the error arrives here."""
    assert retry_wait(kind("m", "It says no."), seconds_left=10) is False


@pytest.mark.parametrize("seconds", [0.0, 0.5, 9.0])
def test_waits_as_asked_while_there_is_time(seconds: float) -> None:
    """Coming back sooner would only be refused again."""
    wait = retry_wait(ModelRateLimitError("m", retry_after_seconds=seconds), seconds_left=10)
    assert isinstance(wait, float)
    assert wait == seconds


@pytest.mark.parametrize("seconds", [10.0, 3600.0])
def test_does_not_begin_a_wait_that_outlasts_the_deadline(seconds: float) -> None:
    """At the deadline nobody is there any more to take the answer."""
    assert retry_wait(ModelRateLimitError("m", retry_after_seconds=seconds), seconds_left=10) is False


def test_an_error_that_is_not_ours_is_not_repeated() -> None:
    """Every one that may pass has been given a name of ours before."""
    assert retry_wait(KeyError("x"), seconds_left=10) is False
