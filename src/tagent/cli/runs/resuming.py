"""`tagent runs resume`."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import click

from tagent.cli.driving import drive
from tagent.cli.overrides import config_option, overrides_option
from tagent.cli.run import pipeline_of, speak_plainly
from tagent.cli.runs.naming import short_ids
from tagent.cli.runs.options import json_option, store_option, verbose_option, with_services
from tagent.cli.sources import Sources
from tagent.cli.stores import with_store
from tagent.config import TAgentConfig
from tagent.exceptions import ConfigurationError
from tagent.pipeline import Pipeline, PipelineResult
from tagent.pipeline.events import RunEvent
from tagent.pipeline.journal.loading import first_definition, latest_definition, load_events
from tagent.pipeline.resuming import DefinitionChoice, Reuse, how_to_resume, resume_run
from tagent.pipeline.stored.definition import Definition, outline
from tagent.pipeline.stored.origins import code_of
from tagent.pipeline.validation import require_valid
from tagent.ports import Services


@click.command("resume")
@click.argument("run_id")
@click.argument("file", required=False, metavar="[FILE[:OBJECT]]")
@click.option(
    "--definition",
    type=click.Choice(["stored", "current"]),
    default="stored",
    show_default=True,
    help="Go on with the definition the run was started with, or with today's.",
)
@overrides_option
@config_option
@store_option
@json_option
@verbose_option
@short_ids("run_id")
def resume_command(
    run_id: str,
    file: str | None,
    definition: DefinitionChoice,
    overrides: TAgentConfig,
    config_file: Path | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Go on with an interrupted, waiting or failed run; what is completed is not done again.

    Its code is that of the file from which `tagent run` began it. A run that was begun in Python, or imported, does not
    know that: name FILE. Its settings are those of the file that `tagent run` was given, unless --config names another.
    """
    return go_on(
        run_id,
        file=file,
        definition=definition,
        overrides=overrides,
        config_file=config_file,
        store=store,
        as_json=as_json,
    )


def go_on(
    run_id: str,
    *,
    file: str | None = None,
    definition: DefinitionChoice = "stored",
    overrides: TAgentConfig | None = None,
    config_file: Path | None = None,
    store: str | None = None,
    as_json: bool = False,
) -> int:
    """Go on with a run as `tagent runs resume` does with these options; return the exit code.

    Raises:
        click.BadParameter: If `file` names no pipeline's file.
        RunHeldError: If a live process drives it.
        TAgentError: As for `resume_run`.
    """
    speak_plainly()
    config = with_store(TAgentConfig.load(file=config_file), store)

    async def find(services: Services) -> tuple[Definition, tuple[RunEvent, ...]]:
        events = await load_events(services.store, run_id, is_whole=False)
        return latest_definition(await first_definition(services.store, run_id), events), events

    stored, history = asyncio.run(with_services(config, find))
    code = named_code(file, stored.origin.tool_files) if file else None
    if definition == "current":
        code = code or _code_of(stored, run_id)
        require_valid(code, tools=TAgentConfig.of(code.config).tools)  # before anything of it is drawn
    if config_file is None and stored.origin.config_file:
        config = with_store(_settings_of(stored.origin.config_file, run_id), config.store)

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

    drawn = code if code is not None and definition == "current" else outline(stored)
    return drive(drawn, config, work, as_json=as_json, history=history, definition=stored, file=file or "")


def named_code(file: str, tool_files: Sequence[str] = ()) -> Pipeline:
    """Return the pipeline that somebody has named by its file, whose agents may use the tools of these files besides.

    Raises:
        click.BadParameter: If it is no file.
        PipelineLoadError: If it does not give a pipeline.
    """
    with redirect_stdout(sys.stderr):  # what a file prints while it is loaded is talk
        pipeline, origin = pipeline_of(file, Sources(tools=tuple(tool_files)))
    if not origin.file:
        raise click.BadParameter(f"{file!r} names no file.", param_hint="FILE")
    return pipeline


def _code_of(stored: Definition, run_id: str) -> Pipeline:
    """Return the pipeline as its file defines it today.

    Raises:
        NoPipelineError: If it has no file.
        PipelineLoadError: If that does not give it.
    """
    with redirect_stdout(sys.stderr):  # what a file prints while it is loaded is talk
        return code_of(stored, run_id=run_id, hint=how_to_resume(run_id))


def _settings_of(file: str, run_id: str) -> TAgentConfig:
    """Return the settings that the run began with.

    Raises:
        ConfigurationError: If the file is gone or malformed.
    """
    if not Path(file).is_file():
        raise ConfigurationError(
            f"The run {run_id} began with the settings of {file}, which is not there any more.",
            hint="Put the file back, or name another one: --config FILE.",
        )
    return TAgentConfig.load(file=file)


def _announce(reuse: Reuse) -> None:
    told = {
        "Reused": reuse.completed,
        "Goes on": [_told(name, reuse) for name in reuse.interrupted],
        "Still to do": [_told(name, reuse) for name in reuse.open],
    }
    for what, names in told.items():
        if listed := ", ".join(names):
            click.echo(f"{what}: {listed}", err=True)


def _told(name: str, reuse: Reuse) -> str:
    """Return the name of a step with what of it is reused; of one that was at work also that it is nothing."""
    more = []
    inside, calls = reuse.inside.get(name, 0), reuse.interrupted.get(name)
    if inside:
        more.append(f"{inside} step{'' if inside == 1 else 's'} inside reused")
    if calls or (calls == 0 and not inside):
        more.append(f"{calls} finished call{'' if calls == 1 else 's'} reused")
    if name in reuse.parts:
        done, count = reuse.parts[name]
        many = f"{done} part{'' if done == 1 else 's'}" if count is None else f"{done} of {count} parts"
        more.append(f"{many} reused")
    return f"{name} ({', '.join(more)})" if more else name
