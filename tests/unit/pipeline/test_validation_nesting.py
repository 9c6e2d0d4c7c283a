"""What is wrong with pipelines inside steps, told before anything runs."""

import pytest
from pydantic import BaseModel

from tagent import run_pipeline
from tagent.pipeline import (
    Pipeline,
    PipelineScheduler,
    PipelineStep,
    PipelineValidationError,
    Problem,
    on_event,
    repeat,
    validate,
    when,
)


class Topic(BaseModel):
    """What a research is given."""

    topic: str
    depth: int = 1


class Found(BaseModel):
    """What a step gives."""

    kind: str


def on_tea() -> Topic:
    """Return what a research is given."""
    return Topic(topic="tea")


def inner(**options: object) -> Pipeline:
    """Return a valid pipeline with an input model."""
    return Pipeline("inner", inputs=Topic, **options).step("look", run=lambda topic: topic)  # type: ignore[arg-type]


def problems(pipeline: Pipeline, *, inputs: set[str] | None = None, severity: str = "error") -> list[tuple[str, str]]:
    """Return (step, code) of each problem of this severity."""
    return [(it.step, it.code) for it in validate(pipeline, inputs=inputs) if it.severity == severity]


def only(pipeline: Pipeline, *, inputs: set[str] | None = None) -> Problem:
    """Return the only error of a pipeline."""
    [found] = [it for it in validate(pipeline, inputs=inputs) if it.severity == "error"]
    return found


def test_a_valid_one_has_no_problems() -> None:
    """By paths, by name, by a function; with items and in rounds."""
    outer = Pipeline("outer").step("kind", run=lambda: "tea").step("topic", run=lambda: "tea")
    outer.step("a", pipeline=inner(), inputs={"topic": "kind"}).step("b", pipeline=inner())
    outer.step("c", pipeline=inner(), inputs=lambda kind: {"topic": kind})
    outer.step("d", pipeline=inner(), inputs={"topic": "item", "depth": "index"}, for_each="a")
    outer.add_step(repeat(PipelineStep(name="e", pipeline=inner(), inputs={"topic": "kind", "depth": "round"})))
    assert problems(outer, inputs=set()) == []


def test_the_mistakes_inside_are_told_with_the_path_of_their_step() -> None:
    """All of them at once, however deep."""
    deep = Pipeline("deep").step("x", run=lambda: 1, depends_on=["y"])
    middle = Pipeline("middle").step("deep", pipeline=deep).step("bad", run=lambda: 1, timeout=0)
    outer = Pipeline("outer").step("middle", pipeline=middle).step("own", run=lambda: 1, depends_on=["nobody"])
    assert problems(outer) == [
        ("middle/deep/x", "unknown_step"),
        ("middle/bad", "bad_timeout"),
        ("own", "unknown_step"),
    ]


def test_a_pipeline_without_steps_is_told_with_the_step_that_runs_it() -> None:
    """Problems of a pipeline as a whole are its step's."""
    assert problems(Pipeline("outer").step("s", pipeline=Pipeline("empty"))) == [("s", "empty")]


def test_a_pipeline_inside_itself_is_refused() -> None:
    """Directly, or through others; and nothing runs for ever to find out."""
    outer = Pipeline("outer")
    outer.step("s", pipeline=outer).step("t", pipeline=outer).step("u", pipeline=outer)
    assert (only(outer).code, only(outer).step) == ("cycle", "s")
    first, second = Pipeline("first"), Pipeline("second")
    first.step("a", pipeline=second)
    second.step("b", pipeline=first)
    assert (only(first).code, only(first).step) == ("cycle", "a/b")
    with pytest.raises(PipelineValidationError):
        run_pipeline(first)


def nested(depth: int, *, times: int = 1) -> Pipeline:
    """Return a pipeline that is so deep, each level of which has the next one several times."""
    pipeline = Pipeline("p").step("s", run=lambda: 1)
    for _ in range(depth):
        around = Pipeline("p")
        for number in range(times):
            around.step(f"s{number}", pipeline=pipeline)
        pipeline = around
    return pipeline


