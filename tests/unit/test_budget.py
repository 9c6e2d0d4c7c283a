"""Budgets: what they accept, and whose limits win."""

import math

import pytest

from tagent.budget import Budget
from tagent.config import TAgentConfig
from tagent.exceptions import ConfigurationError


@pytest.mark.parametrize(
    "limits",
    [
        {"max_tokens": 0},
        {"max_model_calls": 1.5},
        {"max_cost_usd": 0},
        {"deadline_seconds": math.nan},
        {"max_costs": 1},
    ],
)
def test_a_limit_that_cannot_be_meant_is_refused(limits: dict[str, object]) -> None:
    """Nothing may run on a limit that means nothing."""
    with pytest.raises(ConfigurationError, match=next(iter(limits))):
        Budget.of(limits)


def test_the_limits_among_the_settings_are_a_budget() -> None:
    """Settings and budgets name them alike; one that never ends is none."""
    settings = TAgentConfig(max_tokens=7, deadline_seconds=math.inf, temperature=0)
    assert Budget.among(settings) == Budget(max_tokens=7)


def test_the_limits_that_are_set_win() -> None:
    """Who says nothing about tokens does not lift their limit."""
    assert Budget(max_tokens=7, max_model_calls=2).merged(Budget(max_model_calls=3)) == Budget(None, 7, 3)
