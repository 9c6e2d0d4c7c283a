"""Work whose events are read while it is done: `async for event in tagent.stream(pipeline)`.

The work never waits for its reader, and ends with it: whoever leaves the events stops the work.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, Unpack, overload

from pydantic import BaseModel

from tagent.agent import arun_agent, executor_of
from tagent.calls import CallOptions, Config, RunOptions
from tagent.exceptions import ConfigurationError, TAgentError
from tagent.ports.language_model import AnswerStreamed
from tagent.task_agent.events import AgentEvent, AgentNotice
from tagent.task_agent.results import TaskBasedAgentResult

if TYPE_CHECKING:
    from tagent.pipeline.events import AgentNoticed, RunEvent
    from tagent.pipeline.models import Pipeline, PipelineResult

Event = TypeVar("Event")
Result = TypeVar("Result")
Output = TypeVar("Output")

Work = Callable[[Callable[[Event], None]], Awaitable[Result]]
"""Does something, tells what happens by the function that it is given, and returns what came of it."""

logger = logging.getLogger("tagent")


class StreamError(TAgentError):
    """A stream is asked for what it does not have: a result before its end, or its events a second time.

    Attributes:
        run_id: The run; empty if none has begun.
    """

    code = "stream"

    def __init__(self, run_id: str, message: str, *, hint: str = "") -> None:
        self.run_id = run_id
        super().__init__(message, hint=hint)


class RunStream(Generic[Event, Result]):
    """The events of one run, or of one goal's agent, while they happen; `stream` makes it.

    It is read once. `async for` starts the work, and ends when the work has ended and all is read. What the work
    raises is raised there, after the events that came before it. Leaving it earlier stops the work, as does
    cancelling the reader: a run in a store that lasts can be resumed.

    Read plainly, the work is stopped once Python has disposed of the iterator, which is soon after a `break` and not
    at it. Inside `async with` the work has stopped when the block is left, reading may be interrupted and go on, and
    `anext` works too.

    The work does not wait for a slow reader. What is unread is kept, every event of the journal for as long as it
    takes; of an answer that comes bit by bit only the latest text.

    Attributes:
        run_id: The run, from its first event on; empty before that, and for a goal.

    Example:
        >>> import asyncio
        >>> from tagent import stream
        >>> from tagent.pipeline import Pipeline
        >>> async def until_the_first_step(pipeline: Pipeline) -> str:
        ...     async with stream(pipeline) as events:
        ...         async for event in events:
        ...             if getattr(event, "step", ""):
        ...                 return f"{type(event).__name__} {event.step}"
        ...     return "no step"
        >>> asyncio.run(until_the_first_step(Pipeline("p").step("facts", run=lambda: 7)))
        'StepStarted facts'
    """

    def __init__(self, work: Work[Event, Result]) -> None:
        self.run_id = ""
        self._work = work
        self._unread: _Unread[Event] = _Unread()
        self._result: Result | None = None
        self._error: Exception | None = None
        self._is_told = False
        self._stage: Literal["new", "read plainly", "open", "left"] = "new"
        self._open = AsyncExitStack()

    @property
    def result(self) -> Result:
        """What the work came to, there once it has ended.

        Raises:
            StreamError: If it has not ended, was stopped, or ended in an error.
        """
        if self._result is not None:
            return self._result
        if self._error is not None:
            hint = "Handle the error that reading the events raises."
            raise StreamError(self.run_id, "There is no result: the work ended in an error.", hint=hint)
        if self._stage == "left":
            hint = f"If its store lasts, go on with it: resume({self.run_id!r}, ...)." if self.run_id else ""
            raise StreamError(self.run_id, "There is no result: the stream was left before the work's end.", hint=hint)
        raise StreamError(self.run_id, "There is no result yet.", hint="Read the events to their end.")

    async def aclose(self) -> None:
        """Stop the work if it goes on, and return when it has ended. Doing so twice does no harm."""
        self._stage = "left"
        await self._open.aclose()
        if self._error is not None and not self._is_told:
            self._is_told = True
            what = self._error if isinstance(self._error, TAgentError) else type(self._error).__name__
            logger.warning("Work whose events nobody reads any more failed: %s", what)

    async def __aenter__(self) -> Self:
        await self._begin("open")
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self if self._stage == "open" else self._events()

    async def __anext__(self) -> Event:
        if self._stage != "open":
            raise StreamError(self.run_id, "The stream is not open.", hint="Read it inside `async with`.")
        if (event := await self._next()) is None:
            raise StopAsyncIteration
        return event

    async def _begin(self, stage: Literal["read plainly", "open"]) -> None:
        if self._stage != "new":
            raise StreamError(self.run_id, "These events were read already.", hint="Call stream(...) once more.")
        self._stage = stage
        group = await self._open.enter_async_context(asyncio.TaskGroup())
        self._open.callback(group.create_task(self._run(), name="stream").cancel)

    async def _events(self) -> AsyncIterator[Event]:
        """Yield the events. A generator: it learns that its reader has left, which a mere iterator never does."""
        await self._begin("read plainly")
        try:
            while (event := await self._next()) is not None:
                yield event
        finally:
            await self.aclose()

    async def _next(self) -> Event | None:
        """Return the next event, None at the end, and raise the work's error there."""
        event = await self._unread.take()
        if event is None and self._error is not None and not self._is_told:
            self._is_told = True
            raise self._error
        return event

    async def _run(self) -> None:
        """Do the work. Its error is kept for the reader: here it would cancel whatever the reader does right now."""
        try:
            self._result = await self._work(self._show)
        except Exception as error:  # noqa: BLE001 - raised where the events are read
            self._error = error
        finally:
            self._unread.end()

    def _show(self, event: Event) -> None:
        self.run_id = self.run_id or getattr(event, "run_id", "")
        self._unread.add(event)


