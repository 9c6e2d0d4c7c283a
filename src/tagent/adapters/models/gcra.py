"""How requests are spread over time: the generic cell rate algorithm, as reservations. Pure.

Whoever asks is told at once when its turn is, and that moment is its own: nobody polls, nobody overtakes. The
whole state of a rate is one number, the moment at which all that was reserved is paid off.

Source:
    ITU-T Recommendation I.371, "Traffic control and congestion control in B-ISDN", annex A (virtual scheduling).
"""

from dataclasses import dataclass

MINUTE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Rate:
    """So many units a minute.

    A tenth of them may come at once; the others are spread so that no minute, wherever it begins, holds more than
    `per_minute` units, as long as each request takes one.

    Attributes:
        per_minute: Units, from 1.

    Example:
        >>> rate = Rate(60)
        >>> rate.burst, round(rate.interval_seconds, 2)
        (7, 1.11)
    """

    per_minute: int

    @property
    def burst(self) -> int:
        """Units that may come at once after a pause."""
        return 1 + self.per_minute // 10

    @property
    def interval_seconds(self) -> float:
        """What one unit takes of the time."""
        return MINUTE_SECONDS / (self.per_minute - self.burst + 1)

    @property
    def tolerance_seconds(self) -> float:
        """How far what is reserved may run ahead of the time."""
        return (self.burst - 1) * self.interval_seconds


def earliest_start(rate: Rate, *, paid_at: float, now: float) -> float:
    """Return when the next request may begin.

    What it takes does not matter, only what was taken before: a request that is larger than the burst goes, and
    those behind it wait for it to be paid off.

    Args:
        rate: The limit.
        paid_at: When all that was reserved is paid off.
        now: On the same clock.
    """
    return max(now, paid_at - rate.tolerance_seconds)


def paid_after(rate: Rate, *, paid_at: float, start: float, units: float) -> float:
    """Return when all is paid off once a request of `units` begins at `start`.

    Example:
        >>> paid_after(Rate(1), paid_at=0, start=100, units=1)
        160.0
    """
    return max(paid_at, start) + units * rate.interval_seconds
