"""The output of one step of a run, of one inside others by its path."""

import re

import click

from tagent.cli.driving import as_text
from tagent.cli.errors import printable
from tagent.cli.waiting import said
from tagent.exceptions import nearest
from tagent.pipeline.answering.documents import Answer
from tagent.pipeline.course.records import StepRecord, WorkRecord
from tagent.pipeline.state import PipelineState

_PART = re.compile(r"\[([^\[\]]+)\]")


def step_named(state: PipelineState, named: str) -> tuple[str, WorkRecord]:
    """Return the path of the step that somebody has named, and what is known of it.

    An item may be written as live views do, `cases[0]`, too.

    Raises:
        click.BadParameter: If the run has none.
    """
    for path in (named, _PART.sub(r"/\1", named)):
        if (found := _step_at(state, path)) is not None:
            return path, found
    raise click.BadParameter(f"The run has no step {named!r}.{nearest(named, state.steps)}", param_hint="--step")


def print_output(path: str, record: WorkRecord, answer: Answer | None) -> None:
    """Print what a step gave, of one that waits for approval what it is about; else say that there is nothing yet."""
    held = record.held if isinstance(record, StepRecord) else None
    if held is not None:
        click.echo(as_text(held.output))
        told = "It is not approved yet." if answer is None else f"{said(answer)}; the run has not gone on yet."
        click.echo(printable(told), err=True)
    elif record.output is None and (record.finished_at is None or record.code):
        why = f": {record.reason}" if record.reason else "." if record.finished_at is not None else " yet."
        click.echo(printable(f"The step {path!r} has given nothing{why}"), err=True)
    else:
        click.echo(as_text(record.output))


def _step_at(state: PipelineState, path: str) -> WorkRecord | None:
    """Return what is known of a step, or of one inside others by its path; None if there is none."""
    found: WorkRecord | None = state.steps.get(path)
    inner: PipelineState | None = state
    for name in () if found is not None else path.split("/"):
        if isinstance(found, StepRecord) and name in found.parts:
            found = found.parts[name]
        else:
            found = None if inner is None else inner.steps.get(name)
        inner = None if found is None else found.inner
    return found
