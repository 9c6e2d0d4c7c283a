"""Outputs and inputs on their way through JSON."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field

from tagent import run_pipeline
from tagent.pipeline import (
    Dependency,
    DependencyType,
    InputError,
    Pipeline,
    PipelineStep,
    StepContext,
    StepOutputError,
    validate,
)
from tagent.pipeline.inputs import check_inputs, typed_inputs
from tagent.pipeline.outputs import OutputType


class Colour(enum.Enum):
    RED = "red"


class Item(BaseModel):
    model_config = ConfigDict(strict=True)

    label: str = Field(alias="theLabel")
    at: datetime
    colour: Colour
    tags: set[str]

    @computed_field
    def loud(self) -> str:
        """Not part of what is read back."""
        return self.label.upper()


@dataclass
class Point:
    x: int
    y: tuple[int, int]


def test_a_typed_output_comes_back_equal() -> None:
    """Live and resumed types agree, aliases, strictness, sets and dates included."""
    item = Item(theLabel="a", at=datetime(2026, 1, 2, tzinfo=UTC), colour=Colour.RED, tags={"x"})
    declared = OutputType(Item)
    plain = declared.dump(item, step="s")
    assert isinstance(plain, dict)
    assert plain["label"] == "a"
    assert declared.load(plain, step="s") == item


def test_dataclasses_and_plain_annotations_are_types_too() -> None:
    """A return annotation is enough to get the class back."""
    point = Point(1, (2, 3))
    assert OutputType(Point).load(OutputType(Point).dump(point, step="s"), step="s") == point
    assert OutputType(list[Point]).dump([{"x": 1, "y": [2, 3]}], step="s") == [{"x": 1, "y": [2, 3]}]


def test_an_untyped_output_is_json_and_every_reader_has_a_copy() -> None:
    """A step that changes what it was given must not change what the next one sees."""
    untyped = OutputType()
    plain = untyped.dump({"n": (1, 2), "point": Point(1, (2, 3))}, step="s")
    assert plain == {"n": [1, 2], "point": {"x": 1, "y": [2, 3]}}
    first, second = untyped.load(plain, step="s"), untyped.load(plain, step="s")
    first["n"].append(3)
    assert second == plain == {"n": [1, 2], "point": {"x": 1, "y": [2, 3]}}


def test_what_cannot_be_json_is_refused_with_its_type() -> None:
    """It could never be resumed."""
    circle: list[object] = []
    circle.append(circle)
    for value in (object(), {"x": lambda: 1}, circle):
        with pytest.raises(StepOutputError, match=f"'s' \\({type(value).__name__}\\) cannot be written as JSON"):
            OutputType().dump(value, step="s")


@dataclass
class One:
    found: object


@pytest.mark.parametrize("value", [{1: 1, "1": 2}, [{"a": {None: 1, "None": 2}}], One({2: 3, "2": 3})], ids=str)
def test_keys_that_are_the_same_in_json_are_refused(value: object) -> None:
    """One of the two values would be lost, and nothing would say so."""
    with pytest.raises(StepOutputError, match=r"'s' \(\w+\) has two keys that are the same in JSON"):
        OutputType().dump(value, step="s")


def test_keys_that_are_texts_in_json_are_taken() -> None:
    """An index by number is no mistake."""
    assert OutputType().dump({1: "a", 2.5: "é"}, step="s") == {"1": "a", "2.5": "é"}


def test_what_does_not_fit_its_type_is_refused_without_its_value() -> None:
    """Messages name fields, never contents: they may be secret."""
    with pytest.raises(StepOutputError, match="does not fit Point: x: ") as caught:
        OutputType(Point).dump({"x": "secret", "y": [1, 2]}, step="s")
    assert "secret" not in str(caught.value)


def test_what_is_stored_and_does_not_fit_any_more_is_told_by_its_step_without_its_value() -> None:
    """Types change while runs are kept."""
    with pytest.raises(
        StepOutputError, match="stored output of the step 's' does not fit Point any more: x: "
    ) as caught:
        OutputType(Point).load({"x": "secret", "y": [1, 2]}, step="s")
    assert (caught.value.step, "secret" in str(caught.value)) == ("s", False)


class Order(BaseModel):
    item: str
    count: int = 1


def test_declared_inputs_are_checked_and_converted() -> None:
    """What comes from a command line is text."""
    pipeline = Pipeline("p", inputs=Order)
    assert check_inputs(pipeline, {"item": "tea", "count": "3"}) == {"item": "tea", "count": 3}
    assert check_inputs(pipeline, Order(item="tea")) == {"item": "tea", "count": 1}
    assert typed_inputs(pipeline, {"item": "tea", "count": 3}) == {"item": "tea", "count": 3}


def test_stored_inputs_that_do_not_fit_any_more_are_told_as_such() -> None:
    """Whoever changes the input model may still have runs of the old one."""
    with pytest.raises(InputError, match="do not fit any more"):
        typed_inputs(Pipeline("p", inputs=Order), {"count": "many"})


def test_missing_unknown_and_wrong_inputs_are_named_together() -> None:
    """With what the pipeline takes."""
    with pytest.raises(
        InputError, match="'item' is missing. 'count' does not fit: Input should be a valid integer"
    ) as caught:
        check_inputs(Pipeline("p", inputs=Order), {"count": "many"})
    assert caught.value.inputs == ("item", "count")
    assert "It takes: item, count." in str(caught.value)
    with pytest.raises(InputError, match="'itm' is unknown. Did you mean 'item'"):
        check_inputs(Pipeline("p", inputs=Order), {"item": "tea", "itm": "x"})


class Letter(BaseModel):
    """An input model whose fields are no texts."""

    order: Order
    lines: list[str] = []
    count: int = 1


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"order": '{"item": "tea"}'}, "written as JSON: order:=JSON."),
        ({"order": {"item": "tea"}, "lines": '["a"]'}, "written as JSON: lines:=JSON."),
        ({"order": {"item": "tea"}, "count": "many"}, "It takes: order, lines, count."),
        ({"order": 7}, "It takes: order, lines, count."),
        ({"order": {"item": 7}}, "It takes: order, lines, count."),
    ],
)
def test_a_text_for_what_is_none_is_told_how_to_write_it(given: dict[str, object], hint: str) -> None:
    """Most often somebody typed `=` for `:=`."""
    with pytest.raises(InputError) as caught:
        check_inputs(Pipeline("p", inputs=Letter), given)
    assert caught.value.hint.endswith(hint)


def test_a_name_that_says_what_was_meant_is_told_what_to_do() -> None:
    """`ctx` without its annotation is the most common of them."""
    for function, told in (
        (lambda ctx: ctx, "it needs the annotation: `ctx: StepContext`"),
        (lambda context: context, "it needs the annotation: `context: StepContext`"),
        (lambda previous: previous, "Only a step that is repeated has it: see `repeat`."),
        (lambda index: index, "Only a step with `for_each` has it."),
    ):
        pipeline = Pipeline("p").step("a", run=function)
        with pytest.raises(InputError) as raised:
            check_inputs(pipeline, {})
        assert told in str(raised.value)
        [problem] = validate(replace_inputs(pipeline))
        assert told in problem.message


def replace_inputs(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline with an input model, so that validation knows all names."""
    typed = Pipeline(pipeline.name, inputs=Order)
    typed.steps += pipeline.steps
    return typed


