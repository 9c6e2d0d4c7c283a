"""Definitions that nobody wrote by hand: stored ones with something broken, and steps whose options hold odd values."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import fields
from datetime import timedelta
from random import Random
from typing import Any, Final

from fuzz.hostile import ESCAPES
from tagent.budget import Budget
from tagent.circuit import CircuitPolicy
from tagent.pipeline import Dependency, DependencyType, ExecutionMode, Pipeline, PipelineStep, validate
from tagent.pipeline.approval import Approval
from tagent.pipeline.conditions import field
from tagent.pipeline.models import Fallback
from tagent.pipeline.stored.definition import Definition, Origin
from tagent.pipeline.transfer.definitions import read_definition
from tagent.retries import RetryPolicy

_PARALLEL: Final = ExecutionMode.PARALLEL_MERGE


def whole() -> Pipeline:
    """Return a pipeline that has every option which a definition stores."""
    return (
        Pipeline("p", on_failure="rollback", on_budget="wait", budget=Budget(max_cost_usd=2.5))
        .step("a", "Do a", output_schema=dict[str, Any], on_error=Fallback(output={"n": 1}), compensate="Undo {a}")
        .step("b", "Do b", condition="steps.a.n > 1", enabled="inputs.x == 1", optional=True, on_error="f")
        .step("c", "Do {item}", for_each="a.list", execution_mode=_PARALLEL, merge="list", min_success=0.5)
        .step("d", branches={"x": "Do x", "y": "Do y"}, execution_mode=_PARALLEL, max_concurrency=2)
        .step("f", "Do f", execution_mode=ExecutionMode.CONDITIONAL, constraints=["Only if it is cold"])
        .step("g", "Do g", depends_on=[Dependency("a", DependencyType.VALIDATION, check="output.n > 0"), "c"])
        .step("h", "Do h", cache=60, retry=RetryPolicy(1, 2, only=["step.timeout"]), circuit=CircuitPolicy(failures=2))
        .step("i", wait_for="orders.*", timeout=5.0)
        .step("k", pipeline=_inside(), inputs={"n": "a.n"}, cache="run")
        .step("l", "Do l", until="output == 'x'", max_times=3, if_not_reached="keep", approval="output")
        .step("m", when="steps.a.n > 1", routes={"then": ["o"], "otherwise": []})
        .step("n", switch_on="a.kind", routes={"x": ["o"], "default": []})
        .step("o", "Do o", approval=Approval(question="Do it?", timeout=5.0))
        .step(
            "j", "Do j", depends_on=[Dependency("d", DependencyType.SOFT, wait_seconds=1.5)], budget={"max_tokens": 5}
        )
    )


def _inside() -> Pipeline:
    innermost = Pipeline("innermost").step("a", "Do {n}")
    return Pipeline("inside", budget={"max_tokens": 5}).step("a", "Do {n}").step("b", pipeline=innermost)


_SPEC: Final = json.loads(Definition.of(whole(), Origin()).payload)

_JSON: Final[list[Any]] = [
    None, True, False, 0, 1, -1, 2**53, 2**64, 10**30, 0.5, -0.5, 1e308, float("nan"), float("inf"), "", "a", "b", "zz",
    " ", "a.b", "a[0]", "__class__", "\ud800", "\0", "\x1b[2J", "x" * 3000, "{a}", "{a.b}", "{{", "skip", "soft",
    "hard", "data", "rollback", "parallel_merge", "conditional", [], {}, [None], [[]], ["a"], ["a", "a"], [1], {"a": 1},
    {"": ""}, {"x": "Do x"}, {"functions": ["a"]}, {"step": "a"}, {"output": 1}, {"then": ["a"]},
    {"paths": {"n": "a.n"}}, {"function": "f"}, "start", "output", "forever", [{}], [{"step": "a"}], [[[[[[]]]]]],
]  # fmt: skip

_ANY: Final[Any] = Dependency
"""The class of dependencies, for arguments that it does not take."""

_ODD: Final[list[Any]] = [
    *_JSON, object(), object, int, len, lambda: 1, lambda a, b=1: a, b"bytes", {1, 2}, {1: 2}, (), range(3),
    Exception("x"), field("a.n"), field("a.n") > 1, field("b.ok") & len, Dependency("a"), _ANY(1), Fallback("a"),
    Fallback("zz"), Fallback(output=object()), Approval(), Approval(timeout=-1),
    timedelta(1), timedelta(-1), _inside(), Budget(max_tokens=1), CircuitPolicy(), RetryPolicy(), *ExecutionMode,
    DependencyType.SOFT, [Dependency("a", DependencyType.SOFT, wait_seconds=-1)], [Dependency("a", check="output.")],
    [Dependency("b", path="..")], [_ANY("a", DependencyType.VALIDATION, check=1)], [_ANY("a", "odd", on_skip="odd")],
    [_ANY([])], {"a": len}, {"a": 1, 1: "a"}, [len, "a", None], list[int], dict[str, int], float,
]  # fmt: skip

_OPTIONS: Final = [it.name for it in fields(PipelineStep) if it.name != "id"]
_SETTINGS: Final = ["on_failure", "on_budget", "budget", "final", "memory", "config", "inputs", "name"]

Case = tuple[str, Callable[[], object]]


def random_definitions(random: Random, count: int) -> Iterator[Case]:
    """Yield `count` cases, each with how it is told."""
    for _ in range(count):
        if random.randrange(2):
            values = deepcopy(_SPEC)
            for _ in range(random.randrange(1, 4)):
                _break(random, values)
            yield f"document {values!a}", lambda values=values: _read(values)  # type: ignore[misc]  # bound now
        else:
            options = {random.choice(_OPTIONS): _value(random, _ODD) for _ in range(random.randrange(1, 4))}
            settings = {random.choice(_SETTINGS): _value(random, _ODD)} if not random.randrange(5) else {}
            told = f"options {options!a} {settings!a}"
            yield told, lambda options=options, settings=settings: _validate(options, settings)  # type: ignore[misc]  # likewise


def _value(random: Random, among: list[Any]) -> Any:
    return random.choice(ESCAPES) if not random.randrange(5) else random.choice(among)


def _break(random: Random, values: dict[str, Any]) -> None:
    """Replace, remove or add something somewhere in `values`."""
    place: Any = values
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = random.choice(keys)
        if isinstance(place[key], dict | list) and place[key] and random.randrange(5):
            place = place[key]
            continue
        change = random.randrange(4)
        if change == 0:
            del place[key]
        else:
            place[key] = deepcopy(_value(random, _JSON))
        return
    if isinstance(place, dict):
        place[str(_value(random, _JSON))[:100]] = 1


def _read(values: dict[str, Any]) -> str:
    read_definition(values)
    return "read"


def _validate(options: dict[str, Any], settings: dict[str, Any]) -> str:
    pipeline = whole()
    step = PipelineStep(**{"name": "odd", **({} if "run" in options else {"goal": "Do it"}), **options})
    pipeline.add_step(step)
    for name, value in settings.items():
        setattr(pipeline, name, value)
    problems = validate(pipeline)
    for problem in problems:
        str(problem)
    return "valid" if all(problem.severity != "error" for problem in problems) else "has problems"
