"""Where journals live. A store moves versioned JSON records and has never heard of a step.

A run is driven by one holder at a time. Holding is a lease: it has an epoch, which grows by one each
time the run changes hands, and an end, by the store's own clock, which the holder moves on. Every
write names the epoch it was made under; one from an older epoch is refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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


@value
class RunSummary:
    """What lists show of a run; written with the records that changed it.

    Attributes:
        status: Where the run stands, in the words of `tagent.pipeline.RunStatus`.
        at: When that was so, in seconds since 1970-01-01 UTC.
        cost_usd: The sum of the known prices so far.
        is_finished: Whether the run has come to an end. Then nobody holds it any more.
    """

    status: str
    at: float
    cost_usd: float = 0.0
    is_finished: bool = False


@value
class Batch:
    """What is written together, all or nothing.

    Attributes:
        run_id: The run whose journal grows.
        epoch: The writer's claim.
        records: New entries; the first follows the journal's last, each the one before it.
        summary: What lists are to show from now on; None leaves it.
    """

    run_id: str
    epoch: int
    records: tuple[Record, ...]
    summary: RunSummary | None = None


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to begin.

    Attributes:
        run_id: Its id, new to the store.
        pipeline: The name of its pipeline.
        definition: The pipeline as UTF-8 JSON.
        definition_hash: A hash of `definition`; equal ones are stored once.
        owner: Who holds it: what `this_process` says of itself.
        lease_seconds: How long the claim lasts unless it is renewed.
        at: When it was created, in seconds since 1970-01-01 UTC.
        records: The beginning of its journal, from seq 1: a run that exists has begun.
        summary: What lists are to show of it; None is `running`.
    """

    run_id: str
    pipeline: str
    definition: bytes
    definition_hash: str
    owner: str
    lease_seconds: float
    at: float
    records: tuple[Record, ...] = ()
    summary: RunSummary | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a store knows of a run besides its journal.

    Attributes:
        run_id: The run.
        pipeline: The name of its pipeline.
        definition_hash: Names its definition.
        status: Where it stands, as its last `RunSummary` says; `running` before the first.
        epoch: How often it was claimed, from 1.
        last_seq: The newest record's place; 0 for an empty journal.
        owner: Who holds it; empty when nobody does.
        created_at: When it was created.
        updated_at: When its summary last changed.
        finished_at: When it came to its end; None while it has not.
        cost_usd: The sum of the known prices so far.
    """

    run_id: str
    pipeline: str
    definition_hash: str
    status: str
    epoch: int
    last_seq: int
    owner: str
    created_at: float
    updated_at: float
    finished_at: float | None
    cost_usd: float


def begun(run: NewRun) -> RunRecord:
    """Return what is known of a run that has just begun."""
    record = RunRecord(
        run_id=run.run_id,
        pipeline=run.pipeline,
        definition_hash=run.definition_hash,
        status="running",
        epoch=1,
        last_seq=len(run.records),
        owner=run.owner,
        created_at=run.at,
        updated_at=run.at,
        finished_at=None,
        cost_usd=0.0,
    )
    return record if run.summary is None else summarized(record, run.summary)


def summarized(record: RunRecord, summary: RunSummary) -> RunRecord:
    """Return `record` as `summary` changes it."""
    return replace(
        record,
        status=summary.status,
        updated_at=summary.at,
        finished_at=summary.at if summary.is_finished else None,
        cost_usd=summary.cost_usd,
        owner="" if summary.is_finished else record.owner,
    )


class ConflictError(StoreError):
    """A write does not continue the journal: another writer was there, or has taken the run over.

    Attributes:
        run_id: The run.
    """

    code = "store.conflict"

    def __init__(self, run_id: str, *, expected: str, found: str) -> None:
        self.run_id = run_id
        super().__init__(f"The journal of run {run_id} is at {found}, not at {expected}: nothing was written.")


class RunHeldError(StoreError):
    """Another process holds the run.

    Attributes:
        run_id: The run.
        owner: Who holds it.
        seconds_left: When its lease ends unless it renews it.
    """

    code = "store.run_held"

    def __init__(self, run_id: str, *, owner: str, seconds_left: float) -> None:
        self.run_id = run_id
        self.owner = owner
        self.seconds_left = seconds_left
        super().__init__(
            f"Run {run_id} is held by another process ({owner}).",
            hint=f"Its lease ends in {max(0.0, seconds_left):.0f} s unless it lives and renews it.",
        )


class UnknownRunError(StoreError):
    """No run has this id.

    Attributes:
        run_id: The id asked for.
    """

    code = "store.unknown_run"

    def __init__(self, run_id: str, *, suggestion: str = "") -> None:
        self.run_id = run_id
        super().__init__(f"No run has the id {run_id!r}.{suggestion}")


class StoreUnavailableError(StoreError):
    """The store cannot be reached or cannot write now: locked, full, read-only, gone."""

    code = "store.unavailable"
    is_retryable = True


class StoreVersionError(StoreError):
    """The store was written by a newer tagent than this one."""

    code = "store.version"


class Store(Protocol):
    """Keeps journals. Every write is one atomic batch; safe to use from many tasks at once."""

    async def create_run(self, run: NewRun) -> RunRecord:
        """Begin a journal with the run's first records, all or nothing, and claim it with epoch 1.

        Raises:
            ConflictError: If the run exists already.
            StoreUnavailableError: As for `commit`.
        """
        ...

    async def claim(
        self, run_id: str, *, owner: str, lease_seconds: float, is_gone: Callable[[str], bool]
    ) -> RunRecord:
        """Take the run and return it with its new epoch.

        It is free when nobody holds it, when its lease has ended, or when `is_gone(holder)` says that
        the holder's process no longer exists. Of several who claim at once, one gets it.

        Raises:
            UnknownRunError: If the run does not exist.
            RunHeldError: If somebody else holds it.
        """
        ...

    def renew(self, run_id: str, *, epoch: int, lease_seconds: float) -> None:
        """Move the lease's end to `lease_seconds` from now. Blocks; may be called from any thread.

        Raises:
            ConflictError: If the run has another epoch by now.
        """
        ...

    async def release(self, run_id: str, *, epoch: int) -> None:
        """Give the run up, so that the next claim need not wait; does nothing under another epoch.

        Raises:
            UnknownRunError: If the run does not exist.
        """
        ...

    async def commit(self, batch: Batch) -> None:
        """Append the batch's records; when this returns they are as durable as the store promises.

        A summary that says the run is finished gives the claim up as well.

        Raises:
            UnknownRunError: If the run does not exist.
            ConflictError: If the epoch is not the run's, or the first `seq` does not follow the last.
            StoreUnavailableError: If nothing could be written now, or nobody knows whether it was: the
                answer may have been lost. The next try with the same batch finds out.
        """
        ...

    async def run(self, run_id: str) -> RunRecord:
        """Return what is known of the run.

        Raises:
            UnknownRunError: If it does not exist; the message names the nearest id.
        """
        ...

    async def runs(self, *, limit: int = 100) -> Sequence[RunRecord]:
        """Return up to `limit` runs, the newest first."""
        ...

    async def records(self, run_id: str, *, after_seq: int = 0) -> Sequence[Record]:
        """Return the journal's records behind `after_seq`, in order.

        Raises:
            UnknownRunError: If the run does not exist.
        """
        ...

    async def definition(self, definition_hash: str) -> bytes:
        """Return the definition with this hash.

        Raises:
            StoreError: If there is none.
        """
        ...

    async def close(self) -> None:
        """Let go of what is held open; a closed store refuses every call."""
        ...
