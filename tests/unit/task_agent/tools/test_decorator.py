"""`@tool`: more is known of a function, and nothing about calling it changes."""

import inspect
from functools import partial

import pytest

from tagent.exceptions import ConfigurationError
from tagent.retries import RetryPolicy
from tagent.task_agent.tools.decorator import tool
from tagent.task_agent.tools.runner import ToolFailedError, ToolOutputError, ToolTimeoutError
from tagent.task_agent.tools.tool import Tool, tools_by_name


@tool
def double(n: int, *, times: int = 1) -> int:
    """Double a number."""
    return 2 * n * times


@tool(
    name="pay",
    description="Pay somebody.",
    timeout=5,
    retries=2,
    retry_policy=RetryPolicy(base_seconds=1),
    side_effect=True,
    idempotent=True,
)
async def transfer(amount: float) -> float:
    """Not told."""
    return amount


async def test_a_decorated_function_is_called_as_before() -> None:
    """Its tests and its other callers need not know."""
    here: int = double(4, times=3)
    assert here == 24
    assert await transfer(1.5) == 1.5
    assert (double.__name__, double.__doc__, double.__wrapped__(1)) == ("double", "Double a number.", 2)  # type: ignore[attr-defined]  # as on any wrapper
    assert list(inspect.signature(double).parameters) == ["n", "times"]


def test_it_is_a_tool_with_what_was_said_of_it() -> None:
    """It goes wherever a function goes."""
    assert (double.name, double.arguments({"n": "2"})) == ("double", {"n": 2, "times": 1})
    assert (transfer.name, transfer.description, transfer.timeout_seconds) == ("pay", "Pay somebody.", 5)
    assert (transfer.side_effect, transfer.idempotent, transfer.retry_policy.base_seconds) == (True, True, 1)
    assert tools_by_name([double, transfer]) == {"double": double, "pay": transfer}
    assert len({double, transfer}) == 2


def test_a_call_is_made_again_only_after_what_may_pass() -> None:
    """Wrong outputs stay wrong."""
    failed, late = ToolFailedError("pay", LookupError()), ToolTimeoutError("pay", seconds=5)
    assert [transfer.may_retry(failed, failures) for failures in (1, 2, 3)] == [True, True, False]
    assert transfer.may_retry(late, 1)
    assert not transfer.may_retry(ToolOutputError("pay", ValueError()), 1)
    assert not double.may_retry(failed, 1)


def test_what_would_not_stay_what_it_was_is_refused() -> None:
    """A class would be one no more, and `self` would be asked of the model."""
    with pytest.raises(ConfigurationError, match="the method .*Shop.sell"):

        class Shop:
            @tool
            def sell(self, n: int) -> int:
                return n

    with pytest.raises(ConfigurationError, match="the class .*Empty"):

        @tool
        class Empty:
            pass

    with pytest.raises(ConfigurationError, match="'double' cannot be bound"):
        Tool.of(partial(double, n=1))
    with pytest.raises(ConfigurationError, match="not called again"):
        tool(side_effect=True, retries=1)(double.function)
