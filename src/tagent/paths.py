"""The one grammar for paths into data: `step.field[0].name`.

Placeholders in goals, references between an agent's tasks and `read_data` all use it. A path is a
name, then any number of `.field` and `[index]` parts. Looking a path up never calls anything: a
field is a mapping's key or a declared field of a Pydantic model or dataclass, never a method.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from typing import Self

from tagent.exceptions import DataPathError, nearest

NAME_PATTERN = r"[A-Za-z_][A-Za-z0-9_-]*"
"""What a path's parts look like; a step whose name does not match cannot be named in a path."""

PATH_PATTERN = rf"{NAME_PATTERN}(?:\.[A-Za-z0-9_-]+|\[-?\d{{1,9}}\])*"
"""A whole path, for use inside larger patterns."""

_PATH = re.compile(PATH_PATTERN)
_PART = re.compile(r"\.?([A-Za-z0-9_-]+)|\[(-?\d+)\]")


@dataclass(frozen=True, slots=True)
class DataPath:
    """A parsed path.

    Attributes:
        root: The first name: a step, an input or `tasks`.
        parts: What follows: field names and list positions, in order.

    Example:
        >>> DataPath.parse("facts.files[0].name")
        DataPath(root='facts', parts=('files', 0, 'name'))
        >>> DataPath.parse("facts.files[0]").look_up({"facts": {"files": ["README.md"]}})
        'README.md'
    """

    root: str
    parts: tuple[str | int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the path written as `text`.

        Raises:
            DataPathError: If `text` does not follow the grammar.
        """
        parsed = _parse(text)
        return cls(parsed[0], parsed[1])

    def __str__(self) -> str:
        return self.root + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in self.parts)

    def look_up(self, values: Mapping[str, object]) -> object:
        """Return what the path leads to, starting from `values[root]`.

        Raises:
            DataPathError: If a part is missing; the message lists what is there instead.
        """
        if self.root not in values:
            raise DataPathError(str(self), f"Nothing is named {self.root!r}.{nearest(self.root, values)}")
        value = values[self.root]
        for depth, part in enumerate(self.parts):
            here = str(DataPath(self.root, self.parts[:depth]))
            value = _step_into(value, part, path=str(self), here=here)
        return value


@lru_cache(maxsize=4096)
def _parse(text: str) -> tuple[str, tuple[str | int, ...]]:
    if len(text) > 1000 or not _PATH.fullmatch(text):
        raise DataPathError(
            text[:100], f"{text[:100]!r} is not a path. Write a name, then `.field` or `[index]` parts."
        )
    first, *rest = _PART.finditer(text)
    return first[1], tuple(int(m[2]) if m[2] is not None else m[1] for m in rest)


def _step_into(value: object, part: str | int, *, path: str, here: str) -> object:
    if value is None:
        raise DataPathError(path, f"{here} is null, so {path!r} leads nowhere.")
    if isinstance(part, int):
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            raise DataPathError(path, f"{here} is no list, so {path!r} leads nowhere.")
        if not -len(value) <= part < len(value):
            raise DataPathError(path, f"{here} has {len(value)} items, so {path!r} leads nowhere.")
        return value[part]
    members = field_values(value)
    if part in members:
        return members[part]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and part.isdecimal():
        return _step_into(value, int(part), path=path, here=here)
    there = f"It has: {', '.join(map(_told, sorted(map(str, members))[:20]))}." if members else "It has no fields."
    raise DataPathError(path, f"{here} has no field {part!r}.{nearest(part, map(str, members))} {there}")


def _told(name: str) -> str:
    """Return the name of a field as it may stand in a message: data can have any."""
    return name if re.fullmatch(r"[\w.-]{1,60}", name) else repr(name[:60])


def field_values(value: object) -> Mapping[str, object]:
    """Return the fields of a mapping, Pydantic model or dataclass by name; empty for anything else."""
    if isinstance(value, Mapping):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in fields(value)}
    names = getattr(type(value), "model_fields", None)
    return {name: getattr(value, name) for name in names} if isinstance(names, dict) else {}
