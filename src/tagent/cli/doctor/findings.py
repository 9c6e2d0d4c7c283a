"""What a check of `tagent doctor` comes back with."""

from collections.abc import Awaitable, Sequence
from enum import StrEnum

from tagent.exceptions import TAgentError
from tagent.values import value


class Outcome(StrEnum):
    """How a check went."""

    FINE = "ok"
    WARNING = "warning"
    """Runs work, though not as safely as they might."""
    FAILED = "failed"


@value
class Finding:
    """One line of the report.

    Attributes:
        name: What was looked at, in a word.
        what: What was found; holds no key and no password.
        outcome: How it went.
        remedy: What to do about it; empty if all is well.
    """

    name: str
    what: str
    outcome: Outcome = Outcome.FINE
    remedy: str = ""


async def findings_of(name: str, check: Awaitable[Sequence[Finding]]) -> Sequence[Finding]:
    """Return what `check` finds; an error that tagent can explain is a finding too, under `name`."""
    try:
        return await check
    except TAgentError as error:
        return [Finding(name, error.message, Outcome.FAILED, error.hint)]
