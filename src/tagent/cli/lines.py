"""A run on stderr: live on a terminal, else one line per thing that happened."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live

from tagent.cli.inside import is_in_a_part
from tagent.cli.standing import counted_parts, of_failed_part, parts_done
from tagent.cli.telling import bounded, noteworthy, of_part
from tagent.cli.view import Moved, Picture
from tagent.cli.waiting import said
from tagent.pipeline.changes import told_change
from tagent.pipeline.course.skip_codes import NOT_SELECTED
from tagent.pipeline.events import (
    ASIDE,
    COMPENSATION,
    CONDITION,
    AgentProgressed,
    ApprovalAnswered,
    ApprovalRequested,
    ConditionJudged,
    InnerProgressed,
    PartCompleted,
    PartFailed,
    RunFinished,
    RunHalted,
    RunPaused,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepSkipped,
    StepSubstituted,
    innermost,
)

MANY_PARTS = 20
"""From how many parts on a log tells how far they are."""

_Ended = StepCompleted | StepFailed | StepSubstituted | StepSkipped | StepCancelled


class View(Protocol):
    """Is shown the run's events."""

    def emit(self, event: object) -> None:
        """Show what `event` changed."""
        ...


@contextmanager
def open_view(picture: Picture) -> Iterator[View]:
    """Show the run in `picture` on stderr: live when it is a terminal, in plain lines otherwise."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield LineView(picture)
        return
    with Live(get_renderable=picture.rows, console=console, refresh_per_second=8):
        yield picture


class LineView:
    """Plain lines for logs and pipes."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._retried: Counter[str] = Counter()

    def emit(self, event: object) -> None:
        """Write a line if the event changed a step's status, is noteworthy of its agent, or ended the run."""
        self._picture.emit(event)
        if not self._picture.knows(event):
            return
        if isinstance(event, InnerProgressed):
            self._emit_inside(event)
            return
        is_undone = isinstance(event, PartCompleted) and event.part == COMPENSATION
        if isinstance(event, Moved | ApprovalRequested | PartCompleted) and (is_undone or _has_a_line(event)):
            _write(self._picture.row(event.step).plain.rstrip())
        if isinstance(event, StepCompleted | PartCompleted) and event.change is not None:
            self._note(event.step, told_change(event.change))
        self._note_more(event)

    def _note_more(self, event: object) -> None:
        """Write what else is to be said of the event."""
        match event:
            case AgentProgressed(step=name) if told := noteworthy(event.event):
                self._note(name, of_part(event.part, told))
            case ConditionJudged(step=name, holds=True, reason=reason):
                self._note(name, f"goes ahead: {reason}")
            case ApprovalAnswered():
                self._note(event.step, said(event))
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

    def _emit_inside(self, event: InnerProgressed) -> None:
        """Write a line of what happened in a pipeline inside a step; of those of items only what is out of the way."""
        place, inside = innermost(event)
        row = self._picture.row_inside(event)
        is_told = isinstance(
            inside, ApprovalRequested | StepFailed if is_in_a_part(event) else ApprovalRequested | _Ended
        )
        if is_told and row is not None:
            _write(row.plain.rstrip())
        if isinstance(inside, ApprovalAnswered):
            self._note(place + inside.step, said(inside))
        elif isinstance(inside, AgentProgressed) and (told := noteworthy(inside.event)):
            self._note(place + inside.step, of_part(inside.part, told))

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


def _has_a_line(event: object) -> bool:
    """Return whether an event has a line of its own in a log; what a run was never to do has none."""
    if isinstance(event, StepSkipped):
        return event.code != NOT_SELECTED
    return not isinstance(event, PartCompleted)
