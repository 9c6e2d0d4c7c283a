"""`tagent run`: a goal, or the pipeline of a file."""

import logging
import re
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import click

from tagent.cli.driving import drive
from tagent.cli.inputs import inputs_option
from tagent.cli.labels import label, labels_of
from tagent.cli.overrides import config_option, overrides_option
from tagent.cli.runs.naming import whole_ids
from tagent.cli.runs.options import store_option
from tagent.cli.selecting import in_options, selection_option
from tagent.cli.sources import NO_SOURCES, Sources, sources_option
from tagent.cli.stores import with_store
from tagent.config import TAgentConfig
from tagent.pipeline import Pipeline, PipelineExecutor, PipelineResult
from tagent.pipeline.exceptions import PipelineLoadError
from tagent.pipeline.selecting import Selection, SelectionError
from tagent.pipeline.stored.definition import Origin
from tagent.pipeline.stored.loading import load_pipeline
from tagent.pipeline.stored.origins import goal_pipeline, with_tools
from tagent.pipeline.validation import require_valid
from tagent.ports import Services

_FILE = re.compile(r"(?P<file>.+\.(?:py|ya?ml|json|toml))(?::(?P<name>\S*))?|(?P<other>\S+\.\w+):(?P<object>\S*)")

HELP = """Run a goal, or the pipeline of a file.

The steps are shown on stderr while they run; the final output goes to stdout.

\b
tagent run "Name three uses of a paperclip"
tagent run report.py --input package=pydantic
tagent run report.py:weekly --inputs week.yaml --json --max-cost 5
tagent run report.py --start-from text --from-run ID
tagent run "What is the weather in Porto?" --tools weather.py --max-cost 0.05
"""


@click.command(help=HELP)
@click.argument("target", metavar="GOAL|FILE[:OBJECT]")
@inputs_option
@click.option(
    "--label",
    "labels",
    multiple=True,
    type=label,
    metavar="NAME=VALUE",
    help="A label to find the run by. Repeatable.",
)
@selection_option
@overrides_option
@sources_option
@store_option
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the whole result as one JSON object.")
@click.option("--verbose", is_flag=True, help="Show tracebacks when something goes wrong.")
def run(
    target: str,
    inputs: dict[str, object] | None,
    labels: tuple[tuple[str, str], ...],
    selection: Selection | None,
    overrides: TAgentConfig,
    sources: Sources,
    store: str | None,
    config_file: Path | None,
    as_json: bool,
    verbose: bool,
) -> int:
    """Run what `target` names and print what comes of it."""
    speak_plainly(is_verbose=verbose)
    with redirect_stdout(sys.stderr):  # what a file prints while it is loaded is talk
        pipeline, origin = pipeline_of(target, sources)
    if config_file is not None:
        origin = replace(origin, config_file=str(config_file.resolve()))
    if not origin.file and inputs is not None:
        looks = f" Did you mean {target}.py?" if Path(f"{target}.py").is_file() else ""
        raise click.UsageError(f"A goal takes no inputs: write them into the goal, or name a file.{looks}")
    if not origin.file and selection is not None:
        raise click.UsageError("A goal is run as a whole: --only, --start-from, --from-run and --output are for files.")
    known = None if selection is not None else tuple(inputs or ()) or None
    require_valid(pipeline, inputs=known, tools=TAgentConfig.of(pipeline.config).tools)  # before anything is drawn
    config = with_store(TAgentConfig.load(file=config_file), store)
    if selection is not None and selection.from_run:
        named = selection.from_run
        selection = replace(selection, from_run=whole_ids([named], config.store).get(named, named))

    async def work(services: Services) -> PipelineResult:
        executor = PipelineExecutor(
            pipeline,
            config,
            inputs=inputs or {},
            overrides=overrides,
            origin=origin,
            labels=labels_of(labels),
            selection=selection,
            services=services,
        )
        return await executor.execute()

    try:
        return drive(pipeline, config, work, as_json=as_json)
    except SelectionError as error:
        raise in_options(error) from error


def speak_plainly(*, is_verbose: bool = False) -> None:
    """Let warnings of the library appear on stderr as one line each, and with `is_verbose` tracebacks of steps."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.getLogger("tagent").setLevel(logging.DEBUG if is_verbose else logging.WARNING)


def _is_path(target: str) -> bool:
    """Return whether something else than a Python file is named: nobody means that as a goal."""
    try:
        return Path(target).exists() and (target in {".", ".."} or "/" in target)
    except (OSError, ValueError):  # too long for a path, or no text that can be one
        return False


def pipeline_of(target: str, sources: Sources = NO_SOURCES) -> tuple[Pipeline, Origin]:
    """Return the pipeline of a file, or one whose single step is the goal; and where to load it again.

    Raises:
        click.UsageError: If an output schema is named for the pipeline of a file, or a path that is none.
        PipelineLoadError: If the file does not give a pipeline.
        ToolLoadError: If another file does not give what it is named for.
    """
    if match := _FILE.fullmatch(target.strip()):
        if sources.is_schema_named:
            raise click.UsageError("--output-schema is for a goal: the steps of a pipeline say what they give.")
        file, name = match["file"] or match["other"], match["name"] or match["object"] or ""
        origin = Origin(str(Path(file).resolve()), name, sources.tools)
        if not Path(file).is_file():
            hint = "A goal must not end like a file name."
            raise PipelineLoadError(file, f"There is no file {file!r}.", hint=hint)
        return with_tools(load_pipeline(file, name), sources.tools), origin
    if _is_path(target):
        raise click.UsageError(f"{target} is no Python file. Name a .py file that defines a pipeline, or write a goal.")
    pipeline = goal_pipeline(target, tool_files=sources.tools, schema_file=sources.schema)
    return pipeline, Origin(tool_files=sources.tools, schema_file=sources.schema)
