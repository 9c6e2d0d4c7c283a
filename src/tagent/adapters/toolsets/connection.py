"""One connection to one server, owned by one task."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial

import httpx2
from mcp import Client, MCPError
from mcp_types import CONNECTION_CLOSED, Implementation, Tool

from tagent.adapters.toolsets.last_words import LastWords
from tagent.adapters.toolsets.results import bounded, error_of, output_of
from tagent.adapters.toolsets.schemas import ArgumentSchema
from tagent.adapters.toolsets.sessions import StaleSessionError
from tagent.adapters.toolsets.streams import opened, unlogged
from tagent.ports.toolsets import MCPServer, RemoteTool, RemoteToolError, StdioTransport, ToolsetUnavailableError
from tagent.secrets import register_secret, scrubbed

logger = logging.getLogger("tagent")

MOST_PAGES = 100
"""Of a list of tools, so that a server that never ends it cannot hold us."""

LONGEST_DESCRIPTION = 4_000
"""Characters of a tool's description that reach a prompt."""

LONGEST_REASON = 300
"""Characters of a server's own words about why it cannot be used."""

LONGEST_LAST_WORDS = 500
"""Characters of the end of what a server said before it ended."""

HINT = "Check its command or address, and whether it runs."

CLOSING_SECONDS = 10.0
"""How long closing may take: a child is asked to leave, then told, then killed, about two seconds each."""

CallTool = Callable[[str, Mapping[str, object]], Awaitable[object]]


