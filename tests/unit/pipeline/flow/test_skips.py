"""Conditions, dependency types and what a step that was left out means for the others."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from builders import CONCURRENT, Ran, raising, returning, run
from tagent.pipeline import (
    Dependency,
    DependencyType,
    ExecutionMode,
    Pipeline,
    PipelineValidationError,
    RunStatus,
    StepContext,
    StepStatus,
)
from tagent.pipeline.events import ConditionJudged, StepStarted
from tagent.testing import ScriptedModel

CONDITIONAL = ExecutionMode.CONDITIONAL
SOFT, DATA, VALIDATION = DependencyType.SOFT, DependencyType.DATA, DependencyType.VALIDATION


def told(ran: Ran, step: str) -> tuple[str, str]:
    """Return where a step ended, and the code of why."""
    metadata = ran.result.step_metadata[step]
    return str(metadata["status"]), str(metadata["code"])


def scored(score: float, **options: object) -> Pipeline:
    """Return a pipeline in which `report` waits for `check`, which has a condition on a score."""
    pipeline = Pipeline("p").step("sentiment", run=returning({"score": score}))
    pipeline.step("check", run=returning("checked"), condition="steps.sentiment.score > 7.0", **options)  # type: ignore[arg-type]  # step options
    return pipeline.step("report", run=with_default("check"), depends_on=["check"])


def with_default(name: str) -> Callable[..., Awaitable[object]]:
    """Return a step function that gives what it knows of another step, or that there is nothing."""

    async def function(context: StepContext, **outputs: object) -> object:
        return outputs.get(name, "nothing")

    return function


@pytest.mark.parametrize(("score", "expected"), [(8.0, "checked"), (7.0, "nothing")])
async def test_a_step_runs_only_if_its_condition_holds(score: float, expected: str) -> None:
    """And what depends on it runs either way: nothing has gone wrong."""
    ran = await run(scored(score))
    assert ran.result.status is RunStatus.COMPLETED
    assert ran.result.final_output == expected


async def test_a_step_that_was_left_out_says_which_value_decided() -> None:
    """People ask why a step did not run, and the journal is where the answer stands."""
    ran = await run(scored(5.5))
    assert told(ran, "check") == ("skipped", "condition_false")
    assert "steps.sentiment.score is 5.5" in ran.result.step_metadata["check"]["reason"]
    [judged] = [event for event in ran.events if isinstance(event, ConditionJudged)]
    assert not judged.holds
    assert not [event for event in ran.events if isinstance(event, StepStarted) and event.step == "check"]


async def test_a_condition_that_cannot_be_answered_fails_the_step() -> None:
    """Skipping it would hide a mistake."""
    pipeline = Pipeline("p").step("a", run=returning({"score": 1}))
    pipeline.step("b", run=returning(2), condition="steps.a.scroe > 1")
    ran = await run(pipeline)
    assert told(ran, "b") == ("failed", "pipeline.condition")
    assert "Did you mean" in ran.result.step_metadata["b"]["reason"]


@pytest.mark.parametrize("holds", [True, False])
async def test_a_function_decides_whether_a_step_runs(holds: bool) -> None:  # noqa: FBT001 - a parameter
    """What the expression language cannot say, a function can; its answer is journalled."""

    async def is_wanted(a: int) -> bool:
        return holds and a == 1

    ran = await run(Pipeline("p").step("a", run=returning(1)).step("b", run=returning(2), condition=is_wanted))
    assert told(ran, "b")[0] == ("completed" if holds else "skipped")


async def test_a_condition_s_function_is_tried_again_like_the_step() -> None:
    """It may ask a service that is away for a moment."""
    pipeline = Pipeline("p").step("b", run=returning(2), condition=raising(OSError("away"), times=2, then=True))
    ran = await run(pipeline)
    part = ran.result.step_metadata["b"]["parts"]["<condition>"]
    assert (told(ran, "b")[0], part["attempts"]) == ("completed", 3)


@pytest.mark.parametrize(
    ("condition", "code"),
    [(raising(TypeError("broken")), "step.failed"), (returning("yes"), "step.output")],
)
async def test_a_condition_s_function_that_gives_no_answer_fails_the_step(
    condition: Callable[[], object], code: str
) -> None:
    """Whatever is not True or False is a mistake, also a text that looks true."""
    ran = await run(Pipeline("p").step("b", run=returning(2), condition=condition))
    assert told(ran, "b") == ("failed", code)
    assert told(ran, "b") != ("skipped", "condition_false")


def judging(*, holds: bool) -> ScriptedModel:
    """Return a model that judges once, then answers."""
    return ScriptedModel([{"reason": "The data say so.", "holds": holds}, "An answer"])


@pytest.mark.parametrize("holds", [True, False])
async def test_without_a_condition_the_model_judges_the_constraints(holds: bool) -> None:  # noqa: FBT001 - a parameter
    """As in the specification's second example; one call, with its cost, its reason and the data."""
    pipeline = Pipeline("p").step("gap", run=returning({"found": holds}))
    pipeline.step("enter", "Enter it", depends_on=["gap"], execution_mode=CONDITIONAL, constraints=["Only with a gap"])
    model = judging(holds=holds)
    ran = await run(pipeline, model=model)
    assert told(ran, "enter")[0] == ("completed" if holds else "skipped")
    assert len(model.requests) == (2 if holds else 1)
    asked = model.requests[0].messages[-1].content
    assert "Only with a gap" in asked
    assert "found" in asked
    if not holds:
        assert ran.result.step_metadata["enter"]["reason"] == "The data say so."
        assert ran.result.token_usage["enter"].requests == 1


