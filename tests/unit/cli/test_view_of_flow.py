"""What is said of runs with rounds, routes, approvals, pipelines inside steps, given outputs and changes."""

import asyncio
import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from builders import CONCURRENT, Recorder, returning, services
from tagent.adapters.storage.memory import MemoryStore
from tagent.cli.lines import LineView
from tagent.cli.view import Picture
from tagent.config import TAgentConfig
from tagent.pipeline import Approval, Pipeline, PipelineExecutor, PipelineStep, StepContext
from tagent.pipeline.approval import ApprovalOf
from tagent.pipeline.course.showing import redacted
from tagent.pipeline.events import (
    ROUNDS,
    AgentNoticed,
    ApprovalAnswered,
    ApprovalRequested,
    InnerProgressed,
    PartCompleted,
    PartStarted,
    RunEvent,
    RunPaused,
    RunStarted,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepGiven,
    StepSkipped,
    StepStarted,
    StepSubstituted,
)
from tagent.pipeline.journal.history import history
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.routing import repeat, switch
from tagent.pipeline.selecting import Selection
from tagent.task_agent.events import ModelAsked

START = RunStarted("run-1", "p", {}, {}, 0.0)


def lines(
    pipeline: Pipeline, events: Sequence[object], *, now: float | None = None, is_whole: bool = False
) -> list[str]:
    """Return the rows of the picture as text, without that of the run."""
    picture = Picture(pipeline, now=None if now is None else lambda: now, is_whole=is_whole)
    for event in (START, *events):
        picture.emit(event)
    console = Console(file=io.StringIO(), width=120)
    console.print(picture.rows())
    written: str = console.file.getvalue()  # type: ignore[attr-defined]  # it is a StringIO
    return [line.rstrip() for line in written.splitlines()[:-1]]


