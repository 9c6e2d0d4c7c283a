"""Giving back what deleted runs took: a file of the log is replaced by one with the lines that are still needed."""

from collections.abc import Iterator, Sequence

from tagent.adapters.storage.files.descriptor import Descriptor
from tagent.adapters.storage.files.directory import write_file
from tagent.adapters.storage.files.format import HEADER
from tagent.adapters.storage.files.segment import Place, Segment


def worth_cleaning(segments: Sequence[Segment], *, segment_bytes: int) -> int | None:
    """Return which of the log's files is mostly garbage, None if none is.

    The last one is still being written. It counts only when it is of a size that matters, because it has
    to be ended first.
    """
    *ended, last = segments
    for at, segment in enumerate(ended):
        if 2 * segment.garbage >= segment.size:
            return at
    is_worth_ending = 2 * last.garbage >= last.size and 4 * last.garbage >= segment_bytes
    return len(ended) if is_worth_ending else None


def needed_places(segments: Sequence[Segment], at: int) -> list[Place]:
    """Return the lines that a file has to keep, in order.

    A line that says that a run is gone is needed as long as a file before it may still hold lines of
    that run.
    """
    keeps_tombstones = any(segment.garbage for segment in segments[:at])
    return [it for it in segments[at].places if it.is_needed and (keeps_tombstones or not it.is_tombstone)]


def write_needed(segment: Segment, needed: Sequence[Place]) -> Segment:
    """Replace a file by one with only these of its lines, and return that; `move` then moves the places.

    Raises:
        OSError: If it cannot be written. Then nothing has changed.
        DamagedLogError: If a line is not what was written.
    """
    new = Segment(segment.number, segment.path, segment.next_path, segment.file)
    new.take_note(HEADER)

    def bodies() -> Iterator[bytes]:
        for place in needed:
            body = place.spot().read()
            new.extend(body)
            yield body

    write_file(segment.path, bodies())
    new.file = Descriptor(segment.path)
    return new


def move(needed: Sequence[Place], old: Segment, new: Segment) -> None:
    """Let the places say where their lines are now."""
    old.let_go()
    for place, there in zip(needed, new.places, strict=True):
        place.segment, place.offset, place.before = new, there.offset, there.before
    new.places = list(needed)
