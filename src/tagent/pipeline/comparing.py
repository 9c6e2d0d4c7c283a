"""Two runs side by side: which steps came to something else, and what that cost."""

from dataclasses import dataclass

from tagent.pipeline.forking import state_at
from tagent.pipeline.reports import report_of
from tagent.pipeline.state import PipelineState
from tagent.ports.store import Store


@dataclass(frozen=True, slots=True)
class StepDifference:
    """A step in two runs. What a run does not have is None, or 0.

    Attributes:
        step: Its name.
        statuses: Where it stands in each.
        is_output_equal: Whether both gave the same.
        outputs: What each gave, as JSON values.
        costs_usd: The known prices in each.
        seconds: How long it took in each.
        models: Who answered in each.
    """

    step: str
    statuses: tuple[str | None, str | None]
    is_output_equal: bool
    outputs: tuple[object, object]
    costs_usd: tuple[float, float]
    seconds: tuple[float, float]
    models: tuple[str, str]

    @property
    def is_equal(self) -> bool:
        """Whether the step came to the same in both."""
        return self.is_output_equal and self.statuses[0] == self.statuses[1]


@dataclass(frozen=True, slots=True)
class RunDifference:
    """Two runs.

    Attributes:
        runs: Their ids.
        statuses: Where each stands.
        inputs: What each was given.
        costs_usd: The known prices of each.
        steps: Every step of either, in the order of the first run, then of the second.
    """

    runs: tuple[str, str]
    statuses: tuple[str, str]
    inputs: tuple[object, object]
    costs_usd: tuple[float, float]
    steps: tuple[StepDifference, ...]


async def compare_runs(store: Store, one: str, other: str) -> RunDifference:
    """Return how two runs differ, of the same pipeline or not.

    Raises:
        UnknownRunError: If one of them does not exist.
    """
    a, b = await state_at(store, one), await state_at(store, other)
    names = dict.fromkeys((*a.statuses, *b.statuses))
    return RunDifference(
        (one, other),
        (a.status.value, b.status.value),
        (a.inputs, b.inputs),
        (a.cost_usd, b.cost_usd),
        tuple(_step(name, a, b) for name in names),
    )


def _step(name: str, a: PipelineState, b: PipelineState) -> StepDifference:
    reports = [report_of(state, name) if name in state.steps else None for state in (a, b)]
    outputs = [state.steps[name].output if name in state.steps else None for state in (a, b)]
    one, other = reports
    return StepDifference(
        name,
        (one.status.value if one else None, other.status.value if other else None),
        outputs[0] == outputs[1],
        (outputs[0], outputs[1]),
        (one.cost_usd if one else 0.0, other.cost_usd if other else 0.0),
        (one.execution_time if one else 0.0, other.execution_time if other else 0.0),
        (one.model if one else "", other.model if other else ""),
    )
