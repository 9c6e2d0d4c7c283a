"""Tools that another program offers: which server to ask, and what it says its tools are.

`MCPServer` is a plain value. What connects to one is an adapter, found under `Services.toolsets`.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

from tagent.exceptions import ConfigurationError, TAgentError, ToolError
from tagent.secrets import SHORTEST_SECRET, secrets_in, without_secrets

CONNECT_SECONDS = 60.0
"""How long a server may take until its tools are known, unless it is told otherwise; some fetch themselves first."""

LONGEST_PREFIX = 40
"""Characters. Providers take names of tools up to 64."""

_PREFIX = re.compile(rf"[A-Za-z0-9_-]{{0,{LONGEST_PREFIX}}}")

_RUNNERS = re.compile(r"(python|pypy)[\d.]*|uvx?|node|npx|bunx?|deno|pipx", re.IGNORECASE)
"""Programs that run another one, by which a server is better known."""

_SCRIPT = re.compile(r".+\.(py|pyz|[cm]?[jt]s)", re.IGNORECASE)

_WORDS_BEFORE = frozenset({"run", "tool", "x", "exec", "-y", "--yes", "-q", "--quiet", "-u"})
"""What may stand between a runner and what it runs, and takes no value."""

Names = Collection[str]


@dataclass(frozen=True, slots=True)
class StdioTransport:
    """A server that is a child process, spoken to through its standard input and output.

    Attributes:
        command: The program.
        arguments: What it is given; hidden from `repr`, for there may be a key among them.
        environment: Variables that it is given besides `PATH`, `HOME` and the like; hidden too.
        folder: Where it runs; empty for the folder of this process.
    """

    command: str
    arguments: tuple[str, ...] = field(default=(), repr=False)
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    folder: str = ""

    @property
    def label(self) -> str:
        """How the server is called when it has no name: its program, or the script or module that it runs."""
        program = PurePath(self.command).name
        is_runner = _RUNNERS.fullmatch(program.removesuffix(".exe")) is not None
        return (is_runner and _what_runs(self.arguments)) or program

    @property
    def secrets(self) -> frozenset[str]:
        """What must not appear in any text of ours."""
        told = (*self.environment, *_options(self.arguments))
        return frozenset(secret for name, value in told for secret in secrets_in({name: value}))

    @property
    def confided(self) -> frozenset[str]:
        """What the server was told and must not tell on."""
        return self.secrets | {value for _, value in self.environment}


def _what_runs(arguments: tuple[str, ...]) -> str:
    """Return the name of the module or script among a runner's arguments; empty if there is none to see.

    Example:
        >>> _what_runs(("-m", "notes.server")), _what_runs(("run", "--with", "mcp", "lib/notes.py", "--verbose"))
        ('notes.server', 'notes')
        >>> _what_runs(("mcp-server-git@1.2", "--repository", ".")), _what_runs(("-c", "serve()"))
        ('mcp-server-git@1.2', '')
    """
    module = next((value for option, value in pairwise(arguments) if option == "-m"), "")
    script = next((PurePath(argument).stem for argument in arguments if _SCRIPT.fullmatch(argument)), "")
    if module or script or {"-c", "-e"} & set(arguments):
        return module or script
    first = next((it for it in arguments if it not in _WORDS_BEFORE), "")
    return "" if first.startswith("-") else first  # what follows an option may be its value, and that a key


def _options(arguments: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    """Yield options with their values, each named like a variable: `--api-key k` and `--api-key=k` as `_API_KEY`."""
    for option, following in pairwise((*arguments, "")):
        name, equals, value = option.partition("=")
        if name.startswith("-"):
            yield f"_{name.lstrip('-').replace('-', '_').upper()}", value if equals else following


@dataclass(frozen=True, slots=True)
class HttpTransport:
    """A server behind an address, spoken to over streamable HTTP.

    Attributes:
        url: Its address; hidden from `repr`, for it may hold a password.
        headers: What is sent with every request; hidden too.
    """

    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def label(self) -> str:
        """How the server is called when it has no name: its host and port."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def secrets(self) -> frozenset[str]:
        """What must not appear in any text of ours."""
        parts = urlsplit(self.url)
        words = (word for _, value in self.headers for word in (value, value.partition(" ")[2]))
        asked = (value for _, value in parse_qsl(parts.query))
        return frozenset(filter(None, (*words, *asked, parts.password)))

    @property
    def confided(self) -> frozenset[str]:
        """What the server was told and must not tell on."""
        return self.secrets


Transport = StdioTransport | HttpTransport


