"""The agent's state machine: a transition table and a pure `reduce`. It calls nothing and knows no clock."""

from dataclasses import replace
from typing import assert_never

from tagent.task_agent.events import (
    AgentEvent,
    AgentStarted,
    Evaluated,
    Finalized,
    ModelFailed,
    Planned,
    TaskCompleted,
    TaskFailed,
    TaskStarted,
)
from tagent.task_agent.models import AgentPhase, AgentState, Failure, ModelCall, TaskStatus
from tagent.transitions import TransitionTable

GOAL_NOT_ACHIEVED = "agent.goal_not_achieved"

TABLE: TransitionTable[AgentPhase] = TransitionTable(
    {
        (AgentPhase.INIT, AgentStarted): (AgentPhase.PLANNING, AgentPhase.FINALIZING),
        (AgentPhase.PLANNING, Planned): (AgentPhase.EXECUTING, AgentPhase.EVALUATING),
        (AgentPhase.PLANNING, ModelFailed): (AgentPhase.FAILED,),
        (AgentPhase.EXECUTING, TaskStarted): (AgentPhase.EXECUTING,),
        (AgentPhase.EXECUTING, TaskCompleted): (
            AgentPhase.EXECUTING,
            AgentPhase.EVALUATING,
            AgentPhase.PLANNING,
            AgentPhase.FAILED,
        ),
        (AgentPhase.EXECUTING, TaskFailed): (AgentPhase.EXECUTING, AgentPhase.PLANNING, AgentPhase.FAILED),
        (AgentPhase.EVALUATING, Finalized): (AgentPhase.COMPLETED,),
        (AgentPhase.EVALUATING, Evaluated): (AgentPhase.PLANNING, AgentPhase.FAILED),
        (AgentPhase.EVALUATING, ModelFailed): (AgentPhase.FAILED,),
        (AgentPhase.FINALIZING, Finalized): (AgentPhase.COMPLETED,),
        (AgentPhase.FINALIZING, Evaluated): (AgentPhase.FAILED,),
        (AgentPhase.FINALIZING, ModelFailed): (AgentPhase.FAILED,),
    }
)
"""INIT -> PLANNING -> EXECUTING -> EVALUATING -> COMPLETED, back to PLANNING when a plan falls short;
without tools INIT -> FINALIZING -> COMPLETED."""


def reduce(state: AgentState, event: AgentEvent) -> AgentState:
    """Return the state after `event`.

    Raises:
        IllegalTransitionError: If the event cannot happen in the state's phase.

    Example:
        >>> reduce(AgentState(), AgentStarted(has_tools=False, max_planning_cycles=3)).phase
        <AgentPhase.FINALIZING: 'finalizing'>
    """
    TABLE.targets(state.phase, type(event))
    after = _change(state, event)
    TABLE.check(state.phase, type(event), after.phase)
    return after


def _change(state: AgentState, event: AgentEvent) -> AgentState:
    match event:
        case AgentStarted(has_tools, max_planning_cycles):
            phase = AgentPhase.PLANNING if has_tools else AgentPhase.FINALIZING
            return replace(state, phase=phase, max_planning_cycles=max_planning_cycles)
        case Planned(tasks, call):
            phase = AgentPhase.EXECUTING if tasks else AgentPhase.EVALUATING
            return replace(
                _paid(state, call),
                phase=phase,
                tasks=state.tasks + tasks,
                plan_start=len(state.tasks),
                planning_cycles=state.planning_cycles + 1,
            )
        case TaskStarted(index):
            return state.with_task(index, TaskStatus.RUNNING)
        case TaskCompleted(index, output):
            return _settled(state.with_task(index, TaskStatus.COMPLETED, output=output))
        case TaskFailed(index, code, message):
            return _settled(state.with_task(index, TaskStatus.FAILED, error_code=code, error=message))
        case Evaluated(reason, advice, call):
            shortfall = f"{reason} {advice}".strip()
            return _fallen_short(_paid(state, call), shortfall, Failure(GOAL_NOT_ACHIEVED, reason))
        case Finalized(output, call):
            return replace(_paid(state, call), phase=AgentPhase.COMPLETED, output=output)
        case ModelFailed(code, message, is_retryable, call):
            failure = Failure(code, message, is_retryable)
            return replace(_paid(state, call), phase=AgentPhase.FAILED, failure=failure)
        case _:
            assert_never(event)


def _paid(state: AgentState, call: ModelCall) -> AgentState:
    return replace(state, spending=state.spending.plus(call))


def _settled(state: AgentState) -> AgentState:
    """Move on once every task of the plan has an outcome: to the answer, or to another plan."""
    if state.pending_tasks:
        return state
    failed = [task for task in state.tasks[state.plan_start :] if task.status is TaskStatus.FAILED]
    if not failed:
        return replace(state, phase=AgentPhase.EVALUATING)
    # Without the errors: they are the tools' words, and reach the next prompt fenced, as the tasks' results.
    shortfall = " ".join(f"Task {task.index} ({task.tool_name}) failed." for task in failed)
    return _fallen_short(state, shortfall, Failure(failed[0].error_code, failed[0].error))


def _fallen_short(state: AgentState, shortfall: str, failure: Failure) -> AgentState:
    """Plan again while cycles are left and there is something to plan with; else fail."""
    can_replan = state.phase is not AgentPhase.FINALIZING and state.planning_cycles < state.max_planning_cycles
    if can_replan:
        return replace(state, phase=AgentPhase.PLANNING, shortfall=shortfall)
    return replace(state, phase=AgentPhase.FAILED, failure=failure, shortfall=shortfall)


class TaskBasedStateMachine:
    """One agent's state, moved by events.

    Attributes:
        table: Which event leads where; `table.mermaid()` draws it.
        state: The fold of the events sent so far.

    Example:
        >>> machine = TaskBasedStateMachine()
        >>> machine.send(AgentStarted(has_tools=True, max_planning_cycles=3)).phase
        <AgentPhase.PLANNING: 'planning'>
    """

    table = TABLE

    def __init__(self, state: AgentState | None = None) -> None:
        self.state = state or AgentState()

    def send(self, event: AgentEvent) -> AgentState:
        """Return the state after `event`, which becomes the machine's own.

        Raises:
            IllegalTransitionError: If the event cannot happen now; the state stays as it was.
        """
        self.state = reduce(self.state, event)
        return self.state
