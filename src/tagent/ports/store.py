"""Where journals live. A store moves versioned JSON records and has never heard of a step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tagent.exceptions import StoreError
from tagent.values import value


@value
class Record:
    """One entry of a journal.

    Attributes:
        seq: Its place in the run's journal, from 1, without gaps.
        kind: What happened, the event's name.
        at: When, in seconds since 1970-01-01 UTC.
        payload: The event as UTF-8 JSON.
    """

    seq: int
    kind: str
    at: float
    payload: bytes


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a store knows of a run besides its journal.

    Attributes:
        run_id: The run.
        pipeline: The name of its pipeline.
        epoch: How often it was claimed; a writer with an older one is refused.
        last_seq: The newest record's place; 0 for an empty journal.
    """

    run_id: str
    pipeline: str
    epoch: int
    last_seq: int


@value
class Batch:
    """What is written together, all or nothing.

    Attributes:
        run_id: The run whose journal grows.
        epoch: The writer's claim.
        records: New entries; the first follows the journal's last.
    """

    run_id: str
    epoch: int
    records: tuple[Record, ...]


class ConflictError(StoreError):
    """A batch does not continue the journal: another writer was there, or has taken the run over.

    Attributes:
        run_id: The run.
    """

    code = "store.conflict"

    def __init__(self, run_id: str, *, expected: str, found: str) -> None:
        self.run_id = run_id
        super().__init__(f"The journal of run {run_id} is at {found}, not at {expected}: nothing was written.")


class UnknownRunError(StoreError):
    """No run has this id.

    Attributes:
        run_id: The id asked for.
    """

    code = "store.unknown_run"

    def __init__(self, run_id: str, *, suggestion: str = "") -> None:
        self.run_id = run_id
        super().__init__(f"No run has the id {run_id!r}.{suggestion}")


class Store(Protocol):
    """Keeps journals. Every write is one atomic batch."""

    async def create_run(self, run_id: str, *, pipeline: str) -> RunRecord:
        """Begin an empty journal and claim it with epoch 1.

        Raises:
            ConflictError: If the run exists already.
        """
        ...

    async def commit(self, batch: Batch) -> None:
        """Append the batch's records; when this returns they are as durable as the store promises.

        Raises:
            UnknownRunError: If the run does not exist.
            ConflictError: If the epoch is not the run's, or the first `seq` does not follow the last.
        """
        ...

    async def run(self, run_id: str) -> RunRecord:
        """Return what is known of the run.

        Raises:
            UnknownRunError: If it does not exist; the message names the nearest id.
        """
        ...

    async def runs(self) -> Sequence[RunRecord]:
        """Return every run, the newest first."""
        ...

    async def records(self, run_id: str, *, after_seq: int = 0) -> Sequence[Record]:
        """Return the journal's records behind `after_seq`, in order.

        Raises:
            UnknownRunError: If the run does not exist.
        """
        ...

    async def close(self) -> None:
        """Let go of what is held open; a closed store refuses every call."""
        ...
