"""One connection for each server, opened when it is first asked for, shared by all, closed at the end."""

import asyncio
from collections.abc import Mapping
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tagent.adapters.toolsets.sessions import StaleSessionError
from tagent.exceptions import MissingExtraError
from tagent.ports.toolsets import MCPServer, RemoteTool, Transport

if TYPE_CHECKING:
    from tagent.adapters.toolsets.connection import Connection


class AdapterToolsets:
    """The servers of one event loop; close it with `async with`.

    Each connection is owned by a task of its own: what MCP's library opens must be closed in the same task,
    and the steps that share it come and go.
    """

    def __init__(self) -> None:
        self._owners = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: dict[Transport, Connection] = {}

    async def __aenter__(self) -> Self:
        await self._owners.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection. A cancellation waits until that is done: a process must not be left behind."""
        cancelled: asyncio.CancelledError | None = None
        for connection in self._connections.values():
            connection.end()
        while self._tasks:
            try:
                await asyncio.wait(self._tasks)
            except asyncio.CancelledError as caught:  # each connection limits the time that it takes to close
                cancelled = caught
        # Without the error of whoever used us: the group would wrap it.
        await self._owners.__aexit__(None, None, None)
        if cancelled is not None:
            raise cancelled

    async def tools_of(self, server: MCPServer) -> tuple[RemoteTool, ...]:
        """Return the tools of `server`, in its order.

        Raises:
            ToolsetUnavailableError: If it cannot be reached, or is no MCP server.
            MissingExtraError: If MCP support is not installed.
        """
        connection = await self._connection(server)

        async def call(tool: str, arguments: Mapping[str, object]) -> object:
            current = await self._connection(server)
            try:
                return await current.call(tool, arguments, server=server)
            except StaleSessionError:  # the server knows the session no more, so it has done nothing
                return await (await self._connection(server)).call(tool, arguments, server=server)

        return connection.tools_for(call)

    async def _connection(self, server: MCPServer) -> "Connection":
        """Return an open connection to `server`: the one there is, or a new one if that has ended."""
        connection_type = await _connection_type()
        connection = self._connections.get(server.transport)
        if connection is None or connection.has_ended:
            connection = self._connections[server.transport] = connection_type(server)
            owner = self._owners.create_task(connection.own(), name=f"mcp:{server.name}")
            self._tasks.add(owner)
            owner.add_done_callback(self._tasks.discard)
        await connection.opened()
        return connection


async def _connection_type() -> "type[Connection]":
    """Return the class of connections. MCP's library takes a second to import: only when it is needed, off the loop."""
    try:
        module = await asyncio.to_thread(import_module, "tagent.adapters.toolsets.connection")
    except ImportError as error:
        if (error.name or "").split(".")[0].startswith("tagent"):
            raise
        raise MissingExtraError("mcp", feature="An MCP server") from error
    found: type[Connection] = module.Connection
    return found
