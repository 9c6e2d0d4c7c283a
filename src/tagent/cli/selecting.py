"""Options that say which part of a pipeline runs, and from where the rest has its outputs."""

import json
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import click

from tagent.cli.values import text_of
from tagent.pipeline.selecting import Selection, SelectionError

Returned = TypeVar("Returned")

_OPTIONS = {
    "(outputs=...)": "(--output STEP=JSON)",
    "(from_run=...)": "(--from-run ID)",
    "`only`": "`--only`",
    "`start_from`": "`--start-from`",
}
"""What a selection is called in code -> on the command line."""


def selection_option(command: Callable[..., Returned]) -> Callable[..., Returned]:
    """Give a command the options, and what they say as `selection`: None for the whole pipeline."""

    @click.option(
        "--only", "only", multiple=True, metavar="STEP,...", help="Run these steps and no others. Repeatable."
    )
    @click.option(
        "--start-from",
        multiple=True,
        metavar="STEP,...",
        help="Run these steps and all that depend on them. Repeatable.",
    )
    @click.option("--from-run", metavar="ID", help="Reuse what completed in this earlier run, and its inputs.")
    @click.option(
        "--output",
        "given",
        multiple=True,
        metavar="STEP=JSON",
        help="Hold STEP to have given this; it does not run. What is no JSON is text; @FILE reads a file. Repeatable.",
    )
    @wraps(command)
    def with_selection(
        *,
        only: tuple[str, ...],
        start_from: tuple[str, ...],
        from_run: str | None,
        given: tuple[str, ...],
        **options: object,
    ) -> Returned:
        selection = Selection.of(_steps(only), _steps(start_from), dict(map(_output, given)), from_run)
        return command(selection=selection, **options)

    return with_selection


def in_options(error: SelectionError) -> SelectionError:
    """Return the error in the words of the command line."""
    return SelectionError(error.pipeline, list(map(_in_options, error.problems)), hint=_in_options(error.hint))


def _in_options(told: str) -> str:
    for name, option in _OPTIONS.items():
        told = told.replace(name, option)
    return told


def _steps(given: tuple[str, ...]) -> list[str] | None:
    """Return the steps that are named, apart from each other by commas; None where the option is not there."""
    if not given:
        return None
    return [name for names in given for name in map(str.strip, names.split(",")) if name]


def _output(pair: str) -> tuple[str, object]:
    """Return the step and the output that a pair names. What is no JSON is text.

    Raises:
        click.BadParameter: If it names no step, or its file cannot be read.
    """
    name, separator, written = pair.partition("=")
    if not separator or not name:
        raise click.BadParameter(f"{pair!r} is not of the form STEP=JSON.", param_hint="--output")
    text = text_of(written, "--output")
    try:
        return name, json.loads(text)
    except RecursionError as error:
        raise click.BadParameter(f"The output of {name!r} is too deep: {error}.", param_hint="--output") from None
    except ValueError:
        return name, text
