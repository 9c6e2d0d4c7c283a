"""The agent's state machine: a transition table and a pure `reduce`. It calls nothing and knows no clock."""

from dataclasses import replace
from typing import assert_never

from tagent.ports.language_model import ModelRetried, ModelSwitched
from tagent.task_agent.budgets import budget_failure
from tagent.task_agent.events import (
    AgentEvent,
    AgentStarted,
    BudgetExceeded,
    Evaluated,
    Finalized,
    ModelFailed,
    Planned,
    PlanRejected,
    TaskCompleted,
    TaskFailed,
    TaskStarted,
    ToolAsked,
)
from tagent.task_agent.models import AgentPhase, AgentState, Failure, TaskStatus
from tagent.transitions import TransitionTable

GOAL_NOT_ACHIEVED = "agent.goal_not_achieved"
PLAN_REJECTED = "agent.plan_rejected"
TOO_MANY_ITERATIONS = "agent.too_many_iterations"

_ASKING = (AgentPhase.PLANNING, AgentPhase.EXECUTING, AgentPhase.EVALUATING, AgentPhase.FINALIZING)
"""The phases in which a model may be asked: by the agent, or by one of its tools."""

TABLE: TransitionTable[AgentPhase] = TransitionTable(
    {
        (AgentPhase.INIT, AgentStarted): (AgentPhase.PLANNING, AgentPhase.FINALIZING),
        (AgentPhase.PLANNING, Planned): (AgentPhase.EXECUTING, AgentPhase.EVALUATING, AgentPhase.FAILED),
        (AgentPhase.PLANNING, PlanRejected): (AgentPhase.PLANNING, AgentPhase.FAILED),
        (AgentPhase.EXECUTING, TaskStarted): (AgentPhase.EXECUTING,),
        (AgentPhase.EXECUTING, TaskCompleted): (
            AgentPhase.EXECUTING,
            AgentPhase.EVALUATING,
            AgentPhase.PLANNING,
            AgentPhase.FAILED,
        ),
        (AgentPhase.EXECUTING, TaskFailed): (AgentPhase.EXECUTING, AgentPhase.PLANNING, AgentPhase.FAILED),
        (AgentPhase.EVALUATING, Evaluated): (AgentPhase.FINALIZING, AgentPhase.PLANNING, AgentPhase.FAILED),
        (AgentPhase.EVALUATING, Finalized): (AgentPhase.COMPLETED,),
        (AgentPhase.FINALIZING, Evaluated): (AgentPhase.PLANNING, AgentPhase.FAILED),
        (AgentPhase.FINALIZING, Finalized): (AgentPhase.COMPLETED,),
        **{(phase, event): (phase,) for phase in _ASKING for event in (ModelRetried, ModelSwitched, ToolAsked)},
        **{
            (phase, ModelFailed): (AgentPhase.FAILED,)
            for phase in (AgentPhase.PLANNING, AgentPhase.EVALUATING, AgentPhase.FINALIZING)
        },
        **{(phase, BudgetExceeded): (AgentPhase.FAILED,) for phase in (AgentPhase.INIT, *_ASKING)},
    }
)
"""INIT -> PLANNING -> EXECUTING -> EVALUATING -> COMPLETED, back to PLANNING when a plan falls short; without
tools INIT -> FINALIZING -> COMPLETED, and so after an evaluation of its own."""


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
        case AgentStarted():
            return _started(state, event)
        case TaskStarted(index):
            return state.with_task(index, TaskStatus.RUNNING, retry_at=None, call_key=event.call_key)
        case TaskCompleted():
            return _settled(
                state.with_task(
                    event.index, TaskStatus.COMPLETED, output=event.output, key=event.key, error_code="", error=""
                )
            )
        case TaskFailed():
            return _failed(state, event)
        case BudgetExceeded():
            for call in event.cut_off:
                state = state.with_call(call)
            return replace(state, phase=AgentPhase.FAILED, failure=budget_failure(event, state.spending))
        case ModelRetried() | ModelSwitched():
            return state
        case Planned() | PlanRejected() | ToolAsked() | Evaluated() | Finalized() | ModelFailed():
            return _answered(state.with_call(event.call), event)
        case _:
            assert_never(event)