class _Unread(Generic[Event]):
    """Events in order, from the work to its reader. Adding one never waits."""

    def __init__(self) -> None:
        self._events: OrderedDict[object, Event] = OrderedDict()
        self._changed = asyncio.Event()
        self._has_ended = False

    def add(self, event: Event) -> None:
        """Add the event, instead of an unread one that it makes superfluous: a text contains what came before of it."""
        notice = getattr(event, "notice", event)
        is_text = isinstance(notice, AnswerStreamed)
        key = (getattr(event, "step", ""), getattr(event, "part", "")) if is_text else object()
        self._events.pop(key, None)
        self._events[key] = event
        self._changed.set()

    def end(self) -> None:
        """Say that none will follow."""
        self._has_ended = True
        self._changed.set()

    async def take(self) -> Event | None:
        """Return the next event once there is one; None at the end."""
        while not self._events:
            if self._has_ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._events.popitem(last=False)[1]


@dataclass(frozen=True, slots=True)
class _Sink:
    """Is shown the events of a run."""

    show: Callable[[Any], None]

    def emit(self, event: object) -> None:
        """Show the event."""
        self.show(event)


@overload
def stream(
    goal_or_pipeline: "Pipeline",
    config: Config = None,
    **options: Unpack[RunOptions],
) -> "RunStream[RunEvent | AgentNoticed, PipelineResult]": ...
@overload
def stream(
    goal_or_pipeline: str,
    config: Config = None,
    *,
    output_format: type[Output],
    **options: Unpack[CallOptions],
) -> RunStream[AgentEvent | AgentNotice, TaskBasedAgentResult[Output]]: ...
@overload
def stream(
    goal_or_pipeline: str,
    config: Config = None,
    *,
    output_format: None = None,
    **options: Unpack[CallOptions],
) -> RunStream[AgentEvent | AgentNotice, TaskBasedAgentResult[str]]: ...
def stream(goal_or_pipeline: "str | Pipeline", config: Config = None, **options: Any) -> RunStream[Any, Any]:
    """Run a pipeline, or work on a goal, and give its events while they happen.

    Of a pipeline each event is given once it is committed (`tagent.pipeline.events`), and what its agents do right
    now, which no journal keeps (`AgentNoticed`). Of a goal it is what `on_event` is shown. With `stream=True` the
    text of an answer is among it while it comes. All is as the setting `redact` lets it through.

    Args:
        goal_or_pipeline: A goal in words, or a `Pipeline`.
        config: Settings over those of file and environment, below the pipeline's own.
        options: What `arun_pipeline` takes, `inputs`, `labels`, a part of the pipeline and settings of this call; for a
            goal what `arun_agent` takes.

    Returns:
        What is read with `async for`; its `result` is there at the end. Nothing runs before it is read, and what is
        wrong with the call is raised there too.

    Example:
        >>> from tagent.pipeline import Pipeline
        >>> async def told(pipeline: Pipeline) -> object:
        ...     events = stream(pipeline)
        ...     async for event in events:
        ...         print(type(event).__name__)
        ...     return events.result.final_output
        >>> asyncio.run(told(Pipeline("p").step("facts", run=lambda: 7)))
        RunStarted
        StepStarted
        StepCompleted
        RunFinished
        7
    """

    def work(show: Callable[[Any], None]) -> Awaitable[Any]:
        if isinstance(goal_or_pipeline, str):
            return arun_agent(goal_or_pipeline, config, on_event=show, **options)
        return _ran(goal_or_pipeline, config, show, **options)

    return RunStream(work)


async def _ran(
    pipeline: "Pipeline",
    config: Config,
    show: Callable[[Any], None],
    *,
    inputs: Mapping[str, object] | BaseModel | None = None,
    labels: Mapping[str, str] | None = None,
    output_format: object = None,
    only: str | Sequence[str] | None = None,
    start_from: str | Sequence[str] | None = None,
    outputs: Mapping[str, object] | None = None,
    from_run: str | None = None,
    **options: Any,
) -> object:
    """Return what a run of the pipeline comes to."""
    from tagent.pipeline.selecting import Selection

    if output_format is not None:
        raise ConfigurationError("A pipeline takes no output_format: give its steps an output_schema.")
    selection = Selection.of(only, start_from, outputs, from_run)
    executor = executor_of(pipeline, config, inputs=inputs, labels=labels, selection=selection, options=options)
    return await executor.execute(sinks=[_Sink(show)])
