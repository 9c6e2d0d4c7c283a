"""Whether to try again, and how long to wait before: a step, a tool, a model.

Pure: the draw of chance is an argument.
"""

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from tagent.exceptions import TAgentError

NEVER_BY_ITSELF = frozenset(
    {
        "configuration",
        "configuration.missing_extra",
        "model.not_chosen",
        "model.unknown",
        "model.authentication",
        "budget.exceeded",
    }
)
"""Codes that a wide `only` does not reach: trying again cannot help, or spends what nobody wants to spend."""

MISTAKES = (
    AssertionError,
    AttributeError,
    ImportError,
    NameError,
    NotImplementedError,
    SyntaxError,
    TypeError,
)
"""Exceptions that are mistakes in the program, which no later try can mend."""

_NAME = re.compile(r"[A-Za-z_]\w*")
_CODE = re.compile(r"[a-z_]+(\.[a-z_]+)*")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which failures are worth another attempt, and how long to wait before; how many there are is said elsewhere.

    Attributes:
        base_seconds: The longest first wait; it doubles with each failure.
        ceiling_seconds: The longest wait of all.
        jitter: Whether chance shortens each wait, so that what failed together does not come back together.
            Without, the whole wait is waited.
        only: What is tried again, and nothing else: codes like `step.timeout`, or `model` for all that begin so, and
            exception classes or their names, which stand for their subclasses too. Empty leaves it to the table of
            codes. Kept as texts: a class of tagent as its code, any other as its name.
        never: What is not tried again, likewise, whatever `only` and the table say.

    Raises:
        ValueError: If a number is negative or not finite, `jitter` is not a truth value, or something named in
            `only` or `never` can be neither a code nor a class, or stands in both.

    Example:
        >>> from tagent.pipeline import PipelineStep
        >>> step = PipelineStep(name="search", goal="Find it", max_retries=5, retry=RetryPolicy(base_seconds=2))
        >>> [backoff_seconds(step.retry, failures, jitter=1) for failures in (1, 2, 3, 9)]
        [2.0, 4.0, 8.0, 30.0]
        >>> RetryPolicy(only=[ConnectionError, "step.timeout"]).only
        ('ConnectionError', 'step.timeout')
    """

    base_seconds: float = 0.5
    ceiling_seconds: float = 30.0
    jitter: bool = field(default=True, kw_only=True)
    only: Collection[str | type[BaseException]] = field(default=(), kw_only=True)
    never: Collection[str | type[BaseException]] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        waits = (self.base_seconds, self.ceiling_seconds)
        if not all(_is_number(wait) and 0 <= wait < math.inf for wait in waits):
            raise ValueError(f"Waits are finite numbers of seconds from 0: {self}.")
        if not isinstance(self.jitter, bool):
            raise ValueError(f"`jitter` is True or False, not {self.jitter!r}.")  # noqa: TRY004 - one kind for all
        for field_name in ("only", "never"):
            object.__setattr__(self, field_name, _names(getattr(self, field_name), field_name))
        if both := sorted({str(name) for name in self.only} & {str(name) for name in self.never}):
            raise ValueError(f"`only` and `never` both name {', '.join(both)}. Keep one of them.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _names(given: object, field_name: str) -> tuple[str, ...]:
    """Return codes and classes as texts; one alone is meant as one, not as its letters."""
    several = given if isinstance(given, Iterable) and not isinstance(given, str | type) else [given]
    return tuple(_name_of(one, field_name) for one in several)


def _name_of(given: object, field_name: str) -> str:
    if isinstance(given, type) and issubclass(given, BaseException):
        # The code is what is left of an error of ours in the journal, so after a crash nothing else is known of it.
        if issubclass(given, TAgentError) and given is not TAgentError and "code" in vars(given):
            return given.code
        return given.__name__
    if isinstance(given, str) and (_NAME.fullmatch(given) or _CODE.fullmatch(given)):
        return given
    advice = ""
    if isinstance(given, str) and _NAME.fullmatch(last := given.rpartition(".")[2]):
        advice = f" A class is named without its module: {last!r}."
    raise ValueError(
        f"{given!r} in `{field_name}` is neither a code like 'step.timeout' nor an exception class or its name.{advice}"
    )


def kinds_of(error: BaseException) -> tuple[str, ...]:
    """Return the names of an exception's class and of all its bases, the most special first.

    A group of one counts as the one: whether a step's function uses a `TaskGroup` is nobody's business.

    Example:
        >>> kinds_of(ExceptionGroup("tasks", [ConnectionResetError()]))
        ('ConnectionResetError', 'ConnectionError', 'OSError', 'Exception', 'BaseException')
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return tuple(kind.__name__ for kind in type(error).__mro__ if issubclass(kind, BaseException))


def retries(policy: RetryPolicy, *, code: str, is_retryable: bool, kinds: Collection[str] = ()) -> bool:
    """Return whether what failed so is worth another attempt.

    `never` goes before `only`, and `only` before the table. A code of `NEVER_BY_ITSELF` must be named itself, by the
    whole code or its own class: `only=[Exception]` does not mean it, and `only=["model"]` does not either.

    Args:
        policy: What was asked for.
        code: The failure's code.
        is_retryable: What the table says of it.
        kinds: The names of the exception's class and its bases, as `kinds_of` gives them; for a step's function those
            of what it raised. Empty where there was no exception.

    Example:
        >>> asked = RetryPolicy(only=["OSError", "agent.goal_not_achieved"])
        >>> retries(asked, code="step.failed", is_retryable=True, kinds=kinds_of(ConnectionError()))
        True
        >>> retries(asked, code="step.failed", is_retryable=True, kinds=kinds_of(ValueError()))
        False
        >>> retries(asked, code="agent.goal_not_achieved", is_retryable=False)
        True
    """
    parts = code.split(".")
    names = {*(".".join(parts[:end]) for end in range(1, len(parts) + 1)), *kinds}
    if not names.isdisjoint(policy.never):
        return False
    if not policy.only:
        return is_retryable
    if code in NEVER_BY_ITSELF:
        return not {code, *tuple(kinds)[:1]}.isdisjoint(policy.only)
    return not names.isdisjoint(policy.only)


def backoff_seconds(policy: RetryPolicy, failures: int, *, jitter: float) -> float:
    """Return how long to wait before the next attempt.

    The delay doubles with each failure up to a ceiling, then is scaled by `jitter`, so that steps
    which failed together do not come back together; unless the policy is without jitter.

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
        >>> backoff_seconds(RetryPolicy(base_seconds=1, jitter=False), failures=3, jitter=0.5)
        4.0
    """
    if failures < 1:
        raise ValueError(f"`failures` counts from 1, not {failures}.")
    doublings = min(failures - 1, 64)  # beyond it any base has long met its ceiling
    whole = min(policy.ceiling_seconds, policy.base_seconds * 2.0**doublings)
    return jitter * whole if policy.jitter else whole
