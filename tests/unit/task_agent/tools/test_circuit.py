"""Tools that are left alone because they fail again and again, and what is tried again of them."""

import asyncio
from collections.abc import Callable

import pytest

from agent_runs import call, not_achieved, scripted
from tagent.circuit import CircuitPolicy
from tagent.exceptions import ConfigurationError
from tagent.retries import RetryPolicy
from tagent.task_agent.events import TaskCompleted, TaskFailed
from tagent.task_agent.tools.context import ToolContext
from tagent.task_agent.tools.decorator import tool
from tagent.task_agent.tools.tool import Tool
from tagent.testing import ManualClock

POLICY = CircuitPolicy(failures=2, open_seconds=30)


class Service:
    """Something that tools call.

    Attributes:
        error: What it raises; None while it works.
        calls: How often it was called.
    """

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.calls = 0

    def ask(self) -> str:
        """Answer."""
        self.calls += 1
        if self.error is not None:
            raise self.error
        return "answer"


async def codes(tool_: Tool, *, calls: int, clock: ManualClock) -> list[str]:
    """Let one agent call a tool so often, one after another; return what came of each call."""
    plans = [step for _ in range(calls) for step in ([call(tool_.name)], not_achieved("Again."))]
    agent = scripted(*plans, not_achieved("No."))
    await agent.work(tool_, clock=clock, max_planning_cycles=calls, max_iterations=99)
    return [
        "" if isinstance(event, TaskCompleted) else event.code
        for event in agent.events
        if isinstance(event, TaskCompleted | TaskFailed)
    ]


def guarded(function: Callable[..., object], name: str, **more: object) -> Tool:
    """Return the tool with a circuit; each test has a name of its own, as circuits are those of the process."""
    return Tool.of(function, name=name, circuit=POLICY, **more)  # type: ignore[arg-type]  # settings of a tool


async def test_an_open_circuit_fails_the_task_at_once_and_the_agent_is_told() -> None:
    """It plans without the tool, instead of waiting for what does not come."""
    service, clock = Service(ConnectionError("down")), ManualClock(1000)
    ask = guarded(service.ask, "ask_opened")
    assert await codes(ask, calls=2, clock=clock) == ["tool.failed"] * 2
    agent = scripted([call("ask_opened")], not_achieved("It is down.", do_next="Do without."), [], "done without")
    await agent.work(ask, clock=clock)
    failed = next(event for event in agent.events if isinstance(event, TaskFailed))
    assert (failed.code, failed.retry_at) == ("circuit.open", None)
    assert "'ask_opened' has failed again and again and is not called for 30.0 s" in failed.message
    prompts = [message.content for request in agent.model.requests for message in request.messages]
    assert any("has failed again and again" in prompt for prompt in prompts)
    assert service.calls == 2


async def test_one_call_finds_that_it_works_again() -> None:
    """Nobody has to restart anything."""
    service, clock = Service(ConnectionError("down")), ManualClock(1000)
    ask = guarded(service.ask, "ask_probed")
    assert await codes(ask, calls=3, clock=clock) == ["tool.failed", "tool.failed", "circuit.open"]
    clock.advance(30)
    assert await codes(ask, calls=2, clock=clock) == ["tool.failed", "circuit.open"]
    clock.advance(60)
    service.error = None
    assert await codes(ask, calls=3, clock=clock) == ["", "", ""]


async def test_further_calls_end_when_the_circuit_opens() -> None:
    """Retries and circuits agree: what is left alone is not tried again."""
    service, clock = Service(ConnectionError("down")), ManualClock(1000)
    ask = guarded(service.ask, "ask_retried", retries=5, retry_policy=RetryPolicy(1, jitter=False))
    assert await codes(ask, calls=1, clock=clock) == ["tool.failed", "tool.failed", "circuit.open"]
    assert service.calls == 2
    assert [wait for wait in clock.waits if wait in {1, 2, 4}] == [1, 2]


