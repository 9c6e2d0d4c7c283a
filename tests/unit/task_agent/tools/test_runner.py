"""One call of a tool: where it runs, what it is given, and what becomes of every kind of failure."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date
from functools import partial
from queue import SimpleQueue
from typing import NamedTuple

import pytest
from pydantic import BaseModel, computed_field

from tagent.ports.clock import Clock
from tagent.task_agent.tools.context import OutsideAgentError
from tagent.task_agent.tools.runner import ToolFailedError, ToolOutputError, ToolResult, ToolTimeoutError, run_tool
from tagent.task_agent.tools.tool import Tool, ToolArgumentsError, ToolContext
from tagent.testing import ManualClock
from tagent.threads import DaemonThreads

THREADS = DaemonThreads()
PATIENCE_SECONDS = 10


class Page(BaseModel):
    url: str
    seen: date = date(2026, 1, 31)


class Spoilt(BaseModel):
    @computed_field  # type: ignore[prop-decorator]  # as Pydantic documents it
    @property
    def title(self) -> str:
        raise LookupError("no title")


@dataclass
class Point:
    x: int


class ExpiresAfter(ManualClock):
    """A clock whose limits are reached after an event, as when a thread has come so far."""

    def __init__(self, event: asyncio.Event) -> None:
        super().__init__()
        self._event = event

    async def _reach(self, due: float) -> None:
        await self._event.wait()


def tool_of(function: Callable[..., object]) -> Tool:
    """Return the tool that it is; a lambda gets a name."""
    return Tool.of(function, name="nameless" if getattr(function, "__name__", "") == "<lambda>" else "")


async def called(
    function: Callable[..., object],
    *,
    clock: Clock | None = None,
    timeout_seconds: float | None = None,
    context: ToolContext | None = None,
    **arguments: object,
) -> object:
    result = await run_tool(
        tool_of(function),
        arguments,
        context=context or ToolContext(),
        clock=clock or ManualClock(),
        threads=THREADS,
        timeout_seconds=timeout_seconds,
    )
    return result.output


def double(n: int) -> int:
    return 2 * n


async def double_async(n: int) -> int:
    await asyncio.sleep(0)
    return 2 * n


def double_later(n: int) -> Awaitable[int]:
    return double_async(n)


class Doubler:
    def __call__(self, n: int) -> int:
        return 2 * n


class AsyncDoubler:
    async def __call__(self, n: int) -> int:
        return 2 * n

    async def method(self, n: int) -> int:
        return 2 * n


@pytest.mark.parametrize(
    "function",
    [
        double,
        double_async,
        double_later,
        Doubler(),
        AsyncDoubler(),
        AsyncDoubler().method,
        partial(double),
        partial(double_async),
        partial(AsyncDoubler()),
        lambda n: 2 * int(n),
    ],
)
async def test_every_kind_of_callable_is_called_with_the_checked_arguments(function: Callable[..., object]) -> None:
    """Users bring what they have."""
    assert await called(function, n="21") == 42


async def test_a_sync_tool_runs_in_a_thread_and_does_not_block_the_loop() -> None:
    """One slow tool must not stop every other agent."""
    released = threading.Event()

    def wait() -> bool:
        return released.wait(PATIENCE_SECONDS)

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(called(wait))
        await asyncio.sleep(0)
        released.set()
    assert waiting.result() is True


async def test_an_async_tool_runs_on_the_loop() -> None:
    """It may use what belongs to the loop: clients, locks, queues."""

    async def where() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert await called(where) is True


async def test_a_sync_tool_sees_the_callers_context_variables() -> None:
    """Trace ids reach it although it runs elsewhere."""
    trace: ContextVar[str] = ContextVar("trace")
    trace.set("t-1")

    def current() -> str:
        return trace.get()

    assert await called(current) == "t-1"


async def test_the_context_is_passed_to_a_tool_that_asks_for_it() -> None:
    """A tool can learn what it is used for."""

    def look(ctx: ToolContext, n: int) -> str:
        return f"{ctx.goal} {n} {ctx.cancelled}"

    assert await called(look, n=1, context=ToolContext("Find it")) == "Find it 1 False"


@pytest.mark.parametrize(
    ("returned", "output"),
    [
        (None, None),
        ("text", "text"),
        ((1, 2), [1, 2]),
        ({1: {2.5}}, {"1": [2.5]}),
        (Page(url="u"), {"url": "u", "seen": "2026-01-31"}),
        ([Point(1)], [{"x": 1}]),
        (b"bytes", "bytes"),
        (iter([1, 2]), [1, 2]),
    ],
)
async def test_what_a_tool_returns_becomes_json_values(returned: object, output: object) -> None:
    """An agent that goes on from its journal must see what an undisturbed one sees."""
    assert await called(lambda: returned) == output


def circular() -> list[object]:
    items: list[object] = []
    items.append(items)
    return items


def breaking() -> Iterator[int]:
    yield 1
    raise LookupError("the second is missing")


async def stream() -> AsyncIterator[int]:
    yield 1


def streaming() -> AsyncIterator[int]:
    return stream()


def spoilt() -> Spoilt:
    return Spoilt()


@pytest.mark.parametrize(
    "function",
    [
        object,
        circular,
        breaking,
        lambda: b"\xff",
        lambda: "lone \ud800 surrogate",
        lambda: {"f": lambda: 1},
        spoilt,
        streaming,
    ],
)
async def test_an_output_that_cannot_be_written_as_json_is_an_error(function: Callable[..., object]) -> None:
    """It could not be journalled; found later, it would take the whole run with it."""
    with pytest.raises(ToolOutputError, match="cannot be written as JSON") as raised:
        await called(function)
    assert raised.value.code == "tool.output"
    assert raised.value.__cause__ is not None


async def test_wrong_arguments_are_an_error_before_the_tool_is_called() -> None:
    """A tool with effects must not run half prepared."""
    calls: list[int] = []

    def save(n: int) -> None:
        calls.append(n)

    with pytest.raises(ToolArgumentsError):
        await called(save, n="x")
    assert calls == []


def fail() -> None:
    raise ValueError("out of order")


async def fail_async() -> None:
    raise ValueError("out of order")


@pytest.mark.parametrize("function", [fail, fail_async])
async def test_an_exception_of_the_tool_is_an_error_with_its_cause(function: Callable[..., object]) -> None:
    """The planner reads the reason, a developer the traceback."""
    with pytest.raises(ToolFailedError, match="raised ValueError: out of order") as raised:
        await called(function)
    assert raised.value.code == "tool.failed"
    assert isinstance(raised.value.__cause__, ValueError)


def leave() -> None:
    raise SystemExit(2)


async def leave_async() -> None:
    raise SystemExit(2)


@pytest.mark.parametrize("function", [leave, leave_async])
async def test_a_tool_that_exits_does_not_end_the_process(function: Callable[..., object]) -> None:
    """Command-line code that is used as a tool calls sys.exit."""
    with pytest.raises(ToolFailedError, match="raised SystemExit: 2"):
        await called(function)


async def test_a_tool_that_cancels_itself_has_failed() -> None:
    """A client library gives up a task of its own; nobody cancelled the agent, which would wait for ever."""

    async def give_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(ToolFailedError, match=r"raised CancelledError\."):
        await called(give_up)


async def test_an_async_tool_that_takes_too_long_is_cancelled() -> None:
    """It gets the chance to clean up."""
    context, ended = ToolContext(), list[str]()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    clock = ManualClock()
    with pytest.raises(ToolTimeoutError, match=r"did not return within 1\.5 s") as raised:
        await called(wait, clock=clock, timeout_seconds=1.5, context=context)
    assert (raised.value.seconds, raised.value.code, raised.value.is_retryable) == (1.5, "tool.timeout", False)
    assert (ended, context.cancelled, clock.now()) == (["cleaned up"], True, 1.5)


async def test_a_blocking_tool_that_takes_too_long_is_left_to_its_thread_and_told() -> None:
    """Waiting for it would make the timeout meaningless; a tool that looks can stop early."""
    loop, started = asyncio.get_running_loop(), asyncio.Event()
    release, told = threading.Event(), SimpleQueue[bool]()

    def block(context: ToolContext) -> None:
        loop.call_soon_threadsafe(started.set)
        release.wait(PATIENCE_SECONDS)
        told.put(context.cancelled)

    with pytest.raises(ToolTimeoutError):
        await called(block, clock=ExpiresAfter(started), timeout_seconds=1)
    assert told.empty()
    release.set()
    assert told.get(timeout=PATIENCE_SECONDS) is True


async def test_a_timeout_error_of_the_tool_itself_is_an_ordinary_failure() -> None:
    """Its socket timed out, not our limit: the reason must not name the wrong number."""

    def connect() -> None:
        raise TimeoutError("no route")

    with pytest.raises(ToolFailedError, match="raised TimeoutError: no route"):
        await called(connect)


async def test_a_cancel_passes_through_at_once_and_is_no_failure_of_the_tool() -> None:
    """Whoever cancels an agent wants it to stop, not to plan again."""
    loop, started = asyncio.get_running_loop(), asyncio.Event()
    release, context = threading.Event(), ToolContext()

    def block() -> None:
        loop.call_soon_threadsafe(started.set)
        release.wait(PATIENCE_SECONDS)

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(called(block, context=context))
        await started.wait()
        waiting.cancel()
    assert waiting.cancelled()
    assert context.cancelled
    release.set()


async def ran(
    function: Callable[..., object], *, context: ToolContext | None = None, **arguments: object
) -> ToolResult:
    tool = tool_of(function)
    return await run_tool(tool, arguments, context=context or ToolContext(), clock=ManualClock(), threads=THREADS)


class Pair(NamedTuple):
    name: str
    n: int


@pytest.mark.parametrize(
    ("returned", "result"),
    [
        (("page", Page(url="u")), ToolResult({"url": "u", "seen": "2026-01-31"}, "page")),
        (("página", None), ToolResult(None, "página")),
        (("two words", 1), ToolResult(["two words", 1])),
        (("", 1), ToolResult(["", 1])),
        (("a", 1, 2), ToolResult(["a", 1, 2])),
        (["a", 1], ToolResult(["a", 1])),
        (Pair("a", 1), ToolResult(["a", 1])),
        ((1, "a"), ToolResult([1, "a"])),
    ],
)
async def test_a_key_and_a_value_are_told_from_a_plain_result(returned: object, result: ToolResult) -> None:
    """Later tools find the value by its key; a list or a named tuple is just data."""
    assert await ran(lambda: returned) == result


async def test_a_function_of_state_and_args_sees_what_earlier_tools_kept_and_cannot_change_it() -> None:
    """The state is a reading of the journal; changed in place, a resume would not know."""

    def total(state: Mapping[str, int], args: Mapping[str, int]) -> int:
        with pytest.raises(TypeError):
            state["n"] = 0  # type: ignore[index]  # the mistake
        return state["n"] + args["m"]

    assert (await ran(total, context=ToolContext(state={"n": 40}), m=2)).output == 42


async def test_the_tools_own_time_limit_goes_before_the_settings() -> None:
    """Whoever wrote it knows how long it may take."""

    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(ToolTimeoutError) as raised:
        await run_tool(
            Tool.of(wait, timeout_seconds=20),
            {},
            context=ToolContext(),
            clock=ManualClock(),
            threads=THREADS,
            timeout_seconds=10,
        )
    assert raised.value.seconds == 20


async def test_the_context_has_the_tools_logger_its_attempt_and_a_model_to_ask() -> None:
    """So a tool can tell what it does, and let the model judge a part of it."""

    async def asker(prompt: str, output_type: object) -> object:
        return 42 if output_type is int else prompt

    async def judge(context: ToolContext) -> list[object]:
        name, attempt = context.logger.name, context.attempt
        return [name, attempt, await context.aask("How many?", int), await context.aask("Why?")]

    context = ToolContext(attempt=2, asker=asker)
    assert (await ran(judge, context=context)).output == ["tagent.tools.judge", 2, 42, "Why?"]


async def test_a_tool_that_asks_where_no_agent_is_says_so() -> None:
    """As in a unit test of the tool."""
    with pytest.raises(OutsideAgentError, match="no model to ask"):
        await ToolContext().aask("Why?")


async def test_no_secret_and_no_flood_is_in_the_error_of_a_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes to the journal and to the planner; HTTP clients put keys and whole pages into their exceptions."""
    monkeypatch.setenv("SHOP_API_KEY", "sesame-opens")

    def call() -> None:
        raise LookupError("GET https://me:pass@shop?key=sesame-opens " + "x" * 10_000)

    with pytest.raises(ToolFailedError) as raised:
        await called(call)
    message = str(raised.value)
    assert "GET https://***@shop?key=***" in message
    assert "more characters]" in message
    assert len(message) < 2_200


async def test_the_only_error_of_a_group_is_the_cause_that_is_told() -> None:
    """Async tools use task groups, whose own message says nothing."""

    async def fail_together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail_async())

    with pytest.raises(ToolFailedError, match="raised ValueError: out of order"):
        await called(fail_together)
