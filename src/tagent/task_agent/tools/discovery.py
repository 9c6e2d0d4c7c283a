"""Tools and output schemas in files that a user names: `tagent.tools.py` and `tagent.output.py`.

Finding the files runs nothing; loading them runs them. No other file is ever run.
"""

import inspect
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from pydantic import PydanticUserError, TypeAdapter
from pydantic_core import SchemaError

from tagent.exceptions import TAgentError, nearest
from tagent.loading import LoadFailure, run_file
from tagent.ports.toolsets import MCPServer
from tagent.task_agent.tools.servers import ToolSource
from tagent.task_agent.tools.tool import Tool

TOOLS_FILE = "tagent.tools.py"
OUTPUT_FILE = "tagent.output.py"
OUTPUT_SCHEMA = "output_schema"

DEEPEST = 16
"""Folders below the one that is searched."""

_NEVER_SEARCHED = frozenset({"node_modules", "site-packages", "__pycache__", "venv", "env"})

logger = logging.getLogger(__name__)


class ToolLoadError(TAgentError):
    """A file does not give the tools or the output schema that it was named for.

    Attributes:
        file: The file as it was named or found.
        line: The line that is to blame; None when no single one is.

    Example:
        >>> try:
        ...     discover_tools("nowhere/tagent.tools.py")
        ... except ToolLoadError as error:
        ...     print(error)
        nowhere/tagent.tools.py: there is no such file.
    """

    code = "tool.load"

    def __init__(self, file: str, reason: str, *, line: int | None = None, hint: str = "") -> None:
        self.file = file
        self.line = line
        where = file if line is None else f"{file}, line {line}"
        super().__init__(f"{where}: {reason.rstrip('.')}.", hint=hint)


def discover_tools(path: str | Path) -> tuple[ToolSource, ...]:
    """Return the tools of a file, or of every `tagent.tools.py` in a folder and below. Loading a file runs it.

    A file's tools are the public functions that are defined in it, its `Tool` objects and its `MCPServer`s; with
    `__all__` they are what it names.

    Args:
        path: A Python file of any name, or a folder. In a folder, what is hidden, virtual environments,
            `node_modules` and links to other folders are left out.

    Returns:
        `Tool`s and `MCPServer`s, in the order of the files' names and of their definition; none if a folder
        has no such file.

    Raises:
        ToolLoadError: If a file does not load, has no tools, something in it is no tool, or two tools have one name.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder, "tagent.tools.py")
        ...     written = file.write_text("def add(a: int, b: int) -> int: return a + b")
        ...     [tool.name for tool in discover_tools(folder)]
        ['add']
    """
    return load_tools(files_named(TOOLS_FILE, path))


def discover_output_schema(path: str | Path) -> object:
    """Return the `output_schema` of a file, or of the only `tagent.output.py` in a folder and below.

    Args:
        path: A Python file of any name, or a folder. Loading the file runs it.

    Returns:
        A Pydantic model or any other type that Pydantic can check.

    Raises:
        ToolLoadError: If the file does not load or does not define it, or there is not exactly one in the folder.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     written = Path(folder, "tagent.output.py").write_text("output_schema = list[str]")
        ...     discover_output_schema(folder)
        list[str]
    """
    files = files_named(OUTPUT_FILE, path)
    if not files:
        raise ToolLoadError(str(path), f"there is no {OUTPUT_FILE} in this folder or below")
    return load_output_schema(the_only(files))


def the_only(files: tuple[Path, ...]) -> Path:
    """Return the file of a kind of which there may be one.

    Raises:
        ToolLoadError: If there are several; it names the first two.
    """
    if len(files) > 1:
        hint = "Name the one that is meant."
        raise ToolLoadError(str(files[0]), f"{files[1]} defines an output schema too", hint=hint)
    return files[0]


def files_named(name: str, path: str | Path) -> tuple[Path, ...]:
    """Return `path` if it is no folder, else the files of this name in it and below, sorted. Runs nothing."""
    root = Path(path)
    return tuple(sorted(_found(name, root))) if root.is_dir() else (root,)


