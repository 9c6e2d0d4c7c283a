"""What the contract's tests write, and how they write much at once."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

from tagent.exceptions import StoreError
from tagent.ports.records import Batch, Blob, NewRun, Record, RunRecord, RunSummary
from tagent.ports.store import Store

LONG = 3600.0
"""A lease in seconds that does not end while a test runs."""

SHORT = 0.05
"""A lease in seconds that soon has ended."""

DEFINITION = b'{"name": "tea"}'

Call = Callable[[], Awaitable[object]]


def new_run(
    run_id: str,
    *,
    pipeline: str = "p",
    definition: bytes = DEFINITION,
    definition_hash: str = "hash",
    owner: str = "me",
    lease_seconds: float = LONG,
    at: float = 1.0,
    begins: Batch | None = None,
    labels: Mapping[str, str] | None = None,
) -> NewRun:
    """Return a run to begin, with what the batch `begins` holds."""
    begins = begins or Batch(run_id, 1, ())
    return NewRun(
        run_id,
        pipeline,
        definition,
        definition_hash,
        owner,
        lease_seconds,
        at,
        begins.records,
        begins.summary,
        begins.blobs,
        labels or {},
    )


def batch(
    run_id: str,
    first: int,
    last: int,
    *,
    epoch: int = 1,
    kind: str = "Happened",
    summary: RunSummary | None = None,
    blobs: tuple[Blob, ...] = (),
) -> Batch:
    """Return a batch of the records `first` to `last`, each unlike the others."""
    records = tuple(
        Record(seq, kind, seq + 0.125, json.dumps({"number": seq, "text": "naïve ☂"}).encode())
        for seq in range(first, last + 1)
    )
    return Batch(run_id, epoch, records, summary, blobs)


def end(run_id: str, seq: int, *, epoch: int = 1) -> Batch:
    """Return the batch of the last record `seq`, with which the run is finished."""
    return batch(run_id, seq, seq, epoch=epoch, summary=RunSummary("completed", 9.0, is_finished=True))


async def claim(store: Store, run_id: str, *, owner: str = "you", gone: str = "") -> RunRecord:
    """Claim the run for `owner`, while the process `gone`, and no other, is known not to exist any more."""
    return await store.claim(run_id, owner=owner, lease_seconds=LONG, is_gone=lambda holder: holder == gone)


async def seqs(store: Store, run_id: str) -> list[int]:
    """Return the places of the journal's records."""
    return [record.seq for record in await store.records(run_id)]


async def at_once(calls: Sequence[Call]) -> list[str]:
    """Make all calls at once; return for each "done" or the name of the store's error, in their order."""

    async def outcome(call: Call) -> str:
        try:
            await call()
        except StoreError as error:
            return type(error).__name__
        return "done"

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(outcome(call)) for call in calls]
    return [task.result() for task in tasks]
