"""Values on the command line: what people type, and what they are shown of what is kept."""

import json
from typing import Any

import click
from pydantic_core import to_json

from tagent.cli.errors import printable

LONGEST_SHOWN = 60
"""Characters of a value in a table."""

as_option = click.option(
    "--as",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What the value is written in.",
)


def value_of(written: str, form: str) -> object:
    """Return the value that somebody has typed.

    Raises:
        click.BadParameter: If it is to be JSON and is none.
    """
    if form == "text":
        return written
    try:
        return json.loads(written)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{written!r} is not JSON: {error}.") from None


def whole(value: Any) -> str:
    """Return a value as it is printed alone: a text as it is, anything else as JSON."""
    return printable(value) if isinstance(value, str) else to_json(value, indent=2).decode()


def shortened(value: Any) -> str:
    """Return the beginning of a value, on one line.

    Example:
        >>> shortened({"n": 1})
        '{"n":1}'
    """
    text = value if isinstance(value, str) else to_json(value).decode()
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
