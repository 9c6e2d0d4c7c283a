"""The manual clock: waits take no time, and happen in the order of their ends."""

import asyncio
import threading
import time

import pytest

from tagent.testing import ManualClock
from tagent.threads import DaemonThreads


async def test_a_sleep_moves_the_time_and_takes_none() -> None:
    """A test of an hour's backoff is over at once."""
    clock = ManualClock(now=100)
    await clock.sleep(3600)
    assert (clock.now(), clock.waits) == (3700, [3600])


async def test_the_time_stands_still_until_it_is_moved() -> None:
    """Durations in results are exact."""
    clock = ManualClock()
    await asyncio.sleep(0)
    assert clock.now() == 0
    clock.advance(2.5)
    assert clock.now() == 2.5


async def test_a_sleeper_whose_moment_has_passed_does_not_turn_the_time_back() -> None:
    """A test may move the time past it meanwhile."""
    clock = ManualClock()
    async with asyncio.TaskGroup() as group:
        group.create_task(clock.sleep(5))
        await asyncio.sleep(0)
        clock.advance(10)
    assert clock.now() == 10


async def test_sleepers_wake_in_the_order_of_their_ends() -> None:
    """Whoever began to wait first does not end first."""
    clock, woken = ManualClock(), list[tuple[float, float]]()

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.now()))

    async with asyncio.TaskGroup() as group:
        for seconds in (50, 10, 30, 10):
            group.create_task(sleep(seconds))
    assert woken == [(10, 10), (10, 10), (30, 30), (50, 50)]


async def test_a_wait_that_begins_later_and_ends_earlier_comes_first() -> None:
    """What a woken task does next counts before the next jump."""
    clock, woken = ManualClock(), list[str]()

    async def two_short_ones() -> None:
        await clock.sleep(10)
        woken.append("first")
        await clock.sleep(5)
        woken.append("second")

    async def a_long_one() -> None:
        await clock.sleep(20)
        woken.append("long")

    async with asyncio.TaskGroup() as group:
        group.create_task(a_long_one())
        group.create_task(two_short_ones())
    assert (woken, clock.now()) == (["first", "second", "long"], 20)


async def test_the_clock_jumps_only_when_nothing_else_can_run() -> None:
    """Work that is not finished is not timed out."""
    clock, done = ManualClock(), list[int]()

    async def work() -> None:
        for step in range(20):
            await asyncio.sleep(0)
            done.append(step)

    async with asyncio.TaskGroup() as group:
        group.create_task(work())
        await clock.sleep(1)
        assert len(done) == 20


async def test_a_body_that_waits_longer_than_its_timeout_is_cancelled() -> None:
    """The clock knows both moments and takes the nearer one."""
    clock = ManualClock()
    with pytest.raises(TimeoutError):
        async with clock.timeout(5) as limit:
            await clock.sleep(10)
    assert (limit.expired(), clock.now(), clock.waits) == (True, 5, [5, 10])


async def test_a_body_that_waits_shorter_than_its_timeout_goes_on() -> None:
    """And its limit does not fire afterwards."""
    clock = ManualClock()
    async with clock.timeout(10) as limit:
        await clock.sleep(5)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await clock.sleep(100)
    assert (limit.expired(), clock.now()) == (False, 105)


async def test_a_body_that_waits_for_ever_is_cancelled() -> None:
    """Nobody needs to be patient."""
    clock = ManualClock()
    with pytest.raises(TimeoutError):
        async with clock.timeout(5):
            await asyncio.Event().wait()
    assert clock.now() == 5


async def test_of_nested_timeouts_the_nearer_one_fires() -> None:
    """A task's limit inside a step's."""
    clock = ManualClock()
    async with clock.timeout(10) as outer:
        with pytest.raises(TimeoutError):
            async with clock.timeout(5) as inner:
                await asyncio.Event().wait()
    assert (inner.expired(), outer.expired()) == (True, False)


async def test_without_a_limit_the_body_takes_what_it_takes() -> None:
    """None means no limit."""
    clock = ManualClock()
    async with clock.timeout(None) as limit:
        await clock.sleep(1e9)
    assert (limit.expired(), clock.waits) == (False, [1e9])


async def test_a_timeout_error_of_the_body_can_be_told_from_the_limits() -> None:
    """Only one of them means that the limit was too short."""
    clock = ManualClock()
    with pytest.raises(TimeoutError, match="the body's own"):
        async with clock.timeout(5) as limit:
            raise TimeoutError("the body's own")
    assert not limit.expired()


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    """Nobody waits for its moment any more."""
    clock = ManualClock()
    async with asyncio.TaskGroup() as group:
        sleeper = group.create_task(clock.sleep(5))
        await asyncio.sleep(0)
        sleeper.cancel()
    await clock.sleep(10)
    assert clock.now() == 10


async def test_work_in_a_thread_is_not_cut_off_by_a_jump() -> None:
    """A sync step that takes a moment is not slower than its timeout of a minute."""
    clock = ManualClock()
    async with clock.timeout(60):
        await DaemonThreads().run(lambda: time.sleep(0.02))
    assert clock.now() == 0


async def test_whoever_waited_for_a_thread_runs_before_the_next_jump() -> None:
    """A hundred turns have passed when the thread ends, and what comes behind it has had none of them."""
    clock = ManualClock()
    async with clock.timeout(60):
        for _ in range(3):
            await DaemonThreads().run(lambda: time.sleep(0.01))
            for _ in range(20):
                await asyncio.sleep(0)
    assert clock.now() == 0


async def test_work_in_a_thread_that_does_not_end_times_out() -> None:
    """What hangs is waited for once, not at each wait."""
    clock, end = ManualClock(), threading.Event()
    with pytest.raises(TimeoutError):
        async with clock.timeout(60):
            await DaemonThreads().run(end.wait)
    assert clock.now() == 60
    end.set()
