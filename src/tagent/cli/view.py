"""A run as people watch it: one row a step, with what goes on inside it."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from rich.console import Group
from rich.text import Text

from tagent.cli.errors import printable
from tagent.cli.inside import max_attempts, shown_parts, shown_steps, state_at, width_of
from tagent.cli.standing import of_record, sign_of, sign_of_part, standing
from tagent.cli.telling import bounded, decision, doing, doing_now, of_part
from tagent.pipeline.changes import Change
from tagent.pipeline.course.records import PartRecord
from tagent.pipeline.events import (
    ASIDE,
    AgentNoticed,
    AgentProgressed,
    ApprovalAnswered,
    ApprovalRequested,
    InnerProgressed,
    PartCompleted,
    PartFailed,
    PartStarted,
    RunEvent,
    StepCancelled,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepGiven,
    StepSkipped,
    StepStarted,
    StepSubstituted,
    innermost,
)
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.models import Pipeline, RunStatus, StepStatus
from tagent.pipeline.state import PipelineState, apply

MAX_ROWS = 40
"""The most steps drawn at once; of a larger pipeline those that moved last."""

WIDEST_NAME = 28
"""The most columns for the names of steps; behind longer ones the rest of the row moves to the right."""

Moved = StepExpanded | StepCompleted | StepFailed | StepSubstituted | StepGiven | StepSkipped | StepCancelled
_Approvals = ApprovalRequested | ApprovalAnswered


class Picture:
    """The run so far, as rows; a fold of its events like every other reading. It shows no outputs, and keeps none.

    Args:
        pipeline: What is run.
        now: The time; None for that of the newest event.
        is_interrupted: Whether nobody drives the run, though its events do not say so.
        is_whole: Whether the steps inside a step have rows when that has ended well, too.
        answers: Path of a step -> what was said about it, for those of which the run has not taken that up.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        now: Callable[[], float] | None = None,
        is_interrupted: bool = False,
        is_whole: bool = False,
        answers: Mapping[str, str] | None = None,
    ) -> None:
        self._is_interrupted = is_interrupted
        self._is_whole = is_whole
        self._answers = answers or {}
        self.state = PipelineState(ExecutionGraph.build(pipeline))
        self._now = now or (lambda: self.state.last_at)
        self._width = min(WIDEST_NAME, width_of(pipeline))
        self._max_attempts = max_attempts(pipeline)
        self._decided: dict[str, str] = {}
        self._doing: dict[str, str] = {}
        self._moved: dict[str, None] = dict.fromkeys(self.state.statuses)

    def emit(self, event: object) -> None:
        """Take the event into the picture."""
        if isinstance(event, AgentNoticed):
            self._doing[event.step] = of_part(event.part, doing_now(event.notice))
            return
        run_event: RunEvent = event  # type: ignore[assignment]  # sinks are shown run events
        apply(self.state, run_event)
        if isinstance(run_event, StepCompleted | PartCompleted) and run_event.change is not None:
            self._take_in(run_event.change)
        if not self.knows(run_event):
            return
        if isinstance(run_event, InnerProgressed):
            self._go_on_inside(run_event)
        elif isinstance(run_event, AgentProgressed):
            self._note_agent(run_event, run_event.step)
        elif isinstance(run_event, PartStarted | PartCompleted | PartFailed):
            self.state.steps[run_event.step].part(run_event.part).output = None
            if run_event.part in ASIDE:
                self._move(run_event.step)
            else:
                self._forget(run_event.step, run_event.part)
        elif isinstance(run_event, StepStarted | Moved | _Approvals):
            _drop_output(self.state, run_event.step)
            self._move(run_event.step)

    def knows(self, event: object) -> bool:
        """Return whether an event is of the run itself, or of a step that the definition that is shown has."""
        name = getattr(event, "step", None)
        return name is None or name in self.state.statuses

    def _go_on_inside(self, event: InnerProgressed) -> None:
        """Take what happened in a pipeline inside a step into the picture."""
        place, inside = innermost(event)
        if isinstance(inside, AgentProgressed):
            self._note_agent(inside, place + inside.step)
        elif isinstance(inside, StepStarted | Moved | _Approvals):
            self._quieten(place + inside.step)
            if (inner := state_at(self.state, event)) is not None:
                _drop_output(inner, inside.step)

    def _note_agent(self, event: AgentProgressed, path: str) -> None:
        if told := decision(event.event):
            self._decided[path] = of_part(event.part, told)
        self._doing[path] = of_part(event.part, doing(event.event))

    def _take_in(self, change: Change) -> None:
        """Have rows for the steps that are added."""
        for spec in change.added:
            name, retries = str(spec["name"]), spec.get("max_retries")
            self._max_attempts.setdefault(name, (retries if isinstance(retries, int) else 0) + 1)
            self._moved.setdefault(name, None)
        self.make_room(max(map(len, self.state.statuses), default=0))

    def make_room(self, columns: int) -> None:
        """Have so many columns for the names of steps and how far to the right they lie, as far as that is sensible."""
        self._width = max(self._width, min(WIDEST_NAME, columns))

    def _forget(self, name: str, part: str) -> None:
        """Say no more of what the agent of an item or a branch does: it begins anew or has ended."""
        for told in (self._doing, self._decided):
            if told.get(name, "").startswith(f"[{part}] "):
                del told[name]

    def _move(self, name: str) -> None:
        """Note that something else happens in a step now, the last one of all."""
        self._quieten(name)
        self._moved.pop(name, None)
        self._moved[name] = None

    def _quieten(self, path: str) -> None:
        """Say no more of what the agent of a step does."""
        self._decided.pop(path, None)
        self._doing.pop(path, None)

    def rows(self) -> Group:
        """Return one row a step, in definition order, behind it those of the steps inside, and last that of the run."""
        shown = set(list(self._moved)[-MAX_ROWS:])
        rows: list[Text] = []
        for name in self.state.statuses:
            if name in shown:
                rows.append(self.row(name))
                rows += islice(self._rows_inside(self.state, name, name), max(0, MAX_ROWS - len(rows)))
        return Group(*rows, self.total())

    def row(self, name: str) -> Text:
        """Return the row of one step: sign, name, seconds, cost, and what it waits for or why it ended."""
        return self._row(self.state, name, name)

    def row_inside(self, event: InnerProgressed) -> Text | None:
        """Return the row of the innermost step that the event is about, with its path; None if the run has none."""
        place, inside = innermost(event)
        inner, name = state_at(self.state, event), getattr(inside, "step", "")
        if inner is None or name not in inner.statuses:
            return None
        return self._row(inner, name, place + name, title=self.title(place + name))

    def _row(self, state: PipelineState, name: str, path: str, *, title: str = "") -> Text:
        is_asked = name in state.asked and path not in self._answers
        sign, style = sign_of(state, name, is_asked=is_asked, cut_off=self._cut_off)
        detail = " ".join(printable(self._detail(state, name, path)).split("\n"))
        named = title or self.title(name)
        # Cut where the terminal ends: rows that wrap would jump about.
        return Text.assemble((f"{sign} ", style), named, (detail, "dim"), no_wrap=True, overflow="ellipsis")

    def _rows_inside(self, state: PipelineState, name: str, path: str, *, depth: int = 1) -> Iterator[Text]:
        """Yield the rows of the steps inside a step, and of its items or rounds that have a pipeline inside."""
        record = state.steps[name]
        if (inner := record.inner) is not None and (self._is_whole or state.statuses[name] is not StepStatus.COMPLETED):
            for each in shown_steps(inner):
                yield self.row_at(inner, f"{path}/{each}", depth=depth)
                yield from self._rows_inside(inner, each, f"{path}/{each}", depth=depth + 1)
        for part in shown_parts(record):
            yield self.part_row(record.parts[part], f"{path}/{part}", depth=depth)

    def part_row(self, part: PartRecord, path: str, *, depth: int) -> Text:
        """Return the row of an item, a branch or a round, by its path and how deep inside others it lies."""
        asked = () if part.inner is None else part.inner.asked
        waits = [name for name in asked if f"{path}/{name}" not in self._answers]
        told = [f"waits for approval of {', '.join(waits)}"] if waits else []
        told += [f"{name} {self._answers[f'{path}/{name}']}" for name in asked if name not in waits]
        if not told and part.inner is not None:
            statuses = part.inner.statuses.items()
            told = [", ".join([name for name, status in statuses if status is StepStatus.RUNNING][:3])]
        sign, style = sign_of_part(part, is_asked=bool(waits), cut_off=self._cut_off)
        detail = " ".join(printable(of_record(part, now=self._now(), doing="  ".join(map(bounded, told)))).split("\n"))
        title = self.title(f"[{path.rpartition('/')[2]}]", depth=depth)
        row = ("  " * depth, (f"{sign} ", style), title, (detail, "dim"))
        return Text.assemble(*row, no_wrap=True, overflow="ellipsis")

    def row_at(self, state: PipelineState, path: str, *, depth: int) -> Text:
        """Return the row of a step whose pipeline stands so, by its path and how deep inside others it lies."""
        name = path.rpartition("/")[2]
        row = self._row(state, name, path, title=self.title(name, depth=depth))
        return Text("  " * depth, no_wrap=True, overflow="ellipsis").append_text(row)

    def title(self, name: str, *, depth: int = 0) -> str:
        """Return a step's name as it stands in its row, so far to the right as it lies inside others."""
        return f"{printable(name):<{max(0, self._width - 2 * depth)}} "

    def _detail(self, state: PipelineState, name: str, path: str) -> str:
        if name in state.asked and path in self._answers:
            return self._answers[path]
        told = dict.fromkeys(filter(None, (self._doing.get(path), self._decided.get(path))))
        return standing(
            state,
            name,
            now=self._now(),
            doing="  ".join(told),
            max_attempts=self._max_attempts.get(path, 1),
            cut_off=self._cut_off,
        )

    @property
    def _cut_off(self) -> str:
        """What steps are called that would run if somebody drove the run; empty while somebody does."""
        if self.state.status is RunStatus.WAITING:
            return "paused"
        return "interrupted" if self._is_interrupted or self.state.is_finished else ""

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


def _drop_output(state: PipelineState, name: str) -> None:
    """Keep no output of a step in the picture, but one by which it chooses others."""
    if name in state.steps and state.graph.rules(name).routes is None:
        state.steps[name].output = None
