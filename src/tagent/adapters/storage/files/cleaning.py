"""Giving back what is needed no longer: a file of the log is replaced by one with what still matters of its lines."""

from collections.abc import Iterator, Sequence

from tagent.adapters.storage.files.descriptor import Descriptor
from tagent.adapters.storage.files.directory import write_file
from tagent.adapters.storage.files.format import HEADER
from tagent.adapters.storage.files.index import Index
from tagent.adapters.storage.files.operations import decoded, encoded
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


def give_up_tombstones(segments: Sequence[Segment], at: int) -> None:
    """Give up what a file says is gone, as far as no file before it can hold anything of that any more."""
    holding = max((segment.number for segment in segments[:at] if segment.garbage), default=-1)
    for place in segments[at].places:
        if place.tombstones and place.hides_from > holding:
            place.give_up_tombstones()


def needed_places(segment: Segment) -> list[Place]:
    """Return the lines that a file has to keep, in order."""
    return [place for place in segment.places if place.needed]


def write_needed(segment: Segment, needed: Sequence[Place], index: Index) -> Segment:
    """Replace a file by one with only what is needed of these lines, and return that; `move` then moves the places.

    Raises:
        OSError: If it cannot be written. Then nothing has changed.
        DamagedLogError: If a line is not what was written.
    """
    new = Segment(segment.number, segment.path, segment.next_path, segment.file)
    new.take_note(HEADER)

    def bodies() -> Iterator[bytes]:
        for place in needed:
            body = place.spot().read()
            if place.needed < place.parts:
                body = encoded(index.needed_of(decoded(body), place))
            new.extend(body)
            yield body

    write_file(segment.path, bodies())
    new.file = Descriptor(segment.path)
    return new


def move(needed: Sequence[Place], old: Segment, new: Segment) -> None:
    """Let the places say where their lines are now."""
    old.let_go()
    for place, there in zip(needed, new.places, strict=True):
        place.segment, place.offset, place.length, place.before = new, there.offset, there.length, there.before
        place.parts = place.needed
    new.places = list(needed)
