"""Pipelines: many goals, one run. Every public name of the pipeline package."""

from importlib.util import find_spec

from tagent.exceptions import MissingExtraError

if find_spec("yaml") is None:
    raise MissingExtraError("pipeline", feature="Pipeline support")

from tagent.pipeline.context import StepContext, StepReport
from tagent.pipeline.exceptions import (
    DeadlockError,
    InputError,
    PipelineError,
    PipelineLoadError,
    PipelineValidationError,
    Problem,
    StepError,
    StepFailedError,
    StepInputError,
    StepOutputError,
    StepTimeoutError,
)
from tagent.pipeline.executor import PipelineExecutor
from tagent.pipeline.graph import CircularDependencyError, ExecutionGraph
from tagent.pipeline.models import (
    Dependency,
    DependencyType,
    ExecutionMode,
    Pipeline,
    PipelineResult,
    PipelineStep,
    RunStatus,
    StepStatus,
)
from tagent.pipeline.retries import RetryPolicy
from tagent.pipeline.scheduler import PipelineScheduler
from tagent.pipeline.state import PipelineState
from tagent.pipeline.validation import validate
from tagent.ports.language_model import TokenUsage

__all__ = [
    "Pipeline",
    "PipelineStep",
    "ExecutionMode",
    "Dependency",
    "DependencyType",
    "RetryPolicy",
    "StepContext",
    "StepReport",
    "PipelineResult",
    "RunStatus",
    "StepStatus",
    "TokenUsage",
    "validate",
    "Problem",
    "PipelineScheduler",
    "ExecutionGraph",
    "PipelineExecutor",
    "PipelineState",
    "PipelineError",
    "PipelineValidationError",
    "PipelineLoadError",
    "InputError",
    "CircularDependencyError",
    "DeadlockError",
    "StepError",
    "StepFailedError",
    "StepInputError",
    "StepOutputError",
    "StepTimeoutError",
]
