"""One file of the log, and places in it.

A file only ever grows at its end, until a next one is begun. From then on nobody writes it any more:
it can only be replaced as a whole, and who has it open goes on reading what it was.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tagent.adapters.storage.files.descriptor import Descriptor
from tagent.adapters.storage.files.errors import DamagedLogError
from tagent.adapters.storage.files.format import check_header, newer_line
from tagent.adapters.storage.files.lines import BEGINNING, body_of, checksum_of, length_of, line_of
from tagent.adapters.storage.files.operations import Operation, UnknownOperationError, decoded

_CHUNK = 2**22
"""How many bytes are read at a time."""

_PART_BYTES = 64
"""About what the names take of something that a line says."""


@dataclass(slots=True, eq=False)
class Segment:
    """One file of the log, as far as it has been read.

    Attributes:
        number: Its place among the files of the log, from 1.
        path: Where it is.
        next_path: Where the next one will be.
        file: Reads and writes it.
        size: How many bytes of it have been read, whole lines all.
        lines: How many lines these are.
        checksum: That of the last of them.
        garbage: How many of the bytes are in lines that are needed no longer.
        places: Its lines behind the first, in order.
    """

    number: int
    path: Path
    next_path: Path
    file: Descriptor
    size: int = 0
    lines: int = 0
    checksum: int = BEGINNING
    garbage: int = 0
    places: list["Place"] = field(default_factory=list)

    def is_current(self) -> bool:
        """Return whether this is still the file at its path: another process may have replaced it."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        ours = os.fstat(self.file.number)
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)

    def let_go(self) -> None:
        """Forget the places, so that the file closes when nobody reads it any more: the two hold each other."""
        self.places = []

    def read_on(self, end: int) -> Iterator[tuple[Operation, "Place"]]:
        """Read the lines up to `end`, where one ends; yield what each says, and its place.

        Raises:
            DamagedLogError: If a line is not what was written. What came before it has been read.
            StoreVersionError: If a newer tagent wrote the file.
        """
        for line in _lines(self.file.number, self.size, end):
            if not self.lines:
                check_header(line, self.path)
            body = body_of(line, before=self.checksum)
            if body is None:
                if self.size + len(line) == end and b"\0" in line:
                    return  # the power failed before all of its last line was on the disk; nobody was told of it
                raise DamagedLogError(self.path, self.lines + 1, reason="its checksum does not fit")
            if self.lines:
                operation = self._operation(body)
                yield operation, self.extend(body)
            else:
                self.take_note(body)

    def extend(self, body: bytes) -> "Place":
        """Take note of a line at the end, behind the first, and return its place."""
        place = Place(self, self.size, length_of(body), self.checksum)
        self.places.append(place)
        self.take_note(body)
        return place

    def take_note(self, body: bytes) -> None:
        """Take note of a line at the end."""
        self.size += length_of(body)
        self.lines += 1
        self.checksum = checksum_of(body, before=self.checksum)

    def lines_of(self, bodies: Iterable[bytes]) -> bytes:
        """Return the lines with which the file would go on."""
        checksum, lines = self.checksum, []
        for body in bodies:
            checksum = checksum_of(body, before=checksum)
            lines.append(line_of(body, checksum))
        return b"".join(lines)

    def _operation(self, body: bytes) -> Operation:
        try:
            return decoded(body)
        except UnknownOperationError as error:
            raise newer_line(self.path, self.lines + 1) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedLogError(self.path, self.lines + 1, reason="it does not say what happened") from error


def parts_of(size: int) -> int:
    """Return as how many parts of a line something counts that holds `size` bytes besides its names."""
    return 1 + size // _PART_BYTES


@dataclass(slots=True, eq=False)
class Place:
    """Where a line is, and how much of it still matters. It may move to another file that takes the place of its own.

    Attributes:
        segment: The file.
        offset: The line's first byte.
        length: Its bytes, newline included.
        before: The checksum of the line before it.
        parts: How many parts of about the same size the line has; see `parts_of`.
        needed: How many of them still matter.
        tombstones: How many of those only say that something is gone.
        hides_from: The number of the first file that may hold what the tombstones say is gone.
        is_of_run: Whether a run needs the line.
        run_parts: How many of the parts are about that run.
    """

    segment: Segment
    offset: int
    length: int
    before: int
    parts: int = 1
    needed: int = 1
    tombstones: int = 0
    hides_from: int = 0
    is_of_run: bool = False
    run_parts: int = 1

    @property
    def garbage(self) -> int:
        """How many of its bytes are needed no longer."""
        return self.length * (self.parts - self.needed) // self.parts

    def divide(self, parts: int) -> None:
        """Say how many parts the line has, all of them needed."""
        self.parts = self.needed = parts

    def give_up(self, parts: int = 1) -> None:
        """Say that parts of the line are needed no longer."""
        self._count(self.needed - parts)

    def take_back(self) -> None:
        """Say that a part of the line is needed after all."""
        self._count(self.needed + 1)

    def bury(self, *, hides_from: int) -> None:
        """Say that a part of the line is needed only while what it says is gone may still be in the log.

        Args:
            hides_from: The number of the first file that may hold it.
        """
        self.hides_from = min(self.hides_from, hides_from) if self.tombstones else hides_from
        self.tombstones += 1

    def give_up_tombstones(self) -> None:
        """Say that nothing is in the log any more of what the line says is gone."""
        self.give_up(self.tombstones)
        self.tombstones = 0

    def _count(self, needed: int) -> None:
        before, self.needed = self.garbage, needed
        self.segment.garbage += self.garbage - before

    def spot(self) -> "Spot":
        """Return where the line is now; it can be read there even when it has moved."""
        return Spot(self.segment.path, self.segment.file, self.offset, self.length, self.before)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a line was when somebody asked."""

    path: Path
    file: Descriptor
    offset: int
    length: int
    before: int

    def read(self) -> bytes:
        """Return the line's JSON.

        Raises:
            DamagedLogError: If it is not what was written.
        """
        body = body_of(_read(self.file.number, self.offset, self.length), before=self.before)
        if body is None:
            line = sum(1 for _ in _lines(self.file.number, 0, self.offset)) + 1
            raise DamagedLogError(self.path, line, reason="its checksum does not fit")
        return body


def end_of_lines(file: Descriptor, *, start: int) -> tuple[int, int]:
    """Return where the last whole line of a file ends, at `start` or behind it, and where the file ends."""
    size = os.fstat(file.number).st_size
    end = size
    while end > start:
        begins = max(start, end - _CHUNK)
        newline = _read(file.number, begins, end - begins).rfind(b"\n")
        if newline >= 0:
            return begins + newline + 1, size
        end = begins
    return start, size


def _read(file: int, offset: int, length: int) -> bytes:
    """Return `length` bytes, fewer only where the file ends."""
    parts = []
    while length and (part := os.pread(file, min(length, _CHUNK), offset)):
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return b"".join(parts)


def _lines(file: int, start: int, end: int) -> Iterator[bytes]:
    """Yield the lines from `start` to `end`, each with its newline."""
    rest = b""
    while start < end and (chunk := os.pread(file, min(end - start, _CHUNK), start)):
        start += len(chunk)
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line + b"\n"