def test_ten_pipelines_may_lie_inside_each_other_and_no_more() -> None:
    """Also far too deep ones are told at once."""
    assert problems(nested(10)) == []
    assert only(nested(11)).code == "too_deep"
    assert only(nested(5000)).code == "too_deep"


def test_the_steps_of_all_pipelines_together_are_limited() -> None:
    """One that is there again and again counts each time, and counting takes no time."""
    assert only(nested(10, times=9)).code == "too_large"


def test_inputs_must_fill_what_the_pipeline_needs() -> None:
    """Of its input model, or of what its steps ask for."""
    outer = Pipeline("outer").step("kind", run=lambda: "tea")
    assert only(outer_with(outer, inputs={"depth": "kind"})).code == "missing_input"
    assert only(outer_with(outer, inputs={"topics": "kind", "topic": "kind"})).code == "unknown_input"
    assert "Did you mean 'topic'?" in only(outer_with(outer, inputs={"topics": "kind", "topic": "kind"})).message
    by_name = only(outer_with(outer), inputs=set())
    assert (by_name.code, by_name.step) == ("missing_input", "s")
    plain = Pipeline("plain").step("x", run=lambda n, m=1: n + m)
    missing = only(Pipeline("outer", inputs=Topic).step("s", pipeline=plain))
    assert (missing.code, "'n'" in missing.message) == ("missing_input", True)


def outer_with(outer: Pipeline, **options: object) -> Pipeline:
    """Return a copy of `outer` with a step that runs `inner()`."""
    return Pipeline(outer).step("s", pipeline=inner(), **options)  # type: ignore[arg-type]  # each by its name


def test_paths_of_inputs_must_lead_somewhere() -> None:
    """To a step, an input, an item; and to a field that the step declares."""
    outer = Pipeline("outer").step("kind", run=lambda: Found(kind="tea"), output_schema=Found)
    assert only(outer_with(outer, inputs={"topic": "kinds.kind"}), inputs=set()).code == "unknown_path"
    assert only(outer_with(outer, inputs={"topic": "kind.knid"})).code == "unknown_path"
    assert only(outer_with(outer, inputs={"topic": "kind["})).code == "bad_path"
    assert only(outer_with(outer, inputs={"topic": "s"})).code == "bad_inputs"
    assert problems(outer_with(outer, inputs={"topic": "kind.kind"})) == []
    assert only(outer_with(outer, inputs={"topic": "item"}), inputs=set()).code == "unknown_path"


def test_what_means_nothing_to_a_pipeline_is_refused() -> None:
    """A goal beside it, tools, rules; and inputs without one."""
    assert problems(Pipeline("o").step("s", "Find it", pipeline=inner(), inputs=on_tea)) == [("s", "two_works")]
    told = only(Pipeline("o").step("s", pipeline=inner(), inputs=on_tea, constraints=["Be brief"]))
    assert (told.code, "`constraints`" in told.message) == ("bad_pipeline", True)
    assert only(Pipeline("o").step("s", run=lambda: 1, inputs={"a": "b"})).code == "bad_inputs"
    assert only(Pipeline("o").step("s", pipeline="inner")).code == "bad_type"  # type: ignore[arg-type]  # on purpose
    assert only(Pipeline("o").step("s", pipeline=inner(), inputs=["topic"])).code == "bad_type"  # type: ignore[arg-type]


def test_names_that_could_be_taken_for_paths_are_refused() -> None:
    """`outer/inner` must mean one step only, and so must the scopes of what is remembered."""
    with_slash = Pipeline("i").step("a/b", run=lambda: 1)
    assert (only(Pipeline("o").step("s", pipeline=with_slash)).code, only(with_slash).code) == ("bad_name", "bad_name")
    assert only(Pipeline("o").step("step", pipeline=inner(), inputs=on_tea)).code == "bad_name"


