"""The accounts that all model calls of a run are paid from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tagent.budget import Budget
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.settings import step_budget
from tagent.task_agent.accounts import Account
from tagent.task_agent.models import Spending


class RunAccounts:
    """The accounts of one run: its own, and one for each step that has limits. For the event loop of the run.

    Args:
        pipeline: The definition; says what steps may spend, and whether the run waits for a larger budget.
        budget: What the run may spend. Its deadline is not kept here: who drives the run ends it then.
        spent: Step -> what its model calls took before, those of all attempts and parts.
        above: What the step is paid from inside which the run is; empty for a run by itself.

    Example:
        >>> pipeline = Pipeline("p").step("a", "Find A", budget={"max_tokens": 9}).step("b", "Find B")
        >>> accounts = RunAccounts(pipeline, Budget(max_model_calls=40))
        >>> [account.whose for account in accounts.of("a")], [account.whose for account in accounts.of("b")]
        (['step', 'run'], ['run'])
    """

    def __init__(
        self,
        pipeline: Pipeline,
        budget: Budget,
        *,
        spent: Mapping[str, Spending] | None = None,
        above: Sequence[Account] = (),
    ) -> None:
        before = spent or {}
        self._above = tuple(above)
        self._run = Account(
            replace(budget, deadline_seconds=None),
            whose="pipeline" if above else "run",
            spent=sum(before.values(), Spending()),
            waits=pipeline.on_budget == "wait",
        )
        self._before = before
        self._steps: dict[str, Account] = {}
        self.learn(pipeline.steps)

    def learn(self, steps: Iterable[PipelineStep]) -> None:
        """Open accounts for those of the steps that have limits and none yet."""
        for step in steps:
            if step.name not in self._steps and (step.budget is not None or step.config is not None):
                limits = replace(step_budget(step), deadline_seconds=None)
                if not limits.is_unlimited:
                    self._steps[step.name] = Account(limits, whose="step", spent=self._before.get(step.name))

    def of(self, step: str) -> tuple[Account, ...]:
        """Return what the model calls of a step and of its parts are paid from; the step's own is asked first."""
        own = self._steps.get(step)
        run = (self._run, *self._above)
        return run if own is None else (own, *run)
