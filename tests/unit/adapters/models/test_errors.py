"""What a vendor's errors become; those that an endpoint can cause are in `integration/test_model_endpoints.py`."""

import pytest
from pydantic import PydanticUserError
from pydantic_ai import exceptions as vendor

from tagent.adapters.models.errors import translated
from tagent.ports import ModelError, ModelRejectedError, ModelTimeoutError, ModelUnavailableError

NAME = "some:model"


def ours(error: Exception) -> ModelError:
    """Return what `error` becomes."""
    return translated(error, model=NAME, timeout_seconds=3)


@pytest.mark.parametrize(
    "error",
    [
        vendor.ModelContextWindowExceededError(NAME, "a prompt"),
        vendor.ModelRequestRejectedError(NAME, "a prompt"),
        vendor.ModelQuotaExceededError(NAME, "a prompt"),
        vendor.UserError("a prompt"),
        PydanticUserError("a prompt", code=None),
    ],
)
def test_what_can_never_succeed_is_not_worth_another_try(error: Exception) -> None:
    """Providers that do not speak HTTP refuse too, and a request that cannot be made stays one."""
    translation = ours(error)
    assert type(translation) is ModelRejectedError
    assert "a prompt" not in str(translation)


@pytest.mark.parametrize(
    "error",
    [
        vendor.ModelServerError(NAME, "a prompt"),
        vendor.ModelOverloadedError(NAME, "a prompt"),
        vendor.ModelAPIError(NAME, "a prompt"),
        vendor.ModelHTTPError(409, NAME),
        vendor.UnexpectedModelBehavior("a prompt"),
        IndexError("a prompt"),
    ],
)
def test_what_may_pass_is_worth_another_try(error: Exception) -> None:
    """Also an error that no one has heard of becomes one of ours, without its text."""
    translation = ours(error)
    assert type(translation) is ModelUnavailableError
    assert "a prompt" not in str(translation)


@pytest.mark.parametrize(
    "error", [vendor.ModelRequestTimeout(NAME, timeout=9), vendor.ModelTimeoutError(NAME, "a prompt")]
)
def test_a_vendor_s_timeout_is_told_with_the_time_that_the_user_set(error: Exception) -> None:
    """That is the number that can be changed."""
    translation = ours(error)
    assert isinstance(translation, ModelTimeoutError)
    assert translation.seconds == 3
