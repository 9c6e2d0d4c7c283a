"""A store beside a dict: whatever is done to both, both say the same."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tagent.exceptions import StoreError
from tagent.ports.records import Batch, NewRun, Record, RunQuery, RunRecord, RunSummary
from tagent.ports.store import Store
from tagent.ports.store_errors import ConflictError, RunHeldError, RunUnfinishedError, UnknownRunError

Result = TypeVar("Result")

RUN_IDS = st.sampled_from(["a", "b", "c"])
OWNERS = st.sampled_from(["x", "y"])
LEASES = st.sampled_from([3600.0, 0.0])
"""Seconds: one that does not end while a test runs, and one that has ended when it begins."""

SUMMARIES = st.builds(
    RunSummary,
    status=st.sampled_from(["running", "failed", "completed"]),
    at=st.floats(0, 2e9),
    cost_usd=st.floats(0, 1e6),
    is_finished=st.booleans(),
)
HAPPENED = st.lists(st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.binary()), max_size=4)
"""Kinds and payloads. A kind holds no NUL, which PostgreSQL cannot keep in a text."""


@dataclass
class _ModelRun:
    run: RunRecord
    is_lease_over: bool
    records: list[Record] = field(default_factory=list)


class _StoreBesideDict(RuleBasedStateMachine):
    """Does everything twice. Each rule works out from the dict what the store must answer."""

    def __init__(self, open_store: Callable[[Path], Awaitable[Store]], place: Path, *, reopens: bool) -> None:
        super().__init__()
        self._open_store = open_store
        self._place = place
        self._runner = asyncio.Runner()
        self._store = self._wait_for(open_store(place))
        self._runs: dict[str, _ModelRun] = {}
        self._times = itertools.count(1)
        self.reopens = reopens

    @initialize(owner=OWNERS, lease_seconds=LEASES)
    def create_the_first(self, owner: str, lease_seconds: float) -> None:
        self.create("a", owner, lease_seconds)

    @rule(run_id=RUN_IDS, owner=OWNERS, lease_seconds=LEASES, happened=HAPPENED, summary=st.none() | SUMMARIES)
    def create(
        self,
        run_id: str,
        owner: str,
        lease_seconds: float,
        happened: Sequence[tuple[str, bytes]] = (),
        summary: RunSummary | None = None,
    ) -> None:
        at = float(next(self._times))
        records = _records(happened, first=1)
        new = NewRun(run_id, f"pipeline of {run_id}", b"{}", "hash", owner, lease_seconds, at, records, summary)
        if run_id in self._runs:
            self._refused(ConflictError, self._store.create_run(new))
            return
        run = _after(
            RunRecord(run_id, new.pipeline, "hash", "running", 1, 0, owner, at, at, None, 0.0), records, summary
        )
        assert self._wait_for(self._store.create_run(new)) == run
        self._runs[run_id] = _ModelRun(run, is_lease_over=lease_seconds == 0, records=list(records))

    @rule(
        run_id=RUN_IDS,
        happened=HAPPENED,
        summary=st.none() | SUMMARIES,
        epochs_off=st.sampled_from([0, 0, 0, 1, -1]),
        seqs_off=st.sampled_from([0, 0, 0, 1, -1]),
    )
    def commit(
        self,
        run_id: str,
        happened: Sequence[tuple[str, bytes]],
        summary: RunSummary | None,
        epochs_off: int,
        seqs_off: int,
    ) -> None:
        model = self._runs.get(run_id)
        epoch = (model.run.epoch if model else 1) + epochs_off
        first = (model.run.last_seq if model else 0) + 1 + seqs_off
        records = _records(happened, first=first)
        committing = self._store.commit(Batch(run_id, epoch, records, summary))
        if model is None:
            self._refused(UnknownRunError, committing)
        elif epochs_off or (records and seqs_off):
            self._refused(ConflictError, committing)
        else:
            self._wait_for(committing)
            model.records.extend(records)
            model.run = _after(model.run, records, summary)
        self.read(run_id, after_seq=0)

    @rule(run_id=RUN_IDS, owner=OWNERS, lease_seconds=LEASES, gone=st.sets(OWNERS, max_size=1))
    def claim(self, run_id: str, owner: str, lease_seconds: float, gone: set[str]) -> None:
        model = self._runs.get(run_id)
        claiming = self._store.claim(run_id, owner=owner, lease_seconds=lease_seconds, is_gone=gone.__contains__)
        if model is None:
            self._refused(UnknownRunError, claiming)
        elif model.run.owner and not model.is_lease_over and model.run.owner not in gone:
            self._refused(RunHeldError, claiming)
        else:
            model.run = replace(model.run, epoch=model.run.epoch + 1, owner=owner)
            model.is_lease_over = lease_seconds == 0
            assert self._wait_for(claiming) == model.run

    @rule(run_id=RUN_IDS, epochs_off=st.sampled_from([0, 0, -1]), lease_seconds=LEASES)
    def renew(self, run_id: str, epochs_off: int, lease_seconds: float) -> None:
        model = self._runs.get(run_id)
        epoch = (model.run.epoch if model else 1) + epochs_off
        renewing = asyncio.to_thread(self._store.renew, run_id, epoch=epoch, lease_seconds=lease_seconds)
        if model is None:
            self._refused(UnknownRunError, renewing)
        elif epochs_off:
            self._refused(ConflictError, renewing)
        else:
            self._wait_for(renewing)
            model.is_lease_over = lease_seconds == 0

    @rule(run_id=RUN_IDS, epochs_off=st.sampled_from([0, 0, -1]))
    def release(self, run_id: str, epochs_off: int) -> None:
        model = self._runs.get(run_id)
        if model is None:
            self._refused(UnknownRunError, self._store.release(run_id, epoch=1))
            return
        self._wait_for(self._store.release(run_id, epoch=model.run.epoch + epochs_off))
        if not epochs_off:
            model.run = replace(model.run, owner="")

    @rule(run_id=RUN_IDS)
    def delete(self, run_id: str) -> None:
        model = self._runs.get(run_id)
        if model is None:
            self._refused(UnknownRunError, self._store.delete(run_id))
        elif model.run.finished_at is None:
            self._refused(RunUnfinishedError, self._store.delete(run_id))
        elif model.run.owner and not model.is_lease_over:
            self._refused(RunHeldError, self._store.delete(run_id))
        else:
            self._wait_for(self._store.delete(run_id))
            del self._runs[run_id]

    @rule(run_id=RUN_IDS, after_seq=st.integers(0, 6))
    def read(self, run_id: str, after_seq: int) -> None:
        model = self._runs.get(run_id)
        if model is None:
            self._refused(UnknownRunError, self._store.run(run_id))
            self._refused(UnknownRunError, self._store.records(run_id, after_seq=after_seq))
            return
        assert self._wait_for(self._store.run(run_id)) == model.run
        records = self._wait_for(self._store.records(run_id, after_seq=after_seq))
        assert list(records) == model.records[after_seq:]

    @rule(limit=st.integers(1, 4))
    def list_runs(self, limit: int) -> None:
        newest_first = [model.run for model in reversed(self._runs.values())]
        assert list(self._wait_for(self._store.runs(RunQuery(limit=limit)))) == newest_first[:limit]

    @invariant()
    def knows_the_same_runs(self) -> None:
        self.list_runs(limit=len(self._runs) + 1)

    @precondition(lambda self: self.reopens)
    @rule()
    def reopen(self) -> None:
        self._wait_for(self._store.close())
        self._store = self._wait_for(self._open_store(self._place))

    def teardown(self) -> None:
        self._wait_for(self._store.close())
        self._runner.close()

    def _wait_for(self, answer: Awaitable[Result]) -> Result:
        async def wait() -> Result:
            return await answer

        return self._runner.run(wait())

    def _refused(self, kind: type[StoreError], answer: Awaitable[object]) -> None:
        """Check that the answer is an error of this kind; that nothing was written, the next reading tells."""
        try:
            found: object = self._wait_for(answer)
        except StoreError as error:
            found = error
        assert isinstance(found, kind), f"expected {kind.__name__}, found {found!r}"


def _records(happened: Sequence[tuple[str, bytes]], *, first: int) -> tuple[Record, ...]:
    return tuple(Record(seq, kind, seq / 8, payload) for seq, (kind, payload) in enumerate(happened, first))


def _after(run: RunRecord, records: Sequence[Record], summary: RunSummary | None) -> RunRecord:
    run = replace(run, last_seq=run.last_seq + len(records))
    if summary is None:
        return run
    run = replace(run, status=summary.status, updated_at=summary.at, cost_usd=summary.cost_usd)
    return replace(run, finished_at=summary.at, owner="") if summary.is_finished else replace(run, finished_at=None)


def check_against_a_dict(
    open_store: Callable[[Path], Awaitable[Store]],
    *,
    new_place: Callable[[], Path],
    reopens: bool,
    examples: int,
    phases: Sequence[Phase] = tuple(Phase),
) -> None:
    """Draw histories of calls, and fail with a short one after which the store and a dict disagree.

    Args:
        open_store: Opens the store at a place.
        new_place: Makes an empty place; called for each history.
        reopens: Whether histories close the store and open it anew at the same place.
        examples: How many histories to draw.
        phases: What Hypothesis does; without shrinking, a failure comes sooner, after a longer history.
    """
    run_state_machine_as_test(
        lambda: _StoreBesideDict(open_store, new_place(), reopens=reopens),  # type: ignore[arg-type]  # whatever makes a machine will do
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