def test_triggers_of_a_pipeline_inside_are_told_to_have_no_effect() -> None:
    """They start runs of their own only where the pipeline is one by itself."""
    outer = Pipeline("o").step("s", pipeline=inner(triggers=[on_event("news")]), inputs=on_tea)
    assert ("s", "no_effect") in problems(outer, severity="warning")


def test_what_a_pipeline_gives_has_the_type_of_its_last_step() -> None:
    """Whoever reads a field of it that is not there is told before the run."""
    found = Pipeline("i").step("look", run=lambda: Found(kind="x"), output_schema=Found)
    outer = Pipeline("o").step("s", pipeline=found)
    assert problems(Pipeline(outer).step("t", "Use {s.kind}")) == []
    assert problems(Pipeline(outer).step("t", "Use {s.knid}")) == [("t", "unknown_path")]
    assert problems(Pipeline("o").step("s", pipeline=found, for_each="items").step("t", "Use {s[0].knid}")) == []


def test_what_a_pipeline_reads_by_name_is_a_dependency() -> None:
    """Nobody has to say so twice; what has a default is waited for, and may be missing."""
    plain = Pipeline("i").step("x", run=lambda a, b=1: a + b).step("y", "Say {c} and {x}")
    outer = Pipeline("o").step("s", pipeline=plain).step("a", run=lambda: 1).step("b", run=lambda: 1)
    outer.step("c", run=lambda: 1).step("x", run=lambda: 1)
    assert PipelineScheduler(outer).execution_graph["s"] == ["a", "c", "b"]
    mapped = Pipeline("o").step("a", run=lambda: {"n": 1}).step("s", pipeline=inner(), inputs={"topic": "a.n"})
    assert PipelineScheduler(mapped).execution_graph["s"] == ["a"]
    by_function = Pipeline("o").step("a", run=lambda: 1).step("s", pipeline=inner(), inputs=lambda a: {"topic": a})
    assert PipelineScheduler(by_function).execution_graph["s"] == ["a"]


class Maybe(BaseModel):
    before: Found | None = None
    now: Found


def test_a_null_that_the_way_to_a_step_has_asked_about_is_no_warning() -> None:
    """The branch is taken only where there is a value."""
    pipeline = Pipeline("p").step("facts", "Find it", output_schema=Facts)
    pipeline.add_step(when("steps.facts.detail != null").then("a")).step("a", "Tell of {facts.detail.name}")
    assert null_paths(pipeline) == []
    pipeline.step("b", "Tell of {facts.detail.name}")
    assert len(null_paths(pipeline)) == 1


class Detail(BaseModel):
    name: str


class Facts(BaseModel):
    detail: Detail | None = None


def null_paths(pipeline: Pipeline) -> list[str]:
    return [it.message for it in validate(pipeline) if (it.code, it.severity) == ("null_path", "warning")]


def test_a_path_through_what_may_be_null_warns() -> None:
    """It fails the step once that is null, as what was before the first round is."""
    pipeline = Pipeline("p", inputs=Maybe)
    for options in ({"goal": "Use {before.kind}"}, {"goal": "Do it", "read_data": ["before.kind"]}):
        [message] = null_paths(Pipeline(pipeline).step("a", **options))
        assert message.startswith("The step fails when before is null, since 'before.kind' then leads nowhere.")
    [told] = null_paths(Pipeline(pipeline).step("a", pipeline=inner(), inputs={"topic": "before.kind"}))
    assert "'before.kind'" in told
    assert null_paths(Pipeline(pipeline).step("a", "Use {before} and {now.kind}")) == []
    assert null_paths(Pipeline(pipeline).step("a", "Use {before.kind}", condition="inputs.before != null")) == []
    rounds = PipelineStep(name="a", goal="Use {previous.kind}", output_schema=Found)
    assert null_paths(Pipeline(pipeline).add_step(repeat(rounds, max_times=2))) == []
