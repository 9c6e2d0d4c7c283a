"""What `explain` says: every step that did not simply complete, with its cause."""

import asyncio
from collections.abc import Callable

from builders import CONCURRENT, raising, returning, run
from tagent.pipeline import Dependency, DependencyType, ExecutionMode, Pipeline, RunStatus, StepContext, StepStatus
from tagent.pipeline.course.telling_why import LONGEST_REASON, MOST_NAMES, MOST_PARTS, explanation
from tagent.pipeline.events import ASIDE, COMPENSATION, CONDITION
from tagent.pipeline.models import Fallback
from tagent.testing import ManualClock, ScriptedModel

SOFT = DependencyType.SOFT
PARALLEL = ExecutionMode.PARALLEL_MERGE
NO = TypeError("no")


async def told(pipeline: Pipeline, model: ScriptedModel | None = None) -> list[str]:
    """Return the lines that explain a run of `pipeline`."""
    return (await run(pipeline, model=model)).result.explain().splitlines()


def odd(item: int) -> int:
    if item % 2:
        raise ValueError(f"{item} is odd")
    return item


async def test_a_run_that_went_its_way_needs_one_line() -> None:
    """Nobody reads what everybody expects."""
    assert await told(Pipeline("p").step("a", run=returning(1))) == ["The run of 'p' completed."]


async def test_every_step_that_did_not_simply_complete_is_named_with_its_cause() -> None:
    """What was skipped, what failed, what has another one's output, and what ran because its condition holds."""
    pipeline = (
        Pipeline("p", default_mode=CONCURRENT)
        .step("n", run=returning(3))
        .step("high", run=returning(1), condition="steps.n > 7")
        .step("low", run=returning(1), condition="steps.n < 7")
        .step("off", run=returning(1), enabled=False)
        .step("bad", run=raising(NO), max_retries=0)
        .step("behind", run=returning(1), depends_on=["bad"])
        .step("rate", run=raising(NO), max_retries=0, on_error="spare")
        .step("spare", run=returning(1.5))
        .step("unit", run=raising(NO), max_retries=0, on_error=Fallback(output="kg"))
        .step("not_needed", run=returning(1))
        .step("fine", run=returning(1), on_error="not_needed")
    )
    lines = await told(pipeline)
    assert lines[0] == "The run of 'p' completed in part."
    by_step = {line.split("'")[1]: line for line in lines[1:]}
    assert by_step["high"] == "- 'high' was skipped [condition_false]: steps.n > 7 is false: steps.n is 3"
    assert by_step["low"] == "- 'low' ran, as its condition holds: steps.n < 7 is true: steps.n is 3"
    assert by_step["off"] == "- 'off' was skipped [disabled]: It is disabled."
    assert by_step["bad"].startswith("- 'bad' failed [step.failed]: The step 'bad' raised TypeError: no (")
    assert by_step["behind"] == "- 'behind' was skipped [upstream_failed]: The step 'bad' before it failed."
    assert by_step["rate"].startswith("- 'rate' has the output of 'spare', as it failed itself [step.failed]: ")
    assert by_step["unit"].startswith("- 'unit' has its default output, as it failed itself [step.failed]: ")
    assert by_step["not_needed"] == "- 'not_needed' was skipped [not_needed]: The step 'fine' did not fail."
    assert not {"n", "fine", "spare"} & set(by_step)


async def test_the_first_failed_parts_are_named_and_the_others_counted() -> None:
    """Of 1,000 items somebody wants to know what went wrong, not 500 times."""
    pipeline = Pipeline("p").step("n", run=lambda: list(range(20)))
    pipeline.step("x", run=odd, for_each="n", execution_mode=PARALLEL, min_success=1, max_retries=0)
    lines = await told(pipeline)
    assert lines[1] == "- 'x' completed without 10 of its 20 parts:"
    assert lines[2].startswith("    part '1' failed [step.failed]: The step 'x' raised ValueError: 1 is odd (")
    assert len(lines) == 2 + MOST_PARTS + 1
    assert lines[-1] == "    and 7 more of its parts failed."


