"""`tagent runs approve` and `reject`."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, replace
from typing import Final

import click
from pydantic_core import to_json

from tagent.cli.agreement import agrees
from tagent.cli.commands import RunCommands
from tagent.cli.errors import DONE, FAILED, printable, report
from tagent.cli.runs.options import look_at, time_text
from tagent.cli.runs.wanted import Wanted, answer_options
from tagent.cli.stores import store_url
from tagent.cli.values import text_of
from tagent.cli.waiting import until, what_is_asked, who_goes_on
from tagent.exceptions import TAgentError
from tagent.pipeline.answering.answering import AnsweredApproval, answer_approval, open_approvals
from tagent.pipeline.answering.documents import OpenApproval
from tagent.pipeline.answering.errors import ApprovalAnsweredError
from tagent.pipeline.approval import verdict
from tagent.pipeline.exceptions import StepOutputError
from tagent.pipeline.journal.loading import first_definition
from tagent.pipeline.models import Pipeline
from tagent.ports import Services
from tagent.ports.store_errors import RunHeldError, UnknownRunError
from tagent.values import UNEDITED

STDIN: Final = "-"


@dataclass(frozen=True, slots=True)
class Said:
    """What came of it.

    Attributes:
        answered: What counts.
        refused: Step -> why he was not heard.
        commands: What he may type then.
    """

    answered: Sequence[AnsweredApproval]
    refused: Mapping[str, TAgentError]
    commands: RunCommands


@click.command("approve")
@click.option(
    "--output",
    "edited",
    metavar="JSON|@FILE|-",
    help="What counts instead of what the step gave: as JSON, from a file, or from standard input.",
)
@answer_options
def approve_command(wanted: Wanted, edited: str | None) -> int:
    """Say yes to what each STEP of a run waits for. A step inside another one is named by its path: outer/inner."""
    if edited is not None and len(wanted.steps) != 1:
        raise click.UsageError("--output is about one step: name that one alone.")
    output = UNEDITED if edited is None else output_of(edited)
    return _answer(replace(wanted, is_approved=True, output=output))


@click.command("reject")
@answer_options
def reject_command(wanted: Wanted) -> int:
    """Say no to what each STEP of a run waits for: it fails, and what follows from that is as for any failure."""
    return _answer(wanted)


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


def _answer(wanted: Wanted) -> int:
    """Answer, and say what came of it. Return the exit code."""
    is_one = len(wanted.steps) == 1
    if not wanted.steps:
        found = look_at(wanted.store, lambda services: open_approvals(services, wanted.run_id))
        if not found:
            click.echo("Nothing waits for an approval.", err=True)
        elif not wanted.is_agreed and not _agrees(found, is_approved=wanted.is_approved):
            return FAILED
        wanted = replace(wanted, steps=tuple(asked.step for asked in found))
    with redirect_stdout(sys.stderr):  # what a file prints while it is loaded is talk
        code = _code_for(wanted)
        said = look_at(wanted.store, lambda services: _said(wanted, code, services))
    if is_one and said.refused:
        raise said.refused[wanted.steps[0]]
    for error in said.refused.values():
        report(error, [])
    return _tell(wanted, said, is_one=is_one)


def _agrees(found: Sequence[OpenApproval], *, is_approved: bool) -> bool:
    """Return whether somebody who is shown all that waits says so of all of it."""
    done = verdict(is_approved=is_approved)
    for asked in found:
        limit = until(asked)
        told = f"  {asked.step}: {what_is_asked(asked)}{f'  ({limit})' if limit else ''}"
        click.echo(printable(told), err=True)
    what = "this one" if len(found) == 1 else f"these {len(found)}"
    is_agreed = agrees(f"{'Approve' if is_approved else 'Reject'} {what}?", done=done)
    if not is_agreed:
        click.echo(f"Nothing was {done}.", err=True)
    return is_agreed


def _code_for(wanted: Wanted) -> Pipeline | None:
    """Return the code by which another output is checked, if its file is named."""
    if not wanted.file or wanted.output is UNEDITED:
        return None
    from tagent.cli.runs.resuming import named_code  # few ask for it

    return named_code(wanted.file)


async def _said(wanted: Wanted, code: Pipeline | None, services: Services) -> Said:
    definition = await first_definition(services.store, wanted.run_id)
    commands = RunCommands.of(wanted.run_id, store_url(wanted.store), definition, file=wanted.file)
    answered: list[AnsweredApproval] = []
    refused: dict[str, TAgentError] = {}
    for step in wanted.steps:
        try:
            answered.append(
                await answer_approval(
                    wanted.run_id,
                    step,
                    services,
                    is_approved=wanted.is_approved,
                    comment=wanted.comment,
                    output=wanted.output,
                    pipeline=code,
                )
            )
        except UnknownRunError:  # so is the next one
            raise
        except StepOutputError as error:
            told = f"{error.message} {error.hint}".rstrip()
            raise click.BadParameter(told, param_hint="--output") from error
        except TAgentError as error:  # told below; the others are answered all the same
            refused[step] = _in_commands(error, commands)
    return Said(answered, refused, commands)


def _in_commands(error: TAgentError, commands: RunCommands) -> TAgentError:
    """Return an error whose hint names what may be typed."""
    if isinstance(error, ApprovalAnsweredError) and error.goes_on is not None:
        error.hint = who_goes_on(error.goes_on, commands)
    return error


def _tell(wanted: Wanted, said: Said, *, is_one: bool) -> int:
    """Say what was answered and who goes on; go on with the run if that is wanted. Return the exit code."""
    newest = said.answered[-1].goes_on if said.answered else None
    is_here = wanted.is_resumed and newest is not None and newest.by != "driver"
    code = FAILED if said.refused else DONE
    if wanted.as_json and not is_here:
        answered = [_as_json(it, said.commands) for it in said.answered]
        told = answered[0] if is_one else {"answered": answered, "refused": _refused_as_json(said.refused)}
        click.echo(to_json(told, indent=2).decode())
        return code
    for it in said.answered:
        edited = "  with another output" if it.is_edited else ""
        line = f"{it.run_id}  {it.step}  {verdict(is_approved=it.is_approved)}{edited}"
        click.echo(printable(line), err=is_here)
    if is_here:
        return _go_on(wanted) or code
    if newest is not None:
        click.echo(printable(who_goes_on(newest, said.commands)))
    return code


def _as_json(answered: AnsweredApproval, commands: RunCommands) -> dict[str, object]:
    return {
        **{name: it for name, it in asdict(answered).items() if name not in ("at", "goes_on")},
        "at": time_text(answered.at),
        "goes_on": answered.goes_on.by,
        "process": answered.goes_on.process,
        "resume": commands.resume,
    }


def _refused_as_json(refused: Mapping[str, TAgentError]) -> list[dict[str, object]]:
    return [
        {"step": step, "code": error.code, "message": error.message, "hint": error.hint}
        for step, error in refused.items()
    ]


def _go_on(wanted: Wanted) -> int:
    from tagent.cli.runs.resuming import go_on  # few ask for it

    try:
        return go_on(wanted.run_id, file=wanted.file or None, store=wanted.store, as_json=wanted.as_json)
    except RunHeldError as error:  # a worker was faster
        click.echo(printable(f"It is driven already, by {error.owner}: it goes on there."), err=True)
        return DONE
