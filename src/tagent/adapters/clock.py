"""The machine's clock."""

import asyncio
import time


class SystemClock:
    """Real time. It is set once, from the wall clock, and then follows the monotonic one.

    So two answers never run backwards, even when somebody sets the machine's clock meanwhile.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Return the seconds since 1970-01-01 UTC."""
        return self._offset + time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> asyncio.Timeout:
        """Cancel the body after `seconds` and raise `TimeoutError`; None means no limit."""
        return asyncio.timeout(seconds)