def test_what_ends_a_repetition_and_what_a_pipeline_is_given_are_told_the_nearest_names() -> None:
    """`output` and `previous` are known there, too."""
    inner = Pipeline("inner").step("a", run=lambda x: x)
    for pipeline, told in (
        (Pipeline("p").step("a", run=lambda: 1, until=lambda outpt: True, max_times=2), "Did you mean 'output'?"),
        (Pipeline("p").step("a", pipeline=inner, inputs={"x": "previus"}, max_times=2), "Did you mean 'previous'?"),
    ):
        with pytest.raises(InputError) as raised:
            check_inputs(pipeline, {})
        assert told in str(raised.value)
        assert told in str(validate(replace_inputs(pipeline))[0])


def test_what_a_pipeline_inside_a_step_lacks_is_given_by_that_step() -> None:
    """There is no command line inside."""
    with pytest.raises(InputError, match="Give it in `inputs=` of the step 'd'"):
        check_inputs(Pipeline("p").step("a", run=lambda x: x), {}, inside="d")


def test_a_list_that_nobody_gave_is_missing_before_anything_runs() -> None:
    """Steps before the one that goes through it would be paid for in vain."""
    pipeline = Pipeline("p").step("a", run=lambda item: item, for_each="order.lines").step("b", "{item}", for_each="a")
    with pytest.raises(InputError, match="'order' is missing; `for_each` of step 'a' goes through it."):
        check_inputs(pipeline, {})
    assert check_inputs(pipeline, {"order": {"lines": []}}) == {"order": {"lines": []}}


