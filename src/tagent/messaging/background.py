"""`Subscribed`: a listener at work in the background."""

import asyncio
import logging
from types import TracebackType
from typing import Self

from tagent.bridge import Bridge
from tagent.messaging.listening import Listener

logger = logging.getLogger("tagent")


class Subscribed:
    """A handler that is given messages until it is stopped. It is a context manager that stops it at the end.

    Args:
        name: Who listens, for the log.
        listener: What runs.
        bridge: The way to the event loop in which it runs.
        holding: What must live as long.
    """

    def __init__(self, name: str, listener: Listener, bridge: Bridge, *, holding: object) -> None:
        self._name = name
        self._listener = listener
        self._bridge = bridge
        self._holding = holding
        self._task: asyncio.Task[object] | None = None
        self._is_stopped = False
        self._ended = bridge.start(self._run())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.astop()

    @property
    def is_listening(self) -> bool:
        """Whether messages are still handled; no longer when it was stopped, or the store has failed for good."""
        return not self._ended.done()

    def stop(self) -> None:
        """End it, and return when it has ended. What is handled is written; a message in hand comes again.

        A second time does nothing.
        """
        if self.is_listening:
            self._bridge.wait(self._stop())

    async def astop(self) -> None:
        """End it, and return when it has ended."""
        if self.is_listening:
            await self._bridge.carry(self._stop())

    def join(self) -> None:
        """Return when it is stopped.

        Raises:
            StoreError: If the store has failed for good.
        """
        self._bridge.wait(self._join())

    async def ajoin(self) -> None:
        """Return when it is stopped."""
        await self._bridge.carry(self._join())

    async def _run(self) -> None:
        self._task = asyncio.current_task()
        try:
            if not self._is_stopped:
                await self._listener.run()
        except asyncio.CancelledError:
            logger.debug("The subscriber %r has stopped.", self._name)
        except Exception:
            logger.exception("The subscriber %r listens no more.", self._name)
            raise

    async def _stop(self) -> None:
        self._is_stopped = True
        if self._task is not None:
            self._task.cancel()
        await asyncio.wait([asyncio.wrap_future(self._ended)])

    async def _join(self) -> None:
        await asyncio.shield(asyncio.wrap_future(self._ended))
