"""Approvals where a step is more than one piece of work, or has come into the run while it went on."""

from pathlib import Path

import pytest

from tagent import approvals, approve, resume, run_pipeline
from tagent.pipeline import Pipeline, StepContext, StepOutcome, StepOutputError, StepStatus


@pytest.fixture
def store(tmp_path: Path) -> dict[str, object]:
    return {"store": f"file:///{tmp_path / 'runs'}"}


def count() -> int:
    return 7


def add_count(context: StepContext) -> int:
    context.plan.step("count", run=count, approval="output")
    return 1


def add_for_item(item: object, context: StepContext) -> object:
    context.plan.step("count", run=count)
    return item


@pytest.mark.parametrize("kind", ["items", "rounds", "branches"])
def test_a_part_changes_no_steps_whose_output_is_still_to_be_approved(store: dict[str, object], kind: str) -> None:
    """Its change would take effect before anybody says yes, and stay with a no."""
    pipeline = Pipeline("p").step("list", run=lambda: [1])
    match kind:
        case "items":
            pipeline.step("a", run=add_for_item, for_each="list", approval="output", max_retries=3)
        case "rounds":
            pipeline.step("a", run=add_count, max_times=2, approval="output")
        case _:
            pipeline.step("a", branches={"one": add_count}, approval="output")
    result = run_pipeline(pipeline, store)
    assert not result.success
    assert set(result.step_metadata) == {"list", "a"}
    [part] = result.step_metadata["a"]["parts"].values()
    assert (part["code"], part["attempts"]) == ("pipeline.change", 1)
    assert "still to be approved" in part["reason"]


def test_a_part_may_change_the_steps_where_only_the_start_is_approved(store: dict[str, object]) -> None:
    """Somebody has said yes to it by then."""
    pipeline = Pipeline("p").step("list", run=lambda: [1]).step("a", run=add_for_item, for_each="list", approval=True)
    run_id = run_pipeline(pipeline, store).run_id
    approve(run_id, "a", store)
    assert resume(run_id, pipeline, store).step_outputs["count"] == 7


def test_the_output_of_a_step_that_was_added_can_be_edited(store: dict[str, object]) -> None:
    """Its type is known by the code that added it, as when the run goes on."""
    pipeline = Pipeline("p").step("add", run=add_count)
    run_id = run_pipeline(pipeline, store).run_id
    with pytest.raises(StepOutputError):
        approve(run_id, "count", store, output="many", pipeline=pipeline)
    approve(run_id, "count", store, output=8, pipeline=pipeline)
    assert resume(run_id, pipeline, store).step_outputs["count"] == 8


@pytest.mark.parametrize("items", [None, "list"])
def test_the_output_of_a_step_that_was_added_inside_another_one_can_be_edited(
    store: dict[str, object], items: str | None
) -> None:
    """There the changes are those of the run inside."""
    inner = Pipeline("inner", final="add").step("add", run=add_count)
    outer = Pipeline("outer").step("list", run=lambda: [1])
    outer.step("in", pipeline=inner, depends_on=["list"], for_each=items)
    run_id = run_pipeline(outer, store).run_id
    [asked] = approvals(run_id, store)
    with pytest.raises(StepOutputError):
        approve(run_id, asked.step, store, output="many", pipeline=outer)
    assert approve(run_id, asked.step, store, output=8, pipeline=outer).is_edited


@pytest.mark.parametrize(("items", "rounds"), [(None, None), ("list", None), (None, 2)])
def test_a_step_waits_in_a_run_that_waits_for_somebody_inside_it(
    store: dict[str, object], items: str | None, rounds: int | None
) -> None:
    """Nothing of it is running, whatever kind of step it is."""
    inner = Pipeline("inner").step("ask", run=count, approval=True)
    outer = Pipeline("outer").step("list", run=lambda: [1])
    outer.step("in", pipeline=inner, depends_on=["list"], for_each=items, max_times=rounds)
    facts = run_pipeline(outer, store).step_metadata["in"]
    assert facts["status"] == "waiting"
    assert {it["status"] for it in facts.get("parts", {}).values()} <= {"waiting"}


def test_hooks_see_a_step_wait_and_begin_again(store: dict[str, object]) -> None:
    """Each beginning has its end, also of an attempt that goes on in another process."""
    seen: list[tuple[str, int, str]] = []

    def before(context: StepContext) -> None:
        seen.append((context.step, context.attempt, "begins"))

    def after(context: StepContext, outcome: StepOutcome) -> None:
        seen.append((context.step, context.attempt, f"{outcome.status} {outcome.code}".strip()))
        assert outcome.status is not StepStatus.RUNNING

    inner = Pipeline("inner").step("ask", run=count, approval=True)
    outer = Pipeline("outer", before_step=[before], after_step=[after]).step("in", pipeline=inner)
    run_id = run_pipeline(outer, store).run_id
    assert seen == [("in", 1, "begins"), ("in", 1, "waiting approval.waiting")]
    approve(run_id, "in/ask", store)
    assert resume(run_id, outer, store).success
    assert seen[2:] == [("in", 1, "begins"), ("in", 1, "completed")]