def logged(pipeline: Pipeline, events: Sequence[object], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what a log says of the events."""
    view = LineView(Picture(pipeline))
    for event in (START, *events):
        view.emit(event)
    return capsys.readouterr().err.splitlines()


async def write(previous: str | None) -> str:
    """Return a longer text."""
    return f"{previous or ''}x"


def test_a_round_is_told_with_how_many_there_are_at_most() -> None:
    """Nobody knows how many it will be."""
    pipeline = Pipeline("p").add_step(
        repeat(PipelineStep(name="write", run=write), until="output == 'xx'", max_times=5)
    )
    first = [StepExpanded("write", 5, 0.0, of=ROUNDS), PartStarted("write", "1", 1, "k", 0.0)]
    assert lines(pipeline, first) == ["● write    0.0s  round 1 of at most 5"]
    second = [*first, PartCompleted("write", "1", 1, "x", 1.0), PartStarted("write", "2", 1, "k", 1.0)]
    assert lines(pipeline, second) == ["● write    1.0s  round 2 of at most 5"]
    last = [*second, PartCompleted("write", "2", 1, "xx", 2.0, is_last=True), StepStarted("write", 1, "k", 2.0)]
    assert lines(pipeline, [*last, StepCompleted("write", 1, "xx", 2.5)]) == ["✓ write    2.5s  2 of at most 5 rounds"]


def test_the_way_that_was_chosen_is_told() -> None:
    """With the steps to which it leads; the others say why they do not run."""
    pipeline = Pipeline("p").step("kind", run=returning("bug"))
    pipeline.add_step(switch("kind", {"refund": "pay", "bug": ["fix", "test"]}, name="way"))
    pipeline.step("pay", run=returning(1)).step("fix", run=returning(1)).step("test", run=returning(1))
    events: list[RunEvent] = [StepStarted("kind", 1, "k", 0.0), StepCompleted("kind", 1, "bug", 0.5)]
    events += [StepStarted("way", 1, "k", 0.5), StepCompleted("way", 1, "bug", 0.5)]
    events.append(StepSkipped("pay", "branch_not_taken", "The step 'way' chose 'bug'.", 0.5))
    assert lines(pipeline, events)[:3] == [
        "✓ kind    0.5s",
        "✓ way     0.0s  bug -> fix, test",
        "⊘ pay  The step 'way' chose 'bug'.",
    ]


def asking(of: ApprovalOf = "start") -> Pipeline:
    """Return a pipeline whose step waits for an approval."""
    return Pipeline("p").step("pay", run=returning("paid"), approval=Approval(of=of, question="Pay 40 EUR?"))


def test_what_waits_for_somebody_says_what_is_asked_since_when_and_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    """The question first: it is what whoever looks can answer."""
    asked = ApprovalRequested("pay", "start", 0, "Pay 40 EUR?\n\x1b[2J", 0.0, due_at=7200.0, default="approve")
    told = "waits for approval: Pay 40 EUR? \\x1b[2J  119m left, then approved"
    assert lines(asking(), [asked], now=60.0) == [f"? pay     60s  {told}"]
    assert logged(asking(), [asked], capsys)[0].startswith("? pay      0s  waits for approval: Pay 40 EUR?")


def test_who_said_what_stays_with_the_step(capsys: pytest.CaptureFixture[str]) -> None:
    """Also when it is done."""
    events: list[RunEvent] = [ApprovalRequested("pay", "start", 0, "Pay?", 0.0)]
    events.append(ApprovalAnswered("pay", is_approved=True, at=60.0, actor="ana@desk", comment="He is right."))
    assert lines(asking(), events) == ["○ pay approved by ana@desk: He is right."]
    events += [StepStarted("pay", 1, "k", 60.0), StepCompleted("pay", 1, "paid", 61.0)]
    assert lines(asking(), events) == ["✓ pay    1.0s  approved by ana@desk: He is right."]
    assert "· pay approved by ana@desk: He is right." in logged(asking(), events, capsys)


def nested() -> Pipeline:
    """Return a pipeline with one inside: once, and for each of three items."""
    inner = Pipeline("inner").step("look", run=returning(1)).step("rate", run=lambda look: look)
    pipeline = Pipeline("p", default_mode=CONCURRENT).step("once", pipeline=inner)
    return pipeline.step("topics", run=returning([1, 2, 3])).step("many", pipeline=inner, for_each="topics")


def inside(step: str, *events: RunEvent, part: str = "") -> list[InnerProgressed]:
    """Return the events as those of the pipeline inside a step."""
    return [InnerProgressed(step, 1, event, event.at, part) for event in events]


def test_steps_inside_a_step_have_rows_while_it_runs() -> None:
    """As a tree; when all went well one row is enough, unless somebody wants to see it all."""
    events: list[object] = [StepStarted("once", 1, "k", 0.0)]
    events += inside("once", RunStarted("k", "inner", {}, {}, 0.0), StepStarted("look", 1, "k", 0.0))
    events += inside("once", StepCompleted("look", 1, 1, 1.0), StepStarted("rate", 1, "k", 1.0))
    events.append(AgentNoticed("once/rate", 1, ModelAsked("answer", "m"), 1.5))
    shown = lines(nested(), events, now=3.0)
    assert shown[:3] == ["● once      3.0s  1/2 steps", "  ✓ look    1.0s", "  ● rate    2.0s  answer: m"]
    events += inside("once", StepCompleted("rate", 1, 1, 2.0))
    events.append(StepCompleted("once", 1, 1, 2.0))
    assert lines(nested(), events)[:2] == ["✓ once      2.0s  2/2 steps", "○ topics"]
    assert lines(nested(), events, is_whole=True)[1:3] == ["  ✓ look    1.0s", "  ✓ rate    1.0s"]


def test_of_items_with_a_pipeline_inside_those_under_way_have_a_row() -> None:
    """A thousand trees would be no picture."""
    events: list[object] = [StepStarted("topics", 1, "k", 0.0), StepCompleted("topics", 1, [1, 2, 3], 0.0)]
    events.append(StepExpanded("many", 3, 0.0, of="topics"))
    for part in "012":
        events.append(PartStarted("many", part, 1, "k", 0.0))
        events += inside("many", RunStarted("k", "inner", {}, {}, 0.0), StepStarted("look", 1, "k", 0.0), part=part)
    events += inside("many", StepCompleted("look", 1, 1, 1.0), StepStarted("rate", 1, "k", 1.0), part="0")
    events += inside("many", ApprovalRequested("look", "output", 1, "Good?", 1.0), part="1")
    events.append(PartCompleted("many", "2", 1, 1, 1.0))
    assert lines(nested(), events)[2:] == [
        "● many      1.0s  1/3 parts",
        "  ● [0]     1.0s  1/2 steps  rate",
        "  ? [1]     1.0s  0/2 steps  waits for approval of look",
    ]


def test_a_log_names_steps_inside_by_their_path(capsys: pytest.CaptureFixture[str]) -> None:
    """Of items only what is out of the way: a log is no counter."""
    events: list[object] = [StepStarted("once", 1, "k", 0.0)]
    events += inside("once", RunStarted("k", "inner", {}, {}, 0.0), StepStarted("look", 1, "k", 0.0))
    events += inside("once", StepCompleted("look", 1, 1, 1.0))
    events += [StepStarted("topics", 1, "k", 0.0), StepCompleted("topics", 1, [1, 2, 3], 0.0)]
    events += [StepExpanded("many", 3, 0.0, of="topics"), PartStarted("many", "0", 1, "k", 0.0)]
    events += inside("many", RunStarted("k", "inner", {}, {}, 0.0), StepStarted("look", 1, "k", 0.0), part="0")
    events += inside("many", StepFailed("look", 1, "step.failed", "It broke.", None, 1.0), part="0")
    told = logged(nested(), events, capsys)
    assert told[0] == "✓ once/look    1.0s"
    assert told[-1] == "✗ many/0/look It broke."


async def test_what_was_given_says_by_whom_and_what_is_not_a_part_of_the_run_has_no_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ten thousand steps that are not to run are no news."""
    pipeline = Pipeline("p").step("a", run=returning(1)).step("b", run=lambda a: a).step("c", run=returning(1))
    recorder = Recorder()
    opened = services(sinks=(recorder, LineView(Picture(pipeline))))
    await PipelineExecutor(pipeline, selection=Selection.of("b", None, {"a": 1}), services=opened).execute()
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "✓ a          given by hand"
    assert not any(line.startswith("⊘ c") for line in told)
    assert lines(pipeline, recorder.events[1:])[2] == "⊘ c It is not a part of this run."
    assert lines(pipeline, [StepGiven("a", 1, "1f2e", 0.0)])[0] == "✓ a          given: run 1f2e"


async def test_what_is_from_the_cache_says_so() -> None:
    """It cost nothing, whatever it would have cost."""
    pipeline = Pipeline("p").step("a", run=returning(1))
    events = [StepStarted("a", 1, "k", 0.0), StepCompleted("a", 1, 1, 0.0, cached=True)]
    assert lines(pipeline, events) == ["✓ a    0.0s  from the cache"]


def added() -> int:
    """Return what an added step gives."""
    return 1


def extend(context: StepContext) -> int:
    """Add a step."""
    context.plan.step("more", run=added)
    return 1


async def test_the_trail_has_an_entry_for_whatever_happens() -> None:
    """With who, what and where, also inside."""
    pipeline = nested().step("grow", run=extend)
    pipeline.add_step(repeat(PipelineStep(name="write", run=write), until="output == 'xx'", max_times=5))
    opened = services(store=MemoryStore())
    await PipelineExecutor(pipeline, selection=Selection.of(None, None, {"topics": [1]}), services=opened).execute()
    entries = list(history(await load_events(opened.store, "run-1")))
    of = {(entry.event, entry.step, entry.part): entry for entry in entries}
    assert of["StepGiven", "topics", ""].detail == "given by hand"
    assert of["StepCompleted", "once/rate", ""].attempt == 1
    assert of["StepCompleted", "many/0/look", ""].detail == ""
    assert of["RunFinished", "many", "0"].detail == "completed"
    assert of["StepCompleted", "grow", ""].detail == "adds more"
    assert of["StepExpanded", "write", ""].detail == "at most 5 rounds"
    assert of["PartCompleted", "write", "2"].detail == "the last round"


def test_the_trail_tells_questions_and_answers() -> None:
    """Who said yes, why, and whether it was anybody."""
    events: list[RunEvent] = [
        ApprovalRequested("pay", "start", 0, "Pay 40 EUR?", 0.0, due_at=60.0),
        ApprovalAnswered("pay", is_approved=False, at=1.0, actor="ana", comment="No."),
        ApprovalAnswered("pay", is_approved=True, at=1.0, by_default=True),
        ApprovalAnswered("pay", is_approved=True, at=1.0, actor="ana", is_edited=True),
        RunPaused("approval.waiting", "It waits.", 1.0),
    ]
    told = [(entry.actor, entry.detail) for entry in history(events)]
    assert told == [
        ("", "of its start; Pay 40 EUR?; in 60.0 s it counts as rejected"),
        ("ana", "rejected: No."),
        ("", "approved as nobody answered in time"),
        ("ana", "approved with another output"),
        ("", "[approval.waiting] It waits."),
    ]


def test_a_redaction_reaches_whatever_holds_contents() -> None:
    """A question, a comment, a given output, and all that happens inside."""

    def hide(_: object) -> str:
        return "***"

    asked = ApprovalRequested("pay", "output", 1, "Pay 40 EUR?", 0.0, output="paid", facts={"n": 40})
    answered = ApprovalAnswered(
        "pay", is_approved=True, at=0.0, actor="ana", comment="He is right.", is_edited=True, output="edited"
    )
    given = InnerProgressed("outer", 1, StepGiven("a", "secret", "by hand", 0.0), 0.0)
    shown = [redacted(event, hide) for event in (asked, answered, given)]
    assert not any(secret in repr(shown) for secret in ("40", "paid", "right", "edited'", "secret"))
    assert "ana" in repr(shown)


async def test_explanations_name_approvals_parts_and_what_was_given() -> None:
    """In a line each, whoever asks for them."""
    pipeline = asking().step("a", run=returning(1)).step("b", run=lambda a: a).step("c", run=returning(1))
    opened = services(store=MemoryStore())
    executor = PipelineExecutor(
        pipeline, TAgentConfig(), selection=Selection.of(["pay", "b"], None, {"a": 1}), services=opened
    )
    from tagent.pipeline.answering.answering import answer_approval

    async def approve() -> None:
        while True:
            await asyncio.sleep(0.01)
            try:
                await answer_approval("run-1", "pay", opened, is_approved=True, comment="Fine.")
            except Exception:  # noqa: BLE001, S112 - not asked yet
                continue
            return

    async with asyncio.TaskGroup() as group:
        running = group.create_task(executor.execute())
        group.create_task(approve())
    explained = running.result().explain().splitlines()
    assert explained[0] == "The run of 'p' completed."
    assert "was approved by" in explained[1]
    assert explained[1].endswith(": Fine.")
    assert explained[2:] == ["Given by hand: 'a'.", "Not a part of this run: 'c'."]


def test_a_step_that_the_definition_does_not_have_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    """It is resumed with other code than it began with, and what is shown must not fail because of that."""
    pipeline = Pipeline("p").step("a", run=returning(1))
    gone = [
        StepExpanded("gone", 2, 0.0, of=ROUNDS),
        PartStarted("gone", "1", 1, "run-1/gone/1", 0.0),
        PartCompleted("gone", "1", 1, 1, 0.0),
        ApprovalRequested("gone", "start", 0, "", at=0.0),
        InnerProgressed("gone", 1, StepStarted("b", 1, "run-1/gone/b", 0.0), 0.0),
        StepFailed("gone", 1, "step.failed", "no", None, 0.0),
        StepStarted("a", 1, "run-1/a", 0.0),
        StepCompleted("a", 1, 1, 2.0),
    ]
    assert lines(pipeline, gone) == ["✓ a    2.0s"]
    assert [line.rstrip() for line in logged(pipeline, gone, capsys)] == ["✓ a    2.0s"]


def test_a_step_that_was_rejected_took_no_time() -> None:
    """It never began; what takes its place did."""
    pipeline = (
        Pipeline("p")
        .step("pay", run=returning(1), approval=True, on_error="sorry")
        .step("sorry", run=returning("Sorry"))
    )
    events = [
        ApprovalRequested("pay", "start", 0, "", at=1_800_000_000.0),
        ApprovalAnswered("pay", is_approved=False, at=1_800_000_001.0, actor="ana@desk"),
        StepFailed("pay", 0, "approval.rejected", "ana@desk said no.", None, 1_800_000_001.0, falls_back=True),
        StepStarted("sorry", 1, "run-1/sorry", 1_800_000_001.0),
        StepCompleted("sorry", 1, "Sorry", 1_800_000_002.0),
        StepSubstituted("pay", "Sorry", "sorry", 1_800_000_002.0),
    ]
    assert lines(pipeline, events)[0].split()[:3] == ["✓", "pay", "0.0s"]
