"""What an agent of ours is made of besides what it is told: its settings, its models, its tools, as JSON values."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from pydantic_core import to_jsonable_python

from tagent.config import TAgentConfig
from tagent.pipeline.caching.making import made_of
from tagent.ports.language_model import Purpose
from tagent.ports.services import Services
from tagent.ports.toolsets import HttpTransport, MCPServer
from tagent.secrets import secrets_in
from tagent.task_agent.tools.tool import Tool

_TOLD = (
    "base_url", "context_tokens", "instructions", "max_iterations", "max_output_tokens", "max_planning_cycles",
    "max_tools", "model_settings", "separate_evaluation", "temperature",
)  # fmt: skip
"""The settings on which an answer depends. Limits, keys, and what only says how long to wait do not count."""


async def agent_made(
    settings: TAgentConfig, tools: Sequence[object], services: Services, *, wanted: Sequence[str] | None
) -> object:
    """Return what an agent is made of.

    Args:
        settings: Its settings.
        tools: The functions and servers of tools that it is offered.
        services: Where its models are.
        wanted: The names of the tools that it may use; None for all.

    Raises:
        ModelError: If a model cannot be had.
        UnkeyableError: If a tool is bound to something that is neither data nor code.
    """
    told = [_tool(tool) for tool in _offered(tools, wanted)]
    purposes: list[Purpose] = ["answer"]
    if told:
        purposes += ["plan", "execute", "evaluate"]
    models = [(await services.models.model_for(settings.for_purpose(purpose))).name for purpose in purposes]
    embedder = settings.embedder and type(settings.embedder).__qualname__
    values = {name: getattr(settings, name) for name in _TOLD}
    return ["agent", models, to_jsonable_python(values, fallback=repr), embedder, told, wanted and sorted(wanted)]


def _offered(tools: Sequence[object], wanted: Sequence[str] | None) -> list[MCPServer | Tool]:
    """Return the servers and those functions that the agent may use; nobody knows what servers have without asking."""
    made = [tool if isinstance(tool, MCPServer) else Tool.of(tool) for tool in tools]  # type: ignore[arg-type]  # validated
    if wanted is None:
        return made
    return [tool for tool in made if wanted and (isinstance(tool, MCPServer) or tool.name in wanted)]


def _tool(tool: MCPServer | Tool) -> object:
    if isinstance(tool, MCPServer):
        return _server(tool)
    schemas = tool.parameters_schema, tool.output_schema
    return ["tool", tool.name, tool.description, schemas, tool.takes_state, made_of(tool.function)]


def _server(server: MCPServer) -> object:
    """Return what is known of a server without asking it: where it is, which tools of it count.

    Its keys do not count: they change, and the server is the same.
    """
    transport = server.transport
    chosen = [server.prefix, server.include and sorted(server.include), sorted(server.exclude)]
    if isinstance(transport, HttpTransport):
        parts = urlsplit(transport.url)
        address = [parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query]
        return ["server", address, chosen]
    hidden = secrets_in(dict(transport.environment))
    environment = [[name, value] for name, value in transport.environment if value not in hidden]
    return ["server", [transport.command, transport.arguments, transport.folder, environment], chosen]
