"""`tagent runs show`."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
from pydantic_core import to_json
from rich.console import Console
from rich.text import Text

from tagent.adapters.clock import SystemClock
from tagent.cli.driving import as_text
from tagent.cli.errors import printable
from tagent.cli.runs.naming import short_ids
from tagent.cli.runs.options import INTERRUPTED, json_option, listed, look_at, store_option, time_text, verbose_option
from tagent.cli.stores import DEFAULT_STORE, resume_command, store_url
from tagent.cli.times import brief_time_text
from tagent.cli.view import Picture
from tagent.cli.waiting import each_and_how_to_answer, said, what_is_asked
from tagent.exceptions import nearest
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

_SOMETIMES = ("given_by", "added_by", "optional", "condition", "seen", "unseen", "part_count")
"""What is known of some steps only."""


@click.command("show")
@click.argument("run_id")
@click.option("--step", help="Print the output of this step, of one inside another by its path.")
@store_option
@json_option
@verbose_option
@short_ids("run_id")
def show_command(run_id: str, step: str | None, store: str | None, as_json: bool) -> None:
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
    if step is not None:
        if (found_step := _step_at(state, step)) is None:
            raise click.BadParameter(f"The run has no step {step!r}.{nearest(step, state.steps)}", param_hint="--step")
        _print_output(step, found_step, answers.get(step))
    elif as_json:
        click.echo(to_json({**found, **_facts(state, answers)}, indent=2).decode())
    else:
        console = Console()
        console.print(Text(f"{found['run_id']}  {found['pipeline']}  {found['status']}  {found['created_at']}"))
        is_interrupted = found["status"] == INTERRUPTED
        console.print(_picture(pipeline, events, answers, is_interrupted=is_interrupted).rows())
        click.echo()
        for line in _why(state, answers):
            click.echo(printable(line))
        is_left = is_interrupted or state.status is RunStatus.WAITING
        for line in _asked(state, store, answers, is_left=is_left):
            click.echo(line)


def _not_taken_up(state: PipelineState, written: Answers) -> dict[str, Answer]:
    """Return path of a step -> the answer to what is asked about it, which the run does not know of."""
    asked = open_requests(state)
    return {path: said for path, (at, said) in written.items() if path in asked and asked[path].at == at}


def _print_output(path: str, record: WorkRecord, answer: Answer | None) -> None:
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


def _asked(state: PipelineState, store: str | None, answers: Mapping[str, Answer], *, is_left: bool) -> Iterator[str]:
    """Yield what somebody is asked, and how he answers; and what is answered, and how the run goes on if it is left."""
    requests = {path: asked for path, asked in open_requests(state).items() if path not in answers}
    url = store_url(store) if requests or answers else ""
    named = None if url == DEFAULT_STORE else url
    if requests:
        yield f"It waits for {'an approval' if len(requests) == 1 else f'{len(requests)} approvals'}:"
    for path, asked in requests.items():
        yield from each_and_how_to_answer(state.run_id, path, asked, named)
    for path, answer in answers.items():
        yield printable(f"{path}: {_said_when(answer)}")
    if answers and is_left:
        yield f"Go on with it: {resume_command(state.run_id, named)}"


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
    return {**told, **_times(told), **_inside(told, record)}


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
