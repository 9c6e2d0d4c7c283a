"""What a group of writes adds to the log: seen by the next write of the group, by nobody else yet."""

from collections import Counter
from pathlib import Path
from typing import assert_never

from tagent.adapters.storage.files.changes_draft import ChangesDraft
from tagent.adapters.storage.files.errors import translated
from tagent.adapters.storage.files.index import ContentKey, Index, keys_of
from tagent.adapters.storage.files.operations import (
    BatchCommitted,
    ChangesWritten,
    ContentWritten,
    Forgotten,
    Operation,
    RunCreated,
    RunDeleted,
    RunHeld,
    encoded,
)
from tagent.adapters.storage.files.states import RunState, committed, created, held

Entry = tuple[Operation, bytes]
"""An operation and its JSON."""


class Draft:
    """The index as it will be when the group is written.

    Args:
        index: What is written already; it does not change while there is a draft of it.
        store: The directory, for messages.

    Attributes:
        entries: What is to be written, in order.
        changes: What they change of memory and messages.
    """

    def __init__(self, index: Index, *, store: Path) -> None:
        self.entries: list[Entry] = []
        self.changes = ChangesDraft(index.changes)
        self._index = index
        self._store = store
        self._states: dict[str, RunState | None] = {}
        self._uses: Counter[ContentKey] = Counter()

    def find(self, run_id: str) -> RunState | None:
        """Return what is known of the run, None if there is no such run."""
        return self._states[run_id] if run_id in self._states else self._index.state(run_id)

    def state(self, run_id: str) -> RunState:
        """Return what is known of the run.

        Raises:
            UnknownRunError: If there is no such run.
        """
        state = self.find(run_id)
        if state is None:
            raise self._index.unknown(run_id)
        return state

    def has(self, key: ContentKey) -> bool:
        """Return whether a run needs this content, so that it is kept."""
        return self._index.uses(key) + self._uses[key] > 0

    def add(self, *operations: Operation) -> None:
        """Write these operations with the group: all, or none.

        Raises:
            StoreError: If one holds what cannot be written.
        """
        try:
            entries = [(operation, encoded(operation)) for operation in operations]
        except (ValueError, TypeError) as error:
            raise translated(error, store=self._store) from error
        for operation in operations:
            self._apply(operation)
        self.entries += entries

    def _apply(self, operation: Operation) -> None:
        match operation:
            case ContentWritten():
                pass  # it counts from when a run names it
            case RunCreated(run):
                self._states[run.run_id] = state = created(operation)
                self._uses.update(keys_of(state))
            case BatchCommitted(run_id):
                before = self.state(run_id)
                self._states[run_id] = state = committed(before, operation)
                self._uses.update(("blob", blob_hash) for blob_hash in state.blobs - before.blobs)
            case RunHeld(run_id):
                self._states[run_id] = held(self.state(run_id), operation)
            case RunDeleted(run_id):
                self._uses.subtract(keys_of(self.state(run_id)))
                self._states[run_id] = None
            case ChangesWritten(changes, run):
                if run is not None:
                    self._apply(run)
                self.changes.apply(changes)
            case Forgotten(prefix):
                self.changes.forget(prefix)
            case _:
                assert_never(operation)
