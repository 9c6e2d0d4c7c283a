"""Runs one tool: checks its arguments, calls it, limits the time, and turns what goes wrong into a ToolError."""

import asyncio
import inspect
from collections.abc import Callable, Mapping

from pydantic_core import from_json, to_json

from tagent.exceptions import ToolError
from tagent.ports.clock import Clock
from tagent.task_agent.tools import Tool, ToolContext
from tagent.threads import DaemonThreads, ThreadedCall


class ToolFailedError(ToolError):
    """A tool raised, asked to exit, or cancelled itself."""

    code = "tool.failed"

    def __init__(self, tool: str, cause: BaseException) -> None:
        reason = f": {cause}" if str(cause) else "."
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
    """A crash cut off a call of a tool with side effects: nobody knows whether it happened.

    Attributes:
        description: What the call was for.
    """

    code = "tool.in_doubt"

    def __init__(self, tool: str, description: str) -> None:
        self.description = description
        super().__init__(
            tool,
            f"A crash cut off a call of {tool!r} ({description}), and it is not made again: it may have happened.",
            hint="Look whether it did; resume the run once more to let the step begin anew.",
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


async def run_tool(
    tool: Tool,
    given: Mapping[str, object],
    *,
    context: ToolContext,
    clock: Clock,
    threads: DaemonThreads,
    timeout_seconds: float | None = None,
    on_abandon: Callable[[ThreadedCall], None] | None = None,
) -> object:
    """Return what the tool returns for the arguments `given`, as JSON values.

    Async tools run on the loop, sync ones in a thread. On a timeout or cancel the waiting ends at
    once and `context.cancelled` becomes True; `on_abandon` is told of a thread that goes on.

    Raises:
        ToolError: Wrong arguments, an exception of the tool, a timeout, or an output that is not JSON.
    """
    arguments = tool.arguments(given)
    if tool.context_parameter:
        arguments[tool.context_parameter] = context
    try:
        async with clock.timeout(timeout_seconds) as limit:
            value = await _call(tool, arguments, threads, on_abandon)
    except TimeoutError as error:
        if not limit.expired():
            raise ToolFailedError(tool.name, error) from error
        raise ToolTimeoutError(tool.name, seconds=timeout_seconds or 0) from error
    except asyncio.CancelledError as error:
        if _is_being_cancelled():
            raise
        raise ToolFailedError(tool.name, error) from error
    except (Exception, SystemExit) as error:
        raise ToolFailedError(tool.name, error) from error
    finally:
        context.cancelled = True
    try:
        return from_json(to_json(value))
    except Exception as error:  # to write a value may run code of its own: a generator, a property
        raise ToolOutputError(tool.name, error) from error


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
