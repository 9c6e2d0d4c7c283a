"""What a script reads from a run's end: the exit code."""

import pytest

from tagent.cli.driving import exit_code_of
from tagent.pipeline import PipelineResult, RunStatus


def result(status: RunStatus, *, code: str = "", step: str = "") -> PipelineResult:
    """Return the result of a run with one step, which ended for this reason."""
    return PipelineResult(
        "p", "r", status, status is RunStatus.COMPLETED, 1.0, code, step_metadata={"s": {"code": step}}
    )


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (result(RunStatus.COMPLETED), 0),
        (result(RunStatus.FAILED, step="step.failed"), 1),
        (result(RunStatus.CANCELLED, code="run.cancelled"), 1),
        (result(RunStatus.WAITING, code="budget.exceeded"), 3),
        (result(RunStatus.FAILED, step="budget.exceeded"), 5),
        (result(RunStatus.FAILED, code="run.deadline", step="run.deadline"), 5),
        (result(RunStatus.PARTIAL, step="budget.exceeded"), 6),
    ],
)
def test_the_exit_code_says_how_a_run_ended(ended: PipelineResult, code: int) -> None:
    """Whoever pays looks for a 5, whoever is to raise the budget for a 3."""
    assert exit_code_of(ended) == code
