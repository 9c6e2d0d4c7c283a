"""Waiting for what nobody tells of: a number that is asked for again and again until it is another one."""

import asyncio
from collections.abc import Awaitable, Callable

SHORTEST_SECONDS = 0.002
LONGEST_SECONDS = 0.035
"""How long it is until the number is asked for again: longer each time that nothing has changed.

A process that waits for days takes half a percent of a processor, and who waits sees a change within
four hundredths of a second.
"""

GROWTH = 1.3


class Polling:
    """Waits for a number to change. However many wait, one asks for all.

    Args:
        version: Returns the number.
    """

    def __init__(self, version: Callable[[], Awaitable[int]]) -> None:
        self._version = version
        self._asked: dict[asyncio.AbstractEventLoop, asyncio.Future[None]] = {}
        """Event loop -> what is done when the one who asks there has seen a change, or asks no more."""

    async def wait(self, seen: int, *, seconds: float) -> int:
        """Return the number as soon as it is another one than `seen`, after `seconds` whatever it is."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        while True:
            found, left = await self._version(), ends - loop.time()
            if found != seen or left <= 0:
                return found
            asked = self._asked.get(loop)
            if asked is None:
                await self._ask(loop, seen, ends)
            else:
                await asyncio.wait([asked], timeout=left)

    async def _ask(self, loop: asyncio.AbstractEventLoop, seen: int, ends: float) -> None:
        """Ask for everybody in this loop, until the number is another one or this one need not wait any more."""
        asked = self._asked[loop] = loop.create_future()
        pause = SHORTEST_SECONDS
        try:
            while (left := ends - loop.time()) > 0 and await self._version() == seen:
                await asyncio.sleep(min(left, pause))
                pause = min(pause * GROWTH, LONGEST_SECONDS)
        finally:
            del self._asked[loop]
            asked.set_result(None)
