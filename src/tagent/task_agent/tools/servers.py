"""The tools of servers as tools of an agent: named, chosen, checked before they are called."""

import asyncio
import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from tagent.exceptions import ConfigurationError, nearest, ungrouped
from tagent.ports.services import Services
from tagent.ports.toolsets import MCPServer, RemoteTool, Transport
from tagent.secrets import scrubbed
from tagent.task_agent.tools.tool import Tool, ToolArgumentsError

ToolSource = Callable[..., object] | Tool | MCPServer
"""What may stand among `tools`: a function, a tool, or a server of tools."""


_NAME = re.compile(r"[\w.-]{1,128}")

logger = logging.getLogger("tagent")


class ToolsetClashError(ConfigurationError):
    """Two servers, or a server and a function, offer a tool of the same name.

    Attributes:
        tool: The name.
        servers: The names of the two servers, or of the one whose tool is called like a function.
    """

    code = "toolset.clash"

    def __init__(self, tool: str, servers: tuple[str, ...]) -> None:
        self.tool = tool
        self.servers = servers
        both = " and ".join(map(repr, servers))
        message = (
            f"The MCP servers {both} both offer the tool {tool!r}."
            if len(servers) > 1
            else f"The MCP server {both} offers the tool {tool!r}, and so does a function."
        )
        super().__init__(message, hint="Give a server a prefix=, or exclude= the tool.")


@dataclass(frozen=True, slots=True)
class ServerTool(Tool):
    """A tool of a server. Its arguments are described and checked by the JSON schema that the server gives.

    Attributes:
        remote: The tool as the server describes it.
    """

    remote: RemoteTool = field(kw_only=True, repr=False)

    @property
    def parameters_schema(self) -> Mapping[str, object]:
        """The JSON schema of its arguments."""
        return self.remote.parameters_schema

    def problems(self, given: Mapping[str, object], *, unresolved: frozenset[str] = frozenset()) -> str:
        """Return what is wrong with planned arguments, in one sentence without their values; "" when nothing is.

        Args:
            given: Argument -> JSON value.
            unresolved: The arguments whose values are not known yet; their names count.
        """
        problems = self.remote.problems(given, unresolved)
        return ToolArgumentsError(self.name, scrubbed("; ".join(problems))).message if problems else ""

    def arguments(self, given: Mapping[str, object]) -> dict[str, object]:
        """Return `given`, which is checked; nothing is converted.

        Raises:
            ToolArgumentsError: If something does not fit, naming every argument that does not.
        """
        problems = self.remote.problems(given, frozenset())
        if problems:
            raise ToolArgumentsError(self.name, scrubbed("; ".join(problems)))
        return dict(given)


async def opened_tools(given: Iterable[ToolSource], services: Services) -> dict[str, Tool]:
    """Return the tools by name, in order, those of servers where their server stands; all servers are asked at once.

    Of two functions with one name the later wins. What a server offers must not be called like anything else: a
    server may offer something new at any time, and would replace what a plan means without a word.

    Raises:
        ConfigurationError: If something is no tool, or a server has not the tools that it is said to have.
        ToolsetClashError: If two servers, or a server and a function, offer a tool of one name.
        ToolsetUnavailableError: If a server cannot be reached.
        MissingExtraError: If MCP support is not installed.

    Example:
        >>> def add(a: int, b: int) -> int: ...
        >>> list(asyncio.run(opened_tools([add], None)))
        ['add']
    """
    sources = tuple(given)
    offered = await _offered([source for source in sources if isinstance(source, MCPServer)], services)
    tools: dict[str, Tool] = {}
    owners: dict[str, MCPServer | None] = {}
    for source in sources:
        owner, found = (
            (source, server_tools(source, offered[source]))
            if isinstance(source, MCPServer)
            else (None, (Tool.of(source),))
        )
        for tool in found:
            before = owners.setdefault(tool.name, owner)
            if _transport(before) != _transport(owner):
                raise ToolsetClashError(tool.name, tuple(it.name for it in (before, owner) if it is not None))
            tools[tool.name] = tool
    return tools


def _transport(server: MCPServer | None) -> Transport | None:
    return None if server is None else server.transport


async def _offered(servers: Collection[MCPServer], services: Services) -> dict[MCPServer, tuple[RemoteTool, ...]]:
    """Return what each server offers."""
    with ungrouped():
        async with asyncio.TaskGroup() as group:
            asked = {
                server: group.create_task(services.toolsets.tools_of(server), name=f"toolset:{server.name}")
                for server in dict.fromkeys(servers)
            }
    return {server: task.result() for server, task in asked.items()}


def server_tools(server: MCPServer, offered: Iterable[RemoteTool]) -> tuple[Tool, ...]:
    """Return the tools that `server` is to give to an agent, in its order.

    Raises:
        ConfigurationError: If `include`, `exclude` or `side_effects` name a tool that it does not offer.
    """
    known = {remote.name: remote for remote in offered}
    named = server.side_effects if isinstance(server.side_effects, frozenset) else frozenset[str]()
    for setting, names in (("include", server.include), ("exclude", server.exclude), ("side_effects", named)):
        for name in sorted(names or ()):
            if name not in known:
                message = f"`{setting}` of {server!r} names {name!r}, which it does not offer.{nearest(name, known)}"
                raise ConfigurationError(message)
    wanted = [
        name for name in known if name not in server.exclude and (server.include is None or name in server.include)
    ]
    if strange := [name for name in wanted if not _NAME.fullmatch(name)]:  # it would stand in prompts as it is
        logger.warning("%r offers %d tools whose names cannot be used; they are left out.", server, len(strange))
    return tuple(_tool_of(known[name], server) for name in wanted if name not in strange)


def _tool_of(remote: RemoteTool, server: MCPServer) -> Tool:
    async def function(**arguments: object) -> object:
        return await remote.call(arguments)

    match server.side_effects:
        case None:
            side_effect = remote.may_harm_twice
        case bool():
            side_effect = server.side_effects
        case names:
            side_effect = remote.name in names
    return ServerTool(
        f"{server.prefix}_{remote.name}" if server.prefix else remote.name,
        remote.description,
        function,
        BaseModel,
        side_effect=side_effect,
        timeout_seconds=server.timeout_seconds,
        output_schema=remote.output_schema,
        remote=remote,
    )
