"""What somebody says to the questions of a run, as `tagent runs approve` and `reject` are told it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TypeVar

import click

from tagent.cli.agreement import yes_option
from tagent.cli.runs.naming import short_ids
from tagent.cli.runs.options import json_option, store_option, verbose_option
from tagent.values import UNEDITED

Returned = TypeVar("Returned")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody says, about what.

    Attributes:
        run_id: The run.
        steps: The steps that are named; empty for all that wait.
        comment: Why.
        file: The file of the pipeline, if it is named; else empty.
        is_agreed: Whether he is not asked about all of them.
        is_resumed: Whether he goes on with the run then.
        store: The store that is named, if any.
        as_json: Whether a program reads what comes of it.
        is_approved: Whether he says yes.
        output: What counts instead of what the step gave.
    """

    run_id: str
    steps: tuple[str, ...]
    comment: str
    file: str
    is_agreed: bool
    is_resumed: bool
    store: str | None
    as_json: bool
    is_approved: bool = False
    output: object = UNEDITED


def answer_options(command: Callable[..., Returned]) -> Callable[..., Returned]:
    """Give a command the arguments and options that say what is answered, as `wanted`."""

    @click.argument("run_id")
    @click.argument("steps", metavar="[STEP]...", nargs=-1)
    @click.option(
        "--all", "is_all", is_flag=True, help="Every step of the run that waits; you are shown them and asked."
    )
    @click.option("--comment", default="", metavar="TEXT", help="Why; it stays with the run.")
    @click.option(
        "--resume", "is_resumed", is_flag=True, help="Go on with the run here and now, unless it is driven already."
    )
    @click.option(
        "--pipeline",
        "file",
        default="",
        metavar="FILE[:OBJECT]",
        help="The code, for --output and --resume, of a run that was begun in Python or imported.",
    )
    @yes_option
    @store_option
    @json_option
    @verbose_option
    @short_ids("run_id")
    @wraps(command)
    def with_wanted(
        *,
        run_id: str,
        steps: tuple[str, ...],
        is_all: bool,
        comment: str,
        is_resumed: bool,
        file: str,
        is_agreed: bool,
        store: str | None,
        as_json: bool,
        **options: object,
    ) -> Returned:
        if bool(steps) == is_all:
            raise click.UsageError("Name the steps, or say --all.")
        named = tuple(dict.fromkeys(steps))
        return command(wanted=Wanted(run_id, named, comment, file, is_agreed, is_resumed, store, as_json), **options)

    return with_wanted