async def test_a_judge_that_cannot_be_asked_fails_the_step() -> None:
    """A failed call is no answer; the step is not quietly left out."""
    pipeline = Pipeline("p").step("a", "Do it", execution_mode=CONDITIONAL, constraints=["Only on Mondays"])
    ran = await run(pipeline, model=ScriptedModel([]))
    assert told(ran, "a")[0] == "failed"


async def test_a_step_can_be_disabled_by_the_inputs() -> None:
    """Known at the beginning, so nobody waits for its dependencies."""
    pipeline = Pipeline("p").step("slow", run=returning(1))
    pipeline.step("eu", run=returning("eu"), enabled="inputs.region == 'eu'", depends_on=["slow"])
    pipeline.step("off", run=returning("off"), enabled=False)
    ran = await run(pipeline.step("end", run=with_default("eu"), depends_on=["eu", "off"]), inputs={"region": "us"})
    assert told(ran, "eu") == told(ran, "off") == ("skipped", "disabled")
    assert ran.result.final_output == "nothing"
    assert ran.result.status is RunStatus.COMPLETED


async def test_on_skip_leaves_a_step_out_with_the_one_before_it() -> None:
    """A branch that was not taken takes along what makes no sense without it."""
    pipeline = scored(1.0).step("mail", run=returning("sent"), depends_on=[Dependency("check", on_skip="skip")])
    ran = await run(pipeline.step("archive", run=returning("kept"), depends_on=["mail"]))
    assert told(ran, "mail") == ("skipped", "dependency_skipped")
    assert told(ran, "archive")[0] == "completed"
    assert ran.result.status is RunStatus.COMPLETED


async def test_a_data_dependency_needs_the_output() -> None:
    """A step that was left out has none, so what needs it cannot run, and the run is not complete."""
    pipeline = scored(1.0).step("mail", run=returning("sent"), depends_on=[Dependency("check", DATA)])
    ran = await run(pipeline.step("archive", run=returning("kept"), depends_on=["mail"]))
    assert told(ran, "mail") == ("skipped", "dependency_unmet")
    assert told(ran, "archive") == ("skipped", "upstream_failed")
    assert ran.result.status is RunStatus.PARTIAL


def test_a_parameter_fed_by_a_step_that_may_be_skipped_needs_a_default() -> None:
    """Told when the pipeline is defined, not in the night in which the condition fails."""

    def mail(check: str) -> str:
        return check

    with pytest.raises(PipelineValidationError, match="default"):
        asyncio.run(run(scored(1.0).step("mail", run=mail)))


