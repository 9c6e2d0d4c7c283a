"""`tagent runs list`: which runs there are, and which of them somebody looks for."""

from collections.abc import Sequence
from contextlib import aclosing

import click

from tagent.cli.labels import label, labels_of
from tagent.cli.runs.options import (
    FINISHED,
    INTERRUPTED,
    RUNNING,
    STATUSES,
    json_option,
    listed,
    look_at,
    run_table,
    shown_status,
    store_option,
    verbose_option,
)
from tagent.cli.tables import echo_table
from tagent.cli.times import TIMES, time_or_age
from tagent.names import APPROVALS
from tagent.ports import Services
from tagent.ports.documents import DocumentQuery
from tagent.ports.records import RunQuery, RunRecord

MOST = 1_000_000

FEW = 50
"""Of so many runs the approvals are looked up one by one, of more by looking at all that there are."""


@click.command("list")
@click.option("--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Only runs that stand there.")
@click.option("--pipeline", "pipelines", multiple=True, metavar="NAME", help="Only runs of this pipeline.")
@click.option(
    "--since",
    type=time_or_age,
    metavar="TIME",
    help=f"Only runs begun at this time or later: {TIMES}.",
)
@click.option("--until", type=time_or_age, metavar="TIME", help=f"Only runs begun before this time: {TIMES}.")
@click.option("--label", "labels", multiple=True, type=label, metavar="NAME=VALUE", help="Only runs with this label.")
@click.option("--search", default="", metavar="TEXT", help="Only runs in which each of these words occurs.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, MOST), help="The most runs to list.")
@store_option
@json_option
@verbose_option
def list_command(
    statuses: tuple[str, ...],
    pipelines: tuple[str, ...],
    since: float | None,
    until: float | None,
    labels: tuple[tuple[str, str], ...],
    search: str,
    limit: int,
    store: str | None,
    as_json: bool,
) -> None:
    """List runs, the newest first. An option that is given several times takes either; labels must all be there."""
    query = RunQuery(
        statuses=tuple(dict.fromkeys(RUNNING if status == INTERRUPTED else status for status in statuses)),
        pipelines=pipelines,
        since=since,
        until=until,
        labels=labels_of(labels),
        words=_words_of(search),
        limit=limit + 1,  # to know whether there are more
    )

    async def look(services: Services) -> list[dict[str, object]]:
        return await with_what_they_wait_for(
            [listed(run, services) for run in await _fitting(query, statuses, services)], services
        )

    found = look_at(store, look)
    if as_json:
        from pydantic_core import to_json

        click.echo(to_json(found[:limit], indent=2).decode())
        return
    echo_table(run_table(found[:limit]) if found else ())
    if not found:
        click.echo("No runs yet." if query == RunQuery(limit=query.limit) else "No run fits.", err=True)
    if len(found) > limit:
        click.echo(f"These are the newest {limit}; --limit shows more.", err=True)


async def _fitting(query: RunQuery, shown: Sequence[str], services: Services) -> Sequence[RunRecord]:
    """Return the runs that fit, the newest first.

    Args:
        query: What the store is asked.
        shown: Where lists are to say that they stand; empty for anywhere. The store does not know who is gone.
        services: Who knows.
    """
    if (RUNNING in shown) == (INTERRUPTED in shown):
        return await services.store.runs(query)
    from tagent.pipeline.journal.paging import every_run

    found: list[RunRecord] = []
    async with aclosing(every_run(services.store, query)) as runs:
        async for run in runs:
            if shown_status(run, services) in shown:
                found.append(run)
            if len(found) == query.limit:
                break
    return found


async def with_what_they_wait_for(runs: list[dict[str, object]], services: Services) -> list[dict[str, object]]:
    """Return what lists show of runs, of those in which somebody is asked something with that.

    That is `approvals`, what is asked, and `answered`, the answers that the run has not taken up.
    """
    open_runs = [str(run["run_id"]) for run in runs if run["status"] not in FINISHED]
    if not open_runs or not await services.store.documents(DocumentQuery(APPROVALS, limit=1)):
        return runs
    from tagent.cli.runs.asking import answered_as_json, asked_as_json  # longer to import than most lists to make
    from tagent.pipeline.answering.answering import approval_documents

    if len(open_runs) <= FEW:
        found = [it for run_id in open_runs for it in await approval_documents(services, run_id)]
    else:
        found = list(await approval_documents(services))
    of_runs: dict[str, dict[str, list[object]]] = {}
    for it in found:
        of_run = of_runs.setdefault(it.approval.run_id, {})
        if it.answer is None:
            of_run.setdefault("approvals", []).append(asked_as_json(it.approval))
        else:
            of_run.setdefault("answered", []).append(answered_as_json(it.approval.step, it.answer))
    return [run if run["status"] in FINISHED else {**run, **of_runs.get(str(run["run_id"]), {})} for run in runs]


def _words_of(text: str) -> tuple[str, ...]:
    if not text.strip():
        return ()
    from tagent.search import words_of

    return words_of(text)
