"""How long to wait before trying again: a step, a tool, a model. Pure: the draw of chance is an argument."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to wait between attempts; how many there are is said elsewhere.

    Attributes:
        base_seconds: The longest first wait; it doubles with each failure.
        ceiling_seconds: The longest wait of all.

    Raises:
        ValueError: If a number is negative or not finite.

    Example:
        >>> from tagent.pipeline import PipelineStep
        >>> step = PipelineStep(name="search", goal="Find it", max_retries=5, retry=RetryPolicy(base_seconds=2))
        >>> [backoff_seconds(step.retry, failures, jitter=1) for failures in (1, 2, 3, 9)]
        [2.0, 4.0, 8.0, 30.0]
    """

    base_seconds: float = 0.5
    ceiling_seconds: float = 30.0

    def __post_init__(self) -> None:
        if not (0 <= self.base_seconds < math.inf and 0 <= self.ceiling_seconds < math.inf):
            raise ValueError(f"Waits are finite numbers of seconds from 0: {self}.")


def backoff_seconds(policy: RetryPolicy, failures: int, *, jitter: float) -> float:
    """Return how long to wait before the next attempt.

    The delay doubles with each failure up to a ceiling, then is scaled by `jitter`, so that steps
    which failed together do not come back together.

    Args:
        policy: Supplies the first delay and the ceiling.
        failures: Attempts that have failed so far, from 1.
        jitter: A draw from [0, 1]. An argument, so that the function stays pure.

    Returns:
        Seconds, from 0 to `policy.ceiling_seconds`.

    Raises:
        ValueError: If `failures` is below 1.

    Source:
        "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (full jitter).

    Example:
        >>> backoff_seconds(RetryPolicy(base_seconds=1), failures=3, jitter=0.5)
        2.0
    """
    if failures < 1:
        raise ValueError(f"`failures` counts from 1, not {failures}.")
    doublings = min(failures - 1, 64)  # beyond it any base has long met its ceiling
    return jitter * min(policy.ceiling_seconds, policy.base_seconds * 2.0**doublings)
