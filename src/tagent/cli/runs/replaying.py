"""`tagent runs replay`: today's code on what a run has recorded; and the same as a test that stays."""

import asyncio
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from string import Template

import click
from pydantic_core import to_json

from tagent.cli.errors import DONE, FAILED, printable
from tagent.cli.run import pipeline_of, speak_plainly
from tagent.cli.runs.naming import short_ids
from tagent.cli.runs.options import json_option, look_at, store_option, verbose_option, with_services
from tagent.config import TAgentConfig
from tagent.pipeline import Pipeline
from tagent.pipeline.replay.replaying import Replay, replay_run
from tagent.pipeline.stored.definition import Origin
from tagent.pipeline.stored.loading import load_pipeline
from tagent.pipeline.transfer.exporting import export_run
from tagent.pipeline.transfer.recording import Recording, load_recording
from tagent.ports import Services

HELP = """Run a run again, offline and free, on what its models and tools answered.

Prints what changed and ends with 1 if anything did. No model is asked and no tool is called; functions are the code
under test and run for real, with all they do, unless --recorded-functions is given.

\b
tagent runs replay 3f2a
tagent runs replay 3f2a --against report.py
tagent runs replay 3f2a --as-test tests/test_report.py
"""

_LONGEST_LINE = 120

_TEST = Template('''"""A recorded run, once more: no model is asked and no tool is called.

The run is in the JSON file of the same name. When what it gives is meant to change, delete both files and write
them from a newer run: tagent runs replay ID --as-test FILE.
"""

from pathlib import Path

from tagent.testing import replay

FOLDER = Path(__file__).parent
$pipeline
$run


def test_a_replay_gives_what_was_recorded() -> None:
    """Code and prompts may change; what the steps come to does not."""
    replay(FOLDER / RUN, FOLDER / PIPELINE$options).assert_unchanged()
''')


@click.command("replay", help=HELP)
@click.argument("run_id")
@click.option("--against", metavar="FILE[:OBJECT]", help="Run this pipeline instead of the recorded definition.")
@click.option(
    "--as-test",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OUT.py",
    help="Write a pytest file that replays the run, and the run as JSON beside it.",
)
@click.option("--recorded-functions", is_flag=True, help="Functions give what is recorded too; none is called.")
@store_option
@json_option
@verbose_option
@short_ids("run_id")
def replay_command(
    run_id: str,
    against: str | None,
    as_test: Path | None,
    recorded_functions: bool,
    store: str | None,
    as_json: bool,
) -> int:
    """Run a run again on what its models and tools answered."""
    speak_plainly()

    async def look(services: Services) -> tuple[Recording, bytes]:
        return await load_recording(services.store, run_id), await export_run(services.store, run_id)

    recording, document = look_at(store, look)
    with redirect_stdout(sys.stderr):  # what files and steps print is talk
        pipeline, origin = _named(against, recording)
        if as_test is not None:
            _require_new_test(as_test, origin)
            pipeline = pipeline or load_pipeline(origin.file, origin.object_name)  # what the test will run
        replay = _replayed(recording, pipeline, recorded_functions=recorded_functions)
    if as_test is not None:
        _write_test(as_test, document, origin, recorded_functions=recorded_functions)
    if as_json:
        click.echo(to_json(_as_values(replay), indent=2).decode())
    else:
        for line in replay.lines():
            click.echo(printable(line))
    return DONE if replay.is_unchanged else FAILED


def _named(against: str | None, recording: Recording) -> tuple[Pipeline | None, Origin]:
    """Return the pipeline to run, None for the recorded one, and where it is."""
    if against is None:
        return None, recording.counts.origin
    pipeline, origin = pipeline_of(against)
    if not origin.file:
        raise click.BadParameter(f"{against!r} names no file.", param_hint="--against")
    return pipeline, origin


def _replayed(recording: Recording, pipeline: Pipeline | None, *, recorded_functions: bool) -> Replay:
    async def work(services: Services) -> Replay:
        return await replay_run(recording, services, pipeline=pipeline, recorded_functions=recorded_functions)

    return asyncio.run(with_services(TAgentConfig(store="memory://"), work))


def _as_values(replay: Replay) -> dict[str, object]:
    return {
        "run_id": replay.run_id,
        "is_unchanged": replay.is_unchanged,
        "recorded_status": replay.recorded_status,
        "replayed_status": replay.result.status,
        "steps": [
            {
                "step": step.step,
                "is_equal": step.is_equal,
                "is_output_equal": step.is_output_equal,
                "recorded": step.before,
                "replayed": step.after,
                "output_diff": step.output_diff("recorded", "replayed"),
            }
            for step in replay.steps
        ],
    }


def _require_new_test(file: Path, origin: Origin) -> None:
    if file.suffix != ".py":
        raise click.BadParameter(
            f"{file} is no Python file. Name it like tests/test_report.py.", param_hint="--as-test"
        )
    if not origin.file:
        raise click.UsageError("The test needs a file to load the pipeline from: name it with --against FILE.")
    for written in (file, file.with_suffix(".json")):
        if written.exists():
            raise click.BadParameter(f"{written} exists already, and is left as it is.", param_hint="--as-test")


def _write_test(file: Path, document: bytes, origin: Origin, *, recorded_functions: bool) -> None:
    """Write the test, and the run beside it. Nothing of the run gets into the Python file."""
    run = file.with_suffix(".json")
    pipeline = os.path.relpath(origin.file, file.resolve().parent)
    options = f", object_name={_literal(origin.object_name)}" if origin.object_name else ""
    options += ", recorded_functions=True" if recorded_functions else ""
    test = _TEST.substitute(pipeline=_constant("PIPELINE", pipeline), run=_constant("RUN", run.name), options=options)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        run.write_bytes(document)
        file.write_text(test, encoding="utf-8")
    except OSError as error:
        raise click.FileError(str(error.filename or file), hint=error.strerror or "") from error
    click.echo(f"The test is {file}, its run {run}.", err=True)


def _constant(name: str, text: str) -> str:
    line = f"{name} = {_literal(text)}"
    return line if len(line) <= _LONGEST_LINE else f"{line}  # noqa: E501"


def _literal(text: str) -> str:
    """Return a text as a Python literal of ASCII letters, in the quotes that formatters prefer."""
    escaped = text.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'"{escaped}"'
