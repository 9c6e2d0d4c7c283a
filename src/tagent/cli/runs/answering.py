"""`tagent runs approve`, `reject` and `approvals`."""

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import Final

import click
from pydantic_core import to_json

from tagent.cli.errors import DONE, printable
from tagent.cli.runs.naming import short_ids
from tagent.cli.runs.options import json_option, look_at, store_option, time_text, verbose_option
from tagent.cli.stores import DEFAULT_STORE, resume_command, store_url
from tagent.cli.tables import echo_table, table_lines
from tagent.cli.times import brief_time_text
from tagent.cli.values import shortened, text_of
from tagent.cli.waiting import said, what_is_asked, who_goes_on
from tagent.pipeline.answering.answering import AnsweredApproval, answer_approval, open_approvals
from tagent.pipeline.answering.documents import Answer, OpenApproval
from tagent.pipeline.approval import VERDICTS, verdict
from tagent.ports import Services
from tagent.ports.store_errors import RunHeldError
from tagent.values import UNEDITED

STDIN: Final = "-"

comment_option = click.option("--comment", default="", metavar="TEXT", help="Why; it stays with the run.")
resume_option = click.option(
    "--resume", "is_resumed", is_flag=True, help="Go on with the run here and now, unless it is driven already."
)


@click.command("approve")
@click.argument("run_id")
@click.argument("step")
@comment_option
@click.option(
    "--output",
    "edited",
    metavar="JSON|@FILE|-",
    help="What counts instead of what the step gave: as JSON, from a file, or from standard input.",
)
@resume_option
@store_option
@json_option
@verbose_option
@short_ids("run_id")
def approve_command(
    run_id: str,
    step: str,
    comment: str,
    edited: str | None,
    is_resumed: bool,
    store: str | None,
    as_json: bool,
) -> int:
    """Say yes to what STEP of a run waits for. A step inside another one is named by its path: outer/inner."""
    output = UNEDITED if edited is None else output_of(edited)

    async def work(services: Services) -> AnsweredApproval:
        return await answer_approval(run_id, step, services, is_approved=True, comment=comment, output=output)

    with redirect_stdout(sys.stderr):  # what a file prints while it is loaded is talk
        answered = look_at(store, work)
    return _tell(answered, store, is_resumed=is_resumed, as_json=as_json)


@click.command("reject")
@click.argument("run_id")
@click.argument("step")
@comment_option
@resume_option
@store_option
@json_option
@verbose_option
@short_ids("run_id")
def reject_command(run_id: str, step: str, comment: str, is_resumed: bool, store: str | None, as_json: bool) -> int:
    """Say no to what STEP of a run waits for: the step fails, and what follows from that is as for any failure."""

    async def work(services: Services) -> AnsweredApproval:
        return await answer_approval(run_id, step, services, is_approved=False, comment=comment)

    return _tell(look_at(store, work), store, is_resumed=is_resumed, as_json=as_json)


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


def output_of(written: str) -> object:
    """Return the output that somebody has written, as JSON values.

    Raises:
        click.BadParameter: If it cannot be read, or is no JSON.
    """
    text = sys.stdin.read() if written == STDIN else text_of(written, "--output")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = "A text is written in double quotes: '\"like this\"'."
        raise click.BadParameter(f"It is not JSON: {error}. {hint}", param_hint="--output") from None


def _tell(answered: AnsweredApproval, store: str | None, *, is_resumed: bool, as_json: bool) -> int:
    """Say what was answered and who goes on; go on with the run if that is wanted. Return the exit code."""
    url = store_url(store)
    named = None if url == DEFAULT_STORE else url
    goes_on = who_goes_on(answered.goes_on, answered.run_id, named)
    is_here = is_resumed and answered.goes_on.by != "driver"
    if as_json and not is_here:
        told = {
            **{name: it for name, it in asdict(answered).items() if name not in ("at", "goes_on")},
            "at": time_text(answered.at),
            "goes_on": answered.goes_on.by,
            "process": answered.goes_on.process,
            "resume": resume_command(answered.run_id, named),
        }
        click.echo(to_json(told, indent=2).decode())
        return DONE
    what = verdict(is_approved=answered.is_approved)
    edited = "  with another output" if answered.is_edited else ""
    click.echo(printable(f"{answered.run_id}  {answered.step}  {what}{edited}"), err=is_here)
    if not is_here:
        click.echo(printable(goes_on))
        return DONE
    return _go_on(answered.run_id, store, as_json=as_json)


def _go_on(run_id: str, store: str | None, *, as_json: bool) -> int:
    from tagent.cli.runs.resuming import go_on  # few ask for it

    try:
        return go_on(run_id, store=store, as_json=as_json)
    except RunHeldError as error:  # a worker was faster
        click.echo(printable(f"It is driven already, by {error.owner}: it goes on there."), err=True)
        return DONE


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
