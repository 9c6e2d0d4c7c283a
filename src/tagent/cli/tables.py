"""Tables as plain lines: the same on a terminal and in a pipe, nothing cut off, nothing that steers a terminal."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from tagent.cli.errors import printable

GAP = "  "


def table_lines(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    r"""Yield the lines of a table whose columns stand below each other.

    Example:
        >>> print("\n".join(table_lines(["run", "status"], [["a1", "completed"]])))
        run  status
        a1   completed
    """
    cells = [tuple(" ".join(printable(cell).split("\n")) for cell in row) for row in (headers, *rows)]
    widths = [max(map(columns_of, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (cell + " " * (width - columns_of(cell)) for cell, width in zip(row, widths, strict=True))
        yield GAP.join(padded).rstrip()


def columns_of(text: str) -> int:
    """Return how many columns of a terminal `text` takes: an East Asian letter two, an accent of its own none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text
    )
