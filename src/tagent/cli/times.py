"""Times and ages as people write them on the command line, and times as tagent prints them."""

import re
from datetime import UTC, datetime

import click

from tagent.adapters.clock import SystemClock

_AGE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhdw])")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


TIMES = "2026-07-28, 2026-07-28T12:00 (UTC), or so long ago: 2h, 7d"
"""How a time may be written, for the help."""


def seconds_of_age(text: str) -> float | None:
    """Return the seconds that an age stands for, None if `text` is no age.

    Example:
        >>> seconds_of_age("2h")
        7200.0
        >>> seconds_of_age("two hours") is None
        True
    """
    match = _AGE.fullmatch(text)
    return float(match[1]) * _SECONDS[match[2]] if match else None


def age_text(seconds: float) -> str:
    """Return a time span as an age, rounded down to the unit of which there are at least two.

    Example:
        >>> [age_text(seconds) for seconds in (5.7, 119, 120, 7199, 7200, 200_000)]
        ['5s', '119s', '2m', '119m', '2h', '2d']
    """
    unit = next((it for it in ("d", "h", "m") if seconds >= 2 * _SECONDS[it]), "s")
    return f"{int(seconds // _SECONDS[unit])}{unit}"


def time_of(text: str, *, now: float) -> float | None:
    """Return the time that `text` names, an ISO date or time or an age before `now`; None if it is neither.

    A time without a zone is in UTC, as all that tagent prints.

    Example:
        >>> time_of("1970-01-02", now=0)
        86400.0
        >>> time_of("30m", now=2000)
        200.0
    """
    age = seconds_of_age(text)
    if age is not None:
        return now - age
    try:
        named = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (named if named.tzinfo else named.replace(tzinfo=UTC)).timestamp()


def time_text(at: float) -> str:
    """Return a time as people and programs read it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def brief_time_text(at: float) -> str:
    """Return a time as people read it in a table, to the second.

    Example:
        >>> brief_time_text(86_400.5)
        '1970-01-02T00:00:00Z'
    """
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S}Z"


def age(text: str) -> float:
    """Return the seconds of an option's value like `30d`.

    Raises:
        click.BadParameter: If it is none.
    """
    seconds = seconds_of_age(text)
    if seconds is None:
        raise click.BadParameter(f"{text!r} is not an age. Write a number and its unit: 45s, 30m, 2h, 7d or 4w.")
    return seconds


def time_or_age(text: str) -> float:
    """Return the time of an option's value like `2026-07-28`, `2026-07-28T12:00` or `2h`.

    Raises:
        click.BadParameter: If it is none.
    """
    at = time_of(text, now=SystemClock().now())
    if at is None:
        raise click.BadParameter(
            f"{text!r} is neither a time nor an age. Write 2026-07-28, 2026-07-28T12:00 (UTC, unless a zone like "
            "+02:00 follows), or how long ago: 30m, 2h, 7d."
        )
    return at
