"""Waiting for what somebody else writes: look, wait for a change, look again. Never a busy loop."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tagent.ports.clock import Clock
from tagent.ports.store import Store

Found = TypeVar("Found")

LONGEST_WAIT_SECONDS = 60.0
"""How long a store is asked to wait at a time: should it ever fail to tell of a change, this is how late it is seen."""

FIRST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.05
"""What is changed in a busy store is mostly nothing to the one who waits, so he looks at most twenty times a second."""


def deadline(clock: Clock, timeout: float | None) -> float | None:
    """Return when `timeout` seconds from now have passed; None for never."""
    return None if timeout is None else clock.now() + timeout


async def wait_until(
    look: Callable[[], Awaitable[Found | None]], *, store: Store, clock: Clock, until: float | None
) -> Found | None:
    """Return what `look` finds as soon as it finds something; None if there is nothing at the end of the time.

    It looks at least once. A look is never cut off by the end of the time.

    Args:
        look: Looks; returns None if there is nothing.
        store: Where a change may mean that there is something.
        clock: Tells the time.
        until: How long to wait, in seconds since 1970-01-01 UTC; None for ever.
    """
    seen: int | None = None
    pause = 0.0
    while (found := await look()) is None:
        looked_at = clock.now()
        if until is not None and looked_at >= until:
            return None
        if seen is None:  # what is written behind this will be heard of, so look once more
            seen = await store.wait_for_change(0, seconds=0)
            continue
        try:
            async with clock.timeout(None if until is None else until - looked_at) as limit:
                seen = await store.wait_for_change(seen, seconds=LONGEST_WAIT_SECONDS)
                waited = clock.now() - looked_at
                is_calm = waited > LONGEST_PAUSE_SECONDS
                pause = 0.0 if is_calm else min(LONGEST_PAUSE_SECONDS, 2 * pause or FIRST_PAUSE_SECONDS)
                if pause > waited:
                    await clock.sleep(pause - waited)
        except TimeoutError:
            if not limit.expired():
                raise
    return found
