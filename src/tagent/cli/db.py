"""`tagent db`: the schema of the database that runs are kept in, and which runs stay in it."""

import asyncio

import click
from pydantic_core import to_json

from tagent.adapters.storage.urls import open_store, sqlite_path
from tagent.cli.agreement import agrees, yes_option
from tagent.cli.errors import DONE, FAILED
from tagent.cli.runs.options import (
    FINISHED,
    counted,
    json_option,
    listed,
    look_at,
    run_table,
    store_option,
    verbose_option,
)
from tagent.cli.schemas import Schema, schema_of
from tagent.cli.stores import with_store, without_password
from tagent.cli.times import age
from tagent.config import TAgentConfig
from tagent.names import CACHE
from tagent.ports import RunRecord, Services

_NEVER = 1e12
"""Seconds after which no message is old."""


@click.group()
def db() -> None:
    """Look at, upgrade and clean up the database of runs."""


@db.command()
@store_option
@json_option
@verbose_option
def current(store: str | None, as_json: bool) -> None:
    """Print the schema of the database, and the one of this tagent."""
    url = with_store(TAgentConfig.load(), store).store
    schema = schema_of(url)
    if as_json:
        found, newest = (schema.found, schema.newest) if schema else (None, None)
        click.echo(to_json({"store": without_password(url), "schema": found, "newest": newest}, indent=2).decode())
    else:
        click.echo(f"{_name(url)} keeps no database." if schema is None else f"{_name(url)}: {_described(schema)}")


def _described(schema: Schema) -> str:
    if schema.found is None:
        return f"no database yet; it will have the schema {schema.newest}"
    if schema.is_current:
        state = "up to date"
    elif schema.is_newer:
        state = f"of a newer tagent: this one knows up to {schema.newest}"
    else:
        state = f"tagent db upgrade brings it to {schema.newest}"
    return f"schema {schema.found or 'none'}, {state}"


@db.command(short_help="Bring the database to this tagent's schema.")
@store_option
@verbose_option
def upgrade(store: str | None) -> None:
    """Bring the database to the schema of this tagent; creates it if there is none."""
    url = with_store(TAgentConfig.load(), store).store
    if schema_of(url) is None:
        click.echo(f"{_name(url)} keeps no database.")
        return
    opened = open_store(url)  # opening brings it up to date
    asyncio.run(opened.close())
    click.echo(f"{_name(url)}: up to date")


@db.command(short_help="Delete finished runs.")
@click.option("--older-than", "older_than", type=age, metavar="AGE", help="Only runs that ended longer ago: 12h, 30d.")
@click.option("--keep", type=click.IntRange(0), metavar="N", help="Keep the newest N of each pipeline.")
@click.option("--status", "statuses", multiple=True, type=click.Choice(FINISHED), help="Only runs that ended so.")
@click.option("--pipeline", "pipelines", multiple=True, metavar="NAME", help="Only runs of this pipeline.")
@click.option("--expired", "is_expired", is_flag=True, help="What has expired: memory, outputs to be used again.")
@click.option("--cache", "is_cache", is_flag=True, help="All outputs that are kept to be used again.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Only say what would be deleted.")
@yes_option
@store_option
@json_option
@verbose_option
def prune(
    older_than: float | None,
    keep: int | None,
    statuses: tuple[str, ...],
    pipelines: tuple[str, ...],
    is_expired: bool,
    is_cache: bool,
    is_dry: bool,
    is_agreed: bool,
    store: str | None,
    as_json: bool,
) -> int:
    """Delete finished runs that nobody needs any more: those to which all of the options apply.

    A run that is not finished stays, whatever its age. --keep counts the runs to which --status and
    --pipeline apply. What has expired goes with the runs, too.
    """
    has_rule = not (older_than is None and keep is None and not statuses and not pipelines)
    if not (has_rule or is_expired or is_cache):
        raise click.UsageError(
            "Say what may go: --older-than AGE, --keep N, --status STATUS, --pipeline NAME, --expired or --cache."
        )
    if is_cache:
        if has_rule:
            raise click.UsageError("--cache is about no runs. Leave the others out.")
        return _prune_cache(store, is_dry=is_dry, is_agreed=is_agreed, as_json=as_json)
    from tagent.pipeline import RunStatus
    from tagent.pipeline.journal import retention

    rule = retention.Retention(
        older_than_seconds=older_than,
        keep_newest=keep,
        statuses=tuple(map(RunStatus, statuses)),
        pipelines=pipelines,
    )

    async def plan(services: Services) -> tuple[list[RunRecord], list[dict[str, object]]]:
        going = await retention.prune(services.store, rule, now=services.clock.now(), dry_run=True)
        return going, [listed(run, services) for run in going]

    going, shown = look_at(store, plan) if has_rule else ([], [])
    if not is_dry and going and not is_agreed and not agrees(f"Delete {counted(len(going))}?"):
        click.echo("Nothing was deleted.", err=True)
        return FAILED
    if not is_dry and going:
        deleted = look_at(
            store, lambda services: retention.delete_unchanged(services.store, going)
        )  # the runs agreed to
        gone = {run.run_id for run in deleted}
        if len(gone) < len(going):
            click.echo(
                f"{counted(len(going) - len(gone))} left as they are: somebody has used them meanwhile.", err=True
            )
        shown = [run for run in shown if run["run_id"] in gone]
    expired = 0 if is_dry else look_at(store, _sweep)
    if as_json:
        told = {"dry_run": is_dry, "count": len(shown), "runs": shown, "expired": expired}
        click.echo(to_json(told, indent=2).decode())
        return DONE
    _tell(shown, expired, is_dry=is_dry, is_about_runs=has_rule)
    return DONE


def _tell(runs: list[dict[str, object]], expired: int, *, is_dry: bool, is_about_runs: bool) -> None:
    would_be = "would be " if is_dry else ""
    for line in run_table(runs) if is_dry and runs else ():
        click.echo(line)
    if is_about_runs:
        click.echo(f"{counted(len(runs))} {would_be}deleted")
    if expired or not is_about_runs:
        click.echo("What has expired would be deleted" if is_dry else f"{expired} expired documents deleted")


async def _sweep(services: Services) -> int:
    """Delete the documents that have expired, but no message, and return how many these were."""
    return (await services.store.sweep(messages_older_than_seconds=_NEVER)).documents


def _prune_cache(store: str | None, *, is_dry: bool, is_agreed: bool, as_json: bool) -> int:
    """Forget the outputs that all runs may use again; those of one run go with that."""

    async def count(services: Services) -> int:
        return sum([it.documents for it in await services.store.scopes(CACHE) if it.scope == CACHE])

    async def forget(services: Services) -> None:
        await services.store.forget(CACHE)  # and who is at work on one

    outputs = look_at(store, count)
    told = f"{outputs} {'output' if outputs == 1 else 'outputs'}"
    if not is_dry and outputs and not is_agreed and not agrees(f"Forget {told}?"):
        click.echo("Nothing was deleted.", err=True)
        return FAILED
    if not is_dry:
        look_at(store, forget)
    if as_json:
        click.echo(to_json({"dry_run": is_dry, "outputs": outputs}, indent=2).decode())
    else:
        click.echo(f"{told} {'would be ' if is_dry else ''}deleted")
    return DONE


def _name(url: str) -> str:
    """Return what the store is called: a file by its path, anything else by its URL."""
    path = sqlite_path(url)
    return without_password(url) if path is None else str(path)
