"""A clock that stands still until a test moves it, or that jumps over every wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class _Limit:
    is_reached: bool = False

    def expired(self) -> bool:
        """Return whether the limit was reached."""
        return self.is_reached


class ManualClock:
    """Time in the hands of a test.

    Waiting does not take time: as soon as everything that can run has run, the clock jumps to the
    next moment for which somebody waits. So backoff and timeouts are tested without sleeping.

    Attributes:
        waits: The seconds of every wait that was begun, in order.

    Example:
        >>> clock = ManualClock(now=100)
        >>> asyncio.run(clock.sleep(50))
        >>> clock.now()
        150.0
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = float(now)
        self.waits: list[float] = []

    def now(self) -> float:
        """Return the seconds since 1970-01-01 UTC."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the time forward by `seconds`, from 0."""
        self._now += seconds

    async def sleep(self, seconds: float) -> None:
        """Return once nothing else can run, with the time moved forward by `seconds`."""
        self.waits.append(seconds)
        due = self._now + seconds
        await _let_others_run()
        self._now = max(self._now, due)

    @asynccontextmanager
    async def timeout(self, seconds: float | None) -> AsyncIterator[_Limit]:
        """Cancel the body and raise `TimeoutError` if it still waits when nothing else can run."""
        limit = _Limit()
        if seconds is None:
            yield limit
            return
        self.waits.append(seconds)
        due = self._now + seconds
        async with asyncio.timeout(None) as real:

            async def jump() -> None:
                await _let_others_run()
                self._now = max(self._now, due)
                limit.is_reached = True
                real.reschedule(asyncio.get_running_loop().time())

            jumping = asyncio.ensure_future(jump())
            try:
                yield limit
            finally:
                jumping.cancel()


async def _let_others_run() -> None:
    """Give every task that can move a number of turns."""
    for _ in range(100):
        await asyncio.sleep(0)
