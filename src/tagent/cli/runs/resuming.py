"""`tagent runs resume`."""

import asyncio
from collections.abc import Iterable

import click

from tagent.cli.driving import drive
from tagent.cli.run import speak_plainly
from tagent.cli.runs.options import json_option, store_option, verbose_option, with_services
from tagent.cli.stores import with_store
from tagent.config import TAgentConfig
from tagent.pipeline import PipelineResult
from tagent.pipeline.definition import Definition, outline
from tagent.pipeline.events import RunEvent
from tagent.pipeline.persistence import first_definition, latest_definition, load_events
from tagent.pipeline.resuming import DefinitionChoice, Reuse, resume_run
from tagent.ports import Services


@click.command("resume")
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
def resume_command(
    run_id: str, definition: DefinitionChoice, model: str | None, store: str | None, as_json: bool
) -> int:
    """Go on with an interrupted or failed run; what is completed is not done again."""
    speak_plainly()
    config = with_store(TAgentConfig.load(), store)
    overrides = TAgentConfig(model=model) if model else TAgentConfig()

    async def find(services: Services) -> tuple[Definition, tuple[RunEvent, ...]]:
        events = await load_events(services.store, run_id, is_whole=False)
        return latest_definition(await first_definition(services.store, run_id), events), events

    stored, history = asyncio.run(with_services(config, find))

    async def work(services: Services) -> PipelineResult:
        return await resume_run(
            run_id,
            services,
            config,
            definition=definition,
            overrides=overrides,
            announce=_announce,
        )

    return drive(outline(stored), config, work, as_json=as_json, history=history)


def _announce(reuse: Reuse) -> None:
    def named(names: Iterable[str]) -> str:
        return ", ".join(names) or "none"

    interrupted = named(f"{name} ({calls} finished calls reused)" for name, calls in reuse.interrupted.items())
    click.echo(f"Reused: {named(reuse.completed)}", err=True)
    click.echo(f"Goes on: {interrupted}", err=True)
    click.echo(f"Still to do: {named(reuse.open)}", err=True)