class Connection:
    """A server that is being connected to, is connected, or was.

    Args:
        server: Where it is, and how long it may take.
    """

    def __init__(self, server: MCPServer) -> None:
        self._server = server
        for secret in server.transport.secrets:
            register_secret(secret)
        self._settled = asyncio.Event()
        self._ended = asyncio.Event()
        self._stale = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None
        self._limit = asyncio.timeout(None)
        self._client: Client | None = None
        self._tools: tuple[Tool, ...] = ()
        self._reason = ""
        self._words = LastWords()

    @property
    def has_ended(self) -> bool:
        """Whether it cannot be used any more."""
        return self._ended.is_set()

    async def own(self) -> None:
        """Connect, wait for the end, and close. Whatever goes wrong is kept for those who ask."""
        self._owner = asyncio.current_task()
        try:
            with unlogged():
                await self._live()
        except (Exception, BaseExceptionGroup, asyncio.CancelledError) as error:  # noqa: BLE001 - the library raises what it likes
            self._reason = self._reason or self._told(error)
            logger.debug("The connection to %r ended: %s.", self._server, type(error).__name__)
        finally:
            self._ended.set()
            self._settled.set()

    async def _live(self) -> None:
        now = asyncio.get_running_loop().time
        async with self._limit, AsyncExitStack() as stack:
            self._limit.reschedule(now() + (0 if self.has_ended else self._server.connect_seconds))
            self._client, self._tools = await self._connected(stack)
            self._limit.reschedule(None)
            self._settled.set()
            await self._ended.wait()
            self._limit.reschedule(now() + CLOSING_SECONDS)

    async def _connected(self, stack: AsyncExitStack) -> tuple[Client, tuple[Tool, ...]]:
        """Return the open client and the server's tools."""
        streams = opened(self._server.transport, words=self._words, on_end=self._ended.set, on_stale=self._stale.set)
        client = Client(streams, client_info=Implementation(name="tagent", version="1"), cache=None)
        await stack.enter_async_context(client)
        tools: list[Tool] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            tools += page.tools
            if (cursor := page.next_cursor) is None:
                break
        return client, tuple(tools)

    def end(self) -> None:
        """Ask the owner to close the connection, also while it still connects."""
        self._ended.set()
        is_connecting = not self._settled.is_set() and not self._limit.expired()
        if is_connecting and self._owner is not None:
            self._owner.cancel()  # once: a second one would break into the closing, and leave a process behind

    async def opened(self) -> None:
        """Return once it is connected.

        Raises:
            ToolsetUnavailableError: If it could not be.
        """
        await self._settled.wait()
        if self._reason and self._client is None:
            raise ToolsetUnavailableError(self._server.name, self._reason, hint=HINT)

    def tools_for(self, call: CallTool) -> tuple[RemoteTool, ...]:
        """Return what the server offers, each tool called through `call`."""
        return tuple(self._described(tool, call) for tool in self._tools)

    def _described(self, tool: Tool, call: CallTool) -> RemoteTool:
        hints = tool.annotations
        is_harmless = hints is not None and (
            hints.read_only_hint or hints.idempotent_hint or hints.destructive_hint is False
        )
        return RemoteTool(
            tool.name,
            bounded(tool.description or tool.title or "", longest=LONGEST_DESCRIPTION),
            tool.input_schema,
            partial(call, tool.name),
            ArgumentSchema(tool.input_schema).problems,
            tool.output_schema,
            may_harm_twice=not is_harmless,
        )

    async def call(self, tool: str, arguments: Mapping[str, object], *, server: MCPServer) -> object:
        """Return what the tool returns, as JSON values. A cancelled call leaves the connection open.

        Args:
            tool: The server's own name for it.
            arguments: By name.
            server: The server, as whoever calls knows it.

        Raises:
            RemoteToolError: If the tool fails, or answers what cannot be understood.
            ToolsetUnavailableError: If the server goes away.
            StaleSessionError: If the server does not know the session any more.
        """
        if self._client is None or self.has_ended:
            raise ToolsetUnavailableError(server.name, self._reason or "it ended", hint=HINT)
        try:
            with unlogged():  # the library works in the context of whoever asks
                result = await self._client.call_tool(tool, dict(arguments))
        except MCPError as error:
            raise self._refusal(error, tool, server) from error
        except Exception as error:  # noqa: BLE001 - the library raises what it likes when it cannot read an answer
            message = f"{server.name!r} answered to {tool!r} what cannot be read ({type(error).__name__})."
            raise RemoteToolError(tool, message) from None  # its text repeats the answer
        if result.is_error:
            raise RemoteToolError(tool, server.without_secrets(error_of(result)))
        return output_of(result)

    def _refusal(self, error: MCPError, tool: str, server: MCPServer) -> Exception:
        """Return the error of ours that means what the library's `error` means."""
        if error.code == CONNECTION_CLOSED:
            self.end()
            return ToolsetUnavailableError(server.name, f"it went away while {tool!r} was called", hint=HINT)
        if self._stale.is_set():
            self.end()
            return StaleSessionError()
        return RemoteToolError(tool, server.without_secrets(bounded(error.message)))

    def _told(self, error: BaseException) -> str:
        """Return why there is no connection, without what a server must not repeat."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        match error:
            case TimeoutError():
                return f"it did not answer within {self._server.connect_seconds:g} s"
            case asyncio.CancelledError():
                return "it was closed"
            case MCPError(code=code) if code == CONNECTION_CLOSED:
                return f"it ended before it answered{self._last_words()}"
            case MCPError():
                return f"it answers {self._server.without_secrets(bounded(error.message, longest=LONGEST_REASON))!r}"
            case httpx2.TransportError():
                return f"its address cannot be reached ({type(error).__name__})"
            case OSError() if isinstance(self._server.transport, StdioTransport):
                return f"its command cannot be started ({error.strerror or type(error).__name__})"
            case _:
                return f"it answers what cannot be read ({type(error).__name__})"

    def _last_words(self) -> str:
        """Return the end of what a child said on its standard error, as its words; empty if it said nothing."""
        words = self._server.without_secrets(scrubbed(self._words.text))  # before the cut, which could halve a key
        if not words:
            return ""
        return f"; it last said {'...' * (len(words) > LONGEST_LAST_WORDS) + words[-LONGEST_LAST_WORDS:]!r}"
