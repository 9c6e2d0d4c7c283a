"""The files in a store's directory: their names, and how one comes into it whole or not at all."""

import os
import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from tagent.adapters.storage.files.format import HEADER
from tagent.adapters.storage.files.lines import BEGINNING, checksum_of, line_of

_LOG_FILE = re.compile(r"log-(\d{6,})\.jsonl")
_UNFINISHED = "unfinished.tmp"


def path_of(directory: Path, number: int) -> Path:
    """Return where a file of the log is. Files are called by numbers, and by nothing else.

    Example:
        >>> path_of(Path("runs"), 7).name
        'log-000007.jsonl'
    """
    return directory / f"log-{number:06d}.jsonl"


def numbers_in(directory: Path) -> tuple[int, ...]:
    """Return the numbers of the files of the log, in order."""
    found = (_LOG_FILE.fullmatch(entry.name) for entry in directory.iterdir())
    return tuple(sorted(int(match[1]) for match in found if match))


def write_file(path: Path, bodies: Iterable[bytes]) -> None:
    """Write a whole file of the log, in place of the one there may be; durable when this returns.

    Args:
        path: The file.
        bodies: The JSON of its lines behind the first.

    Raises:
        OSError: If it cannot be written. Then nothing has changed.
    """
    unfinished = path.parent / _UNFINISHED
    file = os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    try:
        with open(file, "wb") as stream:  # noqa: PTH123 - of a descriptor, for its mode
            checksum = BEGINNING
            for body in chain((HEADER,), bodies):
                checksum = checksum_of(body, before=checksum)
                stream.write(line_of(body, checksum))
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def create_directory(directory: Path) -> None:
    """Create a directory that is missing, for its owner only, with those above it; durable when this returns."""
    missing = [it for it in (directory, *directory.parents) if not it.exists()]
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    for created in missing:
        sync_directory(created.parent)


def sync_directory(directory: Path) -> None:
    """Make it durable which files a directory has."""
    file = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
