"""What is said of a run while it goes on, in a log."""

import pytest

from builders import run
from tagent.cli.lines import LineView
from tagent.cli.view import Picture
from tagent.config import TAgentConfig
from tagent.pipeline import ExecutionMode, Pipeline
from tagent.testing import ScriptedModel


def fetch(url: str) -> str:
    """Fetch a page."""
    raise LookupError(f"no page {url}")


def number(item: int) -> int:
    if item == 3:
        raise ValueError("three is broken")
    return item


def flow() -> Pipeline:
    return (
        Pipeline("p", default_mode=ExecutionMode.CONCURRENT)
        .step("numbers", run=lambda: list(range(40)))
        .step(
            "items",
            run=number,
            for_each="numbers",
            execution_mode=ExecutionMode.PARALLEL_MERGE,
            min_success=5,
            max_retries=1,
        )
        .step("asked", run=lambda: 1, condition=lambda items: len(items) > 5)
        .step("high", run=lambda: 1, condition="steps.numbers[0] > 5")
        .step("low", run=lambda: 1, condition="steps.numbers[0] < 5")
        .step("rate", run=lambda: 1 / 0, max_retries=0, on_error="spare")
        .step("spare", run=lambda: 1.5)
    )


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
    config = TAgentConfig(max_planning_cycles=3)
    pipeline = Pipeline("p", config=config).step("research", "Find it", tools=[fetch])
    await run(pipeline, model=model, sinks=(LineView(Picture(pipeline)),))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "· research task 0 failed: tool.failed: The tool 'fetch' raised LookupError: no page u",
        "· research not achieved: The page is missing.",
    ]
    assert lines[2].startswith("✓ research")
    assert len(lines) == 4


async def test_a_log_tells_how_far_many_parts_are_and_which_failed(capsys: pytest.CaptureFixture[str]) -> None:
    """Ten lines for a thousand items, and one for each that failed."""
    pipeline = flow()
    await run(pipeline, sinks=(LineView(Picture(pipeline)),))
    lines = [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()]
    assert "↻ items 0.0s 0/40 parts" in lines
    progress = [line for line in lines if line.startswith("· items") and "parts" in line]
    assert (len(progress), progress[0]) == (9, "· items 4/40 parts")
    failed = [line for line in lines if line.startswith("· items part '3'")]
    assert [line.split(":")[0].split(" in ")[0] for line in failed] == [
        "· items part '3' is tried again",
        "· items part '3' failed",
    ]
    assert any(line.startswith("✓ items") and line.endswith("39/40 parts, 1 failed") for line in lines)


async def test_a_log_tells_what_was_judged_and_who_took_whose_place(capsys: pytest.CaptureFixture[str]) -> None:
    """Why a step ran is as interesting as why another did not."""
    pipeline = flow()
    await run(pipeline, sinks=(LineView(Picture(pipeline)),))
    lines = [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()]
    assert "· asked goes ahead: <lambda>() is true" in lines
    assert "· low goes ahead: steps.numbers[0] < 5 is true: steps.numbers[0] is 0" in lines
    assert "⊘ high steps.numbers[0] > 5 is false: steps.numbers[0] is 0" in lines
    assert any(line.startswith("↻ rate spare takes its place The step 'rate' raised ZeroDivision") for line in lines)
    assert any(line.startswith("✓ rate 0.0s from spare, as it failed: The step 'rate' raised") for line in lines)


async def test_a_log_tells_that_a_run_is_halted_and_what_was_undone(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever reads it later sees in which order."""

    def undo() -> None:
        raise TypeError("it is sold")

    pipeline = (
        Pipeline("p", on_failure="rollback")
        .step("a", run=lambda: 1, compensate=lambda: None)
        .step("b", run=lambda: 2, compensate=undo)
        .step("c", run=lambda a, b: 1 / 0, max_retries=0)
    )
    await run(pipeline, sinks=(LineView(Picture(pipeline)),))
    lines = capsys.readouterr().err.splitlines()
    at = lines.index("· The step 'c' failed, so the run is rolled back.")
    assert lines[at + 1].startswith("· b compensation failed: The step 'b' raised TypeError: it is sold")
    assert lines[at + 2].startswith("↩ a undone")
    assert lines[-1].startswith("  1/3 steps  1 failed  1 compensated")


async def test_a_log_gathers_the_retries_of_many_parts(capsys: pytest.CaptureFixture[str]) -> None:
    """An outage of a second must not be a thousand lines; what fails for good is told each time."""
    tried: set[int] = set()

    def flaky(item: int) -> int:
        if item not in tried:
            tried.add(item)
            raise OSError("away")
        if item == 7:
            raise OSError("gone")
        return item

    pipeline = Pipeline("p").step("items", run=flaky, for_each="numbers", max_retries=1, min_success=1)
    await run(pipeline, inputs={"numbers": list(range(40))}, sinks=(LineView(Picture(pipeline)),))
    lines = [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()]
    again = [line for line in lines if "is tried again" in line]
    assert again[0].startswith("· items part ")
    assert [line.split(" so far;")[0] for line in again[1:]] == [
        f"· items {times} attempts at parts were in vain" for times in range(4, 41, 4)
    ]
    assert [line for line in lines if line.startswith("· items part '7' failed: ")]
