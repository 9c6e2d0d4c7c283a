"""Which finished runs may go, and how they are deleted. An unfinished run is never among them.

What may go is a pure function of the runs and the time; the store is asked only before and after.
"""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from tagent.names import run_prefix
from tagent.pipeline.journal.paging import every_run
from tagent.pipeline.models import RunStatus
from tagent.ports.records import RunQuery, RunRecord
from tagent.ports.store import Store
from tagent.ports.store_errors import RunHeldError, RunUnfinishedError, UnknownRunError


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What a run must be to go: all of this at once. What is left as it is does not restrict.

    Attributes:
        older_than_seconds: It finished longer ago than this.
        keep_newest: As many others of its pipeline, to which `statuses` applies too, were created after it.
        statuses: It ended as one of these.
        pipelines: Its pipeline has one of these names.
    """

    older_than_seconds: float | None = None
    keep_newest: int | None = None
    statuses: tuple[RunStatus, ...] = ()
    pipelines: tuple[str, ...] = ()

    def may_go(self, runs: Iterable[RunRecord], *, now: float) -> tuple[RunRecord, ...]:
        """Return those of `runs` that may be deleted, the newest first.

        A run that is not finished is never among them. Whether somebody is just taking up a finished one again,
        only the store knows, which keeps the time of leases: it refuses to delete that one.

        Args:
            runs: All runs, in any order. With some missing, `keep_newest` keeps others in their place.
            now: In seconds since 1970-01-01 UTC.
        """
        finished = [(run, run.finished_at) for run in runs if run.finished_at is not None and self._applies_to(run)]
        finished.sort(key=lambda it: (it[0].created_at, it[0].run_id), reverse=True)
        newer: Counter[str] = Counter()
        going = []
        for run, finished_at in finished:
            is_kept = self.keep_newest is not None and newer[run.pipeline] < self.keep_newest
            is_young = self.older_than_seconds is not None and now - finished_at <= self.older_than_seconds
            newer[run.pipeline] += 1
            if not (is_kept or is_young):
                going.append(run)
        return tuple(going)

    def _applies_to(self, run: RunRecord) -> bool:
        return (not self.statuses or run.status in self.statuses) and (
            not self.pipelines or run.pipeline in self.pipelines
        )


async def prune(store: Store, retention: Retention, *, now: float, dry_run: bool) -> list[RunRecord]:
    """Delete the runs that may go and return them, the newest first.

    Args:
        store: Where the runs are.
        retention: Which of them may go.
        now: In seconds since 1970-01-01 UTC.
        dry_run: Only return what would be deleted if nobody takes it up again.
    """
    query = RunQuery(statuses=retention.statuses, pipelines=retention.pipelines)
    going = retention.may_go([run async for run in every_run(store, query)], now=now)
    return list(going) if dry_run else await delete_unchanged(store, going)


async def delete_run(store: Store, run_id: str) -> None:
    """Delete a finished run, then what it and its steps remember and its mail.

    Raises:
        UnknownRunError: If the run does not exist.
        RunUnfinishedError: If it has not come to its end.
        RunHeldError: If somebody holds it, to take it up again.
    """
    await store.delete(run_id)
    await store.forget(run_prefix(run_id))


async def delete_unchanged(store: Store, runs: Iterable[RunRecord]) -> list[RunRecord]:
    """Delete the runs and return those that are gone by this.

    One that is not any more what `runs` says is left: somebody has taken it up meanwhile, and may even have
    finished it.
    """
    deleted = []
    for run in runs:
        with suppress(UnknownRunError, RunHeldError, RunUnfinishedError):
            if await store.run(run.run_id) == run:
                await delete_run(store, run.run_id)
                deleted.append(run)
    return deleted
