"""`tagent runs`: list, look at, resume, fork, move and delete runs. Each command is imported when it is called."""

from importlib import import_module

import click

COMMANDS = {
    "list": ("listing", "List runs, the newest first."),
    "show": ("showing", "Show the steps of a run, what they cost and why they failed."),
    "logs": ("following", "Print what happened in a run, one line an event."),
    "resume": ("resuming", "Go on with an interrupted or failed run; what is completed is not done again."),
    "fork": ("forking", "Make a new run of an old one's beginning."),
    "diff": ("comparing", "Compare two runs step by step."),
    "export": ("moving", "Print a run as one JSON document."),
    "import": ("moving", "Put an exported run into the store."),
    "replay": ("replaying", "Run again, offline and free, on the recorded answers."),
    "delete": ("deleting", "Delete finished runs."),
}
"""Subcommand -> the module of this package that has it as `<name>_command`, and its line in the help."""


class RunsGroup(click.Group):
    """A group that loads a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, or None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command = getattr(import_module(f"tagent.cli.runs.{module}"), f"{cmd_name}_command")
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands into the help without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=RunsGroup)
def runs() -> None:
    """List, look at, resume, fork, move and delete runs."""
