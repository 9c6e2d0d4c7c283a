"""Where journals live. A store moves versioned JSON records and has never heard of a step.

A run is driven by one holder at a time. Holding is a lease: it has an epoch, which grows by one each
time the run changes hands, and an end, by the store's own clock, which the holder moves on. Every
write names the epoch it was made under; one from an older epoch is refused.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from tagent.ports.records import NEWEST, Batch, NewRun, Record, RunQuery, RunRecord


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
            MissingBlobError: If a blob without content is not there.
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

    async def runs(self, query: RunQuery = NEWEST) -> Sequence[RunRecord]:
        """Return the runs that fit, the newest first; without a query the newest 100."""
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

    async def blob(self, blob_hash: str) -> bytes:
        """Return the content of the blob with this hash.

        Raises:
            MissingBlobError: If there is none.
        """
        ...

    async def delete(self, run_id: str) -> None:
        """Delete a finished run, and every definition and blob that no other run needs; all or nothing.

        Raises:
            UnknownRunError: If the run does not exist.
            RunUnfinishedError: If it has not come to its end.
            RunHeldError: If somebody holds it, to take it up again.
        """
        ...

    async def wait_for_change(self, seen: int, *, seconds: float) -> int:
        """Return as soon as anything may have been committed since this returned `seen`, by any process.

        A hint, and no more: it may come without a change, and a commit may be told of late; what was
        committed, reading tells.

        Args:
            seen: What the last call returned; 0 for the first, which returns at once.
            seconds: The longest wait.
        """
        ...

    async def close(self) -> None:
        """Let go of what is held open; a closed store refuses every call."""
        ...
