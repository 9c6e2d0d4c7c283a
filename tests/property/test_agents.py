"""Laws of one agent, for whatever its model plans, its tools do and wherever it is cut off."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runs import call, not_achieved, services
from tagent.config import TAgentConfig
from tagent.exceptions import TAgentError
from tagent.retries import RetryPolicy
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.budgets import BudgetExceededError
from tagent.task_agent.events import AgentEvent, TaskStarted, calls_of
from tagent.task_agent.models import AgentPhase, AgentState, TaskStatus
from tagent.task_agent.results import TaskBasedAgentResult
from tagent.task_agent.run import run_task_based_agent
from tagent.task_agent.state_machine import TOO_MANY_ITERATIONS, reduce
from tagent.task_agent.tools.decorator import tool
from tagent.task_agent.tools.tool import Tool, ToolContext
from tagent.testing import ManualClock, ScriptedModel

LAW = settings(deadline=None, max_examples=60)


@st.composite
def scripts(draw: st.DrawFn) -> list[object]:
    """Draw what a model says: some plans cannot be carried out, some tools fail, some goals are missed."""
    entries: list[object] = []
    first = 0
    for _ in range(draw(st.integers(1, 3))):
        entries += [[call("work", number=-1, after="{{tasks.99.output}}")]] * draw(st.sampled_from([0, 0, 0, 1, 2]))
        plan = []
        for place in range(draw(st.integers(0, 4))):
            after = draw(st.none() | st.integers(0, place - 1)) if place else None
            told = None if after is None else f"{{{{tasks.{first + after}.output}}}}"
            plan.append(call(draw(st.sampled_from(["work", "work", "flaky", "broken"])), number=place, after=told))
        entries.append(plan)
        first += len(plan)
        entries.append(draw(st.sampled_from(["done", not_achieved("Not yet."), not_achieved("No.", do_next="Try.")])))
    return entries + ["at last"] * 20


@dataclass
class World:
    """The tools, and how often each call of them was made."""

    calls: Counter[str] = field(default_factory=Counter)

    def tools(self) -> list[Tool]:
        """Return tools that always work, work at the third try, and never work."""

        @tool
        async def work(number: int, context: ToolContext, after: object = None) -> dict[str, object]:
            """Work."""
            self.calls[context.idempotency_key] += 1
            return {"number": number, "after": after}

        @tool(retries=2, retry_policy=RetryPolicy(base_seconds=1))
        async def flaky(number: int, context: ToolContext, after: object = None) -> tuple[str, int]:
            """Work at last."""
            self.calls[context.idempotency_key] += 1
            if context.attempt < 3:
                raise ConnectionError("busy")
            return f"key_{number}", number

        @tool
        async def broken(number: int, after: object = None) -> None:
            """Fail."""
            raise ValueError("out of order")

        return [work, flaky, broken]


@dataclass
class Worked:
    """What came of an agent, and its journal, the interrupted part included."""

    events: list[AgentEvent]
    world: World
    result: TaskBasedAgentResult[object] | None
    error: str

    @property
    def outcome(self) -> object:
        """What must not depend on where it was cut off."""
        if self.result is None:
            return self.error
        done = self.result
        return done.output, done.failure, done.tasks, done.iterations, done.planning_cycles, done.token_usage


def worked(script: Sequence[object], history: Sequence[AgentEvent] = (), **limits: object) -> Worked:
    """Let an agent work that was cut off after `history`."""
    events, world, clock = list(history), World(), ManualClock()

    async def record(event: AgentEvent) -> None:
        events.append(event)
        await clock.sleep(0.3)  # a commit takes its time, and a deadline may come meanwhile

    async def work() -> TaskBasedAgentResult[object]:
        async with services(clock) as opened:
            return await run_task_based_agent(
                "g",
                TAgentConfig.of({"model": ScriptedModel(script[asked(history) :]), "max_planning_cycles": 4, **limits}),
                tools=world.tools(),
                services=opened,
                attempt=Attempt(idempotency_key="r/s", record=record, history=tuple(history)),
            )

    try:
        return Worked(events, world, asyncio.run(work()), "")
    except TAgentError as error:
        return Worked(events, world, None, error.code)


def asked(events: Sequence[AgentEvent]) -> int:
    """Return how many entries of the script the calls on record have used up."""
    return sum(call.usage.requests for event in events for call in calls_of(event))


def folded(events: Sequence[AgentEvent]) -> AgentState:
    """Return what the events come to."""
    state = AgentState()
    for event in events:
        state = reduce(state, event)
    return state


@LAW
@given(scripts(), st.data())
def test_cut_off_anywhere_an_agent_comes_to_the_same_and_repeats_no_finished_call(
    script: list[object], data: st.DataObject
) -> None:
    """What was paid for is kept; only the tools that were cut off are called once more."""
    whole = worked(script)
    cut = data.draw(st.integers(0, len(whole.events)))
    again = worked(script, whole.events[:cut])
    if folded(whole.events[:cut]).phase not in {AgentPhase.COMPLETED, AgentPhase.FAILED}:
        assert again.outcome == whole.outcome
    assert asked(again.events) == asked(whole.events)
    finished = {task.index for task in folded(whole.events[:cut]).tasks if task.is_settled}
    restarted = {event.index for event in again.events[cut:] if isinstance(event, TaskStarted)}
    assert not finished & restarted


@LAW
@given(scripts(), st.integers(1, 12), st.integers(1, 12), st.none() | st.floats(0.1, 5))
def test_an_agent_ends_within_its_limits_and_never_makes_an_output_up(
    script: list[object], iterations: int, calls: int, deadline: float | None
) -> None:
    """Whatever happens: a journal that makes sense, an end with a reason, no output without success."""
    done = worked(script, max_iterations=iterations, max_model_calls=calls, deadline_seconds=deadline)
    state = folded(done.events)
    assert state.phase in {AgentPhase.COMPLETED, AgentPhase.FAILED}
    assert (state.failure is None) == (state.phase is AgentPhase.COMPLETED)
    assert state.phase is AgentPhase.COMPLETED or state.output is None
    assert state.iterations <= iterations
    assert state.spending.usage.requests <= calls
    if state.failure is None or state.failure.code not in {TOO_MANY_ITERATIONS, BudgetExceededError.code}:
        assert not state.pending_tasks  # only these may leave a plan undone


@LAW
@given(scripts())
def test_a_task_is_called_as_often_as_its_tool_allows_and_only_after_what_it_needs(script: list[object]) -> None:
    """References are the order; tries are counted by the journal."""
    done = worked(script)
    starts = Counter(event.index for event in done.events if isinstance(event, TaskStarted))
    state = folded(done.events)
    assert all(starts[task.index] <= (3 if task.tool_name == "flaky" else 1) for task in state.tasks)
    assert all(count <= 3 for count in done.world.calls.values())
    for task in state.tasks:
        if task.status is TaskStatus.COMPLETED and task.tool_name == "flaky":
            assert (task.failures, starts[task.index]) == (2, 3)