def load_tools(files: Iterable[str | Path]) -> tuple[ToolSource, ...]:
    """Return the tools of the files, and servers of tools, in order; a file that is named twice counts once.

    Raises:
        ToolLoadError: As for `discover_tools`.
    """
    homes: dict[str, Path] = {}
    tools: list[ToolSource] = []
    for file in {Path(file).resolve(): Path(file) for file in files}.values():
        for tool in _tools_of(_module_of(file), file):
            if isinstance(tool, MCPServer):  # what its tools are called is known when it is asked
                tools.append(tool)
                continue
            if tool.name in homes:
                other = f"{homes[tool.name]}" if homes[tool.name] != file else "this file"
                hint = "Rename one: @tool(name=...)."
                raise ToolLoadError(str(file), f"its tool {tool.name!r} is in {other} too", hint=hint)
            homes[tool.name] = file
            tools.append(tool)
    return tuple(tools)


def load_output_schema(file: str | Path) -> object:
    """Return the `output_schema` that `file` defines.

    Raises:
        ToolLoadError: If it does not load, or defines none that Pydantic can check.
    """
    named = vars(_module_of(Path(file)))
    schema = named.get(OUTPUT_SCHEMA)
    if schema is None:
        near = nearest(OUTPUT_SCHEMA, named).strip()
        hint = near or f"Assign a Pydantic model or another type: {OUTPUT_SCHEMA} = Report."
        raise ToolLoadError(str(file), f"it defines no {OUTPUT_SCHEMA!r}", hint=hint)
    try:
        if isinstance(schema, Mapping):  # Pydantic would take it for one of its own inner schemas
            raise TypeError("A JSON schema is no type.")  # noqa: TRY301
        TypeAdapter(cast("Any", schema)).json_schema()
    except (PydanticUserError, SchemaError, TypeError, NameError):
        what = getattr(schema, "__name__", type(schema).__name__)
        raise ToolLoadError(
            str(file), f"its {OUTPUT_SCHEMA!r}, {what}, is no type that Pydantic can check and describe"
        ) from None
    return schema


def _found(name: str, root: Path) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        logger.warning("%s is not searched for tools: %s.", error.filename, error.strerror)

    for folder, subfolders, files in os.walk(root, onerror=unreadable):
        here = Path(folder)
        depth = len(here.relative_to(root).parts)
        subfolders[:] = [] if depth >= DEEPEST else [sub for sub in subfolders if _is_searched(here / sub)]
        if name in files:
            yield here / name


def _is_searched(folder: Path) -> bool:
    is_apart = folder.name.startswith(".") or folder.name in _NEVER_SEARCHED
    return not is_apart and not (folder / "pyvenv.cfg").exists()


def _module_of(file: Path) -> ModuleType:
    module = run_file(file)
    if isinstance(module, LoadFailure):
        hint = "Correct the file, or name another." if module.cause is not None else ""
        raise ToolLoadError(str(file), module.reason, line=module.line, hint=hint) from module.cause
    return module


def _tools_of(module: ModuleType, file: Path) -> Iterator[Tool | MCPServer]:
    """Yield what a file offers, each thing once.

    Raises:
        ToolLoadError: If that is nothing, or something in it is no tool.
    """
    seen: set[int] = set()
    for name, value in _offered(module, file).items():
        if id(value) not in seen:
            seen.add(id(value))
            yield value if isinstance(value, MCPServer) else _tool_of(name, value, file)
    if not seen:
        hint = "Define public functions in it, or name in its `__all__` what it imports."
        raise ToolLoadError(str(file), "it defines no tools", hint=hint)


def _tool_of(name: str, value: object, file: Path) -> Tool:
    try:
        return Tool.of(value)  # type: ignore[arg-type]  # it refuses what is none
    except TAgentError as error:
        reason = f"{name!r} is no tool: {error.message}"
        raise ToolLoadError(str(file), reason, line=_line_of(value), hint=error.hint) from error


def _offered(module: ModuleType, file: Path) -> Mapping[str, object]:
    named = vars(module)
    if "__all__" not in named:
        return {name: value for name, value in named.items() if not name.startswith("_") and _is_own(value, module)}
    for name in named["__all__"]:
        if name not in named:
            reason = f"`__all__` names {name!r}, which it does not define"
            raise ToolLoadError(str(file), reason, hint=nearest(str(name), named).strip())
    return {name: named[name] for name in named["__all__"]}


def _is_own(value: object, module: ModuleType) -> bool:
    is_function = inspect.isfunction(value) and value.__module__ == module.__name__
    return is_function or isinstance(value, Tool | MCPServer)


def _line_of(value: object) -> int | None:
    code = getattr(value, "__code__", None)
    return getattr(code, "co_firstlineno", None)
