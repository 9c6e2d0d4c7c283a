"""`tagent runs show`."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
from pydantic_core import to_json
from rich.console import Console
from rich.text import Text

from tagent.cli.driving import as_text
from tagent.cli.errors import printable
from tagent.cli.runs.options import INTERRUPTED, json_option, listed, look_at, store_option, time_text, verbose_option
from tagent.cli.view import Picture
from tagent.pipeline import Pipeline
from tagent.pipeline.course.records import StepRecord
from tagent.pipeline.course.reports import step_metadata
from tagent.pipeline.course.telling_why import explanation
from tagent.pipeline.events import RunEvent
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.persistence import first_definition, latest_definition, load_events
from tagent.pipeline.state import PipelineState, fold
from tagent.pipeline.stored.definition import Definition, outline
from tagent.ports import Services


@click.command("show")
@click.argument("run_id")
@click.option("--step", help="Print the output of this step.")
@store_option
@json_option
@verbose_option
def show_command(run_id: str, step: str | None, store: str | None, as_json: bool) -> None:
    """Show the steps of a run, what they cost and why they failed."""

    async def look(services: Services) -> tuple[Definition, tuple[RunEvent, ...], dict[str, object]]:
        run = await services.store.run(run_id)
        events = await load_events(services.store, run_id, is_whole=as_json or step is not None)
        first = await first_definition(services.store, run_id)
        return latest_definition(first, events), events, listed(run, services)

    definition, events, found = look_at(store, look)
    pipeline = outline(definition)
    state = fold(ExecutionGraph.build(pipeline), events)
    if step is not None:
        if step not in state.steps:
            raise click.BadParameter(f"The run has no step {step!r}.", param_hint="--step")
        click.echo(as_text(state.steps[step].output))
    elif as_json:
        click.echo(to_json({**found, **_facts(state)}, indent=2).decode())
    else:
        console = Console()
        console.print(Text(f"{found['run_id']}  {found['pipeline']}  {found['status']}  {found['created_at']}"))
        console.print(_picture(pipeline, events, is_interrupted=found["status"] == INTERRUPTED).rows())
        click.echo()
        for line in _why(state):
            click.echo(printable(line))


def _why(state: PipelineState) -> Iterator[str]:
    return explanation(state.pipeline, state.status, step_metadata(state), code=state.code, reason=state.reason)


def _facts(state: PipelineState) -> dict[str, object]:
    told = step_metadata(state)
    return {
        "inputs": state.inputs,
        "code": state.code,
        "reason": state.reason,
        "explanation": list(_why(state)),
        "steps": {name: _of_step(told[name], record) for name, record in state.steps.items()},
    }


def _of_step(told: Mapping[str, Any], record: StepRecord) -> dict[str, object]:
    """Return what is known of a step, as JSON values."""
    return {
        **{name: told[name] for name in ("status", "attempts")},
        "output": record.output,
        **{name: told[name] for name in ("code", "reason", "substituted_by")},
        "cost_usd": record.spending.cost_usd,
        **_times(told),
        **{name: told[name] for name in ("optional", "condition", "seen", "unseen", "part_count") if name in told},
        **({"parts": {part: {**it, **_times(it)} for part, it in told["parts"].items()}} if "parts" in told else {}),
    }


def _times(told: Mapping[str, Any]) -> dict[str, object]:
    """Return the times for people."""
    return {name: told[name] and time_text(told[name]) for name in ("started_at", "finished_at")}


def _picture(pipeline: Pipeline, events: Iterable[RunEvent], *, is_interrupted: bool) -> Picture:
    picture = Picture(pipeline, is_interrupted=is_interrupted)
    for event in events:
        picture.emit(event)
    return picture
