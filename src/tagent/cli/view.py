"""A run as people watch it, on stderr: a live tree on a terminal, else one line per thing that happened."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tagent.cli.errors import printable
from tagent.cli.telling import decision, doing, doing_now, noteworthy
from tagent.pipeline.events import (
    AgentNoticed,
    AgentProgressed,
    RunEvent,
    RunFinished,
    RunHalted,
    RunPaused,
    StepCancelled,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSubstituted,
)
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.models import Pipeline, StepStatus
from tagent.pipeline.state import PipelineState, apply
from tagent.pipeline.timers import ATTEMPT

MAX_ROWS = 40
"""The most steps drawn at once; of a larger pipeline those that moved last."""

SIGNS = {
    StepStatus.PENDING: ("○", "dim"),
    StepStatus.RUNNING: ("●", "cyan"),
    StepStatus.WAITING: ("↻", "yellow"),
    StepStatus.COMPLETED: ("✓", "green"),
    StepStatus.SKIPPED: ("⊘", "dim"),
    StepStatus.FAILED: ("✗", "red"),
    StepStatus.CANCELLED: ("⊘", "yellow"),
    StepStatus.COMPENSATED: ("↩", "yellow"),
}


_Moved = StepExpanded | StepCompleted | StepFailed | StepSubstituted | StepSkipped | StepCancelled


class View(Protocol):
    """Is shown the run's events."""

    def emit(self, event: object) -> None:
        """Show what `event` changed."""
        ...


@contextmanager
def open_view(picture: "Picture") -> Iterator[View]:
    """Show the run in `picture` on stderr: live when it is a terminal, in plain lines otherwise."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield LineView(picture)
        return
    with Live(get_renderable=picture.rows, console=console, refresh_per_second=8):
        yield picture


class Picture:
    """The run so far, as rows; a fold of its events like every other reading. It shows no outputs, and keeps none."""

    def __init__(self, pipeline: Pipeline, *, now: Callable[[], float] | None = None) -> None:
        self.state = PipelineState(ExecutionGraph.build(pipeline))
        self._now = now or (lambda: self.state.last_at)
        self._width = min(28, max(map(len, self.state.statuses), default=0))
        self._max_attempts = {step.name: step.max_retries + 1 for step in pipeline.steps}
        self._decided: dict[str, str] = {}
        self._doing: dict[str, str] = {}
        self._moved: dict[str, None] = dict.fromkeys(self.state.statuses)

    def emit(self, event: object) -> None:
        """Take the event into the picture."""
        if isinstance(event, AgentNoticed):
            self._doing[event.step] = doing_now(event.notice)
            return
        run_event: RunEvent = event  # type: ignore[assignment]  # sinks are shown run events
        apply(self.state, run_event)
        if isinstance(run_event, AgentProgressed):
            self._decided[run_event.step] = decision(run_event.event) or self._decided.get(run_event.step, "")
            self._doing[run_event.step] = doing(run_event.event)
        elif isinstance(run_event, StepStarted | _Moved):
            self._decided.pop(run_event.step, None)
            self._doing.pop(run_event.step, None)
            self.state.steps[run_event.step].output = None
            self._moved.pop(run_event.step, None)
            self._moved[run_event.step] = None

    def rows(self) -> Group:
        """Return one row a step, in definition order, and a last one for the whole run."""
        shown = set(list(self._moved)[-MAX_ROWS:])
        rows = [self.row(name) for name in self.state.statuses if name in shown]
        return Group(*rows, self.total())

    def row(self, name: str) -> Text:
        """Return the row of one step: sign, name, seconds, cost, and what it waits for or why it ended."""
        status = self.state.statuses[name]
        sign, style = SIGNS[status]
        detail = " ".join(printable(self._detail(name, status)).split("\n"))
        title = self.title(name)
        # Cut where the terminal ends: rows that wrap would jump about.
        return Text.assemble((f"{sign} ", style), title, (detail, "dim"), no_wrap=True, overflow="ellipsis")

    def title(self, name: str) -> str:
        """Return a step's name as it stands in its row."""
        return f"{printable(name):<{self._width}} "

    def _detail(self, name: str, status: StepStatus) -> str:
        record = self.state.steps[name]
        match status:
            case StepStatus.PENDING:
                waits = [n for n in self.state.graph.dependencies(name) if not self.state.statuses[n].is_terminal]
                return f"waits for {_listed(waits)}" if waits else ""
            case StepStatus.RUNNING:
                seconds = self._now() - (record.started_at or self._now())
                told = dict.fromkeys(filter(None, (self._doing.get(name), self._decided.get(name))))
                return "  ".join((f"{max(0.0, seconds):6.1f}s", *told))
            case StepStatus.WAITING:
                return self._waits_for(name)
            case StepStatus.COMPLETED:
                return f"{(record.finished_at or 0) - (record.started_at or 0):6.1f}s{_spent(self.state, name)}"
            case _:
                return record.reason

    def _waits_for(self, name: str) -> str:
        record = self.state.steps[name]
        at = self.state.timers.of(name, ATTEMPT)
        if at is not None:
            wait = max(0.0, at - self._now())
            return f"try {record.attempts + 1}/{self._max_attempts[name]} in {wait:.1f}s  {record.reason}"
        if record.has_fallen:
            fallback = self.state.graph.rules(name).fallback
            return f"{fallback.step if fallback else ''} takes its place  {record.reason}"
        done = [part.status for part in record.parts.values()]
        failed = done.count(StepStatus.FAILED)
        return f"{done.count(StepStatus.COMPLETED)}/{record.count} parts{f', {failed} failed' if failed else ''}"

    def total(self) -> Text:
        """Return the row of the run: how many steps completed, and what they cost."""
        statuses = list(self.state.statuses.values())
        parts = [f"{statuses.count(StepStatus.COMPLETED)}/{len(statuses)} steps"]
        others = (StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED, StepStatus.COMPENSATED)
        parts += [f"{n} {s.value}" for s in others if (n := statuses.count(s))]
        parts += [f"${self.state.cost_usd:.4f}", self.state.status.value]
        return Text("  " + "  ".join(parts), style="dim")


class LineView:
    """Plain lines for logs and pipes."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    def emit(self, event: object) -> None:
        """Write a line if the event changed a step's status, is noteworthy of its agent, or ended the run."""
        self._picture.emit(event)
        if isinstance(event, _Moved):
            sys.stderr.write(f"{self._picture.row(event.step).plain.rstrip()}\n")
        match event:
            case AgentProgressed(step=name) if told := noteworthy(event.event):
                sys.stderr.write(f"· {self._picture.title(name)}{told}\n")
            case RunHalted(reason=reason) | RunPaused(reason=reason):
                sys.stderr.write(f"· {printable(reason)}\n")
            case RunFinished():
                sys.stderr.write(f"{self._picture.total().plain}\n")
            case _:
                pass


def _spent(state: PipelineState, name: str) -> str:
    spending = state.steps[name].spending
    if not spending.usage.requests:
        return ""
    price = "price unknown" if spending.unpriced_calls else f"${spending.cost_usd:.4f}"
    return f"  {price}  {spending.usage.total_tokens} tokens  {', '.join(spending.models)}"


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} steps"
