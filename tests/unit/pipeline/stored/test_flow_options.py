"""Routes, rounds, approvals, caches and inner pipelines as they are stored, and with the code of today."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from tagent.pipeline import Pipeline, PipelineStep
from tagent.pipeline.approval import Approval
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.stored.definition import Definition, DefinitionMismatchError, Origin, bind, outline
from tagent.pipeline.transfer.definitions import read_definition
from tagent.pipeline.transfer.documents import RunImportError


class Order(BaseModel):
    amount: int


def one() -> int:
    return 1


def holds() -> bool:
    return True


def given(order: object) -> dict[str, object]:
    return {"order": order}


def stored(pipeline: Pipeline) -> Definition:
    return Definition.of(pipeline, Origin())


def innermost(work: Any = one) -> Pipeline:
    return Pipeline("innermost").step("look", run=work)


def refund(work: Any = one, condition: Any = "inputs.amount > 1") -> Pipeline:
    """Return a pipeline that is inside another, and has one inside."""
    return (
        Pipeline("refund", "Give back", config={"max_cost_usd": 1.0}, on_failure="fail_fast", budget={"max_tokens": 5})
        .step("check", "Check it", condition=condition, approval="output")
        .step("deep", pipeline=innermost(work), inputs=given)
    )


def flowing(work: Any = one, condition: Any = "steps.order.amount > 1", inputs: Any = None) -> Pipeline:
    """Return a pipeline that has each of the options."""
    pipeline = Pipeline("orders").step("order", run=returned)
    for step in (
        PipelineStep(name="large", when=condition, routes={"then": "refund", "otherwise": ["log", "thank"]}),
        PipelineStep(name="kind", switch_on="order.kind", routes={"a": ["log"], "default": []}),
        PipelineStep(
            name="refund", pipeline=refund(work), inputs=inputs or {"function": "order.amount"}, cache="forever"
        ),
        PipelineStep(name="log", goal="Log it", approval=True, cache="run"),
        PipelineStep(name="thank", run=work, until=condition, max_times=3, if_not_reached="keep", cache=60.0),
        PipelineStep(
            name="ask",
            goal="Ask",
            approval=Approval("output", question="Sure?", timeout=60.0, default="approve"),
            cache=timedelta(minutes=1),
        ),
    ):
        pipeline.add_step(step)
    return pipeline


def returned() -> Order:
    return Order(amount=1)


def test_every_option_is_stored_and_comes_back_with_the_code_of_today() -> None:
    """Promise 10 for what says which way a run goes, at every depth."""
    then = flowing()
    bound = bind(stored(then), flowing())
    assert stored(bound).payload == stored(then).payload
    _, large, kind, refunds, log, thank, ask = bound.steps
    assert (large.when, large.routes) == (
        "steps.order.amount > 1",
        {"then": ["refund"], "otherwise": ["log", "thank"]},
    )
    assert (kind.switch_on, kind.routes) == ("order.kind", {"a": ["log"], "default": []})
    assert (refunds.inputs, refunds.cache) == ({"function": "order.amount"}, "forever")
    assert (log.approval, log.cache) == (Approval(), "run")
    assert (thank.until, thank.max_times, thank.if_not_reached, thank.cache) == (
        "steps.order.amount > 1",
        3,
        "keep",
        60.0,
    )
    assert (ask.approval, ask.cache) == (Approval("output", question="Sure?", timeout=60.0, default="approve"), 60.0)
    inner = refunds.pipeline
    assert inner is not None
    assert (inner.name, inner.description, inner.on_failure) == ("refund", "Give back", "fail_fast")
    assert inner.budget == {"max_tokens": 5}
    assert inner.steps[0].approval == Approval("output")
    assert inner.steps[1].inputs is given
    assert inner.steps[1].pipeline is not None
    assert inner.steps[1].pipeline.steps[0].run is one


def test_functions_of_the_options_are_bound_again() -> None:
    """Only their names are stored."""
    then = flowing(condition=holds, inputs=given)
    definition = stored(then)
    spec = {step["name"]: step for step in definition.spec["steps"]}
    assert (spec["large"]["when"], spec["thank"]["until"]) == ({"functions": ["holds"]}, {"functions": ["holds"]})
    assert spec["refund"]["inputs"] == {"function": "given"}
    bound = {step.name: step for step in bind(definition, flowing(condition=holds, inputs=given)).steps}
    assert (bound["large"].when, bound["thank"].until, bound["refund"].inputs) == (holds, holds, given)


def test_a_definition_holds_only_the_options_that_are_used() -> None:
    """So that the definitions of older runs keep their hashes."""
    spec = stored(Pipeline("p").step("a", "Do a")).spec["steps"][0]
    options = {"pipeline", "inputs", "when", "switch_on", "routes", "until", "max_times", "if_not_reached"}
    assert options.isdisjoint(spec)
    assert {"approval", "cache"}.isdisjoint(spec)


def test_an_inner_pipeline_says_nothing_of_where_it_came_from() -> None:
    """Its file is that of the whole, and its version too."""
    inner = next(step["pipeline"] for step in stored(flowing()).spec["steps"] if "pipeline" in step)
    assert {"origin", "version"}.isdisjoint(inner)


def changed(name: str, **options: object) -> Pipeline:
    """Return the pipeline of today, with one step changed."""
    pipeline = flowing()
    pipeline.steps = [replace(step, **options) if step.name == name else step for step in pipeline.steps]  # type: ignore[arg-type]  # any option
    return pipeline


@pytest.mark.parametrize(
    ("now", "step", "said"),
    [
        (changed("large", when=holds), "large", "had no function in what it judges"),
        (changed("large", when=None, switch_on="order.kind"), "large", "was a condition to judge .* choice of a route"),
        (changed("kind", switch_on=None, goal="Choose"), "kind", "was a choice of a route .* is a goal"),
        (changed("thank", until=holds), "thank", "had no function in what it is repeated until"),
        (changed("refund", pipeline=None, run=one), "refund", "was a pipeline .* is a function today"),
        (changed("log", goal=None, pipeline=innermost()), "log", "was a goal .* is a pipeline today"),
        (changed("refund", pipeline=innermost()), "refund/check", "no step 'refund/check' any more"),
        (changed("refund", pipeline=refund(condition=holds)), "refund/check", "'refund/check' had no function in its"),
        (
            changed("refund", pipeline=Pipeline(refund(), inputs=Order)),
            "refund",
            "The input model of the pipeline 'refund' has changed",
        ),
        (
            changed("refund", pipeline=refund(work=returned)),
            "refund/deep/look",
            "'refund/deep/look' gave another type of output",
        ),
    ],
)
def test_code_that_does_not_fit_is_an_error_that_names_the_step_by_its_path(
    now: Pipeline, step: str, said: str
) -> None:
    """Two inner pipelines may have steps of the same name."""
    with pytest.raises(DefinitionMismatchError, match=said) as caught:
        bind(stored(flowing()), now)
    assert caught.value.step == step


def test_inputs_that_a_function_gave_need_one() -> None:
    """What the inner pipeline would be given is nobody's guess."""
    with pytest.raises(DefinitionMismatchError, match="'refund' had a function for its inputs"):
        bind(stored(flowing(inputs=given)), flowing())


