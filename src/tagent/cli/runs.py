"""`tagent runs`: list, look at and resume runs."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import TypeVar

import click
from pydantic_core import to_json
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tagent.cli.driving import as_text, drive
from tagent.cli.run import goal_pipeline, speak_plainly
from tagent.cli.stores import with_store
from tagent.cli.view import Picture
from tagent.config import TAgentConfig
from tagent.pipeline import Pipeline, PipelineResult
from tagent.pipeline.definition import Definition, outline
from tagent.pipeline.events import AgentProgressed, RunEvent
from tagent.pipeline.persistence import load_definition, load_events
from tagent.pipeline.resuming import DefinitionChoice, Reuse, resume_run
from tagent.ports import RunRecord, Services
from tagent.ports.records import RunQuery
from tagent.runtime import open_services

Result = TypeVar("Result")

store_option = click.option("--store", metavar="URL", help="Where the runs are kept, else sqlite:///.tagent/runs.db.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
verbose_option = click.option(
    "--verbose", is_flag=True, expose_value=False, help="Show a traceback when something goes wrong."
)


@click.group()
def runs() -> None:
    """List, look at and resume runs."""


@runs.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="The most runs to list.")
@store_option
@json_option
@verbose_option
def list_runs(limit: int, store: str | None, as_json: bool) -> None:
    """List runs, the newest first."""

    async def look(services: Services) -> list[dict[str, object]]:
        return [_listed(run, services) for run in await services.store.runs(RunQuery(limit=limit))]

    found = _look(store, look)
    if as_json:
        click.echo(to_json(found, indent=2).decode())
        return
    table = Table("run", "status", "pipeline", "started", "cost", box=None, pad_edge=False)
    for run in found:
        cost = f"${run['cost_usd']:.4f}"
        table.add_row(*(Text(str(run[key])) for key in ("run_id", "status", "pipeline", "created_at")), cost)
    Console().print(table)


def _listed(run: RunRecord, services: Services) -> dict[str, object]:
    is_left = run.status == "running" and (not run.owner or services.processes.is_gone(run.owner))
    return {
        "run_id": run.run_id,
        "pipeline": run.pipeline,
        "status": "interrupted" if is_left else run.status,
        "created_at": _time(run.created_at),
        "updated_at": _time(run.updated_at),
        "finished_at": None if run.finished_at is None else _time(run.finished_at),
        "cost_usd": run.cost_usd,
    }


@runs.command()
@click.argument("run_id")
@click.option("--step", help="Print the output of this step.")
@store_option
@json_option
@verbose_option
def show(run_id: str, step: str | None, store: str | None, as_json: bool) -> None:
    """Show the steps of a run, what they cost and why they failed."""

    async def look(services: Services) -> tuple[Definition, tuple[RunEvent, ...], dict[str, object]]:
        run = await services.store.run(run_id)
        return (
            await load_definition(services.store, run_id),
            await load_events(services.store, run_id),
            _listed(run, services),
        )

    definition, events, listed = _look(store, look)
    picture = _picture(outline(definition), events)
    if step is not None:
        if step not in picture.state.steps:
            raise click.BadParameter(f"The run has no step {step!r}.", param_hint="--step")
        click.echo(as_text(picture.state.steps[step].output))
    elif as_json:
        steps = {
            name: {
                "status": picture.state.statuses[name],
                "attempts": record.attempts,
                "output": record.output,
                "code": record.code,
                "reason": record.reason,
                "cost_usd": record.spending.cost_usd,
                "started_at": record.started_at and _time(record.started_at),
                "finished_at": record.finished_at and _time(record.finished_at),
            }
            for name, record in picture.state.steps.items()
        }
        click.echo(to_json({**listed, "inputs": picture.state.inputs, "steps": steps}, indent=2).decode())
    else:
        console = Console()
        console.print(Text(f"{listed['run_id']}  {listed['pipeline']}  {listed['status']}  {listed['created_at']}"))
        console.print(picture.rows())


@runs.command()
@click.argument("run_id")
@store_option
@verbose_option
def logs(run_id: str, store: str | None) -> None:
    """Print what happened in a run, one line an event."""

    async def look(services: Services) -> tuple[RunEvent, ...]:
        return await load_events(services.store, run_id)

    for event in _look(store, look):
        click.echo(f"{_time(event.at)}  {_described(event)}")


def _described(event: RunEvent) -> str:
    parts = [type(event).__name__]
    step = getattr(event, "step", "")
    if step:
        parts.append(f"{step} (attempt {event.attempt})" if hasattr(event, "attempt") else step)
    if isinstance(event, AgentProgressed):
        parts.append(type(event.event).__name__)
        parts.append(getattr(event.event, "tool_name", ""))
    parts += [str(getattr(event, name, "")) for name in ("status", "actor", "reason")]
    return "  ".join(part for part in parts if part)


@runs.command()
@click.argument("run_id")
@click.option(
    "--definition",
    type=click.Choice(["stored", "current"]),
    default="stored",
    show_default=True,
    help="Go on with the definition the run was started with, or with today's.",
)
@click.option("--model", help="The model: provider:name, or embedded.")
@store_option
@json_option
@verbose_option
def resume(run_id: str, definition: DefinitionChoice, model: str | None, store: str | None, as_json: bool) -> int:
    """Go on with an interrupted or failed run; what is completed is not done again."""
    speak_plainly()
    config = with_store(TAgentConfig.load(), store)
    overrides = TAgentConfig(model=model) if model else TAgentConfig()

    async def find(services: Services) -> tuple[Definition, tuple[RunEvent, ...]]:
        return await load_definition(services.store, run_id), await load_events(services.store, run_id)

    stored, history = asyncio.run(_with_services(config, find))
    code = goal_pipeline(stored.spec["steps"][0]["goal"]) if _is_goal(stored) else None

    async def work(services: Services) -> PipelineResult:
        return await resume_run(
            run_id,
            services,
            config,
            pipeline=code,
            definition=definition,
            overrides=overrides,
            announce=_announce,
        )

    return drive(outline(stored), config, work, as_json=as_json, history=history)


def _is_goal(stored: Definition) -> bool:
    """Return whether the run is of `tagent run GOAL`, which needs no code."""
    return stored.spec["name"] == "goal" and not stored.origin.file


def _announce(reuse: Reuse) -> None:
    def named(names: Iterable[str]) -> str:
        return ", ".join(names) or "none"

    interrupted = named(f"{name} ({calls} finished calls reused)" for name, calls in reuse.interrupted.items())
    click.echo(f"Reused: {named(reuse.completed)}", err=True)
    click.echo(f"Goes on: {interrupted}", err=True)
    click.echo(f"Still to do: {named(reuse.open)}", err=True)


def _picture(pipeline: Pipeline, events: Iterable[RunEvent]) -> Picture:
    picture = Picture(pipeline)
    for event in events:
        picture.emit(event)
    return picture


def _look(store: str | None, look: Callable[[Services], Awaitable[Result]]) -> Result:
    return asyncio.run(_with_services(with_store(TAgentConfig.load(), store), look))


async def _with_services(config: TAgentConfig, look: Callable[[Services], Awaitable[Result]]) -> Result:
    async with open_services(config) as services:
        return await look(services)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
