"""`tagent runs delete`."""

import click
from pydantic_core import to_json

from tagent.cli.agreement import agrees, yes_option
from tagent.cli.errors import DONE, FAILED, report
from tagent.cli.runs.naming import short_ids
from tagent.cli.runs.options import counted, json_option, look_at, store_option, verbose_option, with_its_store
from tagent.cli.stores import store_url
from tagent.exceptions import StoreError
from tagent.pipeline.journal.retention import delete_run
from tagent.ports import Services


@click.command("delete")
@click.argument("run_ids", metavar="ID...", nargs=-1, required=True)
@yes_option
@store_option
@json_option
@verbose_option
@short_ids("run_ids")
def delete_command(run_ids: tuple[str, ...], is_agreed: bool, store: str | None, as_json: bool) -> int:
    """Delete finished runs, with all that only they need."""
    run_ids = tuple(dict.fromkeys(run_ids))
    if not is_agreed and not agrees(f"Delete {counted(len(run_ids))}?"):
        click.echo("Nothing was deleted.", err=True)
        return FAILED

    async def work(services: Services) -> dict[str, StoreError]:
        refusals = {}
        for run_id in run_ids:
            try:
                await delete_run(services.store, run_id)
            except StoreError as error:  # told below; the others go all the same
                refusals[run_id] = error
        return refusals

    refusals = look_at(store, work)
    deleted = [run_id for run_id in run_ids if run_id not in refusals]
    refusals = {run_id: with_its_store(error, store_url(store)) for run_id, error in refusals.items()}
    for error in refusals.values():
        report(error, [])
    if as_json:
        refused = [
            {"run_id": run_id, "code": error.code, "message": error.message, "hint": error.hint}
            for run_id, error in refusals.items()
        ]
        click.echo(to_json({"deleted": deleted, "refused": refused}, indent=2).decode())
    else:
        click.echo(f"{counted(len(deleted))} deleted")
    return FAILED if refusals else DONE
