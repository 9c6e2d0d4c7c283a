"""`tagent run`: a goal, or the pipeline of a file."""

import logging
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from tagent.cli.driving import drive
from tagent.cli.inputs import read_inputs
from tagent.cli.labels import label, labels_of
from tagent.cli.stores import with_store
from tagent.config import TAgentConfig
from tagent.pipeline import Pipeline, PipelineExecutor, PipelineResult
from tagent.pipeline.definition import Origin
from tagent.pipeline.loading import load_pipeline
from tagent.pipeline.origins import goal_pipeline
from tagent.pipeline.validation import require_valid
from tagent.ports import Services

_FILE = re.compile(r"(?P<file>.+\.(?:py|ya?ml|json|toml))(?::(?P<name>\S*))?|(?P<other>\S+\.\w+):(?P<object>\S*)")

HELP = """Run a goal, or the pipeline of a file.

The steps are shown on stderr while they run; the final output goes to stdout.

\b
tagent run "Name three uses of a paperclip"
tagent run report.py --input package=pydantic
tagent run report.py:weekly --inputs week.yaml --json
"""


@click.command(help=HELP)
@click.argument("target", metavar="GOAL|FILE[:OBJECT]")
@click.option("--input", "pairs", multiple=True, metavar="NAME=TEXT", help="An input; NAME:=JSON for other than text.")
@click.option("--inputs", "file", type=click.Path(path_type=Path), help="Inputs from a YAML or JSON file.")
@click.option("--label", "labels", multiple=True, type=label, metavar="NAME=VALUE", help="A label to find the run by.")
@click.option("--model", help="The model: provider:name, or embedded.")
@click.option("--store", metavar="URL", help="Where the run is kept, else sqlite:///.tagent/runs.db.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Settings from a TOML file.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole result as one JSON object.")
@click.option("--verbose", is_flag=True, help="Show tracebacks when something goes wrong.")
def run(
    target: str,
    pairs: tuple[str, ...],
    file: Path | None,
    labels: tuple[tuple[str, str], ...],
    model: str | None,
    store: str | None,
    config_file: Path | None,
    as_json: bool,
    verbose: bool,
) -> int:
    """Run what `target` names and print what comes of it."""
    speak_plainly(is_verbose=verbose)
    with redirect_stdout(sys.stderr):  # what a file prints while it is loaded is talk
        pipeline, origin = pipeline_of(target)
    if not origin.file and (pairs or file):
        looks = f" Did you mean {target}.py?" if Path(f"{target}.py").is_file() else ""
        raise click.UsageError(f"A goal takes no inputs: write them into the goal, or name a file.{looks}")
    require_valid(pipeline)  # before anything of it is drawn
    config = with_store(TAgentConfig.load(file=config_file), store)
    overrides = TAgentConfig(model=model) if model else TAgentConfig()
    inputs = read_inputs(pairs, file)

    async def work(services: Services) -> PipelineResult:
        executor = PipelineExecutor(
            pipeline,
            config,
            inputs=inputs,
            overrides=overrides,
            origin=origin,
            labels=labels_of(labels),
            services=services,
        )
        return await executor.execute()

    return drive(pipeline, config, work, as_json=as_json)


def speak_plainly(*, is_verbose: bool = False) -> None:
    """Let warnings of the library appear on stderr as one line each, and with `is_verbose` tracebacks of steps."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.getLogger("tagent").setLevel(logging.DEBUG if is_verbose else logging.WARNING)
    logging.getLogger("stamina").setLevel(logging.ERROR)  # the view shows waits


def pipeline_of(target: str) -> tuple[Pipeline, Origin]:
    """Return the pipeline of a file, or one whose single step is the goal; and where to load it again."""
    if match := _FILE.fullmatch(target.strip()):
        file, name = match["file"] or match["other"], match["name"] or match["object"] or ""
        return load_pipeline(file, name), Origin(str(Path(file).resolve()), name)
    return goal_pipeline(target), Origin()
