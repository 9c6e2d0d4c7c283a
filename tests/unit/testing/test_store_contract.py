"""The contract of stores can fail: a store that breaks a promise is caught."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import Phase

import tagent.testing
from tagent.adapters.storage.memory import MemoryStore
from tagent.ports import Batch, Record, RunRecord, Store
from tagent.ports.records import NEWEST, RunQuery
from tagent.testing import StoreContract
from tagent.testing.store_contract.machine import check_against_a_dict


class AcceptsEveryEpoch(MemoryStore):
    """A stale executor is not fenced."""

    async def commit(self, batch: Batch) -> None:
        run = await self.run(batch.run_id)
        await super().commit(Batch(batch.run_id, run.epoch, batch.records, batch.summary))


class ForgetsTheLast(MemoryStore):
    """A record that was acknowledged is gone."""

    async def records(self, run_id: str, *, after_seq: int = 0) -> Sequence[Record]:
        return (await super().records(run_id, after_seq=after_seq))[:-1]


class ListsTheOldestFirst(MemoryStore):
    """Lists are upside down."""

    async def runs(self, query: RunQuery = NEWEST) -> Sequence[RunRecord]:
        return (await super().runs(query))[::-1]


class HandsOutHeldRuns(MemoryStore):
    """Two processes drive one run."""

    async def claim(
        self, run_id: str, *, owner: str, lease_seconds: float, is_gone: Callable[[str], bool]
    ) -> RunRecord:
        return await super().claim(run_id, owner=owner, lease_seconds=lease_seconds, is_gone=lambda holder: True)


@pytest.mark.parametrize("broken", [AcceptsEveryEpoch, ForgetsTheLast, ListsTheOldestFirst, HandsOutHeldRuns])
def test_the_comparison_with_a_dict_catches_a_store_that(broken: type[MemoryStore], tmp_path: Path) -> None:
    """A check that cannot fail shows nothing."""

    async def open_store(place: Path) -> Store:
        return broken()

    with pytest.raises(AssertionError):
        check_against_a_dict(
            open_store, new_place=lambda: tmp_path, reopens=False, examples=100, phases=[Phase.generate]
        )


async def test_a_contract_that_does_not_say_how_to_open_the_store_says_so(tmp_path: Path) -> None:
    """Whoever writes a store reads this first."""

    class Nameless(StoreContract):
        pass

    with pytest.raises(NotImplementedError, match="Nameless must say how its store is opened"):
        await Nameless().open_store(tmp_path)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """The contract is loaded when it is first used; nothing else is."""
    with pytest.raises(AttributeError, match="no attribute 'Contract'"):
        _ = tagent.testing.Contract