def test_failed_parts_of_a_step_that_is_not_done_are_named() -> None:
    """Whoever is asked for his approval meanwhile should know what has gone wrong already."""
    failed = {"status": StepStatus.FAILED, "code": "step.failed", "reason": "It is broken."}
    waiting = {"status": StepStatus.WAITING, "part_count": 4, "parts": {"0": failed}}
    assert list(explanation("p", RunStatus.WAITING, {"x": waiting})) == [
        "The run of 'p' waits.",
        "- 'x' is not done yet, and 1 of its 4 parts failed:",
        "    part '0' failed [step.failed]: It is broken.",
        "Not done yet: 'x'.",
    ]


async def test_a_run_that_was_rolled_back_says_so_and_what_was_undone() -> None:
    """Also what could not be: somebody has to do that by hand."""

    def pipeline(undo: Callable[[], object]) -> Pipeline:
        made = Pipeline("p", on_failure="rollback").step("a", run=returning(1), compensate=undo)
        return made.step("b", run=raising(NO), max_retries=0, depends_on=["a"])

    lines = await told(pipeline(lambda: None))
    assert lines[0] == "The run of 'p' failed [run.rollback]: The step 'b' failed, so the run is rolled back."
    assert lines[1] == "- 'a' was undone."
    lines = await told(pipeline(raising(NO)))
    assert lines[1].startswith("- 'a' completed, but [step.compensation]: Its effects could not be undone: ")


async def test_an_undone_step_is_not_blamed_for_the_parts_that_it_did_without() -> None:
    """They have nothing to do with why it was undone."""
    pipeline = Pipeline("p", on_failure="rollback").step("n", run=returning([1, 2]))
    pipeline.step("x", run=odd, for_each="n", min_success=1, max_retries=0, compensate=lambda: None)
    pipeline.step("b", run=raising(NO), max_retries=0, depends_on=["x"])
    lines = await told(pipeline)
    assert lines[1] == "- 'x' was undone."
    assert lines[2].startswith("- 'b' failed")


async def test_a_failed_step_that_nobody_needs_is_called_optional() -> None:
    """Else the run seems to have completed in spite of it."""
    pipeline = Pipeline("p").step("advert", run=raising(NO), max_retries=0, optional=True).step("b", run=returning(1))
    assert (await told(pipeline))[1].startswith("- 'advert', which is optional, failed [step.failed]: ")


async def test_what_a_step_went_on_without_is_told_with_why() -> None:
    """Its output is another one then, and nothing else says so."""
    late, clock = asyncio.Event(), ManualClock()

    async def news() -> int:
        await late.wait()
        return 1

    async def fails_late() -> None:
        await late.wait()
        raise NO

    def tell(**seen: object) -> list[str]:
        return sorted(seen)

    async def end(tell: list[str]) -> None:
        clock.advance(1)
        late.set()

    soft = [Dependency(name, SOFT, wait_seconds=0) for name in ("news", "slow", "bad", "off", "fine")]
    pipeline = (
        Pipeline("p", default_mode=CONCURRENT)
        .step("news", run=news)
        .step("slow", run=fails_late, max_retries=0)
        .step("bad", run=raising(NO), max_retries=0)
        .step("off", run=returning(1), enabled=False)
        .step("fine", run=returning(1))
        .step("last", run=returning(1), depends_on=["fine", Dependency("bad", SOFT)])
        .step("tell", run=tell, depends_on=["last", *soft])
        .step("end", run=end)
    )
    result = (await run(pipeline, clock=clock)).result
    assert result.step_outputs["tell"] == ["fine", "last"]
    assert result.step_metadata["tell"]["seen"] == ["fine"]
    unseen = {"news": "not settled", "slow": "not settled", "bad": "failed", "off": "skipped"}
    assert result.step_metadata["tell"]["unseen"] == unseen
    late_ones = "'news', which had not ended, and 'slow', which had not ended"
    assert (
        f"- 'tell' went on without {late_ones}, and 'bad', which had failed, and 'off', which was left out."
        in result.explain().splitlines()
    )
    assert not {"seen", "unseen"} & result.step_metadata["fine"].keys()


async def test_a_check_of_a_dependency_is_no_condition() -> None:
    """Who wrote no condition looks for it in vain."""
    valid = Dependency("a", DependencyType.VALIDATION, check=lambda output: output == 1)
    pipeline = Pipeline("p").step("a", run=returning(1)).step("b", run=returning(1), depends_on=[valid])
    result = (await run(pipeline)).result
    assert result.explain() == "The run of 'p' completed."
    assert "condition" not in result.step_metadata["b"]


