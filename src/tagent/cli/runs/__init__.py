"""`tagent runs`: list, look at, answer, resume, cancel, fork, move and delete runs."""

import click

from tagent.cli.lazy import LazyGroup

COMMANDS = {
    "list": ("tagent.cli.runs.listing:list_command", "List runs, the newest first."),
    "show": ("tagent.cli.runs.showing:show_command", "Show the steps of a run, what they cost and why they failed."),
    "logs": ("tagent.cli.runs.following:logs_command", "Print what happened in a run, one line an event."),
    "resume": (
        "tagent.cli.runs.resuming:resume_command",
        "Go on with an interrupted or failed run; what is completed is not done again.",
    ),
    "approvals": ("tagent.cli.runs.asking:approvals_command", "List what waits for somebody's approval."),
    "approve": ("tagent.cli.runs.answering:approve_command", "Say yes to what steps wait for."),
    "reject": ("tagent.cli.runs.answering:reject_command", "Say no to what steps wait for."),
    "cancel": ("tagent.cli.runs.cancelling:cancel_command", "Cancel runs, whoever drives them."),
    "fork": ("tagent.cli.runs.forking:fork_command", "Make a new run of an old one's beginning."),
    "diff": ("tagent.cli.runs.comparing:diff_command", "Compare two runs step by step."),
    "export": ("tagent.cli.runs.moving:export_command", "Print a run as one JSON document."),
    "import": ("tagent.cli.runs.moving:import_command", "Put an exported run into the store."),
    "replay": ("tagent.cli.runs.replaying:replay_command", "Run again, offline and free, on the recorded answers."),
    "delete": ("tagent.cli.runs.deleting:delete_command", "Delete finished runs."),
}
"""Subcommand -> where it is, and its line in the help."""


@click.group(cls=LazyGroup, subcommands=COMMANDS)
def runs() -> None:
    """List, look at, answer, resume, cancel, fork, move and delete runs."""
