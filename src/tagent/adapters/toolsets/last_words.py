"""What a child process said last on its standard error, kept for whoever must know why it ended."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TextIO

logger = logging.getLogger("tagent")

KEPT_BYTES = 8_000
"""Of the end. More than is ever told, for secrets are taken out first."""

LINGER_SECONDS = 0.5
"""How long to wait, after the child has ended, for what others hold open: a child of its own may write on."""


class LastWords(asyncio.Protocol):
    """Listens to a child, so that it never waits for a reader, and keeps the end of what it says.

    What servers log is for whoever looks for a mistake: it reaches the terminal only if our own logger is told to
    tell everything, for otherwise it would be amid our output.
    """

    def __init__(self) -> None:
        self._kept = b""
        self._is_over = asyncio.Event()

    @property
    def text(self) -> str:
        """The end of what it said, in one line; it is untrusted, and may hold secrets."""
        return " ".join(self._kept.decode("utf-8", "replace").split())

    def data_received(self, data: bytes) -> None:
        """Keep what belongs to the end."""
        self._kept = (self._kept + data)[-KEPT_BYTES:]
        if logger.isEnabledFor(logging.DEBUG) and sys.__stderr__ is not None:
            sys.__stderr__.write(data.decode("utf-8", "replace"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's parameter
        """Nobody will say anything any more."""
        self._is_over.set()

    @asynccontextmanager
    async def heard(self) -> AsyncIterator[TextIO]:
        """Yield what the child is given as its standard error; close it when the child has it."""
        if sys.platform == "win32":  # its event loop cannot listen to such a pipe
            with open(os.devnull, "w", encoding="utf-8") as nothing:  # noqa: ASYNC230, PTH123 - does not block
                yield nothing
            return
        reading, writing = os.pipe()
        listened, spoken = os.fdopen(reading, "rb", buffering=0), os.fdopen(writing, "w", encoding="utf-8")
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: self, listened)
        try:
            with spoken:
                yield spoken
        finally:
            try:
                await self._end()
            finally:
                transport.close()

    async def _end(self) -> None:
        """Wait until all that was said is heard."""
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                await self._is_over.wait()
        except TimeoutError:
            logger.debug("A child of an MCP server holds its standard error open.")
