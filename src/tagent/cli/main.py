"""The `tagent` command."""

import sys

import click

from tagent import __version__
from tagent.cli.errors import run_and_exit
from tagent.cli.lazy import LazyGroup

COMMANDS = {
    "run": ("tagent.cli.run:run", "Run a goal, or the pipeline of a file."),
    "worker": ("tagent.cli.worker:worker", "Resume what was left, start pipelines on events and schedules."),
    "runs": ("tagent.cli.runs:runs", "List, look at, resume, fork, move and delete runs."),
    "memory": ("tagent.cli.memory:memory", "Look at what pipelines, runs and steps remember, and change it."),
    "messages": ("tagent.cli.messages:messages", "Look at what was sent between pipelines, and send something."),
    "db": ("tagent.cli.db:db", "Look at, upgrade and clean up the database of runs."),
    "doctor": ("tagent.cli.doctor:doctor", "Check the installation, the model and the store, and say what to mend."),
}
"""Subcommand -> where it is, and its line in the help."""

EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 usage, 3 waiting, 4 configuration, 5 budget, 6 partial, 130 interrupted."


@click.group(
    cls=LazyGroup, subcommands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES
)
@click.version_option(__version__, prog_name="tagent")
def cli() -> None:
    """Durable pipelines of LLM agents.

    The model is the one given by --model, else by TAGENT_MODEL, else that of the first provider whose
    key is in the environment, else the embedded one if it is installed.
    """


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    run_and_exit(cli, sys.argv[1:])
