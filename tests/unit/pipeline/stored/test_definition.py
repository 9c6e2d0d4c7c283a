"""Definitions as they are stored with their runs: what comes back, from them alone and with the code of today."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from tagent.budget import Budget
from tagent.circuit import CircuitPolicy
from tagent.pipeline import Dependency, DependencyType, ExecutionMode, Pipeline, PipelineStep
from tagent.pipeline.conditions import field
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.models import Fallback
from tagent.pipeline.stored.definition import Definition, DefinitionMismatchError, Origin, bind, outline
from tagent.pipeline.transfer.definitions import read_definition
from tagent.pipeline.transfer.documents import RunImportError
from tagent.retries import RetryPolicy

CONDITIONAL, PARALLEL = ExecutionMode.CONDITIONAL, ExecutionMode.PARALLEL_MERGE
SOFT, VALIDATION = DependencyType.SOFT, DependencyType.VALIDATION


class Answer(BaseModel):
    n: int


def one() -> int:
    return 1


def joined(outputs: list[object]) -> str:
    return ", ".join(map(str, outputs))


def holds() -> bool:
    return True


def stored(pipeline: Pipeline) -> Definition:
    return Definition.of(pipeline, Origin())


def everything(work: Any = one, condition: Any = "steps.a.n > 1") -> Pipeline:
    """Return a pipeline that has every option which a definition stores."""
    return (
        Pipeline("p", on_failure="rollback", on_budget="wait", budget=Budget(max_cost_usd=2.5))
        .step("a", "Do a", output_schema=Answer, on_error=Fallback(output=Answer(n=1)), compensate=work)
        .step("b", "Do b", condition=condition, enabled="inputs.x == 1", optional=True, on_error="f")
        .step("c", "Do {item}", for_each="a.list", execution_mode=PARALLEL, merge=work, min_success=0.5)
        .step("d", branches={"x": "Do x", "y": work}, execution_mode=PARALLEL, item_schema=int, max_concurrency=2)
        .step("e", branches=["Do x", work], execution_mode=PARALLEL, merge="Weigh them")
        .step("f", "Do f", execution_mode=CONDITIONAL, constraints=["Only if it is cold"], compensate="Undo {f}")
        .step(
            "g",
            "Do g",
            depends_on=[
                Dependency("a", VALIDATION, check=field("output.n") > 0),
                Dependency("b", on_skip="skip"),
                Dependency("c", SOFT, wait_seconds=1.5),
                Dependency("d", VALIDATION, check=condition if callable(condition) else "output.x == 1"),
            ],
            retry=RetryPolicy(1, 2, jitter=False, only=["step.timeout"], never=["ValueError"]),
            circuit=CircuitPolicy(failures=2),
            budget={"max_tokens": 5},
        )
        .step("h", execution_mode=PARALLEL, depends_on=["a", "f"], merge="dict")
    )


def test_a_definition_without_the_newer_options_is_stored_as_ever() -> None:
    """Its hash names it in every run that it was stored with; this one was written by an older version."""
    pipeline = (
        Pipeline("p", "D", global_constraints=["Be kind"], shared_context={"x": 1}, config={"temperature": 0.5})
        .step("a", run=one, retry=RetryPolicy(2, 3))
        .step("b", "Say {a}", read_data=["a"], tools_filter=["x"], timeout=3, model="m", memory="pipeline")
        .step("c", "Do c", depends_on=["b", Dependency("a", DependencyType.DATA, path="x.y")])
        .step("e", wait_for="orders.paid")
    )
    assert stored(pipeline).hash == "014826f782236dbc46e086263cfba9dfb0902d007c598a2c23af04a69acb865e"


def test_every_option_comes_back_with_the_code_of_today() -> None:
    """Promise 10: structure, conditions and limits as they were; functions and types as they are."""
    then, now = everything(), everything()
    bound = bind(stored(then), now)
    assert stored(bound).payload == stored(then).payload
    a, b, c, d, e, f, g, h = bound.steps
    assert (bound.on_failure, bound.on_budget, bound.budget) == ("rollback", "wait", {"max_cost_usd": 2.5})
    assert (a.on_error, a.compensate) == (Fallback(output=Answer(n=1)), one)
    assert (b.condition, b.enabled, b.optional, b.on_error) == ("steps.a.n > 1", "inputs.x == 1", True, Fallback("f"))
    assert (c.for_each, c.merge, c.min_success) == ("a.list", one, 0.5)
    assert (d.branches, d.item_schema, d.max_concurrency) == ({"x": "Do x", "y": one}, int, 2)
    assert (e.branches, e.merge) == (["Do x", one], "Weigh them")
    assert (f.execution_mode, f.compensate) == (CONDITIONAL, "Undo {f}")
    assert g.depends_on == [
        Dependency("a", VALIDATION, check="output.n > 0"),
        Dependency("b", on_skip="skip"),
        Dependency("c", SOFT, wait_seconds=1.5),
        Dependency("d", VALIDATION, check="output.x == 1"),
    ]
    assert g.retry == RetryPolicy(1, 2, jitter=False, only=["step.timeout"], never=["ValueError"])
    assert (g.circuit, g.budget) == (CircuitPolicy(failures=2), Budget(max_tokens=5))
    assert (h.goal, h.merge) == (None, "dict")


def test_conditions_that_ask_functions_are_bound_again() -> None:
    """Only their names are stored."""
    definition = stored(everything(condition=holds))
    spec = {step["name"]: step for step in definition.spec["steps"]}
    assert spec["b"]["condition"] == {"functions": ["holds"]}
    bound = {step.name: step for step in bind(definition, everything(condition=holds)).steps}
    assert bound["b"].condition is holds
    assert [dep.check for dep in bound["g"].depends_on if isinstance(dep, Dependency)][-1] is holds


def changed(name: str, **options: object) -> Pipeline:
    """Return the pipeline of today, with one step changed."""
    pipeline = everything()
    pipeline.steps = [replace(step, **options) if step.name == name else step for step in pipeline.steps]  # type: ignore[arg-type]
    return pipeline


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (changed("b", condition=holds), "'b' had no function in its condition .* has one today"),
        (changed("a", compensate=None), "'a' had a function as its compensation .* has none today"),
        (changed("f", compensate=one), "'f' had a text as its compensation .* has a function today"),
        (changed("e", merge=joined), "'e' had a text as its merge"),
        (changed("c", merge="list"), "'c' gave another type of output"),
        (changed("d", branches={"x": "Do x"}), "'d' had a function as the branch 'y'"),
        (changed("d", branches=None, goal="Do d"), "'d' was several branches .* is a goal today"),
        (changed("e", branches=["Do x"]), "'e' had a function as the branch '1'"),
        (changed("d", item_schema=str), "'d' had parts with another type of output"),
        (changed("h", goal="Do h"), "'h' was a merge of what it depends on .* is a goal"),
    ],
)
def test_code_of_another_kind_is_an_error_that_names_the_step(now: Pipeline, said: str) -> None:
    """What the run would do then is nobody's guess."""
    with pytest.raises(DefinitionMismatchError, match=said):
        bind(stored(everything()), now)


