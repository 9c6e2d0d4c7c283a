"""What limits one run while it is driven: who may stop it, what it may spend, how long it may take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tagent.budget import Budget
from tagent.pipeline.driving.accounts import RunAccounts
from tagent.pipeline.driving.stopping import StopSignal
from tagent.pipeline.models import Pipeline
from tagent.pipeline.scheduler import AWAITING_APPROVAL, NO_LIMITS, Limits
from tagent.pipeline.state import PipelineState
from tagent.task_agent.accounts import Account
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
    def of(
        cls,
        pipeline: Pipeline,
        budget: Budget,
        state: PipelineState,
        stop: StopSignal | None,
        *,
        above: Sequence[Account] = (),
    ) -> "RunLimits":
        """Return the limits of a run that stands at `state`; `above` as for `RunAccounts`."""
        spent = {name: record.spending for name, record in state.steps.items() if record.spending != _NOTHING}
        accounts = RunAccounts(pipeline, budget, spent=spent, above=above)
        return cls(stop or StopSignal(), accounts, budget.deadline_seconds)

    def now(
        self, state: PipelineState, *, paused: Mapping[tuple[str, str], tuple[str, str]], stood_seconds: float = 0.0
    ) -> Limits:
        """Return what the scheduler is to know of them.

        Args:
            state: The run's state.
            paused: What was started and waits for somebody -> (code, reason).
            stood_seconds: How long the run has waited for people alone, of which its journal does not tell.
        """
        seconds = self.deadline_seconds
        if seconds is None and not paused:
            return NO_LIMITS
        is_holding = any(code != AWAITING_APPROVAL for code, _ in paused.values())
        deadline_at = None if seconds is None else state.opened_at + seconds + stood_seconds
        return Limits(deadline_at, is_holding, paused, stood_seconds)
