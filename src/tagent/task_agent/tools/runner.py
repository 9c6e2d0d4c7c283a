"""Runs one tool: checks its arguments, calls it, limits the time, and turns what goes wrong into a ToolError."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from pydantic_core import from_json, to_json

from tagent.circuits import CircuitOpenError, Outcome, guarded, outcome_of
from tagent.exceptions import ToolError, text_of
from tagent.ports.clock import Clock
from tagent.secrets import scrubbed
from tagent.task_agent.tools.context import LOGGER, ToolContext
from tagent.task_agent.tools.signatures import STATE
from tagent.task_agent.tools.tool import Tool
from tagent.threads import DaemonThreads, ThreadedCall

LONGEST_REASON = 2_000
"""Characters of what an exception says; more of it is a page or a payload, not a reason."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool returned.

    Attributes:
        output: JSON values.
        key: Under which later tools find it in their `state`; empty when it was returned without one.
    """

    output: object
    key: str = ""


class ToolFailedError(ToolError):
    """A tool raised, asked to exit, or cancelled itself."""

    code = "tool.failed"

    def __init__(self, tool: str, cause: BaseException) -> None:
        while isinstance(cause, BaseExceptionGroup) and len(cause.exceptions) == 1:
            cause = cause.exceptions[0]  # the group says nothing but that there is one
        told = scrubbed(text_of(cause))
        if len(told) > LONGEST_REASON:
            told = f"{told[:LONGEST_REASON]} [{len(told) - LONGEST_REASON} more characters]"
        reason = f": {told}" if told else "."
        super().__init__(tool, f"The tool {tool!r} raised {type(cause).__name__}{reason}")


class ToolTimeoutError(ToolError):
    """A tool took longer than it may.

    Attributes:
        seconds: The time that was allowed.
    """

    code = "tool.timeout"

    def __init__(self, tool: str, *, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(tool, f"The tool {tool!r} did not return within {seconds:g} s.")


class ToolInDoubtError(ToolError):
    """Calls of tools with side effects were cut off: nobody knows whether they happened.

    Attributes:
        calls: Of each the tool's name, and what the call was for.
    """

    code = "tool.in_doubt"

    def __init__(self, calls: Sequence[tuple[str, str]]) -> None:
        self.calls = tuple(calls)
        told = ", ".join(f"{tool!r} ({description})" for tool, description in calls)
        what = f"A call of {told} was" if len(calls) == 1 else f"Calls of {told} were"
        it = "it" if len(calls) == 1 else "they"
        super().__init__(
            calls[0][0],
            f"{what} cut off: {it} may have happened, and nothing is called again unasked.",
            hint="Look whether it happened before you say that it may be done again.",
        )


class ToolOutputError(ToolError):
    """A tool returned what cannot be written as JSON."""

    code = "tool.output"

    def __init__(self, tool: str, cause: Exception) -> None:
        super().__init__(
            tool,
            f"What the tool {tool!r} returned cannot be written as JSON: {cause}.",
            hint="Return a Pydantic model, dict, list or scalar.",
        )


class ToolCircuitOpenError(ToolError):
    """A tool has failed so often that it is left alone for a while.

    Attributes:
        retry_after_seconds: When it is called again, for one probe.
    """

    code = CircuitOpenError.code
    is_retryable = True

    def __init__(self, tool: str, *, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(
            tool,
            f"The tool {tool!r} has failed again and again and is not called for {retry_after_seconds:.1f} s.",
            hint="Do without it, or wait.",
        )


async def run_tool(
    tool: Tool,
    given: Mapping[str, object],
    *,
    context: ToolContext,
    clock: Clock,
    threads: DaemonThreads,
    timeout_seconds: float | None = None,
    on_abandon: Callable[[ThreadedCall], None] | None = None,
) -> ToolResult:
    """Return what the tool returns for the arguments `given`, as JSON values.

    A tuple of two whose first item is a text that could name a variable is a key and its value; every
    other value, a named tuple too, is a result without a key.

    Async tools run on the loop, sync ones in a thread. On a timeout or cancel the waiting ends at
    once and `context.cancelled` becomes True; `on_abandon` is told of a thread that goes on.

    Args:
        tool: The tool.
        given: Argument -> JSON value.
        context: Handed to a tool that asks for it; gets the tool's logger.
        clock: Limits the time.
        threads: Run sync tools.
        timeout_seconds: How long it may take, when the tool does not say so itself; None means without limit.
        on_abandon: Told of a call whose thread is left behind.

    Raises:
        ToolError: Wrong arguments, an exception of the tool, a timeout, an output that is not JSON, or an open circuit.
    """
    arguments = tool.arguments(given)
    if tool.context_parameter:
        arguments[tool.context_parameter] = context
    if tool.takes_state:
        arguments[STATE] = MappingProxyType(dict(context.state))
    context.logger = logging.getLogger(f"{LOGGER}.{tool.name}")
    seconds = timeout_seconds if tool.timeout_seconds is None else tool.timeout_seconds
    with _guarded(tool, clock):
        try:
            async with clock.timeout(seconds) as limit:
                value = await _call(tool, arguments, threads, on_abandon)
        except TimeoutError as error:
            if not limit.expired():
                raise ToolFailedError(tool.name, error) from error
            raise ToolTimeoutError(tool.name, seconds=seconds or 0) from error
        except asyncio.CancelledError as error:
            if _is_being_cancelled():
                raise
            raise ToolFailedError(tool.name, error) from error
        except (Exception, SystemExit) as error:
            raise ToolFailedError(tool.name, error) from error
        finally:
            context.cancelled = True
    try:
        return _result(value)
    except Exception as error:  # to write a value may run code of its own: a generator, a property
        raise ToolOutputError(tool.name, error) from error


@contextmanager
def _guarded(tool: Tool, clock: Clock) -> Iterator[None]:
    """Let the block call the tool unless its circuit is open, and tell the circuit how it ended.

    Raises:
        ToolCircuitOpenError: If it is open.
    """
    try:
        with guarded(tool.circuit_key, tool.circuit, now=clock.now, judge=_health):
            yield
    except CircuitOpenError as error:  # of the entry: what leaves the block is a failure of the tool
        raise ToolCircuitOpenError(tool.name, retry_after_seconds=error.retry_after_seconds) from error


def _health(error: BaseException) -> Outcome:
    """Return what a failed call says of the tool: that it was too late, or what it raised."""
    if isinstance(error, ToolTimeoutError):
        return Outcome.FAILED
    return outcome_of(error.__cause__ if isinstance(error, ToolFailedError) and error.__cause__ else error)


def _result(value: object) -> ToolResult:
    key = ""
    if type(value) is tuple and len(value) == 2 and isinstance(value[0], str) and value[0].isidentifier():
        key, value = str(value[0]), value[1]
    return ToolResult(from_json(to_json(value)), key)


def _is_being_cancelled() -> bool:
    """Return whether somebody cancels us, and the tool does not only give up something of its own."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def _call(
    tool: Tool,
    arguments: dict[str, object],
    threads: DaemonThreads,
    on_abandon: Callable[[ThreadedCall], None] | None,
) -> object:
    if inspect.iscoroutinefunction(tool.function) or inspect.iscoroutinefunction(
        getattr(tool.function, "__call__", None)  # noqa: B004 - asked for its kind, not whether it exists
    ):
        return await tool.function(**arguments)  # type: ignore[misc]  # just checked
    value = await threads.run(lambda: tool.function(**arguments), on_abandon=on_abandon)
    return await value if inspect.isawaitable(value) else value
