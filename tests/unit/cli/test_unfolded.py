"""`runs show --all`: what is inside steps that have ended, and steps named by their paths."""

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from builders import returning
from tagent import approve, resume, run_pipeline
from tagent.cli.main import cli
from tagent.cli.unfolded import unfolded
from tagent.cli.view import Picture
from tagent.pipeline import Approval, Pipeline
from tagent.pipeline.events import (
    ApprovalRequested,
    InnerProgressed,
    PartStarted,
    RunEvent,
    RunFinished,
    RunPaused,
    RunStarted,
    StepCompleted,
    StepExpanded,
    StepStarted,
)
from tagent.pipeline.kinds import RunStatus


def desk() -> Pipeline:
    """Return a pipeline with one inside for each of two items, in which somebody is asked."""
    look = Approval("output", question="Send {output}?")
    inner = Pipeline("case").step("draft", run=lambda item: f"Dear {item}", approval=look)
    inner.step("price", run=lambda draft: 7, cache="forever")
    pipeline = Pipeline("desk").step("names", run=returning(["Ana", "Ana"]))
    pipeline.step("cases", pipeline=inner, for_each="names", inputs={"item": "item"})
    return pipeline.step("flat", run=lambda item: f"{item}!", for_each="names", cache="forever")


@pytest.fixture
def tagent(tmp_path: Path) -> Callable[..., Result]:
    """Return what calls a command on one store; whatever it raises is raised."""

    def called(*arguments: str) -> Result:
        words = [*arguments, "--store", f"file:///{tmp_path}/runs"]
        return CliRunner().invoke(cli, words, standalone_mode=False, catch_exceptions=False)

    return called


@pytest.fixture
def done(tmp_path: Path) -> str:
    """Return a run of it that has ended."""
    store = {"store": f"file:///{tmp_path}/runs"}
    waiting = run_pipeline(desk(), store)
    for item in "01":
        approve(waiting.run_id, f"cases/{item}/draft", store, actor="ana@desk")
    assert resume(waiting.run_id, desk(), store).success
    return waiting.run_id


def test_a_run_that_has_ended_is_shown_with_all_that_was_inside(tagent: Callable[..., Result], done: str) -> None:
    """Who said yes to what, and what was there already; folded it is three rows."""
    folded = tagent("runs", "show", done).stdout.splitlines()
    assert [line.split()[1] for line in folded[1:4]] == ["names", "cases", "flat"]
    rows = tagent("runs", "show", done, "--all").stdout.splitlines()
    assert [line.split()[1] for line in rows[1:12]] == [
        "names", "cases", "[0]", "draft", "price", "[1]", "draft", "price", "flat", "[0]", "[1]"
    ]  # fmt: skip
    assert [line.partition("s  ")[2] for line in (rows[4], rows[7])] == ["approved by ana@desk"] * 2
    assert sorted(line.partition("s  ")[2] for line in (rows[5], rows[8])) == ["", "from the cache"]
    assert sorted(line.partition("s  ")[2] for line in (rows[10], rows[11])) == ["", "from the cache"]
    assert rows[12].startswith("  3/3 steps")
    assert len({line.index("s ") for line in rows[1:12] if "s  " in line} & {rows[2].index("s ")}) == 1


def test_of_one_step_what_is_inside_is_shown(tagent: Callable[..., Result], done: str) -> None:
    """By its path, or as a live view writes it; without --all its output is printed."""
    for named in ("cases/1", "cases[1]"):
        rows = tagent("runs", "show", done, "--all", "--step", named).stdout.splitlines()
        assert [line.split()[1] for line in rows] == ["[1]", "draft", "price"]
    for named in ("cases/1/draft", "cases[1]/draft"):
        assert tagent("runs", "show", done, "--step", named).stdout == "Dear Ana\n"
    with pytest.raises(click.BadParameter, match=r"no step 'cases\[9\]'"):
        tagent("runs", "show", done, "--step", "cases[9]")


def test_one_word_for_what_work_costs(tagent: Callable[..., Result], done: str) -> None:
    """Of steps, of parts, and of steps inside them."""
    steps = json.loads(tagent("runs", "show", done, "--json").stdout)["steps"]
    part = steps["cases"]["parts"]["0"]
    assert [it["cost_usd"] for it in (steps["cases"], part, part["steps"]["draft"])] == [0.0, 0.0, 0.0]
    assert "cost" not in part


def test_logs_name_items_by_their_paths(tagent: Callable[..., Result], done: str) -> None:
    """What a log says can be named elsewhere."""
    assert "PartCompleted  cases/0 (attempt" in tagent("runs", "logs", done).stdout


def items(*more: RunEvent, part: str = "0") -> list[object]:
    """Return the events of an item that is under way."""
    inner: list[RunEvent] = [RunStarted("k", "case", {}, {}, 0.0), StepStarted("draft", 1, "k", 0.0), *more]
    return [
        RunStarted("run-1", "desk", {}, {}, 0.0),
        StepStarted("names", 1, "k", 0.0),
        StepCompleted("names", 1, ["Ana", "Bob"], 0.0),
        StepExpanded("cases", 2, 0.0, of="names"),
        PartStarted("cases", part, 1, "k", 0.0),
        *(InnerProgressed("cases", 1, event, event.at, part) for event in inner),
    ]


def row_of(path: str, events: list[object], *, answers: dict[str, str] | None = None) -> str:
    """Return the row of a step or a part, unfolded and as a folded view has it."""
    picture = Picture(desk(), answers=answers)
    for event in events:
        picture.emit(event)
    row = dict(unfolded(picture))[path].plain.strip()
    assert row.split() in [str(it).split() for it in picture.rows().renderables]
    return " ".join(row.split())


def test_a_part_of_which_somebody_is_asked_says_what_is_answered() -> None:
    """Else he is asked again."""
    events = items(ApprovalRequested("draft", "output", 1, "Send it?", 1.0))
    events.append(RunPaused("approval.waiting", "It waits.", 1.0))
    assert row_of("cases/0", events) == "? [0] 1.0s 0/2 steps waits for approval of draft"
    answers = {"cases/0/draft": "approved by ana@desk"}
    assert row_of("cases/0", events, answers=answers) == "◌ [0] 1.0s 0/2 steps draft approved by ana@desk"


def test_nothing_is_at_work_in_a_run_that_was_given_up() -> None:
    """As after a crash loop."""
    events = [*items(), RunFinished(RunStatus.FAILED, 1.0, "run.crash_loop", "It crashes.")]
    assert row_of("cases/0", events) == "◌ [0] 1.0s 0/2 steps draft"
    assert row_of("cases", events).startswith("◌ cases interrupted")
