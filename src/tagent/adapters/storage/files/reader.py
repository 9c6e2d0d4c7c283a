"""Reading a log: what the index knows at once, and what has to be read from the files, for which nobody waits."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from tagent.adapters.storage.changes import Changes, by_time
from tagent.adapters.storage.files.changes_index import KeptDocument, KeptMessage
from tagent.adapters.storage.files.errors import translated
from tagent.adapters.storage.files.index import ContentKey, Index
from tagent.adapters.storage.files.log import Log
from tagent.adapters.storage.files.operations import ChangesWritten, ContentWritten, decoded, run_part
from tagent.adapters.storage.files.segment import Place, Spot
from tagent.ports.documents import Document
from tagent.ports.messages import Message
from tagent.ports.records import Record

Result = TypeVar("Result")
Name = tuple[str, str] | tuple[str, int]
"""A scope and a key, or a topic and a place in it."""


class LogReader:
    """Reads with everything that is committed. Blocks; any number of threads may read at once.

    Args:
        log: What is read.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    def look(self, look: Callable[[Index], Result]) -> Result:
        """Return what `look` finds in the index."""
        try:
            self._log.refresh()
        except OSError as error:
            raise translated(error, store=self._log.directory) from error
        with self._log.reading() as index:
            return look(index)

    def records(self, run_id: str, *, after_seq: int) -> Sequence[Record]:
        """Return the records of a run behind `after_seq`, in order."""

        def look(index: Index) -> Sequence[Spot]:
            if index.state(run_id) is None:
                raise index.unknown(run_id)
            return [place.spot() for place in index.places(run_id, after_seq=after_seq)]

        records: list[Record] = []
        for spot in self.look(look):
            operation = run_part(decoded(self._read(spot)))
            if operation is None:
                raise AssertionError("A line holds no records.")
            records += [record for record in operation.records if record.seq > after_seq]
        return records

    def content(self, key: ContentKey) -> bytes | None:
        """Return a content, None if no run needs it."""

        def look(index: Index) -> Spot | None:
            place = index.content(key)
            return None if place is None else place.spot()

        spot = self.look(look)
        if spot is None:
            return None
        operation = decoded(self._read(spot))
        if not isinstance(operation, ContentWritten):
            raise AssertionError(f"{type(operation).__name__} is no content")  # noqa: TRY004 - a mistake of ours
        return operation.content

    def documents(self, find: Callable[[Index], Iterable[tuple[str, KeptDocument]]], *, scope: str) -> list[Document]:
        """Return the documents of a scope that are found in the index, by their keys, in order of these."""

        def look(index: Index) -> Sequence[tuple[Spot, set[Name]]]:
            return _by_line(((scope, key), kept.place) for key, kept in find(index))

        found = [
            written.document
            for spot, names in self.look(look)
            for written in self._changes(spot).documents
            if (written.document.scope, written.document.key) in names
        ]
        return sorted(found, key=lambda document: document.key)

    def messages(self, find: Callable[[Index], Iterable[tuple[str, KeptMessage]]]) -> list[Message]:
        """Return the messages that are found in the index, each with its topic, by time, those of a topic in order."""

        def look(index: Index) -> Sequence[tuple[Spot, set[Name]]]:
            return _by_line(((topic, kept.seq), kept.place) for topic, kept in find(index))

        found = [
            message
            for spot, names in self.look(look)
            for message in self._changes(spot).messages
            if (message.topic, message.seq) in names
        ]
        return by_time(found)

    def _changes(self, spot: Spot) -> Changes:
        operation = decoded(self._read(spot))
        if not isinstance(operation, ChangesWritten):
            raise AssertionError(f"{type(operation).__name__} changes nothing")  # noqa: TRY004 - a mistake of ours
        return operation.changes

    def _read(self, spot: Spot) -> bytes:
        try:
            return spot.read()
        except OSError as error:
            raise translated(error, store=self._log.directory) from error


def _by_line(wanted: Iterable[tuple[Name, Place]]) -> Sequence[tuple[Spot, set[Name]]]:
    """Return which names to look for in each line, which is read once however many it holds."""
    names: dict[Place, set[Name]] = {}
    for name, place in wanted:
        names.setdefault(place, set()).add(name)
    return [(place.spot(), wanted_there) for place, wanted_there in names.items()]
