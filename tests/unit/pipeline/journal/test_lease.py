"""The thread that keeps claims alive: what it says, and whom it tells."""

import logging
import threading
from collections.abc import Iterator

import pytest

from tagent.adapters.storage.memory import MemoryStore
from tagent.exceptions import StoreError
from tagent.pipeline.journal.lease import Lease, LeaseKeeper
from tagent.ports.store_errors import ConflictError

WAIT_SECONDS = 60.0


class Refusing(MemoryStore):
    """A store that takes its time to refuse a renewal."""

    def __init__(self, error: StoreError) -> None:
        super().__init__()
        self._error = error
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self.answers = threading.Semaphore(0)

    def renew(self, run_id: str, *, epoch: int, lease_seconds: float) -> None:
        """Refuse it."""
        self.asked.set()
        self.may_answer.wait(WAIT_SECONDS)
        self.answers.release()
        raise self._error


class Held:
    """A lease of a store that refuses it, in a keeper of its own."""

    def __init__(self, error: StoreError) -> None:
        self.store = Refusing(error)
        self.lost: list[ConflictError] = []
        self.keeper = LeaseKeeper()
        self.lease = Lease(self.store, "run-1", 1, 0.01, self.lost.append)
        self.keeper.keep(self.lease)
        assert self.store.asked.wait(WAIT_SECONDS)

    def another_is_renewed(self) -> None:
        """Return when the keeper has gone on to another round."""
        again = Refusing(StoreError("It is away."))
        again.may_answer.set()
        lease = Lease(again, "run-2", 1, 0.01, self.lost.append)
        self.keeper.keep(lease)
        for _ in range(2):
            assert again.answers.acquire(timeout=WAIT_SECONDS)
        self.keeper.drop(lease)


CONFLICT = ConflictError("run-1", expected="epoch 1", found="epoch 2")


@pytest.fixture(params=[StoreError("The store is closed."), CONFLICT], ids=["closed", "taken"])
def held(request: pytest.FixtureRequest) -> Iterator[Held]:
    held = Held(request.param)
    yield held
    held.keeper.drop(held.lease)
    held.store.may_answer.set()


def test_a_lease_that_was_dropped_while_it_was_renewed_is_spoken_of_no_more(
    held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    """Its run has ended, its store may be closed and its event loop gone."""
    caplog.set_level(logging.WARNING)
    held.keeper.drop(held.lease)
    held.store.may_answer.set()
    held.another_is_renewed()
    assert not held.lost
    assert not [record for record in caplog.records if "run-1" in record.message]


def test_a_lease_that_is_lost_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """Then somebody else has the run."""
    held = Held(CONFLICT)
    held.store.may_answer.set()
    held.another_is_renewed()
    assert held.lost == [CONFLICT]


def test_a_lease_that_cannot_be_renewed_is_warned_of_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    """The store may come back before it ends."""
    held = Held(StoreError("It is away."))
    held.store.may_answer.set()
    for _ in range(2):
        assert held.store.answers.acquire(timeout=WAIT_SECONDS)
    held.another_is_renewed()
    held.keeper.drop(held.lease)
    assert any("run-1 could not be renewed: It is away." in record.message for record in caplog.records)
    assert not held.lost
