"""`tagent runs approvals`: what waits for somebody's word, and how lists tell of it."""

from collections.abc import Sequence
from dataclasses import asdict

import click
from pydantic_core import to_json

from tagent.cli.runs.naming import short_ids
from tagent.cli.runs.options import json_option, look_at, store_option, time_text, verbose_option
from tagent.cli.tables import echo_table, table_lines
from tagent.cli.times import brief_time_text
from tagent.cli.values import shortened
from tagent.cli.waiting import said, what_is_asked
from tagent.pipeline.answering.answering import open_approvals
from tagent.pipeline.answering.documents import Answer, OpenApproval
from tagent.pipeline.approval import VERDICTS
from tagent.ports import Services


@click.command("approvals")
@click.argument("run_id", required=False)
@store_option
@json_option
@verbose_option
@short_ids("run_id")
def approvals_command(run_id: str | None, store: str | None, as_json: bool) -> None:
    """List what waits for somebody's word, of one run or of all, what has waited longest first."""

    async def look(services: Services) -> Sequence[OpenApproval]:
        return await open_approvals(services, run_id)

    found = look_at(store, look)
    if as_json:
        click.echo(to_json([asked_as_json(it) for it in found], indent=2).decode())
        return
    headers = ["run", "step", "question", "since", "until", "then", "about", "pipeline", "output"]
    echo_table(table_lines(headers, map(_row, found)) if found else ())
    if not found:
        click.echo("Nothing waits for an approval.", err=True)


def asked_as_json(asked: OpenApproval) -> dict[str, object]:
    """Return what is asked as JSON values, with times as people read them."""
    return {
        **asdict(asked),
        "question": what_is_asked(asked),
        "at": time_text(asked.at),
        "due_at": None if asked.due_at is None else time_text(asked.due_at),
        "then": None if asked.due_at is None else VERDICTS[asked.default],
    }


def answered_as_json(step: str, answer: Answer) -> dict[str, object]:
    """Return an answer that the run has not taken up as JSON values, with the time as people read it.

    Args:
        step: The path of the step that it is about.
        answer: What was said.
    """
    told = {name: getattr(answer, name) for name in ("is_approved", "actor", "comment", "by_default", "is_edited")}
    return {"step": step, **told, "at": time_text(answer.at), "said": said(answer)}


def _row(asked: OpenApproval) -> tuple[str, ...]:
    return (
        asked.run_id,
        asked.step,
        what_is_asked(asked),
        brief_time_text(asked.at),
        "" if asked.due_at is None else brief_time_text(asked.due_at),
        "" if asked.due_at is None else VERDICTS[asked.default],
        asked.of,
        asked.pipeline,
        "" if asked.output is None else shortened(asked.output),
    )
