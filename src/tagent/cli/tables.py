"""Tables as plain lines: nothing that steers a terminal, and nothing cut off but where a terminal ends."""

import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import click

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


def echo_table(lines: Iterable[str]) -> None:
    """Print the lines of a table, on a terminal as far as it is wide: columns that wrap can no longer be read."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in lines:
        click.echo(line if columns is None else cut(line, columns))


def cut(line: str, columns: int) -> str:
    """Return as much of a line as so many columns hold, with a sign that there is more.

    Example:
        >>> cut("completed", 6), cut("done", 6)
        ('compl…', 'done')
    """
    if columns_of(line) <= columns:
        return line
    kept, room = "", columns - 1
    for letter in line:
        room -= columns_of(letter)
        if room < 0:
            break
        kept += letter
    return f"{kept}…"


def columns_of(text: str) -> int:
    """Return how many columns of a terminal `text` takes: an East Asian letter two, an accent of its own none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text
    )
