"""`tagent runs cancel`."""

import click
from pydantic_core import to_json

from tagent.cli.agreement import agrees, yes_option
from tagent.cli.errors import DONE, FAILED, printable, report
from tagent.cli.labels import label, labels_of
from tagent.cli.runs.naming import short_ids
from tagent.cli.runs.options import (
    INTERRUPTED,
    RUNNING,
    WAITING,
    counted,
    json_option,
    listed,
    look_at,
    run_table,
    shown_status,
    store_option,
    verbose_option,
    with_its_store,
)
from tagent.cli.stores import store_url
from tagent.cli.times import TIMES, time_or_age
from tagent.exceptions import TAgentError
from tagent.pipeline.driving.cancelling import Cancellation, cancel_run
from tagent.pipeline.journal.paging import every_run
from tagent.ports import Services
from tagent.ports.records import RunQuery

OPEN = (RUNNING, INTERRUPTED, WAITING)
"""Where a run may stand that can be cancelled."""


@click.command("cancel")
@click.argument("run_ids", metavar="[ID]...", nargs=-1)
@click.option("--status", "statuses", multiple=True, type=click.Choice(OPEN), help="Every run that stands there.")
@click.option("--pipeline", "pipelines", multiple=True, metavar="NAME", help="Every run of this pipeline.")
@click.option("--label", "labels", multiple=True, type=label, metavar="NAME=VALUE", help="Every run with this label.")
@click.option("--since", type=time_or_age, metavar="TIME", help=f"Every run begun at this time or later: {TIMES}.")
@click.option("--until", type=time_or_age, metavar="TIME", help=f"Every run begun before this time: {TIMES}.")
@click.option("--reason", default="", metavar="TEXT", help="Why; it stays with the runs.")
@yes_option
@store_option
@json_option
@verbose_option
@short_ids("run_ids")
def cancel_command(
    run_ids: tuple[str, ...],
    statuses: tuple[str, ...],
    pipelines: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    since: float | None,
    until: float | None,
    reason: str,
    is_agreed: bool,
    store: str | None,
    as_json: bool,
) -> int:
    """Cancel runs, whoever drives them: no step starts any more, and those that run are stopped within a second.

    Name the runs, or say which of the unfinished ones: those to which all of the options apply; of these you are shown
    a list, and asked. A cancelled run can be resumed; what is completed stays so.
    """
    is_filtered = bool(statuses or pipelines or labels or since is not None or until is not None)
    if bool(run_ids) == is_filtered:
        raise click.UsageError("Name runs by their ids, or by --status, --pipeline, --label, --since and --until.")
    if is_filtered:
        query = RunQuery(
            statuses=(RUNNING, WAITING), pipelines=pipelines, since=since, until=until, labels=labels_of(labels)
        )
        run_ids = _found(query, statuses, store, is_told=not is_agreed)
        if run_ids and not is_agreed and not agrees(f"Cancel {counted(len(run_ids))}?", done="cancelled"):
            click.echo("Nothing was cancelled.", err=True)
            return FAILED
    run_ids = tuple(dict.fromkeys(run_ids))

    async def work(services: Services) -> tuple[list[Cancellation], dict[str, TAgentError]]:
        cancelled, refusals = [], {}
        for run_id in run_ids:
            try:
                cancelled.append(await cancel_run(run_id, services, reason=reason))
            except TAgentError as error:  # told below; the others are cancelled all the same
                refusals[run_id] = error
        return cancelled, refusals

    cancelled, refusals = look_at(store, work) if run_ids else ([], {})
    refusals = {run_id: with_its_store(error, store_url(store)) for run_id, error in refusals.items()}
    for error in refusals.values():
        report(error, [])
    _print(cancelled, refusals, as_json=as_json)
    return FAILED if refusals else DONE


def _found(query: RunQuery, statuses: tuple[str, ...], store: str | None, *, is_told: bool) -> tuple[str, ...]:
    """Return the ids of the runs that fit; tell which they are, on stderr, if somebody is to agree."""

    async def look(services: Services) -> list[dict[str, object]]:
        runs = [run async for run in every_run(services.store, query)]
        return [listed(run, services) for run in runs if not statuses or shown_status(run, services) in statuses]

    found = look_at(store, look)
    for line in run_table(found) if found and is_told else ():
        click.echo(line, err=True)
    return tuple(str(run["run_id"]) for run in found)


def _print(cancelled: list[Cancellation], refusals: dict[str, TAgentError], *, as_json: bool) -> None:
    if as_json:
        refused = [
            {"run_id": run_id, "code": error.code, "message": error.message, "hint": error.hint}
            for run_id, error in refusals.items()
        ]
        done = [
            {
                "run_id": run.run_id,
                "pipeline": run.pipeline,
                "status": "cancelled",
                "completed": run.completed,
                "stopped": run.stopped,
                "left": run.left,
            }
            for run in cancelled
        ]
        click.echo(to_json({"cancelled": done, "refused": refused}, indent=2).decode())
        return
    for run in cancelled:
        steps = f"{len(run.completed)} completed, {len(run.stopped)} stopped, {len(run.left)} not begun"
        click.echo(printable(f"{run.run_id}  {run.pipeline}  {steps}"))
    click.echo(f"{counted(len(cancelled))} cancelled")
