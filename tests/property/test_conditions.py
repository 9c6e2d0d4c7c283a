"""Laws of conditions: they mean what CEL means, as text and as objects, and nothing makes them hang or break."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isnan
from typing import Any

import cel
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tagent.exceptions import TAgentError
from tagent.pipeline.conditions import (
    Condition,
    ConditionError,
    NeedsCallError,
    condition_of,
    condition_problems,
    exists,
    field,
)
from tagent.pipeline.conditions import operations
from tagent.pipeline.conditions.evaluating import Scope, evaluator
from tagent.pipeline.conditions.parsing import parse
from tagent.pipeline.conditions.problems import Unanswered, mismatch
from tagent.pipeline.conditions.tree import (
    INT_MAX,
    INT_MIN,
    Arithmetic,
    Asked,
    Call,
    Choice,
    Compare,
    Has,
    ListOf,
    Negative,
    Node,
    Not,
    Path,
    Quantified,
    conjunction,
    constant,
    disjunction,
    walk,
)
from tagent.pipeline.conditions.writing import text_of

LAW = settings(deadline=None, max_examples=400)

KINDS = ("bool", "int", "double", "string", "list")
"""What expressions come to. `null` and maps come from the data alone."""

FIELDS = {"bool": "b", "int": "n", "double": "d", "string": "s", "list": "l", "map": "m", "null": "z", "mixed": "x"}

ints = st.integers(-3, 3) | st.sampled_from([10, -100, 1000])
doubles = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.5, 0.1, 1e20, 1.5e-7, -100.0, 3.0])
strings = st.text(st.sampled_from("ab1.+-e\"'\\\n\t\0ñ漢😀"), max_size=4) | st.sampled_from(["12", "-3", "2.5", "nan", "1e3"])
scalars = st.none() | st.booleans() | ints | doubles | strings
mixed = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abk"), inner), max_leaves=6
)
words = st.sampled_from(["a", "b", "k", "s", "n", "size", "import", "class"])


@st.composite
def outputs(draw: st.DrawFn) -> dict[str, object]:
    """Draw a step's output: a field of each kind, any of which may be missing."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        "b": st.booleans(),
        "n": ints,
        "d": doubles,
        "s": strings,
        "l": st.lists(ints | doubles, max_size=4),
        "m": st.dictionaries(words, mixed, max_size=3),
        "z": st.none(),
        "x": mixed,
    }
    return {name: draw(values) for name, values in fields.items() if draw(st.integers(0, 9))}


@st.composite
def data(draw: st.DrawFn) -> dict[str, object]:
    """Draw what a condition is judged on."""
    steps = {name: draw(outputs()) for name in ("one", "two") if draw(st.integers(0, 9))}
    return {"steps": steps, "inputs": draw(outputs()), "output": draw(outputs())}


@st.composite
def paths(draw: st.DrawFn, kind: str) -> Path:
    """Draw a path to something that should be of a kind."""
    start = draw(st.sampled_from([("steps", "one"), ("steps", "two"), ("inputs",), ("output",)]))
    return Path(start[0], (*start[1:], FIELDS[kind]))


@st.composite
def trees(draw: st.DrawFn, kind: str, depth: int = 3, variable: str = "") -> Node:
    """Draw an expression that should come to a kind; one in ten does not."""
    if not draw(st.integers(0, 9)):
        kind = draw(st.sampled_from(KINDS))
    if depth == 0 or not draw(st.integers(0, 3)):
        return draw(_leaves(kind, variable))

    def sub(of: str) -> Node:
        return draw(trees(of, depth - 1, variable))

    def of_any_kind() -> Node:
        return draw(st.one_of(paths("mixed"), paths("null"), paths("map"), *(trees(k, depth - 1, variable) for k in KINDS)))

    def compared() -> Node:
        sign = draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]))
        of = draw(st.sampled_from(KINDS))
        other = draw(st.sampled_from([of, of, "int", "double"]))
        return Compare(sub(of), sign, sub(other))

    def quantified() -> Node:
        if variable:
            return compared()
        body = draw(trees("bool", depth - 1, "item"))
        return Quantified(draw(st.sampled_from(["all", "exists", "exists_one"])), listed(), "item", body)

    def listed() -> Node:
        return draw(st.one_of(paths("list"), paths("mixed"), trees("list", depth - 1, variable)))

    def calculated() -> Node:
        signs = ["+", "-", "*", "/"] + ["%"] * (kind == "int")
        return Arithmetic(sub(kind), draw(st.sampled_from(signs)), sub(kind))

    makers = {
        "bool": [
            compared,
            compared,
            quantified,
            lambda: conjunction(sub("bool"), sub("bool")),
            lambda: disjunction(sub("bool"), sub("bool")),
            lambda: Not(sub("bool")),
            lambda: Compare(of_any_kind(), "in", listed()),
            lambda: Compare(of_any_kind(), draw(st.sampled_from(["==", "!="])), of_any_kind()),
            lambda: Has(draw(_had())),
            lambda: Call(draw(st.sampled_from(["startsWith", "endsWith", "contains"])), (sub("string"), sub("string"))),
        ],
        "int": [
            calculated,
            lambda: Call("size", (draw(st.one_of(paths("map"), trees("string", depth - 1, variable), trees("list", depth - 1))),)),
            lambda: Call("int", (sub(draw(st.sampled_from(["double", "string", "int"]))),)),
            lambda: Negative(constant(draw(ints))),
        ],
        "double": [
            calculated,
            lambda: Call("double", (sub(draw(st.sampled_from(["double", "string", "int"]))),)),
            lambda: Negative(constant(draw(doubles))),
        ],
        "string": [
            lambda: Arithmetic(sub("string"), "+", sub("string")),
            lambda: Call("string", (sub(draw(st.sampled_from(["double", "string", "int"]))),)),
        ],
        "list": [
            lambda: Arithmetic(sub("list"), "+", sub("list")),
            lambda: ListOf(tuple(of_any_kind() for _ in range(draw(st.integers(0, 3))))),
        ],
    }
    makers[kind].append(lambda: Choice(sub("bool"), sub(kind), sub(kind)))
    return draw(st.sampled_from(makers[kind]))()


