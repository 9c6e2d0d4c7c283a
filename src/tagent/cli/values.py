"""Values on the command line: what people type, and what they are shown of what is kept."""

import json
from pathlib import Path
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
    return written if form == "text" else json_of(written)


def json_of(written: str, option: str | None = None) -> object:
    """Return what somebody has written as JSON.

    Args:
        written: What he wrote.
        option: Where, for the message.

    Raises:
        click.BadParameter: If it is no JSON.
    """
    try:
        return json.loads(written)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{written!r} is not JSON: {error}.", param_hint=option) from None


def pair_of(written: str, option: str, *, named: str = "name") -> tuple[str, object]:
    """Return the name and the value of `name=text` or `name:=json`; a text stays a text.

    Args:
        written: The pair.
        option: Where it stands, for the message.
        named: What stands before the `=`, for the message.

    Raises:
        click.BadParameter: If it is no pair, or its value no JSON.

    Example:
        >>> pair_of("version=1.10", "--input"), pair_of("cities:=[1]", "--input")
        (('version', '1.10'), ('cities', [1]))
    """
    name, separator, text = written.partition("=")
    if not separator or not name.strip(":"):
        told = f"{written!r} is not of the form {named}=text or {named}:=json."
        raise click.BadParameter(told, param_hint=option)
    return (name[:-1], json_of(text, option)) if name.endswith(":") else (name, text)


def text_of(written: str, option: str) -> str:
    """Return what somebody has written, or where it is `@FILE` what that file holds.

    Args:
        written: What he wrote.
        option: Where, for the message.

    Raises:
        click.BadParameter: If the file cannot be read.
    """
    if not written.startswith("@"):
        return written
    try:
        return Path(written[1:]).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{written[1:]} cannot be read: {error}.", param_hint=option) from None


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
