"""What all users of an event loop share: HTTP clients, and whatever else is opened once for it.

A client belongs to its event loop and is closed there when the last user leaves. An event loop that is closed by
force takes its clients with it: they can be closed nowhere else.
"""

import asyncio
import logging
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import cache
from typing import TypeVar, cast

import httpx2

from tagent.secrets import scrubbed

T = TypeVar("T")

POOL = httpx2.Limits(max_connections=None, max_keepalive_connections=256, keepalive_expiry=30.0)
"""As many connections as there are requests: what limits them is `limits`, where waiting is counted."""


@cache
def trusted_authorities() -> ssl.SSLContext:
    """Return whom clients trust. Reading them takes 17 ms, more than all else of a short answer: once a process."""
    return httpx2.create_ssl_context()


def _without_secrets(record: logging.LogRecord) -> bool:
    """Let a line of the HTTP client pass without the keys and passwords that addresses and headers hold."""
    record.msg, record.args = scrubbed(record.getMessage()), ()
    return True


for _name in ("httpx2", "httpcore2.connection", "httpcore2.http11", "httpcore2.proxy", "openai._base_client"):
    logging.getLogger(_name).addFilter(_without_secrets)


class Connections:
    """Of one event loop."""

    def __init__(self) -> None:
        self.users = 0
        self._opened: dict[Hashable, object] = {}
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()

    async def opened(self, key: Hashable, make: Callable[[], AbstractAsyncContextManager[T]]) -> T:
        """Return what was opened under `key`, or open it with `make`."""
        async with self._opening:
            if key not in self._opened:
                self._opened[key] = await self._stack.enter_async_context(make())
            return cast("T", self._opened[key])  # whoever uses the same key makes the same type

    async def http(
        self, *key: str | None, transport: Callable[[], httpx2.AsyncBaseTransport] | None = None
    ) -> httpx2.AsyncClient:
        """Return the HTTP client for a provider, an address and a key.

        Args:
            key: Whatever two users must have in common to share it.
            transport: Makes the way there, if it is not the network.
        """

        def client() -> httpx2.AsyncClient:
            # `ask` limits the whole call, so the client need not.
            way = transport() if transport else None
            return httpx2.AsyncClient(timeout=None, limits=POOL, verify=trusted_authorities(), transport=way)

        return await self.opened(("http", *key), client)

    async def close(self) -> None:
        """Close everything, the last first."""
        await self._stack.aclose()


_lock = threading.Lock()
_by_loop: dict[asyncio.AbstractEventLoop, Connections] = {}


@asynccontextmanager
async def shared_connections() -> AsyncIterator[Connections]:
    """Use what the running event loop's users share; the last of them closes it."""
    loop = asyncio.get_running_loop()
    with _lock:
        for other in [other for other in _by_loop if other.is_closed()]:
            del _by_loop[other]
        connections = _by_loop.setdefault(loop, Connections())
        connections.users += 1
    try:
        yield connections
    finally:
        with _lock:
            connections.users -= 1
            is_last = connections.users == 0
            if is_last:
                del _by_loop[loop]  # before anything is awaited: who comes now opens anew
        if is_last:
            await connections.close()
