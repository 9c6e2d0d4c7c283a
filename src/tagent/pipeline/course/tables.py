"""Which events may happen to a step, and to a part of one, in which status, and where they lead."""

from tagent.pipeline.events import (
    AgentProgressed,
    ApprovalAnswered,
    ApprovalRequested,
    ConditionJudged,
    InnerProgressed,
    PartCompleted,
    PartFailed,
    PartStarted,
    StepCancelled,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepGiven,
    StepSkipped,
    StepStarted,
    StepSubstituted,
)
from tagent.pipeline.kinds import StepStatus
from tagent.transitions import TransitionTable

_S = StepStatus

STEP_TABLE: TransitionTable[StepStatus] = TransitionTable(
    {
        (_S.PENDING, StepGiven): (_S.COMPLETED,),
        (_S.PENDING, ConditionJudged): (_S.PENDING,),
        (_S.PENDING, ApprovalRequested): (_S.WAITING,),
        (_S.PENDING, StepExpanded): (_S.WAITING,),
        (_S.PENDING, StepStarted): (_S.RUNNING,),
        (_S.PENDING, StepFailed): (_S.FAILED, _S.WAITING),
        (_S.PENDING, StepSkipped): (_S.SKIPPED,),
        (_S.PENDING, StepCancelled): (_S.CANCELLED,),
        (_S.RUNNING, AgentProgressed): (_S.RUNNING,),
        (_S.RUNNING, InnerProgressed): (_S.RUNNING,),
        (_S.RUNNING, ApprovalRequested): (_S.WAITING,),
        (_S.RUNNING, StepCompleted): (_S.COMPLETED,),
        (_S.RUNNING, StepFailed): (_S.WAITING, _S.FAILED),
        (_S.RUNNING, StepCancelled): (_S.CANCELLED,),
        (_S.WAITING, ApprovalAnswered): (_S.PENDING, _S.WAITING),
        (_S.WAITING, StepStarted): (_S.RUNNING,),
        (_S.WAITING, StepFailed): (_S.FAILED, _S.WAITING),
        (_S.WAITING, StepSkipped): (_S.SKIPPED,),
        (_S.WAITING, StepSubstituted): (_S.COMPLETED,),
        (_S.WAITING, StepCancelled): (_S.CANCELLED,),
        (_S.COMPLETED, PartCompleted): (_S.COMPENSATED,),
    }
)
"""A step's way through a run. The agent inside a step has a table of its own."""

PART_TABLE: TransitionTable[StepStatus] = TransitionTable(
    {
        (_S.PENDING, PartStarted): (_S.RUNNING,),
        (_S.RUNNING, AgentProgressed): (_S.RUNNING,),
        (_S.RUNNING, InnerProgressed): (_S.RUNNING,),
        (_S.RUNNING, PartCompleted): (_S.COMPLETED,),
        (_S.RUNNING, PartFailed): (_S.WAITING, _S.FAILED),
        (_S.RUNNING, StepCancelled): (_S.CANCELLED,),
        (_S.WAITING, PartStarted): (_S.RUNNING,),
        (_S.WAITING, PartFailed): (_S.FAILED,),
        (_S.WAITING, StepCancelled): (_S.CANCELLED,),
    }
)
"""A part's way: an item's, a branch's or a round's, a condition's or a compensation's."""
