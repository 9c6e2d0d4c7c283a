"""`tagent memory`: what pipelines, runs and steps remember."""

import click

from tagent.cli.lazy import LazyGroup

COMMANDS = {
    "list": ("tagent.cli.memory.reading:list_command", "List the memories that there are, or what one of them holds."),
    "get": ("tagent.cli.memory.reading:get_command", "Print what is remembered under a key."),
    "search": ("tagent.cli.memory.reading:search_command", "List what holds certain words."),
    "set": ("tagent.cli.memory.writing:set_command", "Remember a value under a key."),
    "delete": ("tagent.cli.memory.writing:delete_command", "Forget what is remembered under keys."),
}
"""Subcommand -> where it is, and its line in the help."""


@click.group(cls=LazyGroup, subcommands=COMMANDS)
def memory() -> None:
    """Look at what pipelines, runs and steps remember, and change it.

    A memory is named by its scope: pipeline:NAME, run:ID, step:ID/STEP, space:NAME, shared:NAME.
    """
