"""Notices soon that a claim is lost: a run that takes longer than a moment looks at its epoch about twice a second.

Renewing the lease would tell too, but it is a write, and a lease is long. Time here is the machine's, as for leases:
a test's own clock must not be moved by it.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from tagent.exceptions import StoreError
from tagent.pipeline.journal.lease import Lease
from tagent.ports.store_errors import ConflictError

LOOK_SECONDS = 0.4
"""How long it is from one look to the next; a run that is shorter never looks."""

MOST_LOOKS_PER_SECOND = 1000
"""How often this process looks at most. Beyond 400 runs at once each of them looks less often, so that looking never
takes more than a fraction of a processor."""

_watched: set[Lease] = set()
"""The claims that this process looks at."""


@contextmanager
def watched(lease: Lease, group: asyncio.TaskGroup) -> Iterator[None]:
    """During the block, tell `lease.on_lost` once somebody else has the run.

    The looking is a task of `group`, and begins only when the block has lasted a while: before that it is a timer.
    """
    looking: list[asyncio.Task[None]] = []

    def begin() -> None:
        looking.append(group.create_task(_watch(lease), name=f"claim:{lease.run_id}"))

    timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, begin)
    try:
        yield
    finally:
        timer.cancel()
        for task in looking:
            task.cancel()


async def _watch(lease: Lease) -> None:
    """Return when the claim is lost."""
    _watched.add(lease)
    try:
        while True:
            found = await _epoch(lease)
            if found != lease.epoch:
                lease.on_lost(ConflictError(lease.run_id, expected=f"epoch {lease.epoch}", found=f"epoch {found}"))
                return
            await asyncio.sleep(max(LOOK_SECONDS, len(_watched) / MOST_LOOKS_PER_SECOND))
    finally:
        _watched.discard(lease)


async def _epoch(lease: Lease) -> int:
    """Return the run's epoch; while the store does not tell, the one of the claim."""
    try:
        return (await lease.store.run(lease.run_id)).epoch
    except StoreError:  # it is away, or the run has not begun; the epoch keeps a stale writer out all the same
        return lease.epoch
