"""Mistakes in when steps run, in their parts, and in what becomes of failures: each is named before anything runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pytest
from pydantic import BaseModel, model_validator

from builders import CONCURRENT, returning
from tagent.budget import Budget
from tagent.pipeline import (
    Approval,
    Dependency,
    DependencyType,
    ExecutionMode,
    Pipeline,
    PipelineStep,
    Problem,
    StepContext,
    switch,
)
from tagent.pipeline import validate as validate_pipeline
from tagent.pipeline.conditions import field
from tagent.pipeline.models import Fallback

CONDITIONAL, PARALLEL = ExecutionMode.CONDITIONAL, ExecutionMode.PARALLEL_MERGE
SOFT, DATA, VALIDATION, HARD = DependencyType.SOFT, DependencyType.DATA, DependencyType.VALIDATION, DependencyType.HARD


class Hit(BaseModel):
    title: str


class Found(BaseModel):
    hits: list[Hit]
    total: int


class Review(BaseModel):
    approved: bool
    comment: str


class Region(BaseModel):
    region: str
    urls: list[str] = []


@dataclass
class Marked:
    passed: bool


def errors(pipeline: Pipeline, inputs: Sequence[str] | None = None) -> list[Problem]:
    return [problem for problem in validate_pipeline(pipeline, inputs=inputs) if problem.severity == "error"]


def codes(pipeline: Pipeline, inputs: Sequence[str] | None = None) -> list[str]:
    return [problem.code for problem in errors(pipeline, inputs)]


def searched(**options: object) -> Pipeline:
    """Return a pipeline with a step that finds things, a review, and a step with these options behind them."""
    pipeline = (
        Pipeline("p")
        .step("search", "Find them", output_schema=Found)
        .step("review", "Review them", output_schema=Review, depends_on=["search"])
    )
    step = PipelineStep(name="last", **{"goal": "Do it", **options})  # type: ignore[arg-type]  # wrong ones too
    return pipeline.add_step(step)


def takes_search(search: Found) -> int:
    return search.total


def takes_two(one: object, two: object) -> object:
    return one, two


async def answer(prompt: str) -> str:
    return prompt


def asks(other: int) -> bool:
    return other > 0


SOUND: Mapping[str, Mapping[str, object]] = {
    "condition text": {"condition": "steps.search.total > 3"},
    "condition object": {"condition": field("search.total") > 3},
    "condition function": {"condition": lambda search: search.total > 3},
    "judged by the model": {"execution_mode": CONDITIONAL, "constraints": ["Only if there are hits"]},
    "enabled by inputs": {"enabled": "inputs.region == 'eu'"},
    "disabled": {"enabled": False},
    "items": {"goal": "Sum {item.title} up, number {index}", "for_each": "search.hits", "execution_mode": PARALLEL},
    "items of an input": {"goal": "Read {item}", "for_each": "urls", "execution_mode": PARALLEL},
    "item function": {
        "goal": None, "run": lambda item, index: 1, "for_each": "search.hits", "execution_mode": PARALLEL,
    },
    "branches": {"goal": None, "branches": ["Praise {search}", takes_search], "execution_mode": PARALLEL},
    "named branches": {
        "goal": None, "branches": {"bull": "Praise it", "bear": "Blame it"}, "merge": "Weigh {search.total} against it",
        "execution_mode": PARALLEL, "min_success": 1, "max_concurrency": 2, "item_schema": int,
    },
    "merge of steps": {"goal": None, "merge": "dict", "depends_on": ["search"], "execution_mode": PARALLEL},
    "merge function": {"goal": None, "merge": len, "depends_on": ["search"], "execution_mode": PARALLEL},
    "a goal over what others gave": {"goal": "Weigh them", "depends_on": ["search"], "execution_mode": PARALLEL},
    "share": {"for_each": "search.hits", "execution_mode": PARALLEL, "min_success": 0.5},
    "all of them": {"for_each": "search.hits", "execution_mode": PARALLEL, "min_success": 1.0},
    "soft as text": {"depends_on": [Dependency("search", "soft", wait_seconds=1)]},  # type: ignore[arg-type]
    "soft": {"depends_on": [Dependency("search", SOFT, wait_seconds=0), "review"]},
    "data": {"depends_on": [Dependency("search", DATA, path="hits[0].title")]},
    "default check": {"depends_on": [Dependency("review", VALIDATION)]},
    "check": {"depends_on": [Dependency("search", VALIDATION, check="output.total > 0")]},
    "check function": {"depends_on": [Dependency("search", VALIDATION, check=lambda output: output.total > 0)]},
    "skipped along": {"depends_on": [Dependency("review", on_skip="skip")]},
    "fallback step": {"on_error": "review", "output_schema": Review},
    "fallback output": {"on_error": Fallback(output="Nothing")},
    "compensation": {"compensate": "Take back {last} and {search.total}"},
    "compensation function": {"compensate": lambda last, search=None: None},
    "budget": {"budget": Budget(max_model_calls=3)},
    "budget as a dict": {"budget": {"max_cost_usd": 0.5}},
}  # fmt: skip


@pytest.mark.parametrize("options", SOUND.values(), ids=SOUND)
def test_what_is_right_is_not_refused(options: Mapping[str, object]) -> None:
    """The checks must not stand in the way."""
    assert errors(searched(**options)) == []


WRONG: list[tuple[Mapping[str, object], str, str]] = [
    ({"execution_mode": CONDITIONAL}, "no_condition", "Give it a condition="),
    ({"execution_mode": CONDITIONAL, "constraints": ["  "]}, "no_condition", "constraints"),
    ({"condition": "steps.search.total >"}, "bad_condition", "cannot be read"),
    ({"condition": "steps.last.total > 1"}, "bad_condition", "its own output"),
    ({"condition": "steps.serch.total > 3"}, "unknown_step", "Did you mean 'search'?"),
    ({"condition": field("search.totl") > 3}, "unknown_path", "Did you mean 'total'?"),
    ({"condition": "steps.search.total > 'many'"}, "bad_condition", "a number with a text"),
    ({"depends_on": [Dependency("search", VALIDATION, check="output.totl > 0")]}, "unknown_path", "'total'?"),
    ({"condition": 5}, "bad_type", "`condition` is 5"),
    ({"condition": lambda x, /: x}, "bad_function", "cannot be passed by name"),
    ({"enabled": "steps.search.total > 3"}, "bad_condition", "none of which has run by then"),
    ({"enabled": ~(field("inputs.a") == 1) & asks}, "bad_condition", "asks a function"),
    ({"enabled": "inputs.region =="}, "bad_condition", "`enabled` cannot be read"),
    ({"enabled": None}, "bad_type", "`enabled` is None"),
    ({"enabled": lambda: True}, "bad_type", "`enabled` is"),
    ({"execution_mode": CONDITIONAL, "condition": "true", "branches": ["A", "B"]}, "wrong_mode", "PARALLEL_MERGE"),
    (
        {"execution_mode": CONDITIONAL, "condition": "true", "for_each": "search.hits", "merge": "list"},
        "wrong_mode",
        "`for_each`, `merge`",
    ),
    ({"max_concurrency": 4}, "wrong_mode", "`max_concurrency`"),
    ({"execution_mode": PARALLEL, "branches": ["A"], "for_each": "search.hits", "goal": None}, "two_works", "both"),
    ({"execution_mode": PARALLEL, "branches": ["A"]}, "two_works", "goal, branches"),
    ({"execution_mode": PARALLEL, "for_each": "search.hits", "goal": None}, "no_work", "neither a goal"),
    ({"execution_mode": PARALLEL, "goal": None}, "no_work", "nothing to merge"),
    ({"execution_mode": PARALLEL, "goal": "Merge"}, "no_work", "nothing to merge"),
    ({"execution_mode": PARALLEL, "merge": "list", "depends_on": ["search"]}, "two_works", "a `merge`, and no parts"),
    ({"execution_mode": PARALLEL, "item_schema": int, "depends_on": ["search"]}, "bad_parts", "`item_schema` is for"),
    ({"execution_mode": PARALLEL, "for_each": "search.hit"}, "unknown_path", "Did you mean 'hits'?"),
    ({"execution_mode": PARALLEL, "for_each": "search.total"}, "bad_for_each", "'search.total' is int"),
    ({"execution_mode": PARALLEL, "for_each": "search"}, "bad_for_each", "'search' is Found"),
    ({"execution_mode": PARALLEL, "for_each": "last.hits"}, "bad_for_each", "the step itself"),
    ({"execution_mode": PARALLEL, "for_each": "a b"}, "bad_path", "In `for_each`"),
    ({"execution_mode": PARALLEL, "for_each": 5}, "bad_type", "the path of a list"),
    ({"execution_mode": PARALLEL, "for_each": "search.hits", "goal": "Use {item.titel}"}, "unknown_path", "'title'?"),
    ({"execution_mode": PARALLEL, "for_each": "search.hits", "agent": answer}, "bad_parts", "cannot have `agent`"),
    ({"execution_mode": PARALLEL, "goal": None, "branches": []}, "bad_branches", "is empty"),
    ({"execution_mode": PARALLEL, "goal": None, "branches": "AB"}, "bad_type", "a list or a dict of goals"),
    ({"execution_mode": PARALLEL, "goal": None, "branches": [5]}, "bad_type", "a list or a dict of goals"),
    ({"execution_mode": PARALLEL, "goal": None, "branches": {5: "A"}}, "bad_type", "a list or a dict of goals"),
    ({"execution_mode": PARALLEL, "goal": None, "branches": {"<condition>": "A"}}, "bad_branches", "none of them '<'"),
    ({"execution_mode": PARALLEL, "goal": None, "branches": {"": "A"}}, "bad_branches", "1 to 200"),
    ({"execution_mode": PARALLEL, "goal": None, "branches": {"a": " "}}, "bad_branches", "empty goal"),
    ({"execution_mode": PARALLEL, "goal": None, "branches": ["A"] * 1001}, "bad_branches", "1,001 branches"),
    ({"execution_mode": PARALLEL, "goal": None, "branches": ["A"], "min_success": 2}, "bad_parts", "has 1 branches"),
    ({"execution_mode": PARALLEL, "for_each": "search.hits", "min_success": 1.5}, "bad_parts", "a share (float) up to"),
    ({"execution_mode": PARALLEL, "for_each": "steps.search.hits"}, "unknown_path", "Write 'search.hits'."),
    ({"execution_mode": PARALLEL, "for_each": "steps.search"}, "unknown_path", "Write 'search'."),
    ({"execution_mode": PARALLEL, "for_each": "search.hits", "min_success": -1}, "bad_parts", "from 0"),
    ({"execution_mode": PARALLEL, "for_each": "search.hits", "min_success": "all"}, "bad_type", "from 0"),
    ({"execution_mode": PARALLEL, "for_each": "search.hits", "max_concurrency": 0}, "bad_parts", "from 1"),
    ({"execution_mode": PARALLEL, "for_each": "search.hits", "merge": takes_two}, "bad_merge", "one positional"),
    ({"execution_mode": PARALLEL, "for_each": "search.hits", "merge": " "}, "bad_merge", "empty"),
    ({"execution_mode": PARALLEL, "for_each": "search.hits", "item_schema": object()}, "bad_schema", "item_schema"),
    (
        {"execution_mode": PARALLEL, "for_each": "search.hits", "depends_on": [Dependency("search", SOFT)]},
        "bad_dependency", "cannot go on without its list",
    ),
    ({"depends_on": [Dependency("search", SOFT, wait_seconds=-1)]}, "bad_dependency", "from 0"),
    ({"depends_on": [Dependency("search", SOFT, wait_seconds=float("nan"))]}, "bad_dependency", "from 0"),
    ({"depends_on": [Dependency("search", wait_seconds=1)]}, "bad_dependency", "`wait_seconds` is for SOFT"),
    ({"depends_on": [Dependency("search", path="hits")]}, "bad_dependency", "`path` is for DATA"),
    ({"depends_on": [Dependency("search", check="output.total > 0")]}, "bad_dependency", "`check` is for VALIDATION"),
    ({"depends_on": [Dependency("search", SOFT, on_skip="skip")]}, "bad_dependency", "`on_skip` is for HARD"),
    ({"depends_on": [Dependency("search", on_skip="wait")]}, "bad_dependency", "'run' or 'skip'"),  # type: ignore[arg-type]
    ({"depends_on": [Dependency("search", "sofd")]}, "bad_type", "Did you mean 'soft'?"),  # type: ignore[arg-type]
    ({"depends_on": [Dependency("search", 5)]}, "bad_type", "one of DependencyType"),  # type: ignore[arg-type]
    ({"condition": "search > 1"}, "bad_condition", "known here. Write steps.search for the output of this step."),
    ({"condition": "nobody > 1"}, "bad_condition", "Write steps.nobody or inputs.nobody for a value"),
    ({"condition": "steps.search.total and true"}, "bad_condition", "Write &&"),
    ({"condition": "steps.search.total"}, "bad_condition", "Its condition: It must be a bool, and `steps.search"),
    ({"enabled": "search > 1"}, "bad_condition", "Write inputs.search for a value"),
    ({"depends_on": [Dependency("search", VALIDATION, check="total > 2")]}, "bad_condition", "Write output.total for"),
    ({"depends_on": [Dependency("search", VALIDATION, check="review > 2")]}, "bad_condition", "Write steps.review for"),
    ({"depends_on": [Dependency(5)]}, "bad_type", "the name of a step"),  # type: ignore[arg-type]
    ({"depends_on": [Dependency("search", VALIDATION, check=5)]}, "bad_type", "must be a condition"),  # type: ignore[arg-type]
    ({"depends_on": [Dependency("search", DATA, path=5)]}, "bad_type", "must be text"),  # type: ignore[arg-type]
    ({"depends_on": ["search", Dependency("search", SOFT)]}, "bad_dependency", "contradict each other"),
    ({"depends_on": [Dependency("search", VALIDATION)]}, "bad_check", "`valid: bool`, `passed: bool`"),
    ({"depends_on": [Dependency("search", VALIDATION, check="output.total >")]}, "bad_condition", "cannot be read"),
    ({"on_error": "reviw"}, "unknown_step", "Did you mean 'review'?"),
    ({"on_error": "last"}, "bad_fallback", "max_retries"),
    ({"on_error": "review", "output_schema": int}, "bad_fallback", "which gives Review, and this step gives int."),
    ({"on_error": ""}, "bad_fallback", "empty"),
    ({"on_error": 5}, "bad_type", "Fallback"),
    ({"on_error": Fallback(5)}, "bad_type", "Fallback"),  # type: ignore[arg-type]
    ({"on_error": Fallback("review", output=1)}, "bad_fallback", "Keep one of them"),
    ({"on_error": Fallback(output=5), "output_schema": Review}, "bad_fallback", "does not fit Review"),
    ({"on_error": Fallback(output=object())}, "bad_fallback", "does not fit str"),
    ({"compensate": " "}, "bad_compensation", "empty"),
    ({"compensate": 5}, "bad_type", "a function or a goal"),
    ({"compensate": lambda x, /: x}, "bad_function", "its compensation's"),
    ({"compensate": "Undo {search.totl}"}, "unknown_path", "Did you mean 'total'?"),
    ({"optional": "yes"}, "bad_type", "True or False"),
    ({"circuit": 5}, "bad_type", "CircuitPolicy"),
    ({"budget": {"max_cost": 1}}, "bad_budget", "Did you mean 'max_cost_usd'?"),
    ({"budget": {"max_tokens": 0}}, "bad_budget", "from 1"),
    ({"budget": 5}, "bad_type", "Budget"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "code", "said"), WRONG)
def test_each_mistake_is_named_with_what_would_be_right(options: Mapping[str, object], code: str, said: str) -> None:
    """It would fail only when its turn comes, after the steps before it were paid for."""
    found = [(problem.code, said in problem.message, problem.step) for problem in errors(searched(**options))]
    assert (code, True, "last") in found, errors(searched(**options))
    assert {one for one, _, _ in found} == {code}, errors(searched(**options))


def test_a_step_that_cannot_be_read_does_not_hide_the_mistakes_of_others() -> None:
    """All come at once."""
    pipeline = searched(condition=5).step("more", "Do more", depends_on=["serch"]).step("again", run=lambda last: last)
    assert codes(pipeline) == ["bad_type", "unknown_step"]


@pytest.mark.parametrize(
    "maybe",
    [
        {"condition": "steps.search.total > 1"},
        {"execution_mode": CONDITIONAL, "constraints": ["Only if there is any"]},
        {"enabled": "inputs.region == 'eu'"},
        {"optional": True},
        {"depends_on": [Dependency("gate", on_skip="skip")]},
    ],
)
def test_a_parameter_needs_a_default_if_its_step_may_be_left_out(maybe: Mapping[str, object]) -> None:
    """The function would be called without it. Who says DATA wants to be left out, too."""
    before = searched().step("gate", "Open it", enabled="inputs.region == 'eu'", execution_mode=CONCURRENT)
    before.step("extra", "Do more", **maybe)  # type: ignore[arg-type]  # each is right
    assert codes(Pipeline(before).step("end", run=lambda extra: extra)) == ["needs_default"]
    assert codes(Pipeline(before).step("end", run=lambda extra=None: extra)) == []
    demanding = [Dependency("extra", DATA)]
    assert codes(Pipeline(before).step("end", run=lambda extra: extra, depends_on=demanding)) == []
    along = [Dependency("extra", on_skip="skip")]
    assert codes(Pipeline(before).step("end", run=lambda extra: extra, depends_on=along)) == []
    assert codes(Pipeline(before).step("end", "Use {extra}")) == []


def test_a_parameter_of_what_takes_the_place_of_another_needs_a_default() -> None:
    """It runs only if that one failed."""
    before = searched(on_error="spare").step("spare", "Do it otherwise")
    assert codes(Pipeline(before).step("end", run=lambda spare: spare)) == ["needs_default"]
    assert codes(Pipeline(before).step("end", run=lambda last, spare=None: last)) == []


def test_a_parameter_whose_step_is_waited_for_only_soft_needs_a_default() -> None:
    """What is there at the start is used, and that may be nothing."""
    soft = [Dependency("search", SOFT, wait_seconds=5)]
    assert codes(searched(goal=None, run=takes_search, depends_on=soft)) == ["needs_default"]


def test_conditions_and_compensations_that_ask_functions_need_what_they_are_given() -> None:
    """Their parameters are filled by name, too."""
    before = searched(optional=True)
    assert codes(Pipeline(before).step("end", "Do it", condition=lambda last: last)) == ["needs_default"]
    assert codes(Pipeline(before).step("end", "Do it", compensate=lambda end, last: last)) == ["needs_default"]
    declared = Pipeline(before, inputs=Region)
    assert codes(Pipeline(declared).step("end", "Do it", condition=lambda regoin: True)) == ["unknown_parameter"]
    assert codes(Pipeline(declared).step("end", "Do it", compensate=lambda regoin: True)) == ["unknown_parameter"]
    assert codes(Pipeline(declared).step("end", "Do it", compensate=lambda end, region: True)) == []

    def with_context(context: StepContext, search: Found) -> bool:
        return bool(context)

    assert codes(Pipeline(declared).step("end", "Do it", condition=with_context)) == []


def test_a_name_that_items_use_is_taken() -> None:
    """Which of the two `{item}` means would be a guess."""
    each = {"for_each": "search.hits", "execution_mode": PARALLEL}
    assert codes(searched(**each).step("index", "Count", depends_on=["last"])) == ["ambiguous_name"]
    assert codes(searched(**each), inputs=["item"]) == ["ambiguous_name"]
    assert codes(searched(), inputs=["item"]) == [], "where nothing has items the name is free"


def test_the_list_of_an_input_is_checked_where_inputs_are_declared() -> None:
    """A misspelt name would fail at its turn."""
    each = searched(goal="Read {item}", for_each="urls", execution_mode=PARALLEL)
    assert codes(Pipeline(each, inputs=Region)) == []
    assert codes(each, inputs=["url"]) == ["unknown_path"]
    wrong = searched(goal="Read {item}", for_each="region", execution_mode=PARALLEL)
    assert codes(Pipeline(wrong, inputs=Region)) == ["bad_for_each"]


def test_a_fallback_serves_one_step_and_does_not_wait_for_it() -> None:
    """Whose output it would be, and whether it could ever run, must be clear."""
    shared = Pipeline("p").step("a", "A", on_error="c").step("b", "B", on_error="c").step("c", "C")
    assert [(p.step, p.code) for p in errors(shared)] == [("b", "bad_fallback")]
    needing = Pipeline("p").step("a", "A", on_error="c").step("c", "Use {a}")
    assert "depends on this step" in errors(needing)[0].message
    waiting = Pipeline("p").step("a", "A", on_error="c").step("c", "C", depends_on=[Dependency("a", SOFT)])
    assert codes(waiting) == ["bad_fallback"]


def test_a_circle_through_fallbacks_is_found_however_long() -> None:
    """What waits for a step waits for all that may take its place."""
    near = Pipeline("p").step("a", "A", on_error="b").step("b", "B", depends_on=["d"]).step("d", "D", depends_on=["a"])
    assert codes(near) == ["cycle"]
    far = (
        Pipeline("p")
        .step("a", "A", on_error="b")
        .step("b", "B", on_error="c")
        .step("c", "C", depends_on=["d"])
        .step("d", "D", depends_on=["a"])
    )
    assert codes(far) == ["cycle"]
    assert codes(Pipeline("p").step("a", "A", on_error="b").step("b", "B", on_error="a")) == ["cycle"]
    assert codes(Pipeline("p").step("a", "A", on_error="b").step("b", "B").step("d", "Use {a}")) == []


def test_what_a_condition_reads_comes_before() -> None:
    """It is a dependency like any other, so it can close a circle."""
    pipeline = Pipeline("p").step("a", "A", condition="steps.b == 'x'").step("b", "Use {a}")
    assert codes(pipeline) == ["cycle"]


def test_an_output_that_says_nothing_of_its_validity_needs_a_check() -> None:
    """Of a type that is not known it may still come."""

    class Wordy(BaseModel):
        valid: str

    checked = [Dependency("a", VALIDATION)]
    for kind, expected in ((Review, []), (Marked, []), (Wordy, ["bad_check"]), (str, ["bad_check"]), (dict, [])):
        pipeline = Pipeline("p").step("a", "A", output_schema=kind).step("b", "B", depends_on=checked)
        assert codes(pipeline) == expected, kind


def test_compensation_without_rollback_warns() -> None:
    """It would never be called."""
    warnings = [p for p in validate_pipeline(searched(compensate="Undo it")) if p.severity == "warning"]
    assert ["on_failure='rollback'" in p.message for p in warnings] == [True]
    rolling = Pipeline(searched(compensate="Undo it"), on_failure="rollback")
    assert [p for p in validate_pipeline(rolling) if p.severity == "warning"] == []


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ({"on_failure": "roll_back"}, "bad_choice", "Did you mean 'rollback'?"),
        ({"on_budget": "pause"}, "bad_choice", "'fail', 'wait'"),
        ({"budget": {"max_tokens": "many"}}, "bad_budget", "from 1"),
        ({"budget": 5}, "bad_budget", "a Budget or a mapping"),
        ({"budget": {5: 5}}, "bad_budget", "a mapping of its fields"),
        ({"before_step": ["print"]}, "bad_hook", "`before_step` holds 'print'"),
        ({"after_step": [5]}, "bad_hook", "a list of functions"),
    ],
)
def test_what_a_pipeline_does_on_failure_and_may_spend_is_checked(
    options: Mapping[str, object], code: str, said: str
) -> None:
    """For the run as a whole."""
    [problem] = errors(Pipeline(searched(), **options))  # type: ignore[arg-type]  # wrong on purpose
    assert (problem.code, said in problem.message) == (code, True), problem


def test_inputs_that_only_conditions_and_lists_read_are_read() -> None:
    """They are no mistake."""
    pipeline = searched(
        goal="Read {item}",
        for_each="urls",
        execution_mode=PARALLEL,
        enabled="inputs.region == 'eu'",
        condition="inputs.kind == 'x'",
        compensate="Undo it for {who}",
    )
    problems = validate_pipeline(pipeline, inputs=["urls", "region", "kind", "who", "nobody"])
    assert [p.message for p in problems if p.code == "unused_input"] == ["No step reads the input 'nobody'."]


def test_constraints_of_a_function_that_a_model_judges_have_an_effect() -> None:
    """They say when it is to run."""
    judged = searched(goal=None, run=returning(1), execution_mode=CONDITIONAL, constraints=["Only on {search.total}"])
    assert [p.code for p in validate_pipeline(judged) if p.severity == "warning"] == []


def noted(pipeline: Pipeline, code: str, inputs: Sequence[str] | None = None) -> list[tuple[str, str]]:
    return [(p.severity, p.message) for p in validate_pipeline(pipeline, inputs=inputs) if p.code == code]


@pytest.mark.parametrize("merge", ["lst", "List", "dicts", " dict"])
def test_a_merge_that_is_nearly_a_known_one_warns(merge: str) -> None:
    """It would be a goal, and a model be paid to follow it."""
    [(severity, message)] = noted(searched(for_each="search.hits", merge=merge), "odd_merge")
    assert (severity, "Did you mean" in message) == ("warning", True)


@pytest.mark.parametrize("merge", ["list", "dict", "List what {search} found", "Sum it up", None, len])
def test_a_merge_that_is_meant_does_not_warn(merge: object) -> None:
    """Goals are what people write most."""
    assert noted(searched(for_each="search.hits", merge=merge), "odd_merge") == []


def test_an_item_function_that_knows_no_item_warns() -> None:
    """It would do the same for each of them, and cost as much."""
    for unaware in (lambda search: 1, lambda: 1):
        [(severity, message)] = noted(searched(goal=None, run=unaware, for_each="search.hits"), "no_item")
        assert (severity, "neither `item` nor `index`" in message) == ("warning", True)

    def knows_its_part(context: StepContext) -> str:
        return context.part

    for aware in (lambda item: 1, lambda index: 1, lambda **rest: 1, knows_its_part):
        assert noted(searched(goal=None, run=aware, for_each="search.hits"), "no_item") == []
    assert noted(searched(goal=None, run=lambda search: 1), "no_item") == []


def test_a_misspelt_item_is_told_from_a_missing_input() -> None:
    """`item` is no step and no input, and still the name that was meant."""
    pipeline = Pipeline(searched(goal=None, run=lambda itm: 1, for_each="search.hits"), inputs=Region)
    assert ["Did you mean 'item'?" in message for _, message in noted(pipeline, "unknown_parameter")] == [True]


def test_a_wait_between_serial_steps_is_told_to_have_no_effect() -> None:
    """Nothing fails; the step only starts later than its author wanted."""
    soft = [Dependency("search", SOFT, wait_seconds=1)]
    [(severity, message)] = noted(searched(depends_on=soft), "serial_wait")
    assert (severity, "execution_mode=CONCURRENT" in message) == ("hint", True)
    assert noted(searched(depends_on=soft, execution_mode=CONCURRENT), "serial_wait") == []
    assert noted(searched(depends_on=[Dependency("search", SOFT)]), "serial_wait") == []
    waiting = Pipeline("p").step("search", wait_for="found").step("last", "Do it", depends_on=soft)
    assert noted(waiting, "serial_wait") == []


def test_the_input_before_a_list_is_told_like_the_step() -> None:
    """In conditions both are written, so people write them here too."""
    pipeline = searched(goal="Read {item}", for_each="inputs.urls")
    assert ["Write 'urls'." in message for _, message in noted(pipeline, "unknown_path", ["urls"])] == [True]


INSIDE = Pipeline("i").step("x", run=lambda q: q)
AS_IN_CONDITIONS: Mapping[str, Callable[[str], PipelineStep]] = {
    "`for_each`": lambda path: PipelineStep(name="t", for_each=path, run=lambda item: 1),
    "`switch_on`": lambda path: switch(path, {"a": "last"}, default="last", name="t"),
    "`read_data`": lambda path: PipelineStep(name="t", goal="Write", read_data=[path]),
    "In `inputs`, 'q'": lambda path: PipelineStep(name="t", pipeline=INSIDE, inputs={"q": path}),
}


@pytest.mark.parametrize("where", AS_IN_CONDITIONS)
@pytest.mark.parametrize(("path", "meant"), [("steps.mail.kind", "mail.kind"), ("inputs.mode", "mode")])
def test_what_only_conditions_write_before_a_path_is_told_everywhere_else(where: str, path: str, meant: str) -> None:
    """One path is written in two ways, and without this it fails in the middle of a run, or asks for an input."""
    pipeline = unsure(AS_IN_CONDITIONS[where](path), "mail", "last")
    told = [(problem.severity, problem.message) for problem in validate_pipeline(pipeline, inputs=["mode"])]
    assert ("error", f"{where} names {path.partition('.')[0]!r}, no step or input. Write {meant!r}.") in told
    [(severity, message)] = noted(pipeline, "unknown_path")
    assert (severity == "error", f"Write {meant!r}." in message) == (path.startswith("steps"), True)
    assert noted(pipeline, "unknown_path", ["steps", "inputs"]) == []


@pytest.mark.parametrize(("path", "meant"), [("steps.mail.kind", "mail.kind"), ("inputs.mode", "mode")])
def test_what_only_conditions_write_before_a_path_is_told_of_a_placeholder(path: str, meant: str) -> None:
    """It would stay in the prompt as it is, and the model make something up."""
    asked = PipelineStep(name="t", goal=f"Answer {{{path}}}", approval=Approval(question=f"Send {{{path}}}?"))
    for inputs in (None, ["mode"]):
        told = [message for _, message in noted(unsure(asked, "mail"), "unknown_placeholder", inputs)]
        assert [f"Write {{{meant}}}." in message for message in told] == [True, True]
    assert noted(unsure(asked, "mail"), "unknown_placeholder", ["steps", "inputs"]) == []


def test_an_input_that_has_asks_for_need_not_be_given() -> None:
    """That is what has() is for; without it the name is a mistake."""
    assert codes(searched(condition="has(inputs.n) && inputs.n > 1"), ["m"]) == []
    assert codes(searched(condition="inputs.n > 1"), ["m"]) == ["unknown_input"]
    declared = Pipeline(searched(condition="has(inputs.n) && inputs.n > 1"), inputs=Region)
    assert codes(declared) == ["unknown_input"]


def test_a_fallback_of_another_type_is_not_refused_where_it_may_fit() -> None:
    """A model that reads or writes itself as text fits text."""

    class Worded(BaseModel):
        text: str

        @model_validator(mode="before")
        @classmethod
        def of_text(cls, given: object) -> object:
            return {"text": given} if isinstance(given, str) else given

    for wanted in (Worded, str | Review, list[str], None):
        step = PipelineStep(name="a", run=returning("x"), output_schema=wanted, on_error="b")
        assert codes(Pipeline("p", steps=[step]).step("b", "Say it")) == [], wanted


def test_a_check_that_cannot_see_the_output_is_told_how_it_is_called() -> None:
    """It is the one parameter whose name nobody chooses."""
    blind = searched(depends_on=[Dependency("review", VALIDATION, check=lambda x: x.approved)])
    [problem] = errors(blind)
    assert problem.code == "unknown_parameter"
    assert problem.message.endswith("'x' of its check's function. What is checked is called `output`.")
    for seeing in (lambda output: output, lambda review: review, lambda **rest: rest, lambda: True):
        assert errors(searched(depends_on=[Dependency("review", VALIDATION, check=seeing)])) == []


def test_an_output_in_the_place_of_a_step_is_told_how_it_is_written() -> None:
    """`Fallback` has room for both, and a value comes to mind first."""
    for given, hint in ((0.5, "Fallback(output=0.5)"), ("none of them", "Fallback(output='none of them')")):
        [problem] = errors(searched(on_error=Fallback(given)))  # type: ignore[arg-type]  # so it is written
        assert hint in problem.message


def unsure(step: PipelineStep, *before: str) -> Pipeline:
    """Return a pipeline of functions with these names, and `step` behind them."""
    pipeline = Pipeline("p")
    for name in before:
        pipeline.step(name, run=returning(1))
    return pipeline.add_step(step)


NEARLY = {
    "for_each": (PipelineStep(name="t", for_each="mails", run=lambda item: 1), "mail", "mails"),
    "switch_on": (switch("mode", {"a": "modes"}, default="modes", name="t"), "modes", "mode"),
    "read_data": (PipelineStep(name="t", goal="Write", read_data=["reports.x"]), "report", "reports"),
    "inputs": (
        PipelineStep(name="t", pipeline=Pipeline("i").step("x", run=lambda q: q), inputs={"q": "mails"}),
        "mail",
        "mails",
    ),
}


@pytest.mark.parametrize("where", NEARLY)
def test_a_name_that_an_input_may_have_is_wrong_only_once_the_inputs_are_known(where: str) -> None:
    """Until then it is a warning: a step called `mail` beside an input `mails` is what people write."""
    step, known, name = NEARLY[where]
    pipeline = unsure(step, known)
    assert codes(pipeline) == codes(pipeline, [name]) == []
    assert noted(pipeline, "unknown_path", [name]) == []
    [(severity, message)] = noted(pipeline, "unknown_path")
    assert (severity, f"Did you mean {known!r}?" in message, where in message) == ("warning", True, True)
    [problem] = [it for it in errors(pipeline, ["other"]) if it.code == "unknown_path"]
    assert f"Did you mean {known!r}?" in problem.message


@pytest.mark.parametrize("where", NEARLY)
def test_a_step_is_never_what_it_should_have_read_itself(where: str) -> None:
    """It has no output by then."""
    step, known, _ = NEARLY[where]
    pipeline = unsure(replace(step, name=known))
    assert noted(pipeline, "unknown_path") == []
    assert not any("Did you mean" in it.message for it in errors(pipeline, ["other"]) if it.code == "unknown_path")


@pytest.mark.parametrize(
    ("of", "question", "told"),
    [
        ("output", "Refund {output.total} for {search.total}?", None),
        ("output", "Refund {output}?", None),
        ("output", "Refund {last.total}?", "names the step itself and stays as it is. Write {output.total}."),
        ("output", "Refund {output.totl}?", "output (Found) has no field 'totl'. Did you mean 'total'?"),
        ("output", "Refund {search.totl}?", "search (Found) has no field 'totl'. Did you mean 'total'?"),
        ("start", "Refund {last.total}?", "{last.total} names the step itself and stays as it is."),
        ("start", "Refund {output.total}?", "{output.total} names no step or input and stays as it is."),
    ],
)
def test_a_question_that_would_show_its_braces_warns(
    of: Literal["start", "output"], question: str, told: str | None
) -> None:
    """Whoever is asked would not see what it is about; what a step gave is called `output` there."""
    pipeline = searched(output_schema=Found, approval=Approval(of=of, question=question), depends_on=["search"])
    messages = [message for severity, message in noted(pipeline, "unknown_placeholder", []) if severity == "warning"]
    assert len(messages) == (told is not None)
    assert all(str(told) in message for message in messages)
