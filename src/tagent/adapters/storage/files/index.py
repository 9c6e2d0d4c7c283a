"""What the log says, without the contents: the state of each run, and where the lines with its records are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import assert_never

from tagent.adapters.storage.files.changes_index import ChangesIndex, parts_of_changes
from tagent.adapters.storage.files.operations import (
    BatchCommitted,
    ChangesWritten,
    ContentKind,
    ContentWritten,
    Forgotten,
    Operation,
    RunCreated,
    RunDeleted,
    RunHeld,
)
from tagent.adapters.storage.files.segment import Place, parts_of
from tagent.adapters.storage.files.states import RunState, committed, created, held
from tagent.exceptions import nearest
from tagent.ports.store_errors import UnknownRunError

ContentKey = tuple[ContentKind, str]
"""A kind of content and its hash."""

_CANDIDATES = 1000
"""Among how many of the newest ids the one is looked for that was meant."""


@dataclass(slots=True)
class _Journal:
    state: RunState
    places: list[tuple[int, Place]]
    """Each line with records, in order: the last record's `seq`, where the line is."""
    hold: Place | None = None


@dataclass(slots=True)
class _Content:
    place: Place | None
    """None while it is only named by runs that are deleted further on: then its line may be gone already."""
    uses: int = 0


@dataclass(slots=True)
class Index:
    """The fold of the log's lines. Those that are needed no longer are given up.

    Of a run that is deleted further on, some lines may have been cleaned away and others not. So a line
    about a run that is not there says nothing.

    Attributes:
        changes: What the lines say of memory and messages.
    """

    changes: ChangesIndex = field(default_factory=ChangesIndex)
    _journals: dict[str, _Journal] = field(default_factory=dict)
    _contents: dict[ContentKey, _Content] = field(default_factory=dict)

    def state(self, run_id: str) -> RunState | None:
        """Return what is known of the run, None if there is no such run."""
        journal = self._journals.get(run_id)
        return None if journal is None else journal.state

    def states(self) -> Sequence[RunState]:
        """Return what is known of each run."""
        return [journal.state for journal in self._journals.values()]

    def places(self, run_id: str, *, after_seq: int) -> Iterable[Place]:
        """Return where the run's records behind `after_seq` are; no run, no places."""
        journal = self._journals.get(run_id)
        return [] if journal is None else [place for last_seq, place in journal.places if last_seq > after_seq]

    def content(self, key: ContentKey) -> Place | None:
        """Return where a content is, None if no run needs it."""
        content = self._contents.get(key)
        return content.place if content is not None and content.uses else None

    def uses(self, key: ContentKey) -> int:
        """Return how many runs need a content."""
        content = self._contents.get(key)
        return 0 if content is None else content.uses

    def unknown(self, run_id: str) -> UnknownRunError:
        """Return the error that says that there is no such run, and which was meant."""
        return UnknownRunError(run_id, suggestion=nearest(run_id, islice(reversed(self._journals), _CANDIDATES)))

    def apply(self, operation: Operation, place: Place) -> None:
        """Take in what a line says."""
        match operation:
            case ContentWritten(kind, hash_):
                self._keep((kind, hash_), place)
            case RunCreated():
                self._create(operation, place)
            case BatchCommitted():
                self._commit(operation, place)
            case RunHeld():
                self._hold(operation, place)
            case RunDeleted(run_id):
                place.bury(hides_from=0)
                self._delete(run_id)
            case ChangesWritten(changes, run):
                if run is None:
                    place.divide(parts_of_changes(changes))
                else:
                    place.run_parts = parts_of(sum(len(record.payload) for record in run.records))
                    place.divide(parts_of_changes(changes) + place.run_parts)
                    self.apply(run, place)
                self.changes.apply(changes, place)
            case Forgotten(prefix):
                self.changes.forget(prefix, place)
            case _:
                assert_never(operation)

    def needed_of(self, operation: Operation, place: Place) -> Operation:
        """Return what still matters of a line that is needed."""
        if not isinstance(operation, ChangesWritten):
            return operation
        changes = self.changes.needed_of(operation.changes, place)
        run = operation.run if place.is_of_run else None
        return ChangesWritten(changes, run) if changes or run is None else run

    def _create(self, creation: RunCreated, place: Place) -> None:
        state = created(creation)
        place.is_of_run = True
        self._journals[state.run.run_id] = _Journal(state, [(state.run.last_seq, place)])
        for key in keys_of(state):
            self._use(key)

    def _commit(self, commit: BatchCommitted, place: Place) -> None:
        journal = self._journals.get(commit.run_id)
        if journal is None:
            place.give_up(place.run_parts)
            return
        place.is_of_run = True
        before, journal.state = journal.state, committed(journal.state, commit)
        journal.places.append((journal.state.run.last_seq, place))
        if commit.blobs:
            for blob_hash in journal.state.blobs - before.blobs:
                self._use(("blob", blob_hash))

    def _hold(self, hold: RunHeld, place: Place) -> None:
        journal = self._journals.get(hold.run_id)
        if journal is None:
            place.give_up()
            return
        journal.state = held(journal.state, hold)
        if journal.hold is not None:
            journal.hold.give_up()
        journal.hold = place

    def _delete(self, run_id: str) -> None:
        journal = self._journals.pop(run_id, None)
        if journal is None:
            return
        for _, place in journal.places:
            place.is_of_run = False
            place.give_up(place.run_parts)
        if journal.hold is not None:
            journal.hold.give_up()
        for key in keys_of(journal.state):
            content = self._contents[key]
            content.uses -= 1
            if not content.uses:
                del self._contents[key]
                if content.place is not None:
                    content.place.give_up()

    def _keep(self, key: ContentKey, place: Place) -> None:
        """Remember where a content is. Its line counts from when a run names it."""
        place.give_up()
        content = self._contents.setdefault(key, _Content(place))
        if not content.uses:
            content.place = place

    def _use(self, key: ContentKey) -> None:
        content = self._contents.setdefault(key, _Content(None))
        content.uses += 1
        if content.uses == 1 and content.place is not None:
            content.place.take_back()


def keys_of(state: RunState) -> list[ContentKey]:
    """Return the contents that a run needs."""
    return [("definition", state.run.definition_hash), *(("blob", blob_hash) for blob_hash in state.blobs)]
