"""What something may spend: a run, a step."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from tagent.exceptions import ConfigurationError, nearest

LIMITS = ("max_cost_usd", "max_tokens", "max_model_calls", "deadline_seconds")
"""What can be limited: the fields of a budget, and the settings of the same names."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run or a step may spend, with all of its attempts. None means without limit.

    Attributes:
        max_cost_usd: The price of its model calls in USD, above 0. A model without a known price is refused.
        max_tokens: What its model calls read and write, in tokens, from 1.
        max_model_calls: How many requests go to models, from 1.
        deadline_seconds: How long it may take from its beginning, in seconds, above 0.

    Raises:
        ConfigurationError: If a number is out of its range.

    Example:
        >>> Budget(max_cost_usd=0.5, deadline_seconds=600).is_unlimited, Budget().is_unlimited
        (False, True)
    """

    max_cost_usd: float | None = None
    max_tokens: int | None = None
    max_model_calls: int | None = None
    deadline_seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_tokens", "max_model_calls"):
            amount = getattr(self, name)
            if amount is not None and (not isinstance(amount, int) or isinstance(amount, bool) or amount < 1):
                raise ConfigurationError(f"The budget's `{name}` is {amount!r}; it must be a whole number from 1.")
        for name in ("max_cost_usd", "deadline_seconds"):
            amount = getattr(self, name)
            is_number = isinstance(amount, int | float) and not isinstance(amount, bool)
            if amount is not None and not (is_number and 0 < amount < math.inf):
                raise ConfigurationError(f"The budget's `{name}` is {amount!r}; it must be a number above 0.")

    @classmethod
    def of(cls, given: "Budget | Mapping[str, object] | None") -> Self:
        """Return what is given as a budget, a mapping of its fields too.

        Raises:
            ConfigurationError: If a field is unknown, or a number is out of its range.
        """
        if isinstance(given, cls):
            return given
        if given is not None and not isinstance(given, Mapping):
            raise ConfigurationError(f"A budget is a Budget or a mapping of its fields, not {type(given).__name__}.")
        for name in given or ():
            if name not in LIMITS:
                raise ConfigurationError(f"A budget has no {name!r}.{nearest(name, LIMITS)}")
        return cls(**(given or {}))  # type: ignore[arg-type]  # `__post_init__` checks the values

    @classmethod
    def among(cls, settings: object) -> Self:
        """Return the limits that are among the settings, attributes of the names in `LIMITS`.

        Example:
            >>> from tagent.config import TAgentConfig
            >>> Budget.among(TAgentConfig(max_tokens=1000, temperature=0)) == Budget(max_tokens=1000)
            True
        """
        found = {name: getattr(settings, name) for name in LIMITS}
        return cls(**{name: None if amount == math.inf else amount for name, amount in found.items()})

    def merged(self, other: "Budget") -> Self:
        """Return this budget with the limits that `other` sets.

        Example:
            >>> Budget(max_tokens=1000, max_cost_usd=1).merged(Budget(max_tokens=9)) == Budget(1, 9)
            True
        """
        given = {name: getattr(other, name) for name in LIMITS}
        return replace(self, **{name: amount for name, amount in given.items() if amount is not None})

    @property
    def is_unlimited(self) -> bool:
        """Whether nothing is limited."""
        return self == Budget()
