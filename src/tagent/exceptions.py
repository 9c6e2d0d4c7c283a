"""The root of every error that tagent raises, and the errors that more than one layer knows.

    TAgentError
    ├── ConfigurationError              a setting is unknown, wrong or missing
    │   └── MissingExtraError           an optional part is not installed (an ImportError too)
    ├── tagent.ports.ModelError         a language model did not answer as asked
    ├── ToolError                       a tool is unknown, is called wrongly, or fails
    ├── DataPathError                   a path like `step.field[0]` is malformed or leads nowhere
    ├── IllegalTransitionError          an event that its state machine does not allow
    ├── StoreError                      the journal could not be written or read
    └── tagent.pipeline.PipelineError   see `tagent.pipeline.exceptions`

Each class has a stable `code`, keeps its facts as fields and builds its own message. Messages name
things and sizes; they never hold a prompt, a key or what a tool returned.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import ClassVar

MAX_CANDIDATES = 50
"""Names compared closely with a misspelt one; of more, those that begin alike. Comparing is slow."""


class TAgentError(Exception):
    """Something that tagent can explain.

    Attributes:
        code: Stable, dotted, for programs: `"model.rate_limited"`.
        message: What happened, and to which thing.
        hint: What to do about it; empty when the message says it all.
        is_retryable: Whether trying the same thing again later may help.

    Example:
        >>> from tagent import run_agent
        >>> try:
        ...     run_agent("Say hello", temprature=0)
        ... except TAgentError as error:
        ...     print(error.code, error.is_retryable, error, sep="; ")
        configuration; False; In the configuration: 'temprature' is not a setting. Did you mean 'temperature'?
    """

    code: ClassVar[str] = "tagent"
    is_retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(f"{message} {hint}".rstrip())


def text_of(error: BaseException) -> str:
    """Return what an error says, as text that can be written anywhere.

    A Pydantic error is told without the values that did not fit; an error that cannot say anything is
    told by its class; what is no valid Unicode is escaped.
    """
    try:
        text = _without_values(error) if type(error).__name__ == "ValidationError" else str(error)
    except Exception:  # noqa: BLE001 - its own __str__ is broken
        text = type(error).__name__
    return text.encode("utf-8", "backslashreplace").decode()


def _without_values(error: BaseException) -> str:
    problems = getattr(error, "errors", None)
    if problems is None:
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'value'}: {problem['msg']}"
        for problem in problems(include_input=False, include_url=False)
    )


@contextmanager
def ungrouped() -> Iterator[None]:
    """Raise the first error of a group as itself: of a `TaskGroup` in here, what ended it.

    Example:
        >>> with ungrouped():
        ...     raise ExceptionGroup("tasks", [KeyError("a"), ValueError("b")])
        Traceback (most recent call last):
        KeyError: 'a'
    """
    try:
        yield
    except BaseExceptionGroup as raised:
        first = raised.exceptions[0]
        raise first from first.__cause__


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known name most like `name`, or "" when none is near.

    Example:
        >>> nearest("web_serch", ["web_search", "report"])
        " Did you mean 'web_search'?"
    """
    candidates = sorted(known, key=lambda other: _alike_at_the_start(name, other), reverse=True)
    matches = get_close_matches(name, candidates[:MAX_CANDIDATES], n=1)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def _alike_at_the_start(one: str, other: str) -> int:
    """Return how many first letters two words share."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


class ConfigurationError(TAgentError):
    """A setting is unknown, has a wrong value, or is missing."""

    code = "configuration"


class MissingExtraError(ConfigurationError, ImportError):
    """An optional part of tagent is used whose packages are not installed.

    Attributes:
        extra: The extra to install: `pip install tagent[extra]`.

    Example:
        >>> error = MissingExtraError("pipeline", feature="A schedule")
        >>> error.extra, str(error)
        ('pipeline', 'A schedule requires: pip install tagent[pipeline]')
    """

    code = "configuration.missing_extra"

    def __init__(self, extra: str, *, feature: str) -> None:
        self.extra = extra
        super().__init__(f"{feature} requires: pip install tagent[{extra}]")


class ToolError(TAgentError):
    """A tool is unknown, is called with wrong arguments, fails, or takes too long.

    Attributes:
        tool: The tool's name.
    """

    code = "tool"

    def __init__(self, tool: str, message: str, *, hint: str = "") -> None:
        self.tool = tool
        super().__init__(message, hint=hint)


class DataPathError(TAgentError):
    """A path like `step.field[0]` is malformed, or leads to nothing.

    Attributes:
        path: The path as it was written.
    """

    code = "path"

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        super().__init__(message)


class IllegalTransitionError(TAgentError):
    """An event reached a state machine in a state that does not allow it.

    Attributes:
        state: The state's name.
        event: The event's name.
    """

    code = "state.illegal_transition"

    def __init__(self, state: str, event: str) -> None:
        self.state = state
        self.event = event
        super().__init__(f"{event} is not allowed in the state {state}.")


class StoreError(TAgentError):
    """The journal could not be written or read."""

    code = "store"