@dataclass(frozen=True, slots=True)
class MCPServer:
    """A server of the Model Context Protocol, whose tools an agent may use. It stands among `tools`.

    Make one with `stdio` or `http`. It is a value: the connection is made when an agent first needs it,
    and shared by all steps of a run.

    Attributes:
        transport: How to reach it.
        name: How messages call it. When left empty its host, its program, or the script or module that its
            program runs.
        prefix: Stands before each of its tools' names, as in `docs_search`; empty for none.
        include: The tools to offer, by the server's own names; None offers all.
        exclude: The tools to leave out, by the server's own names.
        timeout_seconds: How long it may take to connect, and for each call, above 0. None allows a minute to
            connect, and for calls what the agent's `tool_timeout_seconds` says.
        side_effects: Whether calling a tool twice does harm: of all, or of those named. None believes what
            the server says: a tool that is neither read-only, nor idempotent, nor said not to destroy anything.

    Raises:
        ConfigurationError: If the transport is none, `timeout_seconds` is not above 0, the prefix could not stand in
            a tool's name, or `include`, `exclude` or `side_effects` are no names.

    Example:
        >>> MCPServer.http("https://user:secret@tools.example.org/mcp", headers={"Authorization": "Bearer secret"})
        MCPServer('tools.example.org')
        >>> MCPServer.stdio("notes-server", "--read-only", prefix="notes").name
        'notes-server'
    """

    transport: Transport
    name: str = ""
    prefix: str = field(default="", kw_only=True)
    include: frozenset[str] | None = field(default=None, kw_only=True)
    exclude: frozenset[str] = field(default=frozenset(), kw_only=True)
    timeout_seconds: float | None = field(default=None, kw_only=True)
    side_effects: bool | frozenset[str] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.transport, StdioTransport | HttpTransport):
            raise ConfigurationError(
                f"An MCPServer is not made of {type(self.transport).__name__}.",
                hint="Write MCPServer.stdio('command', 'argument', ...) or MCPServer.http('https://...').",
            )
        if not self.name:
            object.__setattr__(self, "name", self.transport.label)
        if self.timeout_seconds is not None and not self.timeout_seconds > 0:
            raise ConfigurationError(f"`timeout_seconds` of {self!r} must be above 0, not {self.timeout_seconds!r}.")
        prefix: object = self.prefix
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise ConfigurationError(
                f"`prefix` of {self!r} cannot stand in a tool's name: {self.prefix!r}.",
                hint=f"Use letters, digits, _ and -, at most {LONGEST_PREFIX}.",
            )
        for setting in ("include", "exclude", "side_effects"):
            given = getattr(self, setting)
            if not isinstance(given, bool | None):
                _names(setting, given)

    @property
    def connect_seconds(self) -> float:
        """How long it may take until its tools are known."""
        return CONNECT_SECONDS if self.timeout_seconds is None else self.timeout_seconds

    def __repr__(self) -> str:
        return f"MCPServer({self.name!r})"

    @classmethod
    def stdio(
        cls,
        command: str,
        *args: str,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        name: str = "",
        prefix: str = "",
        include: Names | None = None,
        exclude: Names = (),
        timeout_seconds: float | None = None,
        side_effects: bool | Names | None = None,
    ) -> "MCPServer":
        """Return a server that is started as a child process and stopped when it is not needed any more.

        Args:
            command: The program.
            args: What it is given.
            env: Variables for it. Of this process's own it sees only `PATH`, `HOME` and the like.
            cwd: The folder that it runs in; None for that of this process.
            name: How messages call it; empty for its program, or the script or module that Python, uv or node runs.
            prefix: Stands before each of its tools' names.
            include: The tools to offer; None offers all.
            exclude: The tools to leave out.
            timeout_seconds: How long it may take to connect, and for each call, above 0; see the attribute.
            side_effects: Whether calling a tool twice does harm; None believes what the server says.

        Raises:
            ConfigurationError: If the command is empty, a variable is not text, or what the class refuses.
        """
        if not command:
            raise ConfigurationError("An MCP server over stdio needs a command.")
        return cls(
            StdioTransport(command, tuple(map(str, args)), _pairs("env", env), "" if cwd is None else str(cwd)),
            name,
            prefix=prefix,
            include=None if include is None else _names("include", include),
            exclude=_names("exclude", exclude),
            timeout_seconds=timeout_seconds,
            side_effects=side_effects
            if isinstance(side_effects, bool | None)
            else _names("side_effects", side_effects),
        )

    @classmethod
    def http(
        cls,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        name: str = "",
        prefix: str = "",
        include: Names | None = None,
        exclude: Names = (),
        timeout_seconds: float | None = None,
        side_effects: bool | Names | None = None,
    ) -> "MCPServer":
        """Return a server behind an address that speaks streamable HTTP.

        Args:
            url: Its address, `http://` or `https://`.
            headers: What is sent with every request, such as a key.
            name: How messages call it; empty for its host and port.
            prefix: Stands before each of its tools' names.
            include: The tools to offer; None offers all.
            exclude: The tools to leave out.
            timeout_seconds: How long it may take to connect, and for each call, above 0; see the attribute.
            side_effects: Whether calling a tool twice does harm; None believes what the server says.

        Raises:
            ConfigurationError: If the address is none, a header is not text, or what the class refuses.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError("The address of an MCP server must begin with http:// or https:// and a host.")
        return cls(
            HttpTransport(url, _pairs("headers", headers)),
            name,
            prefix=prefix,
            include=None if include is None else _names("include", include),
            exclude=_names("exclude", exclude),
            timeout_seconds=timeout_seconds,
            side_effects=side_effects
            if isinstance(side_effects, bool | None)
            else _names("side_effects", side_effects),
        )

    def without_secrets(self, text: str) -> str:
        """Return `text` with the values of headers and variables replaced, as a server may repeat them.

        Example:
            >>> server = MCPServer.http("http://localhost/mcp", headers={"Authorization": "Bearer sesame-opens"})
            >>> server.without_secrets("401: sesame-opens is no key")
            '401: *** is no key'
        """
        return without_secrets(text, (word for word in self.transport.confided if len(word) >= SHORTEST_SECRET))


def _pairs(setting: str, given: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Return variables or headers as pairs; an error does not repeat a value, which may be a key."""
    pairs: Iterable[tuple[object, object]] = (given or {}).items()
    for name, value in pairs:
        if not (isinstance(name, str) and isinstance(value, str)):
            raise ConfigurationError(f"`{setting}[{name!r}]` must be text, not {type(value).__name__}.")
    return tuple(sorted((given or {}).items()))


