"""The first line of each file of the log: which format its lines have."""

import json
from pathlib import Path

from tagent.adapters.storage.files.errors import DamagedLogError
from tagent.ports.store_errors import StoreVersionError

FORMAT = 1
"""The newest format that this tagent reads, and the one it writes."""

HEADER = json.dumps({"store": "tagent", "format": FORMAT}, separators=(",", ":")).encode()
"""The JSON of the first line."""


def check_header(line: bytes, path: Path) -> None:
    """Check that this tagent can read a file that begins with `line`.

    Raises:
        StoreVersionError: If a newer tagent wrote it.
        DamagedLogError: If it is no first line.
    """
    try:
        header = json.loads(line.partition(b" ")[2])
        is_newer = header["store"] == "tagent" and header["format"] > FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedLogError(path, 1, reason="it is not the first line of a log of tagent") from error
    if is_newer:
        raise StoreVersionError(
            f"{path} was written by a newer tagent, in format {header['format']}; this one knows up to {FORMAT}.",
            hint="Update tagent.",
        )


def newer_line(path: Path, line: int) -> StoreVersionError:
    """Return the error that says that a line holds what this tagent does not know."""
    return StoreVersionError(f"Line {line} of {path} was written by a newer tagent.", hint="Update tagent.")
