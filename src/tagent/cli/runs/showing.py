"""`tagent runs show`."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
from pydantic_core import to_json
from rich.console import Console, Group
from rich.text import Text

from tagent.adapters.clock import SystemClock
from tagent.cli.commands import RunCommands
from tagent.cli.errors import printable
from tagent.cli.runs.naming import short_ids
from tagent.cli.runs.options import INTERRUPTED, json_option, listed, look_at, store_option, time_text, verbose_option
from tagent.cli.runs.outputs import print_output, step_named
from tagent.cli.stores import store_url
from tagent.cli.times import brief_time_text
from tagent.cli.unfolded import unfolded
from tagent.cli.view import Picture
from tagent.cli.waiting import asked_and_how_to_answer, said, what_is_asked
from tagent.pipeline import Pipeline, RunStatus
from tagent.pipeline.answering.answering import approval_documents
from tagent.pipeline.answering.documents import Answer
from tagent.pipeline.answering.requests import open_requests
from tagent.pipeline.approval import VERDICTS
from tagent.pipeline.course.records import StepRecord, WorkRecord
from tagent.pipeline.course.reports import step_metadata
from tagent.pipeline.course.telling_why import explanation
from tagent.pipeline.events import ApprovalAnswered, ApprovalRequested, RunEvent
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.journal.loading import first_definition, latest_definition, load_events
from tagent.pipeline.state import PipelineState, fold
from tagent.pipeline.stored.definition import Definition, outline
from tagent.ports import Services

Answers = Mapping[str, tuple[float, Answer]]
"""Path of a step -> since when the question stands that is answered, and what was said."""

WIDE = 2000
"""Columns of what is no terminal: whoever pipes it wants all of it."""

_SOMETIMES = ("given_by", "added_by", "optional", "condition", "seen", "unseen", "part_count")
"""What is known of some steps only."""


@click.command("show")
@click.argument("run_id")
@click.option(
    "--step", metavar="STEP", help="Print the output of this step; of one inside another by its path: outer/2/inner."
)
@click.option(
    "--all",
    "is_all",
    is_flag=True,
    help="Show every step, also those inside others that have ended, of items and rounds; with --step what is in that.",
)
@store_option
@json_option
@verbose_option
@short_ids("run_id")
def show_command(run_id: str, step: str | None, is_all: bool, store: str | None, as_json: bool) -> None:
    """Show the steps of a run, what they cost and why they failed."""

    async def look(services: Services) -> tuple[Definition, tuple[RunEvent, ...], dict[str, object], Answers]:
        run = await services.store.run(run_id)
        events = await load_events(services.store, run_id, is_whole=as_json or step is not None)
        first = await first_definition(services.store, run_id)
        documents = () if run.finished_at is not None else await approval_documents(services, run_id)
        answers = {it.approval.step: (it.approval.at, it.answer) for it in documents if it.answer is not None}
        return latest_definition(first, events), events, listed(run, services), answers

    definition, events, found, written = look_at(store, look)
    pipeline = outline(definition)
    state = fold(ExecutionGraph.build(pipeline), events)
    answers = _not_taken_up(state, written)
    named = None if step is None else step_named(state, step)
    if named is not None and not is_all:
        print_output(*named, answers.get(named[0]))
        return
    if as_json:
        click.echo(to_json({**found, **_facts(state, answers)}, indent=2).decode())
        return
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    is_interrupted = found["status"] == INTERRUPTED
    picture = _picture(pipeline, events, answers, is_interrupted=is_interrupted)
    if named is not None:
        console.print(Group(*_rows_of(named[0], picture)))
        return
    console.print(Text(f"{found['run_id']}  {found['pipeline']}  {found['status']}  {found['created_at']}"))
    console.print(Group(*_rows_of("", picture), picture.total()) if is_all else picture.rows())
    click.echo()
    for line in _why(state, answers):
        click.echo(printable(line))
    is_left = is_interrupted or state.status is RunStatus.WAITING
    commands = RunCommands.of(state.run_id, store_url(store), definition)
    for line in _asked(state, commands, answers, is_left=is_left):
        click.echo(line)


def _rows_of(path: str, picture: Picture) -> list[Text]:
    """Return the rows of all steps, also those inside others; of one and what is inside it, if that is named."""
    return [row for each, row in unfolded(picture) if not path or each == path or each.startswith(f"{path}/")]


def _not_taken_up(state: PipelineState, written: Answers) -> dict[str, Answer]:
    """Return path of a step -> the answer to what is asked about it, which the run does not know of."""
    asked = open_requests(state)
    return {path: said for path, (at, said) in written.items() if path in asked and asked[path].at == at}


def _asked(
    state: PipelineState, commands: RunCommands, answers: Mapping[str, Answer], *, is_left: bool
) -> Iterator[str]:
    """Yield what somebody is asked, and how he answers; and what is answered, and how the run goes on if it is left."""
    requests = {path: asked for path, asked in open_requests(state).items() if path not in answers}
    if requests:
        yield f"It waits for {'an approval' if len(requests) == 1 else f'{len(requests)} approvals'}:"
    yield from asked_and_how_to_answer(requests, commands)
    for path, answer in answers.items():
        yield printable(f"{path}: {_said_when(answer)}")
    if answers and is_left:
        yield f"Go on with it: {commands.resume}{commands.alternative}"


def _said_when(answer: Answer) -> str:
    return f"{said(answer)} (at {brief_time_text(answer.at)})"


def _why(state: PipelineState, answers: Mapping[str, Answer]) -> Iterator[str]:
    told = step_metadata(state)
    for path in answers:
        _facts_at(told, path).pop("asked", None)
    return explanation(state.pipeline, state.status, told, code=state.code, reason=state.reason)


def _facts_at(told: dict[str, dict[str, Any]], path: str) -> dict[str, Any]:
    """Return what `step_metadata` says of the step at a path; a mere copy of nothing if there is none."""
    found: dict[str, Any] = {"steps": told}
    for name in path.split("/"):
        found = {**found.get("steps", {}), **found.get("parts", {})}.get(name, {})
    return found


def _facts(state: PipelineState, answers: Mapping[str, Answer]) -> dict[str, object]:
    told = step_metadata(state)
    return {
        "inputs": state.inputs,
        "code": state.code,
        "reason": state.reason,
        "explanation": list(_why(state, answers)),
        "approvals": {path: _of_request(asked) for path, asked in open_requests(state).items() if path not in answers},
        "answered": {path: _of_answer(answer, at=answer.at) for path, answer in answers.items()},
        "steps": {name: _of_step(told[name], record) for name, record in state.steps.items()},
    }


def _of_request(asked: ApprovalRequested) -> dict[str, object]:
    """Return what somebody is asked, as JSON values."""
    return {
        "of": asked.of,
        "question": what_is_asked(asked),
        "since": time_text(asked.at),
        "until": None if asked.due_at is None else time_text(asked.due_at),
        "then": None if asked.due_at is None else VERDICTS[asked.default],
        "output": asked.output,
    }


def _of_answer(answered: ApprovalAnswered | Answer, *, at: float) -> dict[str, object]:
    """Return what somebody said, as JSON values."""
    told = {name: getattr(answered, name) for name in ("is_approved", "actor", "comment", "by_default", "is_edited")}
    return {**told, "at": time_text(at)}


def _of_step(told: Mapping[str, Any], record: StepRecord) -> dict[str, object]:
    """Return what is known of a step, as JSON values."""
    return {
        **{name: told[name] for name in ("status", "attempts")},
        "output": record.output,
        **{name: told[name] for name in ("code", "reason", "cached", "substituted_by")},
        "cost_usd": record.spending.cost_usd,
        **_times(told),
        **{name: told[name] for name in _SOMETIMES if name in told},
        **({"approval": _of_answer(record.answer, at=record.answer.given_at)} if record.answer is not None else {}),
        **_inside(told, record),
        **(
            {"parts": {part: _of_part(it, record.parts[part]) for part, it in told["parts"].items()}}
            if record.parts
            else {}
        ),
    }


def _of_part(told: Mapping[str, Any], record: WorkRecord) -> dict[str, object]:
    named = {"cost_usd" if name == "cost" else name: it for name, it in told.items()}  # as of steps
    return {**named, **_times(told), **_inside(told, record)}


def _inside(told: Mapping[str, Any], record: WorkRecord) -> dict[str, object]:
    """Return what is known of the steps of the pipeline that some work has run."""
    inner = record.inner
    if inner is None:
        return {}
    return {"steps": {name: _of_step(told["steps"][name], inner.steps[name]) for name in inner.steps}}


def _times(told: Mapping[str, Any]) -> dict[str, object]:
    """Return the times for people."""
    return {name: told[name] and time_text(told[name]) for name in ("started_at", "finished_at")}


def _picture(
    pipeline: Pipeline, events: Iterable[RunEvent], answers: Mapping[str, Answer], *, is_interrupted: bool
) -> Picture:
    picture = Picture(
        pipeline,
        now=lambda: _now_of(picture.state, is_interrupted=is_interrupted),
        is_interrupted=is_interrupted,
        is_whole=True,
        answers={path: _said_when(answer) for path, answer in answers.items()},
    )
    for event in events:
        picture.emit(event)
    return picture


def _now_of(state: PipelineState, *, is_interrupted: bool) -> float:
    """Return the time now; that of the newest event for a run that has ended, or that nobody drives any more."""
    return state.last_at if state.is_finished or is_interrupted else SystemClock().now()