def test_what_read_data_names_is_missing_before_anything_runs() -> None:
    """The agent would be asked to work with what nobody gave."""
    pipeline = Pipeline("p").step("report", run=lambda: 1).step("a", "Write", read_data=["reports.x", "report"])
    with pytest.raises(InputError, match="'reports' is missing; `read_data` of step 'a' names it. Did you mean 'repo"):
        check_inputs(pipeline, {})
    assert check_inputs(pipeline, {"reports": {"x": 1}}) == {"reports": {"x": 1}}


def test_undeclared_inputs_are_what_the_functions_ask_for() -> None:
    """Nobody has to declare what a parameter says."""

    def brew(item: str, run: StepContext, count: int = 1) -> str:
        return item

    pipeline = Pipeline("p").step("brew", run=brew)
    assert check_inputs(pipeline, {"item": "tea", "more": {"a": (1,)}}) == {"item": "tea", "more": {"a": [1]}}
    with pytest.raises(InputError, match="'item' is missing; the function of step 'brew' asks for it"):
        check_inputs(pipeline, {})
    with pytest.raises(InputError, match="Did you mean 'itme'?"):
        check_inputs(pipeline, {"itme": "tea"})
    with pytest.raises(InputError, match="'item' cannot be written as JSON"):
        check_inputs(pipeline, {"item": object()})


@pytest.mark.parametrize(
    "options",
    [
        {"condition": "inputs.n > 3"},
        {"enabled": "inputs.n > 3"},
        {"condition": "steps.a == 'x' || inputs.n > 3"},
        {"depends_on": [Dependency("a", DependencyType.VALIDATION, check="inputs.n > 3")]},
    ],
)
def test_an_input_that_a_condition_reads_must_be_given(options: Mapping[str, object]) -> None:
    """Else the run fails when its turn comes, after the steps before it were paid for."""
    step = PipelineStep(name="b", goal="Do b", **options)  # type: ignore[arg-type]  # any of its fields
    pipeline = Pipeline("p").step("a", "Do a").add_step(step)
    message = r"'n' is missing; a condition of step 'b' reads it. If it may be missing, write has\(inputs.n\) && ..."
    with pytest.raises(InputError, match=message) as caught:
        run_pipeline(pipeline)
    assert caught.value.inputs == ("n",)
    with pytest.raises(InputError, match="Did you mean 'nn'?"):
        check_inputs(pipeline, {"nn": 1})
    assert check_inputs(pipeline, {"n": 1}) == {"n": 1}


@pytest.mark.parametrize("condition", ["has(inputs.n) && inputs.n > 3", "!has(inputs.n) || inputs.n.size > 3"])
def test_an_input_that_a_condition_asks_for_may_be_missing(condition: str) -> None:
    """That is what has() is for."""
    assert check_inputs(Pipeline("p").step("b", "Do b", condition=condition), {}) == {}


def test_a_declared_input_with_a_default_need_not_be_given() -> None:
    """Conditions read the default."""
    pipeline = Pipeline("p", inputs=Order).step("b", "Do b", condition="inputs.count > 0")
    assert check_inputs(pipeline, {"item": "tea"}) == {"item": "tea", "count": 1}


def test_a_misspelt_item_is_named_as_such() -> None:
    """It looks like an input that is missing."""
    pipeline = Pipeline("p").step("a", run=lambda: [1]).step("b", run=lambda itm: itm, for_each="a")
    with pytest.raises(InputError, match="'itm' is missing.* Did you mean 'item'?"):
        check_inputs(pipeline, {})
