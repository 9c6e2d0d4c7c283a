"""The machine's clock."""

import asyncio
import time

import pytest

from tagent.adapters.clock import SystemClock


def test_tells_the_time_of_day() -> None:
    """Journals are read by people, and beside other logs."""
    before = time.time()
    assert SystemClock().now() == pytest.approx(before, abs=60)


def test_never_runs_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sets the machine's clock back an hour in the middle of a run."""
    clock = SystemClock()
    before = clock.now()
    monkeypatch.setattr(time, "time", lambda: before - 3600)
    assert clock.now() >= before


async def test_ends_what_takes_too_long() -> None:
    """A limit that has passed stops the work; no limit never does."""
    clock = SystemClock()
    async with clock.timeout(None):
        await clock.sleep(0)
    with pytest.raises(TimeoutError):
        async with clock.timeout(0):
            await asyncio.Event().wait()