def test_a_condition_that_asked_a_function_needs_one() -> None:
    """The same for a check."""
    with pytest.raises(DefinitionMismatchError, match="'b' had a function in its condition"):
        bind(stored(everything(condition=holds)), everything())
    now = everything(condition=holds)
    now.steps[6].depends_on = ()
    with pytest.raises(DefinitionMismatchError, match="'g' had a function in the check of 'd'"):
        bind(stored(everything(condition=holds)), now)


@pytest.mark.parametrize("condition", ["steps.a.n > 1", holds])
def test_an_outline_folds_as_the_pipeline_itself(condition: object) -> None:
    """What decides a step's fate is all in the definition; of functions it is known that there are some."""
    pipeline = everything(condition=condition)
    shown, real = ExecutionGraph.build(outline(stored(pipeline))), ExecutionGraph.build(pipeline)
    assert (shown.names, shown.serial, shown.sinks, shown.on_failure) == (
        real.names,
        real.serial,
        real.sinks,
        real.on_failure,
    )
    for name in real.names:
        mine, theirs = shown.rules(name), real.rules(name)
        for plain in ("is_disabled", "has_condition_part", "expansion", "is_optional", "has_compensation"):
            assert getattr(mine, plain) == getattr(theirs, plain), (name, plain)
        assert (mine.fallback is None) == (theirs.fallback is None)
        assert str(mine.condition) == str(theirs.condition)
        assert [(e.source, e.type, e.path, e.wait_seconds, e.skips, e.is_asked) for e in shown.incoming[name]] == [
            (e.source, e.type, e.path, e.wait_seconds, e.skips, e.is_asked) for e in real.incoming[name]
        ]