@pytest.mark.parametrize(
    ("output", "check", "is_met"),
    [
        ({"valid": True}, None, True),
        ({"passed": False}, None, False),
        ({"approved": "yes"}, None, False),
        ({"score": 1}, None, False),
        ({"score": 3}, "output.score > 2", True),
        ({"score": 2}, "output.score > 2", False),
        ({}, "output.score > 2", False),
        ({"score": 3}, lambda output: output["score"] == 3, True),
        ({"score": 4}, lambda output: output["score"] == 3, False),
    ],
)
async def test_a_validation_dependency_needs_a_check_that_passes(
    output: object,
    check: str | Callable[..., object] | None,
    is_met: bool,  # noqa: FBT001 - a parameter
) -> None:
    """By a field that says so, by an expression, by a function."""
    gate = Dependency("gate", VALIDATION, check=check)
    pipeline = Pipeline("p").step("gate", run=returning(output)).step("ship", run=returning(1), depends_on=[gate])
    ran = await run(pipeline)
    expected = ("completed", "") if is_met else ("skipped", "dependency_unmet")
    assert told(ran, "ship") == expected


async def test_a_soft_dependency_never_fails_a_step() -> None:
    """It is welcome, not required: whatever becomes of it, the step runs."""
    pipeline = Pipeline("p", default_mode=CONCURRENT).step("news", run=raising(TypeError("broken")))
    pipeline.step("report", run=with_default("news"), depends_on=[Dependency("news", SOFT)])
    ran = await run(pipeline)
    assert told(ran, "report")[0] == "completed"
    assert ran.result.final_output == "nothing"


@pytest.mark.parametrize(("takes", "expected"), [(1.0, "fresh"), (30.0, "nothing")])
async def test_a_soft_dependency_is_waited_for_as_long_as_it_says(takes: float, expected: str) -> None:
    """What is there at the start is used, and put on record."""

    async def slow() -> str:
        await ran_clock.sleep(takes)
        return "fresh"

    from tagent.testing import ManualClock

    ran_clock = ManualClock()
    pipeline = Pipeline("p", default_mode=CONCURRENT, final="report").step("news", run=slow)
    pipeline.step("report", run=with_default("news"), depends_on=[Dependency("news", SOFT, wait_seconds=5)])
    ran = await run(pipeline, clock=ran_clock)
    assert ran.result.final_output == expected
    [start] = [event for event in ran.events if isinstance(event, StepStarted) and event.step == "report"]
    assert start.seen == (("news",) if expected == "fresh" else ())
    assert start.at == min(takes, 5.0)


async def test_a_soft_dependency_is_waited_for_from_when_all_else_is_there() -> None:
    """Its seconds do not run while the step could not start anyhow."""
    from tagent.testing import ManualClock

    clock = ManualClock()

    def after(seconds: float) -> Callable[[], Awaitable[float]]:
        async def work() -> float:
            await clock.sleep(seconds)
            return seconds

        return work

    pipeline = Pipeline("p", default_mode=CONCURRENT, final="report")
    pipeline.step("hard", run=after(10)).step("soft", run=after(12))
    pipeline.step("report", run=with_default("soft"), depends_on=["hard", Dependency("soft", SOFT, wait_seconds=5)])
    assert (await run(pipeline, clock=clock)).result.final_output == 12


async def test_an_optional_step_may_fail() -> None:
    """The run is complete without it, and those behind it go on without its output."""
    pipeline = Pipeline("p").step("extra", run=raising(TypeError("broken")), optional=True)
    ran = await run(pipeline.step("end", run=with_default("extra"), depends_on=["extra"]))
    assert told(ran, "extra") == ("failed", "step.failed")
    assert ran.result.status is RunStatus.COMPLETED
    assert ran.result.final_output == "nothing"


async def test_an_agent_is_told_that_an_output_is_missing() -> None:
    """Where its goal names a step that was left out, it must not find a placeholder there."""
    pipeline = scored(1.0).step("text", "Write about {check}", depends_on=["check"])
    model = ScriptedModel(["A text"])
    ran = await run(pipeline, model=model)
    assert "no output: this step was left out" in model.requests[0].messages[-1].content
    assert ran.result.step_metadata["text"]["status"] is StepStatus.COMPLETED
