"""`tagent memory set` and `delete`."""

import click
from pydantic_core import to_json

from tagent.cli.agreement import agrees, yes_option
from tagent.cli.errors import DONE, FAILED
from tagent.cli.memory.scopes import opened, scope_option
from tagent.cli.runs.options import json_option, look_at, store_option, verbose_option
from tagent.cli.times import age
from tagent.cli.values import as_option, value_of
from tagent.ports import Services


@click.command("set")
@click.argument("key")
@click.argument("value")
@scope_option
@as_option
@click.option(
    "--ttl", type=age, metavar="AGE", help="Forget it after this time: 30m, 2h, 7d.  [default: kept for ever]"
)
@click.option("--if-version", type=click.IntRange(0), metavar="N", help="Only if it is at this version, 0 for none.")
@store_option
@json_option
@verbose_option
def set_command(
    key: str,
    value: str,
    scope: str,
    form: str,
    ttl: float | None,
    if_version: int | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Remember VALUE under KEY."""
    given = value_of(value, form)

    async def work(services: Services) -> int:
        memory = opened(services, scope)
        await memory.aput(key, given, ttl_seconds=ttl, expected_version=if_version)
        entry = await memory.aentry(key)
        return 0 if entry is None else entry.version

    version = look_at(store, work)
    if as_json:
        click.echo(to_json({"scope": scope, "key": key, "version": version}, indent=2).decode())
    else:
        click.echo(f"{key} of {scope} is at version {version}")


@click.command("delete")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@scope_option
@yes_option
@store_option
@json_option
@verbose_option
def delete_command(keys: tuple[str, ...], scope: str, is_agreed: bool, store: str | None, as_json: bool) -> int:
    """Forget what is remembered under each KEY."""
    keys = tuple(dict.fromkeys(keys))
    if not is_agreed and not agrees(f"Forget {len(keys)} {'key' if len(keys) == 1 else 'keys'} of {scope}?"):
        click.echo("Nothing was deleted.", err=True)
        return FAILED

    async def work(services: Services) -> list[str]:
        memory = opened(services, scope)
        found = [key for key in keys if await memory.aentry(key) is not None]
        for key in found:
            await memory.adelete(key)
        return found

    deleted = look_at(store, work)
    if as_json:
        click.echo(to_json({"scope": scope, "deleted": deleted}, indent=2).decode())
    else:
        click.echo(f"{len(deleted)} deleted")
    for key in keys:
        if key not in deleted:
            click.echo(f"The memory {scope} holds nothing under {key!r}.", err=True)
    return DONE if len(deleted) == len(keys) else FAILED
