"""Texts with places to fill: `{name}` and `{name.path}`."""

import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass

from tagent.paths import PATH_PATTERN, DataPath
from tagent.task_agent.fences import fenced

MAX_PATH_LENGTH = 1000
"""Characters of a path; a longer placeholder stays as it is."""

PLACEHOLDER = re.compile(r"(?<!\{)\{(" + PATH_PATTERN + r")\}")


@dataclass(frozen=True, slots=True)
class Absent:
    """In the place of a value that there is not yet; every path into it leads to what is said of it.

    Attributes:
        told: Why it is not there, for an agent.
    """

    told: str


def placeholders(text: str) -> Iterator[DataPath]:
    """Yield the path of each `{name}` and `{name.path}` in `text`; doubled braces are none.

    Example:
        >>> [str(path) for path in placeholders("Compare {a.price} with {b}, not {{c}}")]
        ['a.price', 'b']
    """
    if "{" in text:
        for match in PLACEHOLDER.finditer(text):
            if path := _path_of(match):
                yield path


def fill(text: str, values: Mapping[str, object], *, max_characters: int | None = None) -> str:
    """Return `text` with the placeholders that `values` names replaced once, as fenced data.

    A value longer than `max_characters` is cut there, and says so.

    Raises:
        DataPathError: If a path leads nowhere.

    Example:
        >>> fill("Describe {name}, {as it is}", {"name": "tagent"})
        'Describe <data name="name">tagent</data>, {as it is}'
        >>> fill("Improve {draft.text}", {"draft": Absent("nothing yet")})
        'Improve <data name="draft.text">nothing yet</data>'
    """

    def shown(path: DataPath, written: str) -> str:
        return fenced(written, found_at(path, values), max_characters=max_characters)

    return replaced(text, values, shown)


def replaced(text: str, names: Container[str], shown: Callable[[DataPath, str], str | None]) -> str:
    """Return `text` with each placeholder that begins with one of `names` replaced once.

    Args:
        text: The text.
        names: Those of what is known.
        shown: What stands in the place of a path, that was written so; None leaves it as it is.
    """

    def in_its_place(match: re.Match[str]) -> str:
        path = _path_of(match)
        told = None if path is None or path.root not in names else shown(path, match[1])
        return match[0] if told is None else told

    return PLACEHOLDER.sub(in_its_place, text)


def found_at(path: DataPath, values: Mapping[str, object]) -> object:
    """Return what `path` leads to in what an agent is told; in what is absent, why it is.

    Raises:
        DataPathError: If the path leads nowhere.
    """
    value = values.get(path.root)
    return value.told if isinstance(value, Absent) else path.look_up(values)


def _path_of(match: re.Match[str]) -> DataPath | None:
    """Return the path that a placeholder names; None if it is too long for one, and so stays as it is."""
    written = match[1]
    if "." not in written and "[" not in written:
        return DataPath(written)
    return DataPath.parse(written) if len(written) <= MAX_PATH_LENGTH else None