def test_a_definition_from_elsewhere_may_have_every_option() -> None:
    """An exported run comes back whole."""
    for condition in ("steps.a.n > 1", holds):
        definition = stored(everything(condition=condition))
        assert read_definition(definition.spec).spec == definition.spec


STEP = {step["name"]: at for at, step in enumerate(stored(everything()).spec["steps"])}

HOSTILE: list[tuple[str, str, object]] = [
    ("b", "condition", {"functions": [], "code": "import os"}),
    ("b", "condition", {"functions": []}),
    ("b", "condition", "__import__('os').system('x')"),
    ("b", "condition", "(" * 10_000),
    ("b", "condition", 5),
    ("b", "enabled", {"functions": ["f"]}),
    ("b", "enabled", "steps.a.n > 1"),
    ("b", "optional", 1),
    ("b", "on_error", {"step": "nobody"}),
    ("b", "on_error", {"step": "b"}),
    ("b", "on_error", {}),
    ("b", "on_error", {"step": "f", "output": 1}),
    ("c", "for_each", "__class__.a()"),
    ("c", "for_each", None),
    ("c", "merge", {"function": "f", "module": "os"}),
    ("c", "min_success", -1),
    ("c", "min_success", "all"),
    ("d", "branches", {"<condition>": "Do it"}),
    ("d", "branches", {"a": {"code": "x"}}),
    ("d", "branches", ["Do it"] * 1001),
    ("d", "branches", {}),
    ("d", "max_concurrency", 0),
    ("d", "max_concurrency", 2**60),
    ("d", "item_schema", {}),
    ("e", "execution_mode", "serial"),
    ("f", "compensate", ["rm"]),
    ("f", "constraints", []),
    ("g", "circuit", {"failures": 0, "open_seconds": 1.0, "ceiling_seconds": 1.0}),
    ("g", "circuit", {"failures": 1, "open_seconds": -1.0, "ceiling_seconds": 1.0}),
    ("g", "circuit", {"failures": 1, "open_seconds": 5.0, "ceiling_seconds": 1.0}),
    ("g", "budget", {"max_tokens": 0}),
    ("g", "budget", {"max_gold": 1}),
    ("g", "retry", {"base_seconds": 1.0, "ceiling_seconds": 1.0, "only": "step.timeout"}),
    ("g", "retry", {"base_seconds": 1.0, "ceiling_seconds": 1.0, "only": ["a b"]}),
    ("h", "merge", " "),
]


@pytest.mark.parametrize(("step", "option", "to"), HOSTILE)
def test_a_hostile_definition_is_refused(step: str, option: str, to: object) -> None:
    """Promise 16: it is data within limits, or an error."""
    spec = json.loads(stored(everything()).payload)
    spec["steps"][STEP[step]][option] = to
    with pytest.raises(RunImportError):
        read_definition(spec)


@pytest.mark.parametrize(
    ("option", "to"),
    [("on_failure", "explode"), ("on_budget", "beg"), ("budget", {"max_cost_usd": -1.0}), ("budget", 5)],
)
def test_a_hostile_pipeline_is_refused(option: str, to: object) -> None:
    """The same for what holds for the run."""
    with pytest.raises(RunImportError):
        read_definition({**stored(everything()).spec, option: to})


def test_a_hostile_dependency_is_refused() -> None:
    """The same for what a step waits for."""
    for to in ({"on_skip": "jump"}, {"check": {"code": "x"}}, {"check": "output >"}, {"wait_seconds": -1.0}, {"x": 1}):
        spec = json.loads(stored(everything()).payload)
        spec["steps"][STEP["g"]]["depends_on"][0].update(to)
        with pytest.raises(RunImportError):
            read_definition(spec)


def test_what_older_definitions_lack_has_its_default() -> None:
    """They are read by every later version."""
    definition = stored(Pipeline("p").step("a", "Do a"))
    step = outline(definition).steps[0]
    plain = PipelineStep()
    names: Mapping[str, object] = {"enabled": True, "max_concurrency": 16, "optional": False, "branches": None}
    assert {name: getattr(step, name) for name in names} == names
    assert (step.condition, step.on_error, step.compensate) == (plain.condition, plain.on_error, plain.compensate)
    assert outline(definition).on_failure == "continue"
