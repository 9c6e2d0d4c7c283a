"""What can go wrong in a replay, and failures that were recorded and happen again."""

from tagent.exceptions import ToolError
from tagent.pipeline.events import PartFailed, StepFailed
from tagent.pipeline.exceptions import PipelineError
from tagent.ports.language_model import ModelReply
from tagent.ports.model_errors import ModelError, ModelOutputError
from tagent.task_agent.budgets import BudgetExceededError, budget_failure
from tagent.task_agent.events import BudgetExceeded, ModelFailed, PlanRejected, TaskFailed
from tagent.task_agent.models import Spending


class NotRecordedError(PipelineError):
    """A replayed step asks for what the run has not recorded, so nobody can answer it without a model or a tool.

    Attributes:
        step: The step.
        wanted: What it asks for.
    """

    code = "replay.not_recorded"

    def __init__(self, step: str, wanted: str) -> None:
        self.step = step
        self.wanted = wanted
        super().__init__(
            f"The step {step!r} asks for {wanted}, which the run has not recorded.",
            hint="Its code or its definition has changed, or the run never came that far.",
        )


class RecordedMisfitError(PipelineError):
    """What the run has recorded for a step does not fit what its code asks for today.

    Attributes:
        step: The step.
        what: What does not fit.
    """

    code = "replay.misfit"

    def __init__(self, step: str, what: str) -> None:
        self.step = step
        self.what = what
        super().__init__(
            f"For the step {step!r} the run has recorded {what} that does not fit its code any more.",
            hint="Its output type or its tools have changed: run it anew.",
        )


class RecordedWorkError(PipelineError):
    """A step, or a part of it, failed when it was recorded, so it fails again.

    Attributes:
        step: The step.
    """

    code = "step.failed"

    def __init__(self, failed: StepFailed | PartFailed) -> None:
        self.step = failed.step
        self.code = failed.code  # type: ignore[misc]  # that of the recorded failure
        super().__init__(failed.reason)


class CutOffError(PipelineError):
    """A run cannot be replayed, as it was ended from outside while its steps ran, or waits for an approval.

    Attributes:
        run_id: The run.
    """

    code = "replay.cut_off"

    def __init__(self, run_id: str, *, ended_by: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"Run {run_id} was cut off in the middle of its steps [{ended_by}], so it cannot be replayed.",
            hint="Resume it, and replay what it comes to then.",
        )


class RecordedModelError(ModelError):
    """A model call failed when it was recorded, so it fails again; not to be tried again, as that was the last try."""

    def __init__(self, failed: ModelFailed | BudgetExceeded) -> None:
        if isinstance(failed, ModelFailed):
            code, model, message = failed.code, failed.call.model, failed.message
        else:
            code, model, message = BudgetExceededError.code, "recorded", budget_failure(failed, Spending()).reason
        self.code = code  # type: ignore[misc]  # that of the recorded failure
        super().__init__(model, message)
        self.spent = ModelReply(None, model, cost_usd=0.0)


class RecordedPlanError(ModelOutputError):
    """A plan could not be carried out when it was recorded, so it cannot be now."""

    def __init__(self, rejected: PlanRejected) -> None:
        self.is_retryable = False  # type: ignore[misc]  # the recorded one was the last
        model = rejected.call.model
        super().__init__(model, f"{model} never gave a plan that can be carried out.", problems=rejected.problems)
        self.spent = ModelReply(None, model, cost_usd=0.0)


class RecordedToolError(ToolError):
    """A tool failed when it was recorded, so it fails again."""

    def __init__(self, tool: str, failed: TaskFailed) -> None:
        self.code = failed.code  # type: ignore[misc]  # that of the recorded failure
        super().__init__(tool, failed.message)
