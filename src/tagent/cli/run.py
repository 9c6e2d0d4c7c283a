"""`tagent run`: a goal, or the pipeline of a file."""

import asyncio
import logging
import re
from pathlib import Path

import click
from pydantic_core import to_json

from tagent.cli import errors
from tagent.cli.inputs import read_inputs
from tagent.cli.view import open_view
from tagent.config import TAgentConfig
from tagent.pipeline import Pipeline, PipelineExecutor, PipelineResult, RunStatus
from tagent.pipeline.loading import load_pipeline
from tagent.runtime import open_services

_FILE = re.compile(r"(?P<file>.+\.py)(?::(?P<name>[A-Za-z_]\w*))?|(?P<other>\S+\.\w+):(?P<object>[A-Za-z_]\w*)")

_EXIT_CODES = {RunStatus.COMPLETED: errors.DONE, RunStatus.PARTIAL: errors.PARTIAL}


@click.command()
@click.argument("target", metavar="GOAL|FILE[:OBJECT]")
@click.option("--input", "pairs", multiple=True, metavar="NAME=TEXT", help="An input; NAME:=JSON for other than text.")
@click.option("--inputs", "file", type=click.Path(path_type=Path), help="Inputs from a YAML or JSON file.")
@click.option("--model", help="The model: provider:name, or embedded.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Settings from a TOML file.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole result as one JSON object.")
@click.option("--verbose", is_flag=True, help="Show a traceback when something goes wrong.")
def run(
    target: str,
    pairs: tuple[str, ...],
    file: Path | None,
    model: str | None,
    config_file: Path | None,
    as_json: bool,
    verbose: bool,  # noqa: ARG001 - read where errors are reported
) -> int:
    r"""Run a goal, or the pipeline of a file.

    The steps are shown on stderr while they run; the final output goes to stdout.

    \b
    tagent run "Name three uses of a paperclip"
    tagent run report.py --input package=pydantic
    tagent run report.py:weekly --inputs week.yaml --json
    """
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.getLogger("stamina").setLevel(logging.ERROR)  # the view shows waits
    pipeline = pipeline_of(target)
    base = TAgentConfig.load(file=config_file)
    overrides = TAgentConfig(model=model) if model else TAgentConfig()
    result = asyncio.run(_execute(pipeline, base, overrides, read_inputs(pairs, file)))
    click.echo(to_json(result, indent=2, fallback=str).decode() if as_json else as_text(result.final_output))
    return _EXIT_CODES.get(result.status, errors.FAILED)


async def _execute(
    pipeline: Pipeline, base: TAgentConfig, overrides: TAgentConfig, inputs: dict[str, object]
) -> PipelineResult:
    with open_view(pipeline) as view:
        async with open_services(base, sinks=(view,)) as services:
            executor = PipelineExecutor(pipeline, base, inputs=inputs, overrides=overrides, services=services)
            return await executor.execute()


def pipeline_of(target: str) -> Pipeline:
    """Return the pipeline of a file, or one whose single step is the goal."""
    if match := _FILE.fullmatch(target.strip()):
        return load_pipeline(match["file"] or match["other"], match["name"] or match["object"] or "")
    return Pipeline("goal").step("answer", target)


def as_text(output: object) -> str:
    """Return an output for people and pipes: text as it is, nothing for None, all else as JSON."""
    if output is None:
        return ""
    return output if isinstance(output, str) else to_json(output, indent=2, fallback=str).decode()