async def test_a_tool_that_hangs_is_left_alone_too() -> None:
    """It costs more than one that fails."""

    async def hang() -> None:
        await asyncio.sleep(3600)

    clock = ManualClock(1000)
    hanging = guarded(hang, "hang", timeout_seconds=5)
    assert await codes(hanging, calls=3, clock=clock) == ["tool.timeout", "tool.timeout", "circuit.open"]


async def test_a_mistake_in_a_tool_does_not_hide_behind_its_circuit() -> None:
    """Neither does what a model got wrong: it would read of an outage that is none."""
    clock = ManualClock(1000)
    assert await codes(guarded(Service(TypeError()).ask, "ask_mistaken"), calls=5, clock=clock) == ["tool.failed"] * 5
    assert await codes(guarded(Service().ask, "ask_well"), calls=3, clock=clock) == ["", "", ""]

    def text(pages: int) -> object:
        return object()

    unread = guarded(text, "unread")
    agent = scripted(*[item for _ in range(4) for item in ([call("unread", pages=1)], not_achieved("No."))])
    await agent.work(unread, clock=clock, max_planning_cycles=4)
    assert {event.code for event in agent.events if isinstance(event, TaskFailed)} == {"tool.output"}


async def test_a_cancelled_call_says_nothing_of_the_tool() -> None:
    """Whoever stops a run does not take its tools from all others."""
    started = asyncio.Event()

    async def work(context: ToolContext) -> None:
        started.set()
        await asyncio.Event().wait()

    working = guarded(work, "work_cancelled")
    for _ in range(3):
        started.clear()
        agent = asyncio.ensure_future(scripted([call("work_cancelled")]).work(working))
        await started.wait()
        agent.cancel()
        with pytest.raises(asyncio.CancelledError):
            await agent


def test_a_circuit_belongs_to_a_function_and_a_name() -> None:
    """Two tools that are called alike do not shut each other, and one that is made anew keeps its history."""

    def ask() -> None: ...

    one, another = Tool.of(ask, circuit=POLICY), Tool.of(ask, name="other", circuit=POLICY)
    assert one.circuit_key == Tool.of(ask).circuit_key
    assert len({one.circuit_key, another.circuit_key, Tool.of(Service().ask).circuit_key}) == 3
    assert Tool.of(Service().ask).circuit_key == Tool.of(Service().ask).circuit_key


def test_a_decorated_tool_keeps_its_circuit() -> None:
    """It is said where the tool is written."""

    @tool(circuit=POLICY)
    def ask(question: str) -> str:
        """Ask."""
        return question

    assert ask("here") == "here"
    assert (ask.circuit, Tool.of(ask).circuit, Tool.of(ask.function).circuit) == (POLICY, POLICY, None)
    for wrong in (5, True, {"failures": 5}):
        with pytest.raises(ConfigurationError, match="must be a CircuitPolicy"):
            tool(circuit=wrong)(ask.function)  # type: ignore[call-overload]  # wrong on purpose


async def test_which_failures_of_a_tool_are_tried_again_can_be_said() -> None:
    """As for a step: what is named, by code or by class, and nothing else."""
    clock = ManualClock(1000)

    async def tried(service: Service, **policy: object) -> int:
        retried = Tool.of(
            service.ask,
            name="tried",
            retries=2,
            retry_policy=RetryPolicy(0, **policy),  # type: ignore[arg-type]  # settings of a policy
        )
        await codes(retried, calls=1, clock=clock)
        return service.calls

    assert await tried(Service(KeyError()), never=[LookupError]) == 1
    assert await tried(Service(TimeoutError()), only=[OSError]) == 3
    assert await tried(Service(KeyError()), only=[OSError]) == 1
    assert await tried(Service(KeyError()), never=["tool.failed"]) == 1
    assert await tried(Service(KeyError())) == 3