async def test_what_a_model_judged_is_told_in_its_words() -> None:
    """They are the only ones there are."""
    judged = ScriptedModel([{"reason": "There is a gap.", "holds": True}, "done"])
    pipeline = Pipeline("p").step("a", run=returning(1))
    pipeline.step(
        "b", "Enter", constraints=["If there is a gap"], depends_on=["a"], execution_mode=ExecutionMode.CONDITIONAL
    )
    assert await told(pipeline, judged) == [
        "The run of 'p' completed.",
        "- 'b' ran, as its condition holds: There is a gap.",
    ]


async def test_the_metadata_hold_the_same_facts() -> None:
    """Programs do not read sentences."""
    pipeline = Pipeline("p").step("n", run=returning([1, 2, 3]))
    pipeline.step(
        "x", run=odd, for_each="n", execution_mode=PARALLEL, min_success=1, max_retries=0, condition="steps.n[2] > 2"
    )
    facts = (await run(pipeline)).result.step_metadata
    assert facts["x"]["condition"] == {"holds": True, "reason": "steps.n[2] > 2 is true: steps.n[2] is 3"}
    assert facts["x"]["part_count"] == 3
    assert {part: str(it["status"]) for part, it in facts["x"]["parts"].items()} == {
        "0": "failed",
        "1": "completed",
        "2": "failed",
    }
    assert not {"condition", "part_count", "parts"} & facts["n"].keys()


def test_what_is_not_done_yet_is_listed_and_a_long_reason_stays_a_line() -> None:
    """A run that waits may have a thousand steps before it, and a function may raise a book."""
    steps = {f"s{n}": {"status": StepStatus.PENDING} for n in range(20)}
    failed = {"status": StepStatus.FAILED, "code": "c", "reason": "one\ntwo " + "x" * 10_000}
    lines = list(explanation("p", RunStatus.WAITING, {"bad": failed, **steps}, code="budget.exceeded", reason="More."))
    assert lines[0] == "The run of 'p' waits [budget.exceeded]: More."
    assert lines[1].startswith("- 'bad' failed [c]: one two xxx")
    assert len(lines[1]) < LONGEST_REASON + 50
    assert lines[2].startswith("Not done yet: 's0', 's1', ")
    assert lines[2].endswith(f" and {20 - MOST_NAMES} more.")


def test_the_parts_that_are_no_items_are_those_of_the_events() -> None:
    """The names are written twice, as one file cannot import the other."""
    assert frozenset({CONDITION, COMPENSATION}) == ASIDE


async def test_problems_that_are_listed_have_a_line_each() -> None:
    """In one long line nobody finds the second one."""

    def planner(context: StepContext) -> None:
        context.plan.step("b", "Do it", depends_on=["nowhere"]).step("c", "Do it", depends_on=["elsewhere"])

    lines = await told(Pipeline("p").step("a", run=planner, max_retries=0))
    assert lines[1] == "- 'a' failed [pipeline.change]: The change that the step 'a' makes has 2 problems:"
    assert [line[:11] for line in lines[2:4]] == ["    - step ", "    - step "]


async def test_added_steps_and_kept_outputs_are_told() -> None:
    """Nobody wonders where a step comes from, or why one cost nothing."""

    def planner(context: StepContext) -> None:
        context.plan.step("b", "Do it", enabled=False)

    pipeline = Pipeline("p").step("a", run=planner).step("c", run=returning(1), cache="run")
    lines = await told(pipeline.step("d", run=returning(1), cache="run"))
    assert lines[-2:] == ["Added by 'a': 'b'.", "From the cache: 'd'."]


async def test_a_round_that_fails_says_which_and_the_reason_once() -> None:
    """None of the rounds may fail, so nobody wants to know how many did."""

    def step(round: int) -> int:  # noqa: A002 - so it is called
        return 1 // (2 - round)

    lines = await told(Pipeline("p").step("a", run=step, max_times=4, max_retries=0))
    assert lines[1] == "- 'a' failed [step.parts]: Round 2 failed."
    assert sum("ZeroDivisionError" in line for line in lines) == 1
