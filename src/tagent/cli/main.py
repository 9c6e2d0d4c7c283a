"""The `tagent` command. Each subcommand is imported when it is called, so that `--help` is quick."""

import sys
from importlib import import_module

import click

from tagent import __version__
from tagent.cli.errors import run_and_exit
from tagent.exceptions import nearest

COMMANDS = {
    "run": "Run a goal, or the pipeline of a file.",
    "runs": "List, look at, resume, fork, move and delete runs.",
    "db": "Look at, upgrade and clean up the database of runs.",
    "doctor": "Check the installation, the model and the store, and say what to mend.",
}
"""Subcommand -> its line in the help. `run` is the object `run` in the module `tagent.cli.run`, and so on."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and loads one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, or None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"tagent.cli.{cmd_name}"), cmd_name)
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return what to call; an unknown name comes back with the nearest one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message.rstrip('.')}.{nearest(args[0], COMMANDS)}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands into the help without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tagent")
def cli() -> None:
    """Durable pipelines of LLM agents.

    The model is the one given by --model, else by TAGENT_MODEL, else that of the first provider whose
    key is in the environment, else the embedded one if it is installed.
    """


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    run_and_exit(cli, sys.argv[1:])
