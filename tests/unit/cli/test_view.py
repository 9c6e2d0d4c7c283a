"""What is said of a run while it goes on, on a terminal."""

import pytest
from rich.console import Console

from tagent.cli.telling import LONGEST_LINE, LONGEST_TEXT, decision, doing_now, noteworthy
from tagent.cli.view import Picture
from tagent.config import TAgentConfig
from tagent.pipeline import Dependency, DependencyType, ExecutionMode, Fallback, Pipeline, RunStatus
from tagent.pipeline.events import (
    CONDITION,
    AgentNoticed,
    AgentProgressed,
    PartCompleted,
    PartFailed,
    PartStarted,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepStarted,
)
from tagent.ports.language_model import AnswerStreamed, ModelRetried, ModelSwitched
from tagent.task_agent.events import (
    AgentEvent,
    BudgetExceeded,
    Evaluated,
    ModelAsked,
    Planned,
    PlanRejected,
    TaskCompleted,
    TaskFailed,
    TaskStarted,
)
from tagent.task_agent.models import ModelCall, Task

CALL = ModelCall("m")
HOSTILE = "one\ntwo \x1b[2J\u202e" + "x" * 1000


def research() -> Pipeline:
    return Pipeline("p", config=TAgentConfig(max_planning_cycles=3)).step("research", "Find it")


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (PlanRejected("Task 0: 'x' is no tool.", CALL), "plan rejected: Task 0: 'x' is no tool."),
        (TaskFailed(1, "tool.failed", "It broke.", retry_at=5.0), "task 1 is tried again: tool.failed: It broke."),
        (TaskFailed(1, "tool.failed", "It broke."), "task 1 failed: tool.failed: It broke."),
        (ModelRetried("a:b", "model.timeout", 1, 0.25), "model a:b: model.timeout, asked again in 0.2s"),
        (ModelSwitched("a:b", "model.timeout", "c:d"), "model a:b: model.timeout, now c:d"),
        (Evaluated("It is missing.", "", CALL), "not achieved: It is missing."),
        (BudgetExceeded("max_tokens", 100, 90.0), "budget exceeded: max_tokens allows 100, 90 are spent"),
        (BudgetExceeded("max_cost_usd", 0.5, None), "budget exceeded: max_cost_usd allows 0.5, what is spent is not"),
        (Evaluated("It is there.", "", CALL, is_achieved=True), ""),
        (Planned((), CALL), ""),
        (TaskStarted(0, "fetch"), ""),
        (TaskCompleted(0, "page", 0.1), ""),
    ],
)
def test_what_is_noteworthy_of_an_agent(event: AgentEvent, told: str) -> None:
    """What goes its way needs no line."""
    assert noteworthy(event).startswith(told)
    assert bool(noteworthy(event)) == bool(told)


def test_whatever_a_model_or_a_tool_says_stays_one_short_line() -> None:
    """It must neither steer the terminal nor flood a log."""
    tasks = tuple(Task(n, "", f"{HOSTILE}{n}", {}) for n in range(9))
    for text in (
        noteworthy(PlanRejected(HOSTILE, CALL)),
        noteworthy(TaskFailed(0, "tool.failed", HOSTILE)),
        noteworthy(Evaluated(HOSTILE, "", CALL)),
        decision(Planned(tasks, CALL)),
        doing_now(ModelAsked("answer", HOSTILE)),
        doing_now(AnswerStreamed(HOSTILE)),
    ):
        assert text.isprintable()
        assert len(text) <= LONGEST_LINE
    assert doing_now(AnswerStreamed("word " * 1000)) == "..." + ("word " * 100).strip()[-LONGEST_TEXT:]


