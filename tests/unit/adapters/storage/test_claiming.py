"""Claims in stores that look twice: once whether a run is free, and once who has it."""

import pytest

from tagent.adapters.storage.claiming import claimed
from tagent.ports.records import NewRun, RunRecord, begun
from tagent.ports.store_errors import RunHeldError

FREE = begun(NewRun("r", "report", b"{}", "hash", owner="me", lease_seconds=15, at=0.0))


async def test_a_run_that_is_given_up_between_the_two_looks_is_claimed() -> None:
    """Nobody holds it any more, so nobody is to be waited for."""
    owners = ["", "", None]
    asked: list[str] = []

    async def claim(gone: str) -> RunRecord:
        asked.append(gone)
        owner = owners.pop(0)
        if owner is not None:
            raise RunHeldError("r", owner=owner, seconds_left=15)
        return FREE

    assert await claimed(claim, is_gone=lambda name: False) is FREE
    assert asked == ["", "", ""]


async def test_a_holder_that_is_gone_is_named_once_and_one_that_lives_is_left_alone() -> None:
    """A claim by force takes the run from whom it was found with, and from nobody else."""
    asked: list[str] = []

    async def claim(gone: str) -> RunRecord:
        asked.append(gone)
        raise RunHeldError("r", owner="somebody", seconds_left=15)

    with pytest.raises(RunHeldError, match="somebody"):
        await claimed(claim, is_gone=lambda name: True)
    assert asked == ["", "somebody"]
    asked.clear()
    with pytest.raises(RunHeldError, match="somebody"):
        await claimed(claim, is_gone=lambda name: False)
    assert asked == [""]
