"""Reaches the event loop that a store lives in from wherever somebody is: a thread, another loop, or that loop."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from tagent.exceptions import TAgentError

Result = TypeVar("Result")


class BlockingCallError(TAgentError):
    """A blocking method was called in an async function: it would wait for the loop that it keeps from going on."""

    code = "bridge.blocking_call"

    def __init__(self) -> None:
        super().__init__(
            "A blocking method was called inside an async function, where it would wait for ever.",
            hint="Await its twin, whose name begins with an a: `await memory.aget(...)` for `memory.get(...)`.",
        )


class ClosedBridgeError(TAgentError):
    """A store is used that was closed: its event loop has ended."""

    code = "bridge.closed"

    def __init__(self) -> None:
        super().__init__("It is closed: what it was opened for has ended.", hint="Open another one.")


class Bridge:
    """Carries coroutines to the loop in which they have to run.

    Args:
        loop: That loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Return what `work` returns. Blocks; when it is interrupted, `work` is cancelled.

        Raises:
            BlockingCallError: If called in the loop itself.
            ClosedBridgeError: If that loop has ended.
        """
        if _running_loop() is self.loop:
            work.close()
            raise BlockingCallError
        future = self.start(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def carry(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Return what `work` returns, from any loop.

        Raises:
            ClosedBridgeError: If that loop has ended.
        """
        if _running_loop() is self.loop:
            return await work
        return await asyncio.wrap_future(self.start(work))

    def start(self, work: Coroutine[Any, Any, Result]) -> "Future[Result]":
        """Let `work` begin, and return what tells of its end.

        Raises:
            ClosedBridgeError: If that loop has ended.
        """
        if self.loop.is_closed():
            work.close()
            raise ClosedBridgeError
        return asyncio.run_coroutine_threadsafe(work, self.loop)


class LoopThread(Bridge):
    """A bridge to a loop of its own, in a daemon thread that starts with it."""

    def __init__(self) -> None:
        super().__init__(asyncio.new_event_loop())
        self._thread = threading.Thread(target=self.loop.run_forever, name="tagent-loop", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread. Blocks until then; closing twice does no harm."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
            self.loop.close()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
