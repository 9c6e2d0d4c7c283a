"""When a run does nothing but wait for events, as its worker sees it: then another run may begin."""

import pytest

from tagent.pipeline import Pipeline
from tagent.pipeline.changes import Change
from tagent.pipeline.events import (
    ApprovalRequested,
    PartCompleted,
    PartFailed,
    PartStarted,
    RunEvent,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSubstituted,
)
from tagent.worker.watching import RunWatch

WAITS = StepStarted("paid", 1, "run/paid", 0.0)
WORKS = StepStarted("work", 1, "run/work", 0.0)


async def only_waits(*events: RunEvent) -> bool:
    """Return whether a run only waits once this has happened in it: `paid` waits for an event, `work` does not."""
    pipeline = Pipeline("p").step("paid", wait_for="orders.paid").step("work", run=list)
    watch = RunWatch(pipeline, on_begun=lambda _: None, on_wait=lambda: None)
    for event in events:
        watch.emit(event)
    return watch.only_waits


async def test_a_run_in_which_nothing_runs_does_not_wait_for_an_event() -> None:
    """It is about to begin something, or to end."""
    assert not await only_waits()
    assert await only_waits(WAITS)
    assert not await only_waits(WAITS, WORKS)


async def test_parts_are_work() -> None:
    """Items, branches and rounds cost as much as steps, and begin without their step."""
    begun = [PartStarted("work", part, 1, f"run/work/{part}", 0.0) for part in "01"]
    completed = PartCompleted("work", "0", 1, None, 0.0)
    failed = PartFailed("work", "1", 1, "bad", "It is bad.", None, 0.0)
    assert not await only_waits(WAITS, *begun)
    assert not await only_waits(WAITS, *begun, completed)
    assert await only_waits(WAITS, *begun, completed, failed)


@pytest.mark.parametrize("part", ["condition", "compensation"])
async def test_what_is_done_beside_a_step_that_waits_is_work(part: str) -> None:
    """A condition may ask a model."""
    assert not await only_waits(WAITS, PartStarted("paid", part, 1, f"run/paid/{part}", 0.0))


@pytest.mark.parametrize(
    "end",
    [
        StepCompleted("work", 1, None, 0.0),
        StepFailed("work", 1, "bad", "It is bad.", None, 0.0),
        StepSubstituted("work", None, "default", 0.0),
        StepSkipped("work", "bad", "It is bad.", 0.0),
        StepCancelled("work", "run.fail_fast", "Another one failed.", 0.0),
        ApprovalRequested("work", "output", 1, "Is it good?", 0.0),
    ],
    ids=lambda end: type(end).__name__,
)
async def test_what_has_ended_or_waits_for_somebody_is_no_work(end: RunEvent) -> None:
    """Whatever the end was, of the step or of those of its parts that it ended with."""
    part = PartStarted("work", "0", 1, "run/work/0", 0.0)
    assert await only_waits(WAITS, WORKS, end)
    assert await only_waits(WAITS, part, end)


@pytest.mark.parametrize("is_part", [False, True])
async def test_steps_that_were_added_may_wait_too(is_part: bool) -> None:  # noqa: FBT001 - a parameter
    """Whoever plans them knows as well as the definition what there is to wait for."""
    change = Change(added=({"name": "sent", "wait_for": {"pattern": "orders.sent"}}, {"name": "more"}))
    planned = StepCompleted("work", 1, None, 0.0, change=change)
    added = PartCompleted("work", "0", 1, None, 0.0, change=change) if is_part else planned
    assert await only_waits(added, StepStarted("sent", 1, "run/sent", 0.0))
    assert not await only_waits(added, StepStarted("more", 1, "run/more", 0.0))
