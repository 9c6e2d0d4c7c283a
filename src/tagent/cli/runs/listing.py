"""`tagent runs list`."""

import click
from pydantic_core import to_json
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tagent.cli.runs.options import json_option, listed, look_at, store_option, verbose_option
from tagent.ports import Services
from tagent.ports.records import RunQuery


@click.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="The most runs to list.")
@store_option
@json_option
@verbose_option
def list_command(limit: int, store: str | None, as_json: bool) -> None:
    """List runs, the newest first."""

    async def look(services: Services) -> list[dict[str, object]]:
        return [listed(run, services) for run in await services.store.runs(RunQuery(limit=limit))]

    found = look_at(store, look)
    if as_json:
        click.echo(to_json(found, indent=2).decode())
        return
    table = Table("run", "status", "pipeline", "started", "cost", box=None, pad_edge=False)
    for run in found:
        cost = f"${run['cost_usd']:.4f}"
        table.add_row(*(Text(str(run[key])) for key in ("run_id", "status", "pipeline", "created_at")), cost)
    Console().print(table)
