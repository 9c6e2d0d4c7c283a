"""How requests are spread over time."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tagent.adapters.models.gcra import MINUTE_SECONDS, Rate, earliest_start, paid_after


def starts(rate: Rate, gaps: list[float], units: float = 1) -> list[float]:
    """Return when requests may begin that are asked for after these pauses."""
    now = paid_at = 0.0
    begun = []
    for gap in gaps:
        now += gap
        start = earliest_start(rate, paid_at=paid_at, now=now)
        paid_at = paid_after(rate, paid_at=paid_at, start=start, units=units)
        begun.append(start)
    return begun


@given(per_minute=st.integers(1, 120), pauses=st.lists(st.floats(0, 90), max_size=4), crowd=st.integers(1, 300))
def test_no_minute_holds_more_than_the_limit(per_minute: int, pauses: list[float], crowd: int) -> None:
    """Wherever it begins: providers count in windows of their own, and refuse what is beyond."""
    begun = starts(Rate(per_minute), [gap for pause in [*pauses, 0.0] for gap in (pause, *[0.0] * crowd)])
    for first, beyond in zip(begun, begun[per_minute:], strict=False):
        assert beyond - first >= MINUTE_SECONDS - 1e-6


@given(per_minute=st.integers(1, 1000), gaps=st.lists(st.floats(0, 90), max_size=50))
def test_nobody_overtakes(per_minute: int, gaps: list[float]) -> None:
    """Who asks first goes first."""
    assert all(earlier <= later for earlier, later in pairwise(starts(Rate(per_minute), gaps)))


@given(per_minute=st.integers(1, 1000))
def test_nearly_the_whole_limit_can_be_used(per_minute: int) -> None:
    """A limit that is paid for is not thrown away: at least nine tenths of it, hour after hour."""
    assert MINUTE_SECONDS / Rate(per_minute).interval_seconds >= 0.9 * per_minute - 1e-6


def test_a_few_may_come_at_once() -> None:
    """An agent makes two calls, and need not wait between them."""
    assert starts(Rate(60), [0] * 7) == [0] * 7
    assert starts(Rate(60), [0] * 8)[-1] > 0


def test_what_is_larger_than_the_limit_goes_and_is_paid_off_by_those_behind_it() -> None:
    """A long prompt must not wait for ever."""
    first, second = starts(Rate(100), [0, 0], units=200)
    assert first == 0
    assert second > MINUTE_SECONDS