@pytest.mark.parametrize("condition", ["steps.order.amount > 1", holds])
def test_an_outline_folds_as_the_pipeline_itself(condition: object) -> None:
    """At every depth: what decides a step's fate is all in the definition."""
    pipeline = flowing(condition=condition)
    assert_alike(ExecutionGraph.build(outline(stored(pipeline))), ExecutionGraph.build(pipeline))


def assert_alike(shown: ExecutionGraph, real: ExecutionGraph) -> None:
    assert (shown.names, shown.serial, shown.sinks, shown.on_failure) == (
        real.names,
        real.serial,
        real.sinks,
        real.on_failure,
    )
    for name in real.names:
        mine, theirs = shown.rules(name), real.rules(name)
        for plain in ("has_condition_part", "expansion", "routes", "approval"):
            assert getattr(mine, plain) == getattr(theirs, plain), (name, plain)
        assert [(e.source, e.type, e.path, e.routes) for e in shown.incoming[name]] == [
            (e.source, e.type, e.path, e.routes) for e in real.incoming[name]
        ]
        assert (mine.inner is None) == (theirs.inner is None)
        if mine.inner is not None and theirs.inner is not None:
            assert_alike(mine.inner, theirs.inner)


def imported(spec: dict[str, Any]) -> Definition:
    return read_definition(json.loads(json.dumps(spec)))


def valid() -> Pipeline:
    """Return a pipeline that has each of the options and no mistake, also where its types are not known."""
    pipeline = Pipeline("p").step("order", run=one).step("a", "Do a").step("b", "Do b", cache=60.0, approval=True)
    inner = Pipeline("inner").step("x", "Do {n}").step("y", pipeline=innermost())
    for step in (
        PipelineStep(name="large", when="steps.order > 1", routes={"then": ["a"], "otherwise": []}),
        PipelineStep(name="kind", switch_on="order", routes={"x": ["b"], "default": []}),
        PipelineStep(name="in", pipeline=inner, inputs={"n": "order"}, cache="run", approval="output"),
        PipelineStep(name="again", goal="Improve {previous}", until="output == 'x'", max_times=3),
    ):
        pipeline.add_step(step)
    return pipeline