def _leaves(kind: str, variable: str) -> st.SearchStrategy[Node]:
    constants: dict[str, st.SearchStrategy[Node]] = {
        "bool": st.booleans().map(constant),
        "int": ints.map(constant),
        "double": doubles.map(constant),
        "string": strings.map(constant),
        "list": st.just(ListOf(())),
    }
    of_variable: list[st.SearchStrategy[Node]] = [st.just(Path(variable))] if variable else []
    return st.one_of(constants[kind], paths(kind), *of_variable)


@st.composite
def _had(draw: st.DrawFn) -> Path:
    path = draw(paths(draw(st.sampled_from([*FIELDS]))))
    return path if draw(st.booleans()) or path.parts[-1] != "m" else Path(path.root, (*path.parts, draw(words)))


conditions = trees("bool").map(Condition)


def as_cel(node: Node) -> str:
    """Return a tree as CEL, where `has` breaks off at the last part only: each of its parts is asked for."""
    text = text_of(node)
    for part, _ in walk(node):
        if isinstance(part, Has):
            first = 2 if part.path.root == "steps" else 1
            asked = [Has(Path(part.path.root, part.path.parts[:end])) for end in range(first - 1, len(part.path.parts) + 1)]
            each = " && ".join(text_of(one) for one in asked if one.path.parts)
            text = text.replace(f"{text_of(part)}", f"({each})") if text.count(text_of(part)) == 1 else text
    return text


def ours(node: Node, values: Mapping[str, object]) -> object:
    """Return what we say; an `Unanswered` where there is no answer."""
    try:
        return evaluator(node)(Scope(values, {}))
    except Unanswered as problem:
        return problem


def theirs(text: str, values: Mapping[str, object]) -> object:
    """Return what CEL says; an exception where there is no answer."""
    try:
        return cel.compile(text).execute(dict(values))
    except Exception as error:  # noqa: BLE001 - its errors are of many classes
        return error


@contextmanager
def without_promotion() -> Iterator[None]:
    """Let arithmetic refuse an int beside a double, as CEL does."""
    calculated = operations.calculated

    def strict(sign: Any, left: object, right: object, allowance: Any) -> object:
        if {left.__class__, right.__class__} == {int, float}:
            raise mismatch(sign, left, right)
        return calculated(sign, left, right, allowance)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "calculated", strict)
        yield


def is_same(one: object, two: object) -> bool:
    """Return whether two answers are the same value of the same kind; errors are all the same."""
    if isinstance(one, Exception) or isinstance(two, Exception):
        return isinstance(one, Exception) and isinstance(two, Exception)
    if isinstance(one, float) and isinstance(two, float):
        return one == two or (isnan(one) and isnan(two))
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(is_same, one, two))
    return type(one) is type(two) and one == two


@LAW
@given(st.sampled_from(KINDS).flatmap(trees), data())
def test_a_text_means_what_it_means_in_cel(tree: Node, values: dict[str, object]) -> None:
    """People know CEL, and other tools read it: an expression must not mean something else here."""
    with without_promotion():
        strict = ours(tree, values)
    expected = theirs(as_cel(tree), values)
    assert is_same(strict, expected), (text_of(tree), strict, expected)
