"""Asks before something is done that cannot be taken back."""

import sys

import click

yes_option = click.option("--yes", "-y", "is_agreed", is_flag=True, help="Do not ask.")


def agrees(question: str, *, done: str = "deleted") -> bool:
    """Return whether the user says yes; the question goes to stderr.

    Args:
        question: What is asked.
        done: What is done to things if he does, as in "Nothing was deleted".

    Raises:
        click.UsageError: If nobody can be asked.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(f"Nothing was {done}: there is no terminal to ask at. Repeat it with --yes.")
    return click.confirm(question, err=True)
