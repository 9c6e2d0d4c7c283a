"""Two runs side by side: which steps came to something else, and what that cost."""

from dataclasses import dataclass

from tagent.pipeline.transfer.differences import StepDifference, step_differences
from tagent.pipeline.transfer.forking import state_at
from tagent.ports.store import Store


@dataclass(frozen=True, slots=True)
class RunDifference:
    """Two runs.

    Attributes:
        runs: Their ids.
        statuses: Where each stands.
        codes: Why each ended before its steps did, or waits; empty if it did not.
        inputs: What each was given.
        costs_usd: The known prices of each.
        steps: Every step of either, in the order of the first run, then of the second.
    """

    runs: tuple[str, str]
    statuses: tuple[str, str]
    codes: tuple[str, str]
    inputs: tuple[object, object]
    costs_usd: tuple[float, float]
    steps: tuple[StepDifference, ...]


async def compare_runs(store: Store, one: str, other: str) -> RunDifference:
    """Return how two runs differ, of the same pipeline or not.

    Raises:
        UnknownRunError: If one of them does not exist.
    """
    a, b = await state_at(store, one), await state_at(store, other)
    return RunDifference(
        (one, other),
        (a.status.value, b.status.value),
        (a.code, b.code),
        (a.inputs, b.inputs),
        (a.cost_usd, b.cost_usd),
        step_differences(a, b),
    )
