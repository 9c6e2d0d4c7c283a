"""What stores share that write with one thread: the thread's works, and a store's writing methods made of them."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

from tagent.adapters.storage.claiming import claimed
from tagent.adapters.storage.submissions import Submissions, Submitted
from tagent.exceptions import StoreError
from tagent.ports.effects import Effects, Swept, Written, required_prefix
from tagent.ports.records import Batch, NewRun, RunRecord

Result = TypeVar("Result")
Medium = TypeVar("Medium")
"""What a work writes with: a database's cursor, a draft of a log."""

Medium_contra = TypeVar("Medium_contra", contravariant=True)

Work = Callable[[Medium], Result]
"""Writes and returns an answer. A `StoreError` is an answer too: what raises one has written nothing."""


class WorkWriter(ABC, Generic[Medium]):
    """The one writer of a store in this process: a thread that carries works out, a group of them at a time."""

    def __init__(self) -> None:
        self._submissions: Submissions[Work[Medium, object]] = Submissions(
            self._write, afterwards=self._afterwards, at_end=self._at_end
        )

    def submit(self, work: Work[Medium, Result]) -> asyncio.Future[Result]:
        """Return the future of what `work` returns; it is done when that is committed.

        Raises:
            StoreError: At once, if the writer is closed; later, by the future, if nothing was written.
        """
        return self._submissions.submit(work)

    def run(self, work: Work[Medium, Result]) -> Result:
        """Return what `work` returns once it is committed. Blocks; may be called from any thread.

        Raises:
            StoreError: If the writer is closed, or nothing was written.
        """
        result: Result = self._submissions.run(work)
        return result

    def close(self) -> None:
        """Finish what waits, answer it and end the thread. Blocks until then; closing twice does no harm."""
        self._submissions.close()

    @abstractmethod
    def _write(self, group: list[Submitted[Work[Medium, object]]]) -> None:
        """Carry out and commit the works together, and put into each its value or its error."""

    def _afterwards(self) -> None:
        """Do what is left to do once a group is answered."""
        return

    def _at_end(self) -> None:
        """Let go of what the thread holds."""
        return


def carry_out(submitted: Submitted[Work[Medium, object]], medium: Medium) -> None:
    """Do a work and keep its answer, which may be a refusal. Done again, it is answered anew."""
    submitted.value = submitted.error = None
    try:
        submitted.value = submitted.work(medium)
    except StoreError as refusal:
        submitted.error = refusal


class JournalWrites(Protocol[Medium_contra]):
    """The works of a store; `tagent.ports.store.Store` says what each does and raises."""

    def create_run(self, medium: Medium_contra, /, *, run: NewRun) -> RunRecord:
        """Begin a run."""
        ...

    def claim(self, medium: Medium_contra, /, *, run_id: str, owner: str, lease_seconds: float, gone: str) -> RunRecord:
        """Give a run to `owner` if it is free, or held by `gone`, whose process is known not to exist."""
        ...

    def renew(self, medium: Medium_contra, /, *, run_id: str, epoch: int, lease_seconds: float) -> None:
        """Move a lease's end."""
        ...

    def release(self, medium: Medium_contra, /, *, run_id: str, epoch: int) -> None:
        """Leave a run to nobody."""
        ...

    def commit(self, medium: Medium_contra, /, *, batch: Batch) -> None:
        """Append a batch."""
        ...

    def delete(self, medium: Medium_contra, /, *, run_id: str) -> None:
        """Delete a finished run."""
        ...

    def write(self, medium: Medium_contra, /, *, effects: Effects) -> Written:
        """Write effects that belong to no run."""
        ...

    def forget(self, medium: Medium_contra, /, *, prefix: str) -> None:
        """Delete every scope, topic and subscriber whose name begins with `prefix`, which is not empty."""
        ...

    def sweep(self, medium: Medium_contra, /, *, messages_older_than_seconds: float) -> Swept:
        """Delete the documents that have expired, and the messages that are older."""
        ...


class WritingStore(Generic[Medium]):
    """The writing half of a store whose writes are works of one thread.

    Args:
        writes: The works.
        writer: Carries them out.
    """

    def __init__(self, writes: JournalWrites[Medium], writer: WorkWriter[Medium]) -> None:
        self._writes = writes
        self._writer = writer

    async def create_run(self, run: NewRun) -> RunRecord:
        """Begin a journal with the run's first records and claim it with epoch 1."""
        return await self._writer.submit(partial(self._writes.create_run, run=run))

    async def claim(
        self, run_id: str, *, owner: str, lease_seconds: float, is_gone: Callable[[str], bool]
    ) -> RunRecord:
        """Take the run and return it with its new epoch."""

        def claim(gone: str) -> asyncio.Future[RunRecord]:
            work = partial(self._writes.claim, run_id=run_id, owner=owner, lease_seconds=lease_seconds, gone=gone)
            return self._writer.submit(work)

        return await claimed(claim, is_gone=is_gone)

    def renew(self, run_id: str, *, epoch: int, lease_seconds: float) -> None:
        """Move the lease's end to `lease_seconds` from now. Blocks; may be called from any thread."""
        self._writer.run(partial(self._writes.renew, run_id=run_id, epoch=epoch, lease_seconds=lease_seconds))

    async def release(self, run_id: str, *, epoch: int) -> None:
        """Give the run up; does nothing under another epoch."""
        await self._writer.submit(partial(self._writes.release, run_id=run_id, epoch=epoch))

    async def commit(self, batch: Batch) -> None:
        """Append the batch's records."""
        await self._writer.submit(partial(self._writes.commit, batch=batch))

    async def delete(self, run_id: str) -> None:
        """Delete a finished run, and every definition and blob that no other run needs."""
        await self._writer.submit(partial(self._writes.delete, run_id=run_id))

    async def write(self, effects: Effects) -> Written:
        """Write effects that belong to no run."""
        return await self._writer.submit(partial(self._writes.write, effects=effects))

    async def forget(self, prefix: str) -> None:
        """Delete every scope, topic and subscriber whose name begins with `prefix`."""
        await self._writer.submit(partial(self._writes.forget, prefix=required_prefix(prefix)))

    async def sweep(self, *, messages_older_than_seconds: float) -> Swept:
        """Delete the documents that have expired, and the messages that are older."""
        work = partial(self._writes.sweep, messages_older_than_seconds=messages_older_than_seconds)
        return await self._writer.submit(work)
