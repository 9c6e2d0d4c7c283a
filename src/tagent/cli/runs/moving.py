"""`tagent runs export` and `tagent runs import`: a run as one JSON document, out of a store and into one."""

from pathlib import Path
from typing import BinaryIO

import click
from pydantic_core import to_json

from tagent.cli.runs.naming import short_ids
from tagent.cli.runs.options import json_option, listed, look_at, store_option, verbose_option
from tagent.pipeline.transfer.documents import LARGEST_DOCUMENT
from tagent.pipeline.transfer.exporting import export_run
from tagent.pipeline.transfer.importing import import_run
from tagent.ports import Services

_MEGABYTE = 1024 * 1024


@click.command("export")
@click.argument("run_id")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file instead.")
@store_option
@verbose_option
@short_ids("run_id")
def export_command(run_id: str, output: Path | None, store: str | None) -> None:
    """Print a run as one JSON document."""

    async def look(services: Services) -> bytes:
        return await export_run(services.store, run_id)

    document = look_at(store, look)
    if output is None:
        click.echo(document, nl=False)
        return
    try:
        output.write_bytes(document)
    except OSError as error:
        raise click.FileError(str(output), hint=error.strerror or "") from error
    click.echo(f"Run {run_id} is in {output}.", err=True)


@click.command("import")
@click.argument("file", type=click.File("rb"), metavar="FILE|-")
@click.option(
    "--max-mb",
    type=click.IntRange(1),
    default=LARGEST_DOCUMENT // _MEGABYTE,
    show_default=True,
    help="The largest file that is read.",
)
@click.option(
    "--allow-code",
    is_flag=True,
    help="Let steps that the run has added itself name the functions to call, of the code that it is resumed with.",
)
@store_option
@json_option
@verbose_option
def import_command(file: BinaryIO, max_mb: int, store: str | None, allow_code: bool, as_json: bool) -> None:
    """Put an exported run into the store, under its own id.

    The file is not trusted: it is checked as a whole before anything is written, it is data only, and an imported
    run does not know from which file its pipeline came. It names no code either, unless you allow it.
    """
    largest = max_mb * _MEGABYTE
    try:
        payload = file.read(largest + 1)  # one byte more tells that it is too large; the rest is never read
    except OSError as error:
        raise click.FileError(file.name, hint=error.strerror or "") from error

    async def work(services: Services) -> dict[str, object]:
        run_id = await import_run(services.store, payload, largest=largest, may_name_code=allow_code)
        return listed(await services.store.run(run_id), services)

    run = look_at(store, work)
    if as_json:
        click.echo(to_json(run, indent=2).decode())
    else:
        click.echo(run["run_id"])
        click.echo(f"Imported as it was: {run['status']}. Look at it: tagent runs show {run['run_id']}", err=True)
