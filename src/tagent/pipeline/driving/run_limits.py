"""What limits one run while it is driven: who may stop it, what it may spend, how long it may take."""

from dataclasses import dataclass

from tagent.budget import Budget
from tagent.pipeline.driving.accounts import RunAccounts
from tagent.pipeline.driving.stopping import StopSignal
from tagent.pipeline.models import Pipeline
from tagent.pipeline.scheduler import NO_LIMITS, Limits
from tagent.pipeline.state import PipelineState
from tagent.task_agent.models import Spending

_NOTHING = Spending()


@dataclass(frozen=True, slots=True)
class RunLimits:
    """The limits of one run.

    Attributes:
        stop: Asks it to stop between two steps.
        accounts: What its model calls are paid from.
        deadline_seconds: How long it may take from its beginning, or from when it was taken up after its end; None
            means without limit.
    """

    stop: StopSignal
    accounts: RunAccounts
    deadline_seconds: float | None = None

    @classmethod
    def of(cls, pipeline: Pipeline, budget: Budget, state: PipelineState, stop: StopSignal | None) -> "RunLimits":
        """Return the limits of a run that stands at `state`."""
        spent = {name: record.spending for name, record in state.steps.items() if record.spending != _NOTHING}
        return cls(stop or StopSignal(), RunAccounts(pipeline, budget, spent=spent), budget.deadline_seconds)

    def now(self, state: PipelineState, *, is_holding: bool) -> Limits:
        """Return what the scheduler is to know of them."""
        seconds = self.deadline_seconds
        if seconds is None and not is_holding:
            return NO_LIMITS
        return Limits(None if seconds is None else state.opened_at + seconds, is_holding)