def test_the_live_view_shows_what_an_agent_decided_besides_what_it_does() -> None:
    """Which tools it chose stays in sight while they run."""
    picture = Picture(research())
    picture.emit(RunStarted("r", "p", {}, {}, 0.0))
    picture.emit(StepStarted("research", 1, "k", 1.0))

    def after(event: AgentEvent) -> str:
        picture.emit(AgentProgressed("research", 1, event, 3.0))
        return picture.row("research").plain

    planned = Planned(tuple(Task(n, "", name, {}) for n, name in enumerate(["a", "b", "b", "c", "d", "e"])), CALL)
    assert after(planned) == "● research    2.0s  planned: a, b, c, d and 1 more"
    assert after(TaskStarted(0, "a")) == "● research    2.0s  tool: a  planned: a, b, c, d and 1 more"
    assert after(PlanRejected("no", CALL)) == "● research    2.0s  plan rejected: no"
    assert after(Planned((), CALL)) == "● research    2.0s  planned: answer"
    assert after(Evaluated("It is there.", "", CALL, is_achieved=True)) == "● research    2.0s  achieved: It is there."
    picture.emit(StepFailed("research", 1, "model.timeout", "It took too long.", 4.0, 4.0))
    picture.emit(StepStarted("research", 2, "k2", 4.0))
    assert "achieved" not in picture.row("research").plain, "another attempt decides anew"


def test_a_row_is_cut_where_the_terminal_ends() -> None:
    """Rows that wrap make the whole view jump."""
    picture = Picture(research())
    picture.emit(RunStarted("r", "p", {}, {}, 0.0))
    picture.emit(StepStarted("research", 1, "k", 1.0))
    picture.emit(AgentProgressed("research", 1, Evaluated("word " * 60, "", CALL), 3.0))
    console = Console(width=40)
    with console.capture() as captured:
        console.print(picture.rows())
    assert len(captured.get().splitlines()) == 2


def flow() -> Pipeline:
    return (
        Pipeline("p", default_mode=ExecutionMode.CONCURRENT)
        .step("numbers", run=lambda: list(range(40)))
        .step("items", run=lambda item: item, for_each="numbers", min_success=5)
        .step("asked", run=lambda: 1, condition=lambda items: len(items) > 5)
        .step("rate", run=lambda: 1 / 0, max_retries=0, on_error="spare")
        .step("spare", run=lambda: 1.5)
    )


def test_the_live_view_shows_what_goes_on_inside_a_step() -> None:
    """Its parts, the judging of its condition, and its undoing; a picture keeps no outputs of them."""
    picture = Picture(flow())

    def after(event: object, step: str) -> str:
        picture.emit(event)
        return " ".join(picture.row(step).plain.split())

    picture.emit(RunStarted("r", "p", {}, {}, 0.0))
    assert after(StepStarted("rate", 1, "k", 1.0), "spare") == "○ spare stands by for rate"
    picture.emit(StepStarted("numbers", 1, "k", 1.0))
    picture.emit(StepCompleted("numbers", 1, list(range(40)), 1.0))
    assert after(StepExpanded("items", 40, 1.0), "items") == "↻ items 0.0s 0/40 parts"
    assert after(PartStarted("items", "0", 1, "k", 1.0), "items") == "● items 0.0s 0/40 parts"
    noticed = AgentNoticed("items", 1, ModelAsked("answer", "m"), 1.0, "0")
    assert after(noticed, "items") == "● items 0.0s 0/40 parts [0] answer: m"
    picture.emit(PartCompleted("items", "0", 1, "large", 3.0))
    assert picture.state.steps["items"].parts["0"].output is None
    picture.emit(PartStarted("items", "1", 1, "k", 3.0))
    assert after(PartFailed("items", "1", 1, "c", "It broke.", None, 3.0), "items").endswith("1/40 parts, 1 failed")
    for n in range(2, 40):
        picture.emit(PartStarted("items", str(n), 1, "k", 3.0))
        picture.emit(PartCompleted("items", str(n), 1, n, 3.0))
    picture.emit(StepStarted("items", 1, "k", 3.0))
    assert after(AgentNoticed("items", 1, ModelAsked("answer", "m"), 3.0), "items").endswith("merging answer: m")
    picture.emit(StepCompleted("items", 1, [], 4.0))
    judging = after(PartStarted("asked", CONDITION, 1, "k", 4.0), "asked")
    assert judging == "● asked 0.0s judging its condition"


