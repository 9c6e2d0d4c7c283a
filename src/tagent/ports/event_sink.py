"""Subscribers of a run's events: the live command line, and later metrics, traces, the dashboard."""

from typing import Protocol


class EventSink(Protocol):
    """Is shown each event after it was committed. A sink that raises is logged and never fails a run."""

    def emit(self, event: object) -> None:
        """Take note of `event`, a `tagent.pipeline.events.RunEvent`, quickly: the run waits meanwhile."""
        ...
