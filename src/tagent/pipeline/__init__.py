"""Pipelines: many goals, one run. Every public name of the pipeline package, loaded when it is first used."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from tagent.exceptions import MissingExtraError
from tagent.exports import loaded_late

if find_spec("yaml") is None:
    raise MissingExtraError("pipeline", feature="Pipeline support")

if TYPE_CHECKING:
    from tagent.budget import Budget
    from tagent.circuit import CircuitPolicy
    from tagent.circuits import CircuitOpenError
    from tagent.memory import MemoryEntry
    from tagent.messaging import DeadLetter, Delivery, MessageTimeoutError, NoReplyWantedError, ReceivedMessage
    from tagent.pipeline.answering.answering import AnsweredApproval
    from tagent.pipeline.answering.documents import OpenApproval
    from tagent.pipeline.answering.errors import ApprovalAnsweredError, ApprovalNotOpenError, ApprovalOutputError
    from tagent.pipeline.answering.going_on import GoesOn
    from tagent.pipeline.approval import Approval
    from tagent.pipeline.awaited import Event, event
    from tagent.pipeline.communication import PipelineCommunicator
    from tagent.pipeline.conditions import Condition, ConditionError, exists, field
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
    from tagent.pipeline.hooks import StepOutcome
    from tagent.pipeline.journal.events_as_json import event_json
    from tagent.pipeline.memory import PipelineMemory
    from tagent.pipeline.models import DependencyType, ExecutionMode, Pipeline, PipelineResult, RunStatus, StepStatus
    from tagent.pipeline.plan import Plan
    from tagent.pipeline.routing import When, repeat, switch, when
    from tagent.pipeline.scheduler import PipelineScheduler
    from tagent.pipeline.selecting import Selection, SelectionError
    from tagent.pipeline.state import PipelineState
    from tagent.pipeline.steps import Dependency, Fallback, PipelineStep
    from tagent.pipeline.triggers import EventTrigger, ScheduleTrigger, TriggerError, on_event, on_schedule
    from tagent.pipeline.validation import validate
    from tagent.ports.language_model import TokenUsage
    from tagent.retries import RetryPolicy

__all__ = [
    "Pipeline",
    "PipelineStep",
    "ExecutionMode",
    "Dependency",
    "DependencyType",
    "Condition",
    "field",
    "exists",
    "when",
    "When",
    "switch",
    "repeat",
    "Fallback",
    "Approval",
    "OpenApproval",
    "AnsweredApproval",
    "GoesOn",
    "Budget",
    "RetryPolicy",
    "CircuitPolicy",
    "StepContext",
    "StepReport",
    "StepOutcome",
    "event_json",
    "PipelineResult",
    "RunStatus",
    "StepStatus",
    "TokenUsage",
    "PipelineMemory",
    "MemoryEntry",
    "PipelineCommunicator",
    "ReceivedMessage",
    "Delivery",
    "MessageTimeoutError",
    "NoReplyWantedError",
    "DeadLetter",
    "event",
    "Event",
    "on_event",
    "on_schedule",
    "EventTrigger",
    "ScheduleTrigger",
    "TriggerError",
    "validate",
    "Plan",
    "Problem",
    "PipelineScheduler",
    "ExecutionGraph",
    "PipelineExecutor",
    "Selection",
    "PipelineState",
    "PipelineError",
    "PipelineValidationError",
    "PipelineLoadError",
    "InputError",
    "SelectionError",
    "CircularDependencyError",
    "ConditionError",
    "CircuitOpenError",
    "ApprovalAnsweredError",
    "ApprovalNotOpenError",
    "ApprovalOutputError",
    "DeadlockError",
    "StepError",
    "StepFailedError",
    "StepInputError",
    "StepOutputError",
    "StepTimeoutError",
]

_HOMES = {
    "when": "tagent.pipeline.routing",
    "When": "tagent.pipeline.routing",
    "switch": "tagent.pipeline.routing",
    "repeat": "tagent.pipeline.routing",
    "Approval": "tagent.pipeline.approval",
    "OpenApproval": "tagent.pipeline.answering.documents",
    "AnsweredApproval": "tagent.pipeline.answering.answering",
    "GoesOn": "tagent.pipeline.answering.going_on",
    "ApprovalAnsweredError": "tagent.pipeline.answering.errors",
    "ApprovalNotOpenError": "tagent.pipeline.answering.errors",
    "ApprovalOutputError": "tagent.pipeline.answering.errors",
    "Fallback": "tagent.pipeline.steps",
    "Budget": "tagent.budget",
    "Condition": "tagent.pipeline.conditions",
    "ConditionError": "tagent.pipeline.conditions",
    "field": "tagent.pipeline.conditions",
    "exists": "tagent.pipeline.conditions",
    "StepOutcome": "tagent.pipeline.hooks",
    "event_json": "tagent.pipeline.journal.events_as_json",
    "CircuitPolicy": "tagent.circuit",
    "CircuitOpenError": "tagent.circuits",
    "Pipeline": "tagent.pipeline.models",
    "PipelineStep": "tagent.pipeline.steps",
    "ExecutionMode": "tagent.pipeline.models",
    "Dependency": "tagent.pipeline.steps",
    "DependencyType": "tagent.pipeline.models",
    "RetryPolicy": "tagent.retries",
    "StepContext": "tagent.pipeline.context",
    "StepReport": "tagent.pipeline.context",
    "PipelineResult": "tagent.pipeline.models",
    "RunStatus": "tagent.pipeline.models",
    "StepStatus": "tagent.pipeline.models",
    "TokenUsage": "tagent.ports.language_model",
    "PipelineMemory": "tagent.pipeline.memory",
    "MemoryEntry": "tagent.memory",
    "PipelineCommunicator": "tagent.pipeline.communication",
    "ReceivedMessage": "tagent.messaging",
    "Delivery": "tagent.messaging",
    "MessageTimeoutError": "tagent.messaging",
    "NoReplyWantedError": "tagent.messaging",
    "DeadLetter": "tagent.messaging",
    "event": "tagent.pipeline.awaited",
    "Event": "tagent.pipeline.awaited",
    "on_event": "tagent.pipeline.triggers",
    "on_schedule": "tagent.pipeline.triggers",
    "EventTrigger": "tagent.pipeline.triggers",
    "ScheduleTrigger": "tagent.pipeline.triggers",
    "TriggerError": "tagent.pipeline.triggers",
    "validate": "tagent.pipeline.validation",
    "Plan": "tagent.pipeline.plan",
    "Problem": "tagent.pipeline.exceptions",
    "PipelineScheduler": "tagent.pipeline.scheduler",
    "ExecutionGraph": "tagent.pipeline.graph",
    "PipelineExecutor": "tagent.pipeline.executor",
    "PipelineState": "tagent.pipeline.state",
    "PipelineError": "tagent.pipeline.exceptions",
    "PipelineValidationError": "tagent.pipeline.exceptions",
    "PipelineLoadError": "tagent.pipeline.exceptions",
    "InputError": "tagent.pipeline.exceptions",
    "Selection": "tagent.pipeline.selecting",
    "SelectionError": "tagent.pipeline.selecting",
    "CircularDependencyError": "tagent.pipeline.graph",
    "DeadlockError": "tagent.pipeline.exceptions",
    "StepError": "tagent.pipeline.exceptions",
    "StepFailedError": "tagent.pipeline.exceptions",
    "StepInputError": "tagent.pipeline.exceptions",
    "StepOutputError": "tagent.pipeline.exceptions",
    "StepTimeoutError": "tagent.pipeline.exceptions",
}

__getattr__, __dir__ = loaded_late(__name__, _HOMES)
