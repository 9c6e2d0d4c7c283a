"""Subscribers of a run's events: the live command line, and later metrics, traces, the dashboard."""

from typing import Protocol


class EventSink(Protocol):
    """Is shown each event after it was committed. A sink that raises is logged and never fails a run.

    Example:
        >>> import asyncio
        >>> from tagent.config import TAgentConfig
        >>> from tagent.pipeline import Pipeline, PipelineExecutor
        >>> from tagent.runtime import open_services
        >>> class Printer:
        ...     def emit(self, event: object) -> None:
        ...         print(type(event).__name__)
        >>> async def watched(pipeline: Pipeline) -> None:
        ...     async with open_services(TAgentConfig(), sinks=(Printer(),)) as services:
        ...         await PipelineExecutor(pipeline, services=services).execute()
        >>> asyncio.run(watched(Pipeline("p").step("facts", run=lambda: 7)))
        RunStarted
        StepStarted
        StepCompleted
        RunFinished
    """

    def emit(self, event: object) -> None:
        """Take note of `event`, a `tagent.pipeline.events.RunEvent`, quickly: the run waits meanwhile."""
        ...