def _names(setting: str, given: Names) -> frozenset[str]:
    """Return several names; a single text is refused, for it would be taken for its letters."""
    if isinstance(given, str):
        raise ConfigurationError(f"`{setting}` must be several names.", hint=f"Write {setting}=[{given!r}].")
    for name in given:
        if not isinstance(name, str):
            raise ConfigurationError(f"`{setting}` must be names of tools, not {type(name).__name__}.")
    return frozenset(given)


@dataclass(frozen=True, slots=True)
class RemoteTool:
    """A tool as its server describes it. All of its words are the server's: they are not to be trusted.

    Attributes:
        name: The server's own name for it.
        description: What it does, for the model.
        parameters_schema: The JSON schema of its arguments, an object.
        output_schema: The JSON schema of what it returns; None when the server does not say.
        may_harm_twice: What the server says about calling it twice.
        call: Calls it with arguments by name and returns JSON values. Raises `RemoteToolError` if the tool
            fails, `ToolsetUnavailableError` if the server went away.
        problems: Returns what is wrong with arguments, each with the name of the argument; of those named by
            its second parameter, whose values nobody knows yet, only that they exist.
    """

    name: str
    description: str
    parameters_schema: Mapping[str, object] = field(repr=False)
    call: Callable[[Mapping[str, object]], Awaitable[object]] = field(repr=False)
    problems: Callable[[Mapping[str, object], Collection[str]], tuple[str, ...]] = field(repr=False)
    output_schema: Mapping[str, object] | None = field(default=None, repr=False)
    may_harm_twice: bool = True


class ToolsetProvider(Protocol):
    """Connects to servers; one connection each, shared by all who ask."""

    async def tools_of(self, server: MCPServer) -> tuple[RemoteTool, ...]:
        """Return the tools of `server`, in its order, connecting to it if need be.

        Raises:
            ToolsetUnavailableError: If it cannot be reached, or is no MCP server.
            MissingExtraError: If MCP support is not installed.
        """
        ...


class NoToolsets:
    """Reaches no server: for services that are made by hand."""

    async def tools_of(self, server: MCPServer) -> tuple[RemoteTool, ...]:
        """Refuse.

        Raises:
            ToolsetUnavailableError: Always.
        """
        raise ToolsetUnavailableError(server.name, "these services have no way to it")


class ToolsetUnavailableError(TAgentError):
    """A server of tools cannot be reached, does not speak MCP, or went away.

    Attributes:
        server: Its name.
        reason: What kept it from answering.
    """

    code = "toolset.unavailable"
    is_retryable = True

    def __init__(self, server: str, reason: str, *, hint: str = "") -> None:
        self.server = server
        self.reason = reason
        super().__init__(f"The MCP server {server!r} is not available: {reason}.", hint=hint)


class RemoteToolError(ToolError):
    """A tool of a server failed, for the reason that the server gives."""

    code = "tool.failed"
