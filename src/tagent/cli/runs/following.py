"""`tagent runs logs`."""

from dataclasses import asdict

import click
from pydantic_core import to_json

from tagent.cli.errors import printable
from tagent.cli.runs.naming import short_ids
from tagent.cli.runs.options import json_option, look_at, store_option, time_text, verbose_option
from tagent.pipeline.journal.history import HistoryEntry, history
from tagent.pipeline.journal.loading import first_definition, latest_definition
from tagent.pipeline.journal.serialization import event_of
from tagent.ports import Services

LONGEST_WAIT_SECONDS = 5.0
"""How long a follower waits for a hint before it looks anyway."""


@click.command("logs")
@click.argument("run_id")
@click.option("--follow", "-f", is_flag=True, help="Go on until the run is finished, showing what happens.")
@store_option
@json_option
@verbose_option
@short_ids("run_id")
def logs_command(run_id: str, follow: bool, store: str | None, as_json: bool) -> None:
    """Print what happened in a run: when, by whom, in which attempt, with which model, for how much."""

    async def look(services: Services) -> None:
        last, seen = 0, 0
        definition = await first_definition(services.store, run_id)
        while True:
            if follow:
                seen = await services.store.wait_for_change(seen, seconds=LONGEST_WAIT_SECONDS)
            run = await services.store.run(run_id)
            records = await services.store.records(run_id, after_seq=last)
            events = list(map(event_of, records))
            for entry in history(events, after_seq=last, definition=definition):
                click.echo(_as_json(entry) if as_json else _as_line(entry))
            last, definition = last + len(records), latest_definition(definition, events)
            if not follow or (run.finished_at is not None and last >= run.last_seq):
                return

    look_at(store, look)


def _as_json(entry: HistoryEntry) -> str:
    return to_json(asdict(entry) | {"at": time_text(entry.at)}).decode()


def _as_line(entry: HistoryEntry) -> str:
    place = f"{entry.step}/{entry.part}" if entry.part else entry.step
    where = f"{place} (attempt {entry.attempt})" if entry.attempt else place
    call = ""
    if entry.model:
        price = "price unknown" if entry.cost_usd is None else f"${entry.cost_usd:.4f}"
        call = f"{entry.model}: {entry.input_tokens} + {entry.output_tokens} tokens, {price}"
    actor = f"by {entry.actor}" if entry.actor else ""
    parts = (f"{entry.seq:>4}", time_text(entry.at), entry.event, where, call, actor, entry.detail)
    return "  ".join(printable(part) for part in parts if part)