def _started(state: AgentState, event: AgentStarted) -> AgentState:
    return replace(
        state,
        phase=AgentPhase.PLANNING if event.has_tools else AgentPhase.FINALIZING,
        has_tools=event.has_tools,
        max_planning_cycles=event.max_planning_cycles,
        max_iterations=event.max_iterations,
        separate_evaluation=event.separate_evaluation,
    )


def _answered(
    state: AgentState, event: Planned | PlanRejected | ToolAsked | Evaluated | Finalized | ModelFailed
) -> AgentState:
    match event:
        case Planned(tasks):
            planned = replace(
                state, tasks=state.tasks + tasks, plan_start=len(state.tasks), planning_cycles=state.planning_cycles + 1
            )
            return _round_over(planned, AgentPhase.EXECUTING if tasks else AgentPhase.EVALUATING)
        case PlanRejected(problems):
            asked = replace(state, planning_cycles=state.planning_cycles + 1)
            return _fallen_short(asked, f"It could not be carried out: {problems}", Failure(PLAN_REJECTED, problems))
        case ToolAsked():
            return state
        case Evaluated(reason, advice):
            if event.is_achieved:
                return _round_over(state, AgentPhase.FINALIZING)
            return _fallen_short(state, f"{reason} {advice}".strip(), Failure(GOAL_NOT_ACHIEVED, reason))
        case Finalized(output):
            return replace(
                state, phase=AgentPhase.COMPLETED, output=output, iterations=state.iterations + 1, shortfall=""
            )
        case ModelFailed(code, message, is_retryable):
            return replace(state, phase=AgentPhase.FAILED, failure=Failure(code, message, is_retryable))


def _failed(state: AgentState, event: TaskFailed) -> AgentState:
    """Let the task wait for its next try, or settle it."""
    failures = state.tasks[event.index].failures + 1
    status = TaskStatus.FAILED if event.retry_at is None else TaskStatus.PENDING
    after = state.with_task(
        event.index, status, error_code=event.code, error=event.message, failures=failures, retry_at=event.retry_at
    )
    return _settled(after) if event.retry_at is None else after


def _settled(state: AgentState) -> AgentState:
    """Move on once every task of the plan has an outcome: to the answer, or to another plan."""
    if state.pending_tasks:
        return state
    failed = [task for task in state.tasks[state.plan_start :] if task.status is TaskStatus.FAILED]
    if not failed:
        return _round_over(state, AgentPhase.EVALUATING)
    # Without the errors: they are the tools' words, and reach the next prompt fenced, as the tasks' results.
    shortfall = " ".join(f"Task {task.index} ({task.tool_name}) failed." for task in failed)
    return _fallen_short(state, shortfall, Failure(failed[0].error_code, failed[0].error))


def _fallen_short(state: AgentState, shortfall: str, failure: Failure) -> AgentState:
    """Plan again while cycles are left and there is something to plan with; else fail."""
    told = replace(state, shortfall=shortfall)
    if state.has_tools and state.planning_cycles < state.max_planning_cycles:
        return _round_over(told, AgentPhase.PLANNING)
    return replace(told, phase=AgentPhase.FAILED, failure=failure, iterations=state.iterations + 1)


def _round_over(state: AgentState, phase: AgentPhase) -> AgentState:
    """Go on in `phase`, unless that would be a round too many."""
    after = replace(state, iterations=state.iterations + 1)
    if after.iterations < state.max_iterations:
        return replace(after, phase=phase)
    reason = f"The goal was not reached within {state.max_iterations} iterations."
    return replace(after, phase=AgentPhase.FAILED, failure=Failure(TOO_MANY_ITERATIONS, reason))


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
