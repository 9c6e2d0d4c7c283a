"""A line of the log: a checksum, a blank, JSON. Pure.

The checksum of a line goes on from that of the line before it, so a line that is missing, moved or
doubled does not fit either.
"""

from zlib import crc32

BEGINNING = 0
"""What the checksum of a file's first line goes on from."""

_PREFIX = 9
"""The bytes of a line before its JSON: eight hexadecimal digits and a blank."""


def checksum_of(body: bytes, *, before: int) -> int:
    """Return the checksum of a line with this JSON behind the line with the checksum `before` (CRC-32)."""
    return crc32(body, before)


def line_of(body: bytes, checksum: int) -> bytes:
    r"""Return the line, its newline included.

    Example:
        >>> line_of(b"{}", 255)
        b'000000ff {}\n'
    """
    return b"%08x %b\n" % (checksum, body)


def length_of(body: bytes) -> int:
    """Return how many bytes the line with this JSON has, its newline included."""
    return _PREFIX + len(body) + 1


def body_of(line: bytes, *, before: int) -> bytes | None:
    """Return the JSON of a line, None if its checksum does not fit.

    Args:
        line: With its newline.
        before: The checksum of the line before it.
    """
    body = line[_PREFIX:-1]
    return body if line == line_of(body, checksum_of(body, before=before)) else None