def test_the_last_row_says_why_a_run_ends_early_or_waits() -> None:
    """It is the first question of whoever watches."""
    picture = Picture(Pipeline("p").step("a", "Say it"))
    picture.emit(RunStarted("r", "p", {}, {}, 0.0))
    picture.emit(RunPaused("budget.exceeded", "There is no room\nfor another call.", 1.0))
    assert picture.total().plain.endswith("waiting  There is no room for another call.")


def test_patience_is_counted_down() -> None:
    """Whoever watches knows when the step goes on at the latest."""
    soft = Dependency("a", DependencyType.SOFT, wait_seconds=30)
    picture = Picture(Pipeline("p").step("a", run=lambda: 1).step("b", run=lambda a=0: a, depends_on=[soft]))
    picture.emit(RunStarted("r", "p", {}, {}, 100.0))
    picture.emit(StepStarted("a", 1, "k", 110.0))
    assert picture.row("b").plain.split(maxsplit=2)[2] == "waits for a, 20.0s more"


def test_a_step_that_nobody_drives_is_not_shown_as_running() -> None:
    """Whoever looks at a run that waits, or was killed, would wait for it."""
    events = [RunStarted("r", "p", {}, {}, 0.0), StepStarted("research", 1, "k", 1.0)]
    killed, paused = Picture(research(), is_interrupted=True), Picture(research())
    for picture in (killed, paused):
        for event in events:
            picture.emit(event)
    assert killed.row("research").plain == "◌ research interrupted"
    assert killed.total().plain.endswith("interrupted")
    assert paused.row("research").plain.startswith("● research")
    paused.emit(RunPaused("budget.exceeded", "There is no room.", 2.0))
    assert paused.row("research").plain == "◌ research paused"
    paused.emit(RunResumed(2, "me", "h", 3.0))
    assert not paused.row("research").plain.startswith("◌")

    cut = Picture(flow(), is_interrupted=True)
    for event in (
        RunStarted("r", "p", {}, {}, 0.0),
        StepStarted("numbers", 1, "k", 1.0),
        StepCompleted("numbers", 1, list(range(40)), 1.0),
        StepExpanded("items", 40, 1.0),
        PartStarted("items", "0", 1, "k", 1.0),
    ):
        cut.emit(event)
    assert " ".join(cut.row("items").plain.split()) == "◌ items interrupted 0/40 parts"
    assert " ".join(cut.row("numbers").plain.split()).startswith("✓ numbers")


def test_tries_are_counted_from_where_the_run_was_taken_up() -> None:
    """`try 4/2` would be one too many, and the limit counts from there."""
    picture = Picture(Pipeline("p").step("a", run=lambda: 1, max_retries=1))
    picture.emit(RunStarted("r", "p", {}, {}, 0.0))
    for attempt, retry_at in ((1, 2.0), (2, None)):
        picture.emit(StepStarted("a", attempt, "k", 1.0))
        picture.emit(StepFailed("a", attempt, "c", "It broke.", retry_at, 1.0))
    picture.emit(RunFinished(RunStatus.FAILED, 2.0))
    picture.emit(RunResumed(2, "me", "h", 3.0))
    picture.emit(StepStarted("a", 3, "k", 3.0))
    picture.emit(StepFailed("a", 3, "c", "It broke.", 4.0, 3.0))
    assert picture.row("a").plain == "↻ a try 2/2 in 1.0s  It broke."


def test_a_default_that_takes_the_place_of_a_step_is_told() -> None:
    """Not an empty subject."""
    picture = Picture(Pipeline("p").step("a", run=lambda: 1, max_retries=0, on_error=Fallback(output=0)))
    picture.emit(RunStarted("r", "p", {}, {}, 0.0))
    picture.emit(StepStarted("a", 1, "k", 1.0))
    picture.emit(StepFailed("a", 1, "c", "It broke.", None, 1.0, falls_back=True))
    assert picture.row("a").plain == "↻ a its default takes its place  It broke."
