"""When a failed request to a model is tried again, and after how long. Pure: time and chance are arguments."""

from tagent.ports.model_errors import ModelError, ModelRateLimitError, ModelUnavailableError
from tagent.retries import RetryPolicy, backoff_seconds

TRIES = 3
"""Of one request, for rate limits, failures on the provider's side and lost connections."""

POLICY = RetryPolicy(base_seconds=0.5, ceiling_seconds=30.0)
"""The waits between tries, where the provider does not say how long to wait."""


def retry_wait(
    error: ModelError, failures: int, *, seconds_left: float, jitter: float, policy: RetryPolicy | None = None
) -> float | None:
    """Return how long to wait before the next try; None if there is none.

    A wait that would outlast the time left is not begun: who asked learns of it now, and can plan.

    Args:
        error: What the last try ended in.
        failures: Tries that have failed so far, from 1.
        seconds_left: Until the deadline of the call.
        jitter: A draw from [0, 1].
        policy: The waits where the provider asks for none; `POLICY` when None.

    Returns:
        Seconds from 0: as many as the provider asks for, else a share of a delay that doubles.

    Example:
        >>> retry_wait(ModelRateLimitError("m", retry_after_seconds=7), 1, seconds_left=60, jitter=0.5)
        7
        >>> retry_wait(ModelRateLimitError("m", retry_after_seconds=7), 1, seconds_left=5, jitter=0.5) is None
        True
    """
    if failures >= TRIES or not isinstance(error, ModelRateLimitError | ModelUnavailableError):
        return None
    wait = error.retry_after_seconds
    if wait is None:
        wait = backoff_seconds(POLICY if policy is None else policy, failures, jitter=jitter)
    return wait if wait < seconds_left else None