def test_a_definition_from_elsewhere_may_have_every_option() -> None:
    """An exported run comes back whole."""
    definition = stored(valid())
    assert imported(dict(definition.spec)).spec == definition.spec


def deep(levels: int) -> Pipeline:
    pipeline = Pipeline("deep").step("a", "Do it")
    for _ in range(levels):
        pipeline = Pipeline("deep").step("a", pipeline=pipeline)
    return pipeline


HOSTILE: list[tuple[str, str, object]] = [
    ("large", "when", {"functions": []}),
    ("large", "when", {"code": "import os"}),
    ("large", "when", "(" * 10_000),
    ("large", "routes", {"then": "a"}),
    ("large", "routes", {"then": ["nobody"]}),
    ("large", "routes", {"then": ["large"]}),
    ("large", "routes", {str(n): [] for n in range(1001)}),
    ("large", "routes", {"then": ["a"] * 1001}),
    ("large", "routes", 5),
    ("kind", "switch_on", "__class__.a()"),
    ("kind", "switch_on", ["order"]),
    ("in", "pipeline", {}),
    ("in", "pipeline", "file.py:pipeline"),
    ("in", "inputs", {"n": "order"}),
    ("in", "inputs", {"paths": {"n": 5}}),
    ("in", "inputs", {"function": "f", "module": "os"}),
    ("in", "cache", "always"),
    ("in", "cache", -1.0),
    ("in", "cache", True),
    ("in", "approval", "output"),
    ("in", "approval", {"of": "all", "question": "", "timeout": None, "default": "reject"}),
    ("in", "approval", {"of": "start", "question": "", "timeout": -1.0, "default": "reject"}),
    ("in", "approval", {"of": "start", "question": "", "timeout": None, "default": "maybe"}),
    ("again", "max_times", 0),
    ("again", "max_times", 10**9),
    ("again", "max_times", "3"),
    ("again", "until", "output >"),
    ("again", "if_not_reached", "explode"),
]


@pytest.mark.parametrize(("step", "option", "to"), HOSTILE)
def test_a_hostile_definition_is_refused(step: str, option: str, to: object) -> None:
    """Promise 16: it is data within limits, or an error; also in a pipeline inside."""
    spec = json.loads(stored(valid()).payload)
    next(it for it in spec["steps"] if it["name"] == step)[option] = to
    with pytest.raises(RunImportError):
        imported(spec)
    around = json.loads(stored(Pipeline("outer").step("order", run=one).step("in", pipeline=valid())).payload)
    around["steps"][1]["pipeline"]["steps"] = spec["steps"]
    with pytest.raises(RunImportError):
        imported(around)


def test_a_hostile_pipeline_inside_is_refused() -> None:
    """What belongs to the whole is not in it, nor is there anything else."""
    for member, to in (
        ("version", 1),
        ("origin", {}),
        ("name", "\x1b[2J"),
        ("steps", []),
        ("config", {"api_key": "x"}),
    ):
        spec = json.loads(stored(valid()).payload)
        next(it for it in spec["steps"] if it["name"] == "in")["pipeline"][member] = to
        with pytest.raises(RunImportError):
            imported(spec)


def test_pipelines_lie_at_most_ten_deep_inside_each_other() -> None:
    """However short it is written."""
    assert imported(dict(stored(deep(10)).spec)).spec["name"] == "deep"
    for levels in (1, 50, 190):
        spec = json.loads(stored(deep(10)).payload)
        (step,) = spec["steps"]
        for _ in range(levels):
            step["pipeline"] = {**step["pipeline"], "steps": [dict(step)]}
        with pytest.raises(RunImportError):
            read_definition(spec)


@pytest.mark.parametrize("option", ["pipeline", "inputs", "when", "routes", "until", "approval", "cache", "circuit"])
def test_nothing_is_the_same_as_no_such_member(option: str) -> None:
    """Whoever wrote it so means the same; and the code of today is bound as if it was not there."""
    spec = json.loads(stored(Pipeline("p").step("a", "Do a")).payload)
    spec["steps"][0][option] = None
    definition = imported(spec)
    assert getattr(outline(definition).steps[0], option) is None
    assert getattr(bind(definition, Pipeline("p").step("a", "Do a")).steps[0], option) is None
