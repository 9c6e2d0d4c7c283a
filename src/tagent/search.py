"""What runs are searched by: plain text in which case, width and form of letters make no difference, in any script."""

import unicodedata
from collections.abc import Iterable

LONGEST_TEXT = 8_000
"""Characters kept of a run: enough to find it, few enough to read ten thousand in no time."""

LONGEST_VALUE = 2_000
"""Characters kept of one of its values, so that a long one does not push out the others."""


def searchable(values: Iterable[object]) -> str:
    r"""Return the text in which the words of a search are looked for.

    Args:
        values: What somebody may remember of a run: texts, or JSON values.

    Example:
        >>> searchable(["Écouter", {"topic": "TEA"}])
        'écouter\n{"topic":"tea"}'
    """
    from pydantic_core import to_json  # takes long to import, and who only searches does not need it

    parts: list[str] = []
    room = LONGEST_TEXT
    for value in values:
        text = value if isinstance(value, str) else to_json(value).decode()
        if text:
            parts.append(_folded(text[:LONGEST_VALUE]))
            room -= len(parts[-1]) + 1
        if room < 0:  # of a long run's outputs most are not even looked at
            break
    return "\n".join(parts)[:LONGEST_TEXT]


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a search as `searchable` writes them; a run is found if its text holds every one.

    Example:
        >>> words_of("Green  TEA")
        ('green', 'tea')
    """
    return tuple(_folded(text).split())


def _folded(text: str) -> str:
    """Return `text` without what looks different and means the same (Unicode's NFKC and case folding)."""
    return unicodedata.normalize("NFKC", text).casefold().replace("\0", "")
