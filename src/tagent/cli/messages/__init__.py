"""`tagent messages`: what was sent between pipelines."""

import click

from tagent.cli.lazy import LazyGroup

COMMANDS = {
    "list": ("tagent.cli.messages.reading:list_command", "List the topics that there are, or the messages of one."),
    "tail": ("tagent.cli.messages.reading:tail_command", "Print messages as they come."),
    "readers": ("tagent.cli.messages.reading:readers_command", "List who reads what, and how far."),
    "send": ("tagent.cli.messages.sending:send_command", "Send a message to a pipeline, a run or a topic."),
}
"""Subcommand -> where it is, and its line in the help."""


@click.group(cls=LazyGroup, subcommands=COMMANDS)
def messages() -> None:
    """Look at what was sent to pipelines, runs and topics, and send something.

    Where a message goes is an address: pipeline:NAME, run:ID, topic:NAME; dead:NAME holds what NAME could not handle.
    """
