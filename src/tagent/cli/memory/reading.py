"""`tagent memory list`, `get` and `search`."""

from collections.abc import Sequence

import click
from pydantic_core import to_json

from tagent.cli.errors import DONE, FAILED
from tagent.cli.memory.scopes import KINDS, is_memory, opened, scope_option
from tagent.cli.runs.options import json_option, look_at, store_option, verbose_option
from tagent.cli.tables import table_lines
from tagent.cli.times import time_text
from tagent.cli.values import shortened, whole
from tagent.memory import MemoryEntry
from tagent.names import memory_address
from tagent.ports import Services
from tagent.ports.documents import ScopeUsage

limit_option = click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="The most to list.")


@click.command("list")
@click.option("--scope", metavar="SCOPE", help=f"List what this memory holds: {KINDS}.")
@click.option("--prefix", default="", metavar="TEXT", help="Only keys that begin with this.")
@limit_option
@store_option
@json_option
@verbose_option
def list_command(scope: str | None, prefix: str, limit: int, store: str | None, as_json: bool) -> None:
    """List the memories that there are, or what one of them holds."""
    if scope is None and prefix:
        raise click.UsageError("--prefix is about the keys of one memory. Say which: --scope SCOPE.")

    async def look(services: Services) -> None:
        if scope is None:
            usages = await services.store.scopes()
            _show_scopes([it for it in usages if is_memory(it.scope)], as_json=as_json)
        else:
            _show(await opened(services, scope).aentries(prefix, limit=limit), as_json=as_json)

    look_at(store, look)


@click.command("search")
@click.argument("text")
@scope_option
@limit_option
@store_option
@json_option
@verbose_option
def search_command(text: str, scope: str, limit: int, store: str | None, as_json: bool) -> None:
    """List what holds every word of TEXT in its key or value."""

    async def look(services: Services) -> None:
        _show(await opened(services, scope).asearch(text, limit=limit), as_json=as_json)

    look_at(store, look)


@click.command("get")
@click.argument("key")
@scope_option
@store_option
@json_option
@verbose_option
def get_command(key: str, scope: str, store: str | None, as_json: bool) -> int:
    """Print what is remembered under KEY; the exit code is 1 if there is nothing."""

    async def look(services: Services) -> MemoryEntry | None:
        return await opened(services, scope).aentry(key)

    entry = look_at(store, look)
    if as_json:
        click.echo(to_json(None if entry is None else _as_json(entry), indent=2).decode())
    elif entry is None:
        click.echo(f"The memory {scope} holds nothing under {key!r}.", err=True)
    else:
        click.echo(whole(entry.value))
    return FAILED if entry is None else DONE


def _show_scopes(usages: Sequence[ScopeUsage], *, as_json: bool) -> None:
    if as_json:
        found = [{"scope": memory_address(it.scope), "documents": it.documents, "bytes": it.bytes} for it in usages]
        click.echo(to_json(found, indent=2).decode())
    elif usages:
        rows = [[memory_address(it.scope), str(it.documents), str(it.bytes)] for it in usages]
        for line in table_lines(["scope", "keys", "bytes"], rows):
            click.echo(line)
    else:
        click.echo("Nothing is remembered yet.", err=True)


def _show(entries: Sequence[MemoryEntry], *, as_json: bool) -> None:
    if as_json:
        click.echo(to_json([_as_json(entry) for entry in entries], indent=2).decode())
    elif entries:
        rows = [
            [it.key, shortened(it.value), str(it.version), time_text(it.at), _time(it.expires_at)] for it in entries
        ]
        for line in table_lines(["key", "value", "version", "written", "expires"], rows):
            click.echo(line)
    else:
        click.echo("Nothing is found.", err=True)


def _as_json(entry: MemoryEntry) -> dict[str, object]:
    return {
        "key": entry.key,
        "value": entry.value,
        "version": entry.version,
        "written_at": time_text(entry.at),
        "expires_at": None if entry.expires_at is None else time_text(entry.expires_at),
    }


def _time(at: float | None) -> str:
    return "never" if at is None else time_text(at)
