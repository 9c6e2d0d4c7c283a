"""`tagent runs fork`."""

import asyncio

import click
from pydantic_core import to_json

from tagent.cli.commands import RunCommands
from tagent.cli.runs.naming import short_ids
from tagent.cli.runs.options import json_option, store_option, verbose_option, with_services
from tagent.cli.stores import with_store
from tagent.cli.values import pair_of
from tagent.config import TAgentConfig
from tagent.pipeline.journal.loading import first_definition
from tagent.pipeline.transfer.forking import Fork, fork_run
from tagent.ports import Services

HELP = """Make a new run of an old one's beginning; the old one stays as it is.

What ran before the fork point is reused and costs nothing. Resume the new run to do the rest.

\b
tagent runs fork ID --from write
tagent runs fork ID --at 12
tagent runs fork ID --set inputs.topic=tea --from research
tagent runs fork ID --set "steps.write.goal=Write one line about {research}"
tagent runs fork ID --set steps.research.output:='{"facts": []}'
tagent runs fork ID --from write --set model=openai:gpt-5
"""


@click.command("fork", help=HELP)
@click.argument("run_id")
@click.option("--from", "from_step", metavar="STEP", help="Run this step and all that depend on it again.")
@click.option("--at", "at_event", type=int, metavar="N", help="The run as it was after its first N events.")
@click.option("--set", "pairs", multiple=True, metavar="PATH=TEXT", help="What is different; PATH:=JSON for no text.")
@store_option
@json_option
@verbose_option
@short_ids("run_id")
def fork_command(
    run_id: str,
    from_step: str | None,
    at_event: int | None,
    pairs: tuple[str, ...],
    store: str | None,
    as_json: bool,
) -> None:
    """Fork a run and say what the new one reuses."""
    overrides = _overrides(pairs)

    config = with_store(TAgentConfig.load(), store)

    async def work(services: Services) -> tuple[Fork, RunCommands]:
        fork = await fork_run(run_id, services, from_step=from_step, at_event=at_event, overrides=overrides)
        definition = await first_definition(services.store, fork.run_id)
        return fork, RunCommands.of(fork.run_id, config.store, definition)

    fork, commands = asyncio.run(with_services(config, work))
    if as_json:
        click.echo(to_json(fork, indent=2).decode())
        return
    click.echo(f"Reused: {', '.join(fork.reused) or 'none'}", err=True)
    again = (f"{step} ({done} parts reused)" if (done := fork.parts.get(step)) else step for step in fork.again)
    click.echo(f"Runs again: {', '.join(again) or 'none'}", err=True)
    click.echo(f"Go on with it: {commands.resume}{commands.alternative}", err=True)
    click.echo(fork.run_id)


def _overrides(pairs: tuple[str, ...]) -> dict[str, object]:
    """Return the overrides that the pairs spell: `steps.write.goal=text`, `inputs.n:=3`, `model=name`."""
    overrides: dict[str, object] = {}
    for pair in pairs:
        path, value = pair_of(pair, "--set", named="path")
        _put(overrides, _parts(path), value)
    return overrides


def _parts(path: str) -> list[str]:
    """Return the parts of a path; a step's name may hold dots itself, an input's too."""
    first, _, rest = path.partition(".")
    if first == "steps":
        name, _, part = rest.rpartition(".")
        return [first, name, part]
    return [first, rest] if rest else [first]


def _put(values: dict[str, object], parts: list[str], value: object) -> None:
    for part in parts[:-1]:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise click.BadParameter(f"{part!r} is set twice.", param_hint="--set")
        values = inner
    values[parts[-1]] = value
