"""Labels: short names and values that people give a run to find it again."""

import re
from collections.abc import Mapping

from tagent.exceptions import ConfigurationError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")

LONGEST_VALUE = 256
"""Characters of a label's value."""


def check_labels(labels: Mapping[str, object]) -> dict[str, str]:
    """Return the labels, checked.

    Raises:
        ConfigurationError: If a name is not made of up to 63 letters, digits, `_`, `.` and `-`, or a value is
            no text of up to 256 characters.

    Example:
        >>> check_labels({"team": "blue"})
        {'team': 'blue'}
    """
    checked: dict[str, str] = {}
    for name, value in labels.items():
        if not _NAME.fullmatch(str(name)):
            raise ConfigurationError(
                f"{name!r} cannot name a label.", hint="Up to 63 letters, digits, `_`, `.` and `-`, as in team=blue."
            )
        if not isinstance(value, str) or len(value) > LONGEST_VALUE:
            raise ConfigurationError(f"The label {name!r} needs a text of up to {LONGEST_VALUE} characters.")
        checked[str(name)] = value
    return checked
