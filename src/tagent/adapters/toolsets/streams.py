"""Ways to a server: its messages in and out, and a word when there will be no more."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self, TypeAlias

import httpx2
from mcp import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from tagent.adapters.toolsets.last_words import LastWords
from tagent.ports.toolsets import HttpTransport, StdioTransport, Transport

_is_ours: ContextVar[bool] = ContextVar("is_ours", default=False)

_LIBRARY_LOGGERS = (
    "mcp.client.client",
    "mcp.client.session",
    "mcp.client.stdio",
    "mcp.client.streamable_http",
    "mcp.shared.jsonrpc_dispatcher",
    "httpcore2.connection",
    "httpcore2.http11",
    "httpx2",
)


@contextmanager
def unlogged() -> Iterator[None]:
    """Keep what the libraries log meanwhile to ourselves, also in tasks that begin meanwhile."""
    token = _is_ours.set(True)
    try:
        yield
    finally:
        _is_ours.reset(token)


def _is_fit_to_log(_record: logging.LogRecord) -> bool:
    """Keep back what the libraries log about our connections: it repeats messages, addresses and headers."""
    return not _is_ours.get()


for _name in _LIBRARY_LOGGERS:
    logging.getLogger(_name).addFilter(_is_fit_to_log)

Streams: TypeAlias = tuple["WatchedStream", Any]
"""Messages in and out."""

CONNECT_SECONDS = 10.0
"""For a TCP connection, and to send a request."""

NOT_FOUND = 404
SESSION_HEADER = "mcp-session-id"

LEAVE_SECONDS = 2.0
"""For telling a server that its session is over. It need not know."""


class WatchedStream:
    """The messages of a server; calls `on_end` when there are no more.

    The library tells only those who wait for an answer, and nobody else, that a server is gone.
    """

    def __init__(self, messages: Any, on_end: Callable[[], None]) -> None:
        self._messages = messages
        self._on_end = on_end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._messages, name)  # `last_context`, which only some streams have

    async def receive(self) -> Any:
        """Return the next message."""
        return await self._messages.receive()

    async def aclose(self) -> None:
        """Close the stream."""
        await self._messages.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await self._messages.__anext__()

    async def __aenter__(self) -> Self:
        await self._messages.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._on_end()
        await self._messages.__aexit__(kind, error, trace)


@asynccontextmanager
async def opened(
    transport: Transport, *, words: LastWords, on_end: Callable[[], None], on_stale: Callable[[], None]
) -> AsyncIterator[Streams]:
    """Start or reach a server and yield its streams.

    Args:
        transport: Where it is.
        words: Keeps what a child says on its standard error.
        on_end: Called when the server will send no more.
        on_stale: Called when the server does not know its session any more: what it was asked, it did not do.
    """
    streams = _child(transport, words) if isinstance(transport, StdioTransport) else _remote(transport, on_stale)
    async with streams as (messages, answers):
        yield WatchedStream(messages, on_end), answers


@asynccontextmanager
async def _child(transport: StdioTransport, words: LastWords) -> AsyncIterator[tuple[Any, Any]]:
    parameters = StdioServerParameters(
        command=transport.command,
        args=list(transport.arguments),
        env=dict(transport.environment),
        cwd=transport.folder or None,
    )
    async with words.heard() as errors, stdio_client(parameters, errlog=errors) as streams:
        errors.close()  # the child has one of its own
        yield streams


@asynccontextmanager
async def _remote(transport: HttpTransport, on_stale: Callable[[], None]) -> AsyncIterator[tuple[Any, Any]]:
    async def look(response: httpx2.Response) -> None:
        if response.status_code == NOT_FOUND and SESSION_HEADER in response.request.headers:
            on_stale()

    # No limit on reading, nor on how many: each call has a limit of its own, and an error here would end them all.
    http = httpx2.AsyncClient(
        headers=dict(transport.headers),
        timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS, write=CONNECT_SECONDS),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
        event_hooks={"request": [_leave_quickly], "response": [look]},
    )
    async with http, streamable_http_client(transport.url, http_client=http) as streams:
        yield streams


async def _leave_quickly(request: httpx2.Request) -> None:
    if request.method == "DELETE":
        request.extensions = {**request.extensions, "timeout": httpx2.Timeout(LEAVE_SECONDS).as_dict()}
