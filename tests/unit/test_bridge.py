"""Bridges: one loop, reached from threads and from other loops."""

import asyncio
import os
import signal
import sys
import threading

import pytest

from tagent.bridge import BlockingCallError, Bridge, ClosedBridgeError, LoopThread


async def answer() -> int:
    """Return what is expected."""
    return 42


async def test_work_is_carried_to_its_loop_from_anywhere() -> None:
    """From that loop, from a thread and from another loop."""
    bridge, thread = Bridge(asyncio.get_running_loop()), LoopThread()
    assert await bridge.carry(answer()) == 42
    assert await asyncio.to_thread(bridge.wait, answer()) == 42
    assert await thread.carry(answer()) == 42
    assert thread.wait(answer()) == 42
    with pytest.raises(BlockingCallError):
        bridge.wait(answer())
    thread.close()
    thread.close()


def test_what_was_closed_says_so() -> None:
    """Instead of waiting for a loop that has ended."""
    thread = LoopThread()
    thread.close()
    with pytest.raises(ClosedBridgeError):
        thread.wait(answer())
    with pytest.raises(ClosedBridgeError):
        asyncio.run(thread.carry(answer()))


def is_waiting(thread: threading.Thread) -> bool:
    """Return whether a thread waits for what another one tells it."""
    return sys._current_frames()[thread.ident or 0].f_code is threading.Condition.wait.__code__


def test_an_interrupt_ends_the_work_as_well() -> None:
    """Otherwise it would go on unseen, and take a message that nobody gets."""
    thread = LoopThread()
    is_cancelled = threading.Event()

    async def waiting() -> None:
        try:
            while not is_waiting(threading.main_thread()):  # noqa: ASYNC110 - a thread that tells nobody
                await asyncio.sleep(0)
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            is_cancelled.set()

    with pytest.raises(KeyboardInterrupt):
        thread.wait(waiting())
    assert is_cancelled.wait(60)
    thread.close()
