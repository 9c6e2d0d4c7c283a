"""What waits for an approval when the run is taken up with another definition than it waited under."""

from pathlib import Path

import pytest

from tagent import approvals, approve, reject, resume, run_pipeline
from tagent.pipeline import Approval, Pipeline, PipelineResult
from tagent.pipeline.approval import ApprovalOf


@pytest.fixture
def store(tmp_path: Path) -> dict[str, object]:
    return {"store": f"file:///{tmp_path / 'runs'}"}


class Noted:
    """A pipeline whose step `a` notes what it does."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def each(self, item: object) -> object:
        self.calls.append(item)
        return item

    def whole(self) -> object:
        self.calls.append("whole")
        return "whole"

    def of_items(self) -> Pipeline:
        listed = Pipeline("p").step("list", run=lambda: [1, 2])
        return listed.step("a", run=self.each, for_each="list", approval="output")

    def plain(self, approval: ApprovalOf | Approval | None, *, enabled: bool = True) -> Pipeline:
        listed = Pipeline("p").step("list", run=lambda: [1, 2])
        listed.step("a", run=self.whole, approval=approval, enabled=enabled)
        return listed.step("b", run=lambda a=None: a, depends_on=["a"])


def taken_up(waiting: PipelineResult, pipeline: Pipeline, store: dict[str, object]) -> PipelineResult:
    return resume(waiting.run_id, pipeline, store, definition="current")


def test_what_was_approved_is_handed_over_although_the_step_has_items_by_now(store: dict[str, object]) -> None:
    """They would be done, paid for and thrown away."""
    noted = Noted()
    waiting = run_pipeline(noted.plain("output"), store)
    approve(waiting.run_id, "a", store)
    done = taken_up(waiting, noted.of_items(), store)
    assert (done.step_outputs["a"], noted.calls) == ("whole", ["whole"])


def test_what_was_approved_is_handed_over_although_the_step_has_no_items_any_more(store: dict[str, object]) -> None:
    """The items are gone; the question is not."""
    noted = Noted()
    waiting = run_pipeline(noted.of_items(), store)
    still = taken_up(waiting, noted.plain("output"), store)
    assert still.status == "waiting"
    approve(waiting.run_id, "a", store)
    done = resume(waiting.run_id, noted.plain("output"), store)
    assert (done.step_outputs["a"], noted.calls) == ([1, 2], [1, 2])


@pytest.mark.parametrize("of", ["start", "output"])
def test_a_step_goes_on_that_need_not_be_approved_any_more(store: dict[str, object], of: ApprovalOf) -> None:
    """Its question is withdrawn, and what it did is not done again."""
    noted = Noted()
    waiting = run_pipeline(noted.plain(of), store)
    done = taken_up(waiting, noted.plain(None), store)
    assert (done.final_output, noted.calls) == ("whole", ["whole"])
    assert approvals(config=store) == ()
    assert resume(waiting.run_id, noted.plain(None), store).final_output == "whole"


def test_what_was_said_counts_although_nobody_need_be_asked_any_more(store: dict[str, object]) -> None:
    """Somebody who said no has meant it."""
    noted = Noted()
    waiting = run_pipeline(noted.plain("start"), store)
    reject(waiting.run_id, "a", store, comment="Never.")
    ended = taken_up(waiting, noted.plain(None), store)
    assert (ended.step_metadata["a"]["code"], noted.calls) == ("approval.rejected", [])


def test_a_step_that_is_to_be_approved_at_another_point_goes_on_to_there(store: dict[str, object]) -> None:
    """A question is about the start or about the output, and a yes to nothing is none."""
    noted = Noted()
    waiting = run_pipeline(noted.plain("start"), store)
    assert taken_up(waiting, noted.plain("output"), store).status == "waiting"
    assert [(it.step, it.of) for it in approvals(config=store)] == [("a", "output")]
    approve(waiting.run_id, "a", store)
    assert resume(waiting.run_id, noted.plain("output"), store).final_output == "whole"


def test_a_later_definition_does_not_unsay_what_was_approved_before(store: dict[str, object]) -> None:
    """The journal is read with it from the beginning."""
    noted = Noted()
    waiting = run_pipeline(noted.plain("start").step("c", run=lambda b: b, approval=True), store)
    resume(waiting.run_id, noted.plain("start").step("c", run=lambda b: b, approval=True), store)
    approve(waiting.run_id, "a", store)
    again = resume(waiting.run_id, noted.plain("start").step("c", run=lambda b: b, approval=True), store)
    assert again.status == "waiting"
    done = taken_up(waiting, noted.plain(None).step("c", run=lambda b: b), store)
    assert (done.final_output, noted.calls) == ("whole", ["whole"])


@pytest.mark.parametrize("of", ["start", "output"])
def test_a_step_that_waits_and_is_disabled_by_now_is_left_out(store: dict[str, object], of: ApprovalOf) -> None:
    """As any other that has not completed."""
    noted = Noted()
    waiting = run_pipeline(noted.plain(of).step("c", run=lambda: "c", approval=True), store)
    other = noted.plain(of, enabled=False).step("c", run=lambda: "c", approval=True)
    goes_on = taken_up(waiting, other, store)
    assert goes_on.step_metadata["a"]["code"] == "disabled"
    assert [it.step for it in approvals(config=store)] == ["c"]
    approve(waiting.run_id, "c", store)
    assert resume(waiting.run_id, other, store).success


@pytest.mark.parametrize(("most", "rounds"), [(2, [1, 2]), (1, [1, 2]), (4, [1, 2, 3, 4])])
def test_a_step_amid_its_rounds_has_as_many_as_its_definition_says_now(
    store: dict[str, object], most: int, rounds: list[int]
) -> None:
    """Those that have begun are not taken back."""
    begun: list[int] = []

    def note(round: int) -> int:  # noqa: A002 - the name of the parameter
        begun.append(round)
        return round

    def rounds_of(times: int) -> Pipeline:
        inner = Pipeline("inner").step("note", run=note).step("ask", run=lambda note: note, approval="output")
        return Pipeline("p").step("again", pipeline=inner, inputs={"round": "round"}, max_times=times)

    run_id = run_pipeline(rounds_of(3), store).run_id
    approve(run_id, "again/1/ask", store)
    result = resume(run_id, rounds_of(3), store)
    result = resume(run_id, rounds_of(most), store, definition="current")
    assert result.step_metadata["again"]["part_count"] == max(most, 2)
    while result.status == "waiting":
        for asked in approvals(run_id, store):
            approve(run_id, asked.step, store)
        result = resume(run_id, rounds_of(most), store)
    assert (result.final_output, begun) == (rounds[-1], rounds)
