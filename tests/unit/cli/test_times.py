"""Times and ages on the command line."""

import time
from collections.abc import Iterator

import click
import pytest

from tagent.cli.times import age, time_of, time_or_age, time_text


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock does not show UTC."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45s", 45.0), ("30m", 1800.0), ("2h", 7200.0), ("1.5h", 5400.0), ("7d", 604_800.0), ("4w", 2_419_200.0)],
)
def test_an_age_is_a_number_and_its_unit(text: str, seconds: float) -> None:
    """As everybody writes it."""
    assert age(text) == seconds
    assert time_of(text, now=3e9) == 3e9 - seconds


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-07-28", "2026-07-28T00:00:00.000+00:00"),
        ("2026-07-28T12:30", "2026-07-28T12:30:00.000+00:00"),
        ("2026-07-28 12:30:01.5", "2026-07-28T12:30:01.500+00:00"),
        ("2026-07-28T12:00+02:00", "2026-07-28T10:00:00.000+00:00"),
        ("2026-07-28T12:00Z", "2026-07-28T12:00:00.000+00:00"),
    ],
)
@pytest.mark.usefixtures("in_tokyo")
def test_a_time_without_a_zone_is_in_utc(text: str, at: str) -> None:
    """As those that are printed, so that one can be copied."""
    assert time_text(time_or_age(text)) == at
    assert time_or_age(at) == time_or_age(text)


@pytest.mark.parametrize(
    "text", ["", "7", "7 days", "d", "-2h", "1e3s", "٣d", "2026-13-01", "yesterday", "9" * 400 + "d"]
)
def test_what_is_neither_is_refused_with_an_example(text: str) -> None:
    """A guess would list, or delete, the wrong runs."""
    with pytest.raises(click.BadParameter, match="30m"):
        time_or_age(text)
    with pytest.raises(click.BadParameter, match="30m"):
        age(text)


def test_the_first_of_all_days_is_a_time() -> None:
    """It may well mean `all of them`."""
    assert time_or_age("0001-01-01T00:00+23:00") < 0
