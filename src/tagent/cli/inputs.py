"""Inputs from the command line: `name=text`, `name:=json`, or a YAML or JSON file."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TypeVar

import click

from tagent.cli.values import pair_of

Returned = TypeVar("Returned")


def inputs_option(command: Callable[..., Returned]) -> Callable[..., Returned]:
    """Give a command the options, and what they say as `inputs`, by name; None where they are not there."""

    @click.option(
        "--input",
        "pairs",
        multiple=True,
        metavar="NAME=TEXT",
        help="An input as text; NAME:=JSON for a number, a bool, a list. Files are read by --inputs. Repeatable.",
    )
    @click.option("--inputs", "file", type=click.Path(path_type=Path), help="Inputs from a YAML or JSON file.")
    @wraps(command)
    def with_inputs(*, pairs: tuple[str, ...], file: Path | None, **options: object) -> Returned:
        return command(inputs=read_inputs(pairs, file) if pairs or file else None, **options)

    return with_inputs


def read_inputs(pairs: tuple[str, ...], file: Path | None) -> dict[str, object]:
    """Return the inputs by name; pairs win over the file.

    Text stays text: `version=1.10` is "1.10", and an input model turns it into what it declares.

    Raises:
        click.BadParameter: If a pair or the file cannot be read.
    """
    from_file = _from_file(file) if file else {}
    return from_file | dict(pair_of(pair, "--input") for pair in pairs)


def _from_file(file: Path) -> dict[str, object]:
    import yaml

    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{file} cannot be read: {error}.", param_hint="--inputs") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise click.BadParameter(f"{file} is neither YAML nor JSON: {error}", param_hint="--inputs") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise click.BadParameter(f"{file} must hold names and values.", param_hint="--inputs")
    return values
