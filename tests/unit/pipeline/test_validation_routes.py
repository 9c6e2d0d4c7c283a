"""Mistakes in routes and rounds: each is named before anything runs."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Literal

import pytest
from pydantic import BaseModel

from builders import returning, run
from tagent.pipeline import (
    Dependency,
    DependencyType,
    ExecutionMode,
    Fallback,
    InputError,
    Pipeline,
    PipelineStep,
    Problem,
    StepContext,
    repeat,
    switch,
    validate,
    when,
)

DATA, SOFT = DependencyType.DATA, DependencyType.SOFT


class Kind(StrEnum):
    BUG = "bug"
    REFUND = "refund"


class Mail(BaseModel):
    kind: Kind
    is_urgent: bool
    priority: Literal[1, 2]
    subject: str
    weight: float
    tags: list[str]
    maybe: Literal["yes", "no"] | None = None


class Draft(BaseModel):
    text: str
    score: int


def with_steps(pipeline: Pipeline, *names: str) -> Pipeline:
    for name in names:
        pipeline.step(name, run=returning(name))
    return pipeline


def told(pipeline: Pipeline, inputs: Sequence[str] | None = None, severity: str = "error") -> list[Problem]:
    return [problem for problem in validate(pipeline, inputs=inputs) if problem.severity == severity]


def codes(pipeline: Pipeline, inputs: Sequence[str] | None = None) -> list[str]:
    return [problem.code for problem in told(pipeline, inputs)]


def mail(path: str, routes: Mapping[str, str | Sequence[str]], default: str | None = None) -> Pipeline:
    """Return a pipeline that switches on a part of a mail, with two steps to go to."""
    pipeline = Pipeline("p").step("mail", "Read it", output_schema=Mail)
    return with_steps(pipeline.add_step(switch(path, routes, default=default, name="s")), "a", "b")


def around(work: object = None, **options: object) -> Pipeline:
    """Return a pipeline with a repeated step of these options."""
    given = {"run": work or returning(1), "max_times": 3, **options}
    return Pipeline("p").add_step(PipelineStep(name="again", **given))  # type: ignore[arg-type]  # wrong ones too


def test_a_right_pipeline_of_branches_and_rounds_has_no_problem() -> None:
    """No false alarm."""

    def joined(a: str | None = None, b: str | None = None) -> str:
        return a or b or ""

    pipeline = mail("mail.kind", {"bug": "a", "refund": "b"}).step("join", run=joined)
    pipeline.step("after_a", run=lambda a: a, execution_mode=ExecutionMode.CONCURRENT)
    pipeline.add_step(when("steps.mail.is_urgent").then("call"))
    pipeline.step("call", run=lambda mail, after_a: after_a)
    pipeline.step("draft", "Improve {previous.text}", output_schema=Draft, until="output.score > 7", max_times=3)
    assert [str(it) for it in validate(pipeline) if it.severity != "hint"] == []


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (when("1 < 2"), "It starts no step, whichever route is taken. Name some by .then(...) or .otherwise(...)."),
        (when("1 < 2").then("c"), "It starts the unknown step 'c'."),
        (when("1 < 2").then("aa"), "Did you mean 'a'?"),
        (when("1 < 2", name="w").then("w"), "It starts itself. To do it again is said by repeat"),
        (when("steps.a > 2").then("a"), "It starts 'a', for which it waits itself."),
        (when("1 <").then("a"), "`when` cannot be read"),
        (when("steps.c.n > 1").then("a"), "`when`: There is no step 'c'"),
        (
            PipelineStep(name="w", when="1 < 2", routes={"them": "a"}),
            "leads to 'then' or 'otherwise', and not to 'them'",
        ),
        (PipelineStep(name="w", when="1 < 2"), "It decides which steps run, and names none. Give it `routes`."),
        (PipelineStep(name="w", when="1 < 2", run=returning(1), routes={"then": "a"}), "several works: run, when"),
        (PipelineStep(name="w", goal="Go", routes={}), "It starts no step"),
        (PipelineStep(name="w", goal="Go", routes=["a"]), "`routes` is ['a']; it must be a dict of routes"),  # type: ignore[arg-type]  # wrong
        (PipelineStep(name="w", goal="Go", routes={"x": 7}), "it must be a dict of routes"),  # type: ignore[dict-item]  # wrong
        (PipelineStep(name="w", when=7, routes={"then": "a"}), "`when` is 7; it must be a condition"),  # type: ignore[arg-type]  # wrong
        (switch("mail kind", {"x": "a"}), "In `switch_on`: 'mail kind' is not a path."),
        (switch("nowhere.kind", {"x": "a"}), "`switch_on` names 'nowhere', no step or input."),
        (switch("switch_3", {"x": "a"}), "`switch_on` names the step itself."),
        (switch("a", {"x": "a"}), "It starts 'a', for which it waits itself."),
        (switch("a", {str(n): "b" for n in range(1001)}), "It has 1,001 routes; 1,000 are allowed."),
        (switch("a", {"x": "b", "y": ["c"]}), "It starts the unknown step 'c'."),
    ],
)
def test_routes_that_lead_nowhere_are_named(step: PipelineStep, message: str) -> None:
    """Each of them would fail, or do nothing, in the middle of a run."""
    pipeline = with_steps(Pipeline("p"), "a", "b").add_step(step)
    problems = told(pipeline, inputs=())
    assert any(message in problem.message for problem in problems), problems
    assert "cycle" not in [problem.code for problem in problems]


def test_a_longer_circle_through_a_route_is_a_circle() -> None:
    """A branch cannot lead back."""
    pipeline = Pipeline("p").step("a", run=returning(1)).step("b", run=lambda a: a)
    assert codes(pipeline.add_step(when("steps.b > 1").then("a"))) == ["cycle"]


@pytest.mark.parametrize(
    ("path", "routes", "default", "message"),
    [
        ("mail.kind", {"bug": "a"}, None, "The value of 'mail.kind' may be 'refund', for which there is no route."),
        ("mail.kind", {"bug": "a"}, "b", None),
        ("mail.kind", {"bug": "a", "refund": "b"}, None, None),
        ("mail.is_urgent", {"true": "a"}, None, "may be False"),
        ("mail.is_urgent", {"true": "a", "false": "b"}, None, None),
        ("mail.priority", {"1": "a"}, None, "may be 2"),
        ("mail.priority", {"1": "a", "2": "b"}, None, None),
        ("mail.maybe", {"yes": "a", "no": "b"}, None, "may be None"),
        ("mail.subject", {"x": "a"}, None, None),
        ("mail.tags", {"x": "a"}, "b", "is never a text, a bool or a whole number"),
        ("mail", {"x": "a"}, None, "is never a text, a bool or a whole number"),
        ("mail.kinds", {"x": "a"}, None, "'mail.kinds' leads nowhere"),
    ],
)
def test_a_value_without_a_route_is_known_from_its_type(
    path: str, routes: Mapping[str, str], default: str | None, message: str | None
) -> None:
    """Found in the thousandth run it would be found too late."""
    problems = told(mail(path, routes, default))
    if message is None:
        assert problems == []
    else:
        assert [message in problem.message for problem in problems] == [True], problems


def test_an_output_without_a_route_is_known_from_its_type_too() -> None:
    """A classifier that may say `other` needs a way for it."""
    choice = Literal["bug", "refund", "other"]
    for options in ({"goal": "Classify", "output_schema": choice}, {"run": returning(1), "output_schema": choice}):
        pipeline = Pipeline("p").step("c", routes={"bug": "a", "refund": "b"}, **options)  # type: ignore[arg-type]  # step options
        [problem] = told(with_steps(pipeline, "a", "b"))
        assert "Its output may be 'other'" in problem.message
    fallback = Fallback(output="refund")
    pipeline = Pipeline("p").step("c", run=returning("bug"), output_schema=str, routes={"bug": "a"}, on_error=fallback)
    [problem] = told(with_steps(pipeline, "a"))
    assert (problem.code, problem.message) == ("bad_fallback", "The output of its fallback names none of its routes.")


def test_routes_that_are_never_taken_and_open_texts_are_warned_of() -> None:
    """They are probably mistakes, and a run may still come to something."""
    [warning] = told(mail("mail.kind", {"bug": "a", "refund": "b", "refnd": "b"}), severity="warning")
    assert (warning.code, "'refnd' is never taken" in warning.message) == ("unused_route", True)
    assert "Did you mean 'refund'?" in warning.message
    pipeline = Pipeline("p").step("c", "Classify it", routes={"bug": "a"})
    [warning] = told(with_steps(pipeline, "a"), severity="warning")
    assert (warning.code, "Literal['bug']" in warning.message) == ("open_routes", True)


def test_a_fallback_in_a_branch_that_need_not_be_taken_is_warned_of() -> None:
    """It would not run when it is needed. In the branch of the step that may fail there is nothing to warn of."""
    pipeline = mail("mail.kind", {"bug": ["a", "spare"], "refund": "b"})
    pipeline.step("spare", run=returning(1)).step("other", run=returning(2), on_error="spare")
    [warning] = told(pipeline, severity="warning")
    assert (warning.code, warning.step) == ("fallback_in_branch", "other")
    assert "'spare' takes its place only if its branch is taken, too" in warning.message
    pipeline = mail("mail.kind", {"bug": ["fragile", "spare"], "refund": "b"})
    pipeline.step("fragile", run=returning(1), on_error="spare").step("spare", run=returning(2))
    assert told(pipeline, severity="warning") == []


def test_a_step_that_needs_both_branches_can_never_run() -> None:
    """It would be left out in every run, and nobody would know why."""
    for options in (
        {"run": lambda a, b: a + b},
        {"goal": "Use {a} and {b}"},
        {"run": returning(1), "depends_on": [Dependency("a", DATA), Dependency("b", DATA)]},
    ):
        pipeline = mail("mail.kind", {"bug": "a", "refund": "b"}).step("join", **options)
        [problem] = told(pipeline)
        assert (problem.code, problem.step) == ("one_of_two", "join")
        assert "'a' and 'b', and only one of them runs: the step 's' takes one route" in problem.message


def test_a_branch_that_needs_the_other_branch_can_never_run_however_far_away() -> None:
    """The mistake is often three steps behind the decision."""
    pipeline = mail("mail.kind", {"bug": "a", "refund": "b"})
    pipeline.step("a2", run=lambda a: a).step("b2", run=lambda b: b).step("join", run=lambda a2, b2: a2)
    assert [(problem.code, problem.step) for problem in told(pipeline)] == [("one_of_two", "join")]
    pipeline = Pipeline("p").add_step(when("1 < 2", name="w").then("a").otherwise("b")).step("a", run=returning(1))
    pipeline.step("b", run=lambda a: a)
    [problem] = told(pipeline)
    assert "It needs the output of 'a', which does not run when the step 'w' starts this one." in problem.message


def test_what_may_run_with_both_is_no_mistake() -> None:
    """Two decisions, or a route that starts both, may well come together."""
    two = Pipeline("p").add_step(when("inputs.x > 1").then("a")).add_step(when("inputs.x > 2").then("b"))
    assert codes(with_steps(two, "a", "b").step("join", run=lambda a, b: a)) == []
    both = Pipeline("p").add_step(switch("inputs", {"x": ["a", "b"], "y": "b"}))
    assert codes(with_steps(both, "a", "b").step("join", run=lambda a, b: a)) == []
    soft = [Dependency("a", DATA), Dependency("b", SOFT)]
    assert codes(mail("mail.kind", {"bug": "a", "refund": "b"}).step("join", run=returning(1), depends_on=soft)) == []


def test_a_step_that_goes_on_whichever_way_is_taken_is_of_no_branch() -> None:
    """With a SOFT dependency it runs in any case, and so it does behind a step that is just disabled."""
    for first in ({"depends_on": [Dependency("a", SOFT)]}, {"depends_on": ["off"]}):
        pipeline = mail("mail.kind", {"bug": ["a", "off"], "refund": "b"}).step("off", run=returning(1), enabled=False)
        pipeline.step("first", run=returning(1), **first).step("last", run=lambda first, b: b)
        assert codes(pipeline) == []


def test_a_parameter_for_which_a_branch_may_give_nothing_needs_a_default() -> None:
    """The function would be called without it."""

    def joined(a: str, b: str | None = None) -> str:
        return a

    pipeline = mail("mail.kind", {"bug": "a", "refund": "b"}).step("join", run=joined, depends_on=["a", "b"])
    [problem] = told(pipeline)
    assert problem.code == "needs_default"
    assert "the step 'a' is of a branch that may not be taken" in problem.message

    async def is_wanted(a: str) -> bool:
        return True

    pipeline = mail("mail.kind", {"bug": "a", "refund": "b"}).step("last", run=returning(1), condition=is_wanted)
    assert codes(pipeline) == []  # it depends on nothing else, and is left out with it
    pipeline = mail("mail.kind", {"bug": "a", "refund": "b"})
    pipeline.step("last", run=returning(1), depends_on=["mail"], condition=is_wanted)
    assert codes(pipeline) == ["needs_default"]
    within = mail("mail.kind", {"bug": "a", "refund": "b"}).step("a2", run=lambda a: a, depends_on=["a"])
    assert codes(within) == []


def test_many_nested_branches_are_checked_in_no_time() -> None:
    """A generated pipeline may have thousands of them."""
    pipeline = Pipeline("p")
    for n in range(2000):
        pipeline.add_step(when("1 < 2", name=f"w{n}").then(f"w{n + 1}").otherwise(f"e{n}"))
        pipeline.step(f"e{n}", run=returning(n))
    pipeline.step("w2000", run=returning(1))
    assert codes(pipeline) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_times": None, "until": "output > 1"}, "`until` needs `max_times`: how many rounds"),
        ({"max_times": 0}, "`max_times` is 0; it must be a whole number from 1 to 1,000."),
        ({"max_times": 1001}, "`max_times` is 1001"),
        ({"max_times": 2.5}, "`max_times` is 2.5"),
        ({"max_times": True}, "`max_times` is True"),
        ({"max_times": "3"}, "`max_times` is '3'; it must be a whole number from 1."),
        ({"if_not_reached": "kep"}, "it must be 'fail' or 'keep'. Did you mean 'keep'?"),
        ({"max_times": None, "if_not_reached": "keep"}, "`if_not_reached` is for steps that are repeated."),
        ({"until": "output >"}, "`until` cannot be read"),
        ({"until": "score > 1"}, "Write output.score"),
        ({"until": "round >= 3"}, "told 'round': write one with this parameter, like lambda round: ..."),
        ({"until": "previous.kind == 'a'"}, "Only a function is told 'previous'"),
        ({"until": "steps.again > 1"}, "`until` reads the step's own output. Write `output` for it."),
        ({"until": "steps.other > 1"}, "`until`: There is no step 'other'"),
        ({"until": 7}, "`until` is 7; it must be a condition"),
        ({"until": "output.score > 1", "output_schema": int}, "`until`: `output.score` leads nowhere"),
        ({"until": "output.text > 1", "output_schema": Draft}, "compares a text with a number"),
        ({"until": "output.scor > 1", "output_schema": Draft}, "Did you mean 'score'?"),
        ({"until": lambda output, score: True}, "Nothing fills the parameter 'score' of its condition's function"),
        ({"for_each": "items"}, "A step with `for_each` cannot be repeated."),
        ({"run": None, "branches": ["a", "b"]}, "A step with `branches` cannot be repeated."),
        ({"run": None, "wait_for": "mail"}, "A step with `wait_for` cannot be repeated."),
        ({"run": None, "when": "1 < 2", "routes": {"then": "again"}}, "A step with `when` cannot be repeated."),
        ({"execution_mode": ExecutionMode.PARALLEL_MERGE}, "A PARALLEL_MERGE step cannot be repeated."),
        ({"min_success": 1}, "`min_success`: for this give it execution_mode=ExecutionMode.PARALLEL_MERGE."),
    ],
)
def test_mistakes_in_rounds_are_named(options: Mapping[str, object], message: str) -> None:
    """A loop that cannot end, or cannot begin."""
    pipeline = around(**options)
    pipeline.inputs = Given
    problems = told(pipeline)
    assert any(message in problem.message for problem in problems), problems


class Given(BaseModel):
    items: list[str] = []


def test_what_ends_a_round_may_ask_for_all_that_a_round_knows() -> None:
    """No false alarm."""

    def is_done(output: Draft, previous: Draft | None, round: int, items: list[str], context: StepContext) -> bool:  # noqa: A002 - what rounds are called
        return True

    def work(previous: Draft | None, round: int) -> Draft:  # noqa: A002 - as above
        return Draft(text="", score=round)

    pipeline = Pipeline("p", inputs=Given).add_step(repeat(PipelineStep(name="again", run=work), until=is_done))
    assert told(pipeline) == []


def test_what_routes_and_rounds_read_counts_as_read() -> None:
    """An input that only a decision reads is no mistake."""
    pipeline = with_steps(Pipeline("p").add_step(switch("kind", {"x": "a"})), "a")
    pipeline.add_step(when("inputs.n > 1").then("b")).step("b", run=returning(1))
    pipeline.add_step(repeat(PipelineStep(name="c", run=returning(1)), until="output > inputs.least"))
    assert [str(it) for it in told(pipeline, inputs=["kind", "n", "least"], severity="warning")] == []
    [problem] = told(pipeline, inputs=["kind", "n", "least", "other"], severity="warning")
    assert problem.code == "unused_input"


async def test_an_input_that_a_decision_needs_is_asked_for() -> None:
    """Before anything runs, by its name."""
    for pipeline, name in (
        (Pipeline("p").add_step(switch("kind", {"x": "a"})).step("a", run=returning(1)), "kind"),
        (Pipeline("p").add_step(when("inputs.n > 1").then("a")).step("a", run=returning(1)), "n"),
        (around(until="output > inputs.least"), "least"),
        (around(until=lambda output, least: output > least), "least"),
    ):
        with pytest.raises(InputError) as caught:
            await run(pipeline)
        assert caught.value.inputs == (name,)


def test_names_of_rounds_are_not_those_of_steps_or_inputs() -> None:
    """Nobody could tell which is meant."""
    pipeline = around().step("previous", run=returning(1))
    assert codes(pipeline) == ["ambiguous_name"]
    assert codes(around(), inputs=["round"]) == ["ambiguous_name"]
    assert codes(Pipeline("p").step("previous", run=returning(1)).step("b", run=lambda previous: previous)) == []


def test_a_path_into_the_round_before_is_checked() -> None:
    """A placeholder that is misspelt would only be noticed in the second round."""
    pipeline = Pipeline("p").step("again", "Improve {previous.txt}", output_schema=Draft, max_times=3)
    [problem] = told(pipeline)
    assert "has no field 'txt'. Did you mean 'text'?" in problem.message
