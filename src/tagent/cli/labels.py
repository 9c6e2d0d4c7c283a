"""Labels on the command line: `--label team=blue`."""

from collections.abc import Iterable

import click


def label(text: str) -> tuple[str, str]:
    """Return the name and the value of an option's value like `team=blue`.

    Raises:
        click.BadParameter: If it is none.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not a label. Write it as name=value, like team=blue.")
    return name, value


def labels_of(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the labels by name.

    Raises:
        click.BadParameter: If one is given twice, with two values.
    """
    labels: dict[str, str] = {}
    for name, value in pairs:
        if labels.setdefault(name, value) != value:
            raise click.BadParameter(f"{name!r} cannot be both {labels[name]!r} and {value!r}.", param_hint="--label")
    return labels
