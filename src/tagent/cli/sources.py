"""The options of `tagent run` that name files with tools and with an output schema."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TypeVar

import click

from tagent.task_agent.tools.discovery import OUTPUT_FILE, TOOLS_FILE, files_named, the_only

Returned = TypeVar("Returned")


@dataclass(frozen=True, slots=True)
class Sources:
    """Files whose code the run needs besides a pipeline's own.

    Attributes:
        tools: Files with tools, as absolute paths; each once.
        schema: The file with the output schema, absolute; empty for none.
        is_schema_named: Whether the schema's file was named by itself.
    """

    tools: tuple[str, ...] = ()
    schema: str = ""
    is_schema_named: bool = False


NO_SOURCES = Sources()


def sources_option(command: Callable[..., Returned]) -> Callable[..., Returned]:
    """Give a command the options, and the files that they lead to as `sources`."""

    @click.option("--tools", "tools", multiple=True, metavar="FILE|DIR", help="Tools: a file, or a folder to search.")
    @click.option("--search-dir", metavar="DIR", help=f"Where to look for {TOOLS_FILE} and {OUTPUT_FILE}.")
    @click.option("--output-schema", metavar="FILE", help="What the output must be: a file with an `output_schema`.")
    @wraps(command)
    def with_sources(
        *, tools: tuple[str, ...], search_dir: str | None, output_schema: str | None, **options: object
    ) -> Returned:
        return command(sources=sources_of(tools, search_dir, output_schema), **options)

    return with_sources


def sources_of(tools: tuple[str, ...], search_dir: str | None, output_schema: str | None) -> Sources:
    """Return the files that the options lead to. Nothing of them is run yet.

    Raises:
        click.BadParameter: If there is no such folder, or nothing in it.
        ToolLoadError: If a folder has several output schemas.
    """
    found = [file for path in tools for file in _tool_files(path)]
    schema_files: tuple[Path, ...] = (Path(output_schema),) if output_schema else ()
    if search_dir:
        if not Path(search_dir).is_dir():
            raise click.BadParameter(f"{search_dir} is no folder.", param_hint="--search-dir")
        here, schemas_here = files_named(TOOLS_FILE, search_dir), files_named(OUTPUT_FILE, search_dir)
        if not here and not schemas_here:
            message = f"There is neither {TOOLS_FILE} nor {OUTPUT_FILE} in {search_dir} or below."
            raise click.BadParameter(message, param_hint="--search-dir")
        found += here
        schema_files = schema_files or schemas_here
    schema = str(the_only(schema_files).resolve()) if schema_files else ""
    files = tuple(dict.fromkeys(str(file.resolve()) for file in found))
    return Sources(files, schema, is_schema_named=bool(output_schema))


def _tool_files(path: str) -> tuple[Path, ...]:
    files = files_named(TOOLS_FILE, path)
    if not files:
        raise click.BadParameter(f"There is no {TOOLS_FILE} in {path} or below.", param_hint="--tools")
    return files
