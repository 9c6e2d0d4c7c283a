"""Time as a port, so that nothing in the pure part reads a clock and tests need not sleep."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Timeout(Protocol):
    """A limit on the time of a block, as `asyncio.Timeout` is one."""

    def expired(self) -> bool:
        """Return whether the limit was reached; tells a `TimeoutError` of ours from one of the body."""
        ...


class Clock(Protocol):
    """Tells the time, waits, and limits waiting.

    Example:
        >>> import asyncio
        >>> from tagent.testing import ManualClock
        >>> async def reminded(clock: Clock) -> float:
        ...     await clock.sleep(3600)
        ...     return clock.now()
        >>> asyncio.run(reminded(ManualClock(now=100)))
        3700.0
    """

    def now(self) -> float:
        """Return the seconds since 1970-01-01 UTC; never less than an earlier answer of this clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`, from 0."""
        ...

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Timeout]:
        """Cancel the body after `seconds` and raise `TimeoutError`; None means no limit."""
        ...
