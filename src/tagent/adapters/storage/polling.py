"""Waiting for what nobody tells of: a number that is asked for again and again until it is another one."""

import asyncio
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.01
"""How often it is asked for: that takes microseconds, and who waits sees a change within a hundredth of a second."""


async def wait_for_another(version: Callable[[], Awaitable[int]], seen: int, *, seconds: float) -> int:
    """Return `version()` as soon as it is another one than `seen`, after `seconds` whatever it is."""
    clock = asyncio.get_running_loop()
    ends = clock.time() + seconds
    while True:
        found, left = await version(), ends - clock.time()
        if found != seen or left <= 0:
            return found
        await asyncio.sleep(min(left, POLL_SECONDS))
