"""A run as people watch it, on stderr: a live tree on a terminal, else one line per thing that happened."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tagent.cli.errors import printable
from tagent.cli.standing import counted_parts, of_failed_part, parts_done, sign_of, standing
from tagent.cli.telling import bounded, decision, doing, doing_now, noteworthy
from tagent.pipeline.events import (
    ASIDE,
    COMPENSATION,
    CONDITION,
    AgentNoticed,
    AgentProgressed,
    ConditionJudged,
    PartCompleted,
    PartFailed,
    PartStarted,
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
from tagent.pipeline.models import Pipeline, RunStatus, StepStatus
from tagent.pipeline.state import PipelineState, apply

MAX_ROWS = 40
"""The most steps drawn at once; of a larger pipeline those that moved last."""

MANY_PARTS = 20
"""From how many parts on a log tells how far they are."""

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
    """The run so far, as rows; a fold of its events like every other reading. It shows no outputs, and keeps none.

    Args:
        pipeline: What is run.
        now: The time; None for that of the newest event.
        is_interrupted: Whether nobody drives the run, though its events do not say so.
    """

    def __init__(
        self, pipeline: Pipeline, *, now: Callable[[], float] | None = None, is_interrupted: bool = False
    ) -> None:
        self._is_interrupted = is_interrupted
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
            self._doing[event.step] = _of_part(event.part, doing_now(event.notice))
            return
        run_event: RunEvent = event  # type: ignore[assignment]  # sinks are shown run events
        apply(self.state, run_event)
        if isinstance(run_event, AgentProgressed):
            told = decision(run_event.event)
            if told:
                self._decided[run_event.step] = _of_part(run_event.part, told)
            self._doing[run_event.step] = _of_part(run_event.part, doing(run_event.event))
        elif isinstance(run_event, PartStarted | PartCompleted | PartFailed):
            self.state.steps[run_event.step].part(run_event.part).output = None
            if run_event.part in ASIDE:
                self._move(run_event.step)
            else:
                self._forget(run_event.step, run_event.part)
        elif isinstance(run_event, StepStarted | _Moved):
            self.state.steps[run_event.step].output = None
            self._move(run_event.step)

    def _forget(self, name: str, part: str) -> None:
        """Say no more of what the agent of an item or a branch does: it begins anew or has ended."""
        for told in (self._doing, self._decided):
            if told.get(name, "").startswith(f"[{part}] "):
                del told[name]

    def _move(self, name: str) -> None:
        """Note that something else happens in a step now, the last one of all."""
        self._decided.pop(name, None)
        self._doing.pop(name, None)
        self._moved.pop(name, None)
        self._moved[name] = None

    def rows(self) -> Group:
        """Return one row a step, in definition order, and a last one for the whole run."""
        shown = set(list(self._moved)[-MAX_ROWS:])
        rows = [self.row(name) for name in self.state.statuses if name in shown]
        return Group(*rows, self.total())

    def row(self, name: str) -> Text:
        """Return the row of one step: sign, name, seconds, cost, and what it waits for or why it ended."""
        sign, style = sign_of(self.state, name, cut_off=self._cut_off)
        detail = " ".join(printable(self._detail(name)).split("\n"))
        title = self.title(name)
        # Cut where the terminal ends: rows that wrap would jump about.
        return Text.assemble((f"{sign} ", style), title, (detail, "dim"), no_wrap=True, overflow="ellipsis")

    def title(self, name: str) -> str:
        """Return a step's name as it stands in its row."""
        return f"{printable(name):<{self._width}} "

    def _detail(self, name: str) -> str:
        told = dict.fromkeys(filter(None, (self._doing.get(name), self._decided.get(name))))
        return standing(
            self.state,
            name,
            now=self._now(),
            doing="  ".join(told),
            max_attempts=self._max_attempts[name],
            cut_off=self._cut_off,
        )

    @property
    def _cut_off(self) -> str:
        """What steps are called that would run if somebody drove the run; empty while somebody does."""
        if self.state.status is RunStatus.WAITING:
            return "paused"
        return "interrupted" if self._is_interrupted and not self.state.is_finished else ""

    def total(self) -> Text:
        """Return the row of the run: how many steps completed, what they cost, and why it ends early or waits."""
        statuses = list(self.state.statuses.values())
        parts = [f"{statuses.count(StepStatus.COMPLETED)}/{len(statuses)} steps"]
        others = (StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED, StepStatus.COMPENSATED)
        parts += [f"{n} {s.value}" for s in others if (n := statuses.count(s))]
        is_left = self._is_interrupted and self.state.status is RunStatus.RUNNING
        parts += [f"${self.state.cost_usd:.4f}", "interrupted" if is_left else self.state.status.value]
        why = "" if self.state.is_finished else " ".join(printable(self.state.reason).split())
        return Text("  " + "  ".join(filter(None, (*parts, why))), style="dim", no_wrap=True, overflow="ellipsis")


class LineView:
    """Plain lines for logs and pipes."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._retried: Counter[str] = Counter()

    def emit(self, event: object) -> None:
        """Write a line if the event changed a step's status, is noteworthy of its agent, or ended the run."""
        self._picture.emit(event)
        if isinstance(event, _Moved) or (isinstance(event, PartCompleted) and event.part == COMPENSATION):
            _write(self._picture.row(event.step).plain.rstrip())
        match event:
            case AgentProgressed(step=name) if told := noteworthy(event.event):
                self._note(name, _of_part(event.part, told))
            case ConditionJudged(step=name, holds=True, reason=reason):
                self._note(name, f"goes ahead: {reason}")
            case PartCompleted():
                self._note_part(event)
            case PartFailed():
                self._note_failure(event)
            case RunHalted(reason=reason) | RunPaused(reason=reason):
                _write(f"· {bounded(reason)}")
            case RunFinished():
                _write(self._picture.total().plain)
            case _:
                pass

    def _note_part(self, event: PartCompleted) -> None:
        """Tell that a condition holds; of items and branches only each tenth of many, a log is no counter."""
        if event.part == CONDITION:
            told = event.output if isinstance(event.output, dict) else {}
            if told.get("holds") is True and told.get("reason"):
                self._note(event.step, f"goes ahead: {told['reason']}")
        elif event.part != COMPENSATION:
            count = self._picture.state.steps[event.step].count or 0
            done = sum(parts_done(self._picture.state, event.step))
            if count >= MANY_PARTS and done < count and done % (count // 10) == 0:
                self._note(event.step, counted_parts(self._picture.state, event.step))

    def _note_failure(self, event: PartFailed) -> None:
        """Tell that a part failed; of attempts at many parts that are made again the first one and each tenth."""
        count = self._picture.state.steps[event.step].count or 0
        if event.retry_at is None or event.part in ASIDE or count < MANY_PARTS:
            self._note(event.step, of_failed_part(event))
            return
        self._retried[event.step] += 1
        times = self._retried[event.step]
        if times == 1:
            self._note(event.step, of_failed_part(event))
        elif times % (count // 10) == 0:
            self._note(event.step, f"{times} attempts at parts were in vain so far; {of_failed_part(event)}")

    def _note(self, step: str, told: str) -> None:
        _write(f"· {self._picture.title(step)}{bounded(told)}")


def _write(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _of_part(part: str, told: str) -> str:
    """Return what is told of an item or a branch, and which one it is."""
    return f"[{part}] {told}" if told and part and part not in ASIDE else told
