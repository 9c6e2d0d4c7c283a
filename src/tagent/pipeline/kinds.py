"""The words of a pipeline: when a step may run, what it needs of others, and where it and its run stand."""

from enum import StrEnum


class ExecutionMode(StrEnum):
    """When a step may run beside others.

    Example:
        >>> from tagent.pipeline import Pipeline, PipelineScheduler
        >>> pipeline = Pipeline("p", default_mode=ExecutionMode.CONCURRENT).step("a", "Find A").step("b", "Find B")
        >>> [step.name for step in PipelineScheduler(pipeline).get_ready_steps()]
        ['a', 'b']
    """

    SERIAL = "serial"
    """Never at the same time as another SERIAL step of the run; definition order decides. The default."""
    CONCURRENT = "concurrent"
    """As soon as its dependencies allow."""
    CONDITIONAL = "conditional"
    """Only if its condition holds."""
    PARALLEL_MERGE = "parallel_merge"
    """Several branches at once, merged into one output."""


class DependencyType(StrEnum):
    """What a step needs of another.

    Example:
        >>> from tagent.pipeline import Dependency
        >>> Dependency("facts").type, Dependency("facts", DependencyType.DATA, path="hills").path
        (<DependencyType.HARD: 'hard'>, 'hills')
        >>> DependencyType.HARD.needs_output, DependencyType.DATA.needs_output
        (False, True)
    """

    HARD = "hard"
    """It must have completed, or been left out by its own condition."""
    SOFT = "soft"
    """It must be settled, however it ended, or the wait for it must be over. Its output is welcome, not required."""
    DATA = "data"
    """It must have completed, and its output must hold a certain path."""
    VALIDATION = "validation"
    """It must have completed, and its output must pass a check."""

    @property
    def needs_output(self) -> bool:
        """Whether the other step must have given something: not to have been left out is not enough."""
        return self in {DependencyType.DATA, DependencyType.VALIDATION}


class StepStatus(StrEnum):
    """Where a step stands in a run.

    Example:
        >>> StepStatus.WAITING.is_terminal, StepStatus.SKIPPED.is_terminal
        (False, True)
    """

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    """For its next attempt, which is due later; for its parts; or for the step that takes its place."""
    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"
    COMPENSATED = "compensated"

    @property
    def is_terminal(self) -> bool:
        """Whether the step will not run any more."""
        return self not in {StepStatus.PENDING, StepStatus.RUNNING, StepStatus.WAITING}


class RunStatus(StrEnum):
    """Where a run stands.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> pipeline = Pipeline("p").step("good", run=lambda: 1).step("bad", run=lambda: 1 / 0, max_retries=0)
        >>> run_pipeline(pipeline).status
        <RunStatus.PARTIAL: 'partial'>
    """

    RUNNING = "running"
    WAITING = "waiting"
    """Nobody drives it: it waits until somebody lets it go on."""
    COMPLETED = "completed"
    """Every step completed, was left out by its own condition, or is optional."""
    PARTIAL = "partial"
    """A step failed, but a step on which none depends completed."""
    FAILED = "failed"
    CANCELLED = "cancelled"
