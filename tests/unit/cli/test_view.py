"""What is said of a run while it goes on, on a terminal and in a log."""

import pytest
from rich.console import Console

from builders import run
from tagent.cli.telling import LONGEST_LINE, LONGEST_TEXT, decision, doing_now, noteworthy
from tagent.cli.view import LineView, Picture
from tagent.config import TAgentConfig
from tagent.pipeline import Pipeline
from tagent.pipeline.events import AgentProgressed, RunStarted, StepFailed, StepStarted
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
from tagent.testing import ScriptedModel

CALL = ModelCall("m")
HOSTILE = "one\ntwo \x1b[2J\u202e" + "x" * 1000


def fetch(url: str) -> str:
    """Fetch a page."""
    raise LookupError(f"no page {url}")


def research() -> Pipeline:
    return Pipeline("p", config=TAgentConfig(max_planning_cycles=3)).step("research", "Find it", tools=[fetch])


async def test_a_log_tells_what_went_wrong_inside_an_agent(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal nobody sees the live view; three plans must not look like one."""
    model = ScriptedModel(
        [
            [{"tool_name": "fetch", "tool_args": {"url": "u"}}],
            [],
            {"not_achieved_because": "The page is missing.", "do_next": "Answer from memory."},
            [],
            "done",
        ]
    )
    pipeline = research()
    await run(pipeline, model=model, sinks=(LineView(Picture(pipeline)),))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "· research task 0 failed: tool.failed: The tool 'fetch' raised LookupError: no page u",
        "· research not achieved: The page is missing.",
    ]
    assert lines[2].startswith("✓ research")
    assert len(lines) == 4


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
