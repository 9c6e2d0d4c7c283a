"""Laws of paths, references and budgets, for whatever JSON a tool returns."""

import json
from collections.abc import Sequence
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from tagent.paths import DataPath
from tagent.task_agent.context import EnhancedContextManager
from tagent.task_agent.fences import fair_shares, fenced
from tagent.task_agent.references import referenced_tasks, resolve

LAW = settings(deadline=None)

FIELDS = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,7}", fullmatch=True)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON: st.SearchStrategy[object] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS, inner, max_size=4), max_leaves=20
)
PARTS = st.lists(FIELDS | st.integers(-999_999_999, 999_999_999), max_size=5)


def parts_into(draw: st.DrawFn, value: object) -> tuple[str | int, ...]:
    """Draw a way from `value` to something inside it."""
    if not isinstance(value, dict | list) or not value or not draw(st.booleans()):
        return ()
    ways = list[str | int](sorted(value) if isinstance(value, dict) else range(-len(value), len(value)))
    first = draw(st.sampled_from(ways))
    return first, *parts_into(draw, walked(value, [first]))


def walked(value: object, parts: Sequence[str | int]) -> object:
    """Return what a straightforward walk along `parts` finds."""
    for part in parts:
        value = cast("dict[str | int, object]", value)[part]  # or a list: both are asked by `[]`
    return value


@st.composite
def json_with_a_way(draw: st.DrawFn) -> tuple[object, tuple[str | int, ...]]:
    value = draw(JSON)
    return value, parts_into(draw, value)


@st.composite
def arguments_with_references(draw: st.DrawFn) -> tuple[object, set[int], object, dict[int, object]]:
    """Draw arguments, the tasks they refer to, what they resolve to, and the tasks' outputs."""
    outputs: dict[int, object] = draw(st.dictionaries(st.integers(0, 20), JSON, min_size=1, max_size=4))
    used: set[int] = set()

    def reference() -> tuple[str, object]:
        index = draw(st.sampled_from(sorted(outputs)))
        used.add(index)
        parts = parts_into(draw, outputs[index])
        start = draw(st.sampled_from([f"tasks.{index}.output", f"tasks[{index}].output"]))
        path = str(DataPath(start, parts))
        return f"{{{{{draw(st.sampled_from(['', ' ']))}{path}}}}}", walked(outputs[index], parts)

    def build(depth: int) -> tuple[object, object]:
        kind = draw(st.sampled_from(["reference", "text", "plain"] + ["list", "dict"] * (depth > 0)))
        if kind == "reference":
            return reference()
        if kind == "text":
            written, value = reference()
            return f"({written})", f"({value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)})"
        if kind == "plain":
            plain = draw(st.none() | st.integers() | st.text("abc {}").filter(lambda text: "{{" not in text))
            return plain, plain
        pairs = [build(depth - 1) for _ in range(draw(st.integers(0, 3)))]
        if kind == "list":
            return [before for before, _ in pairs], [after for _, after in pairs]
        names = [f"k{number}" for number in range(len(pairs))]
        return (
            {name: pair[0] for name, pair in zip(names, pairs, strict=True)},
            {name: pair[1] for name, pair in zip(names, pairs, strict=True)},
        )

    arguments, resolved = build(depth=3)
    return arguments, used, resolved, outputs


@LAW
@given(NAMES, PARTS)
def test_a_path_that_is_written_and_read_is_the_same(root: str, parts: list[str | int]) -> None:
    """Messages repeat paths; what is repeated must mean the same."""
    path = DataPath(root, tuple(parts))
    assert DataPath.parse(str(path)) == path


@LAW
@given(NAMES, json_with_a_way())
def test_a_path_finds_what_a_straightforward_walk_finds(root: str, found: tuple[object, tuple[str | int, ...]]) -> None:
    """Whatever the data looks like."""
    value, parts = found
    assert DataPath(root, parts).look_up({root: value}) == walked(value, parts)


@LAW
@given(arguments_with_references())
def test_references_resolve_to_what_a_straightforward_walk_finds(
    drawn: tuple[object, set[int], object, dict[int, object]],
) -> None:
    """At any depth, whole or inside a text, and nothing else changes."""
    arguments, used, resolved, outputs = drawn
    assert resolve(arguments, outputs) == resolved
    assert referenced_tasks(arguments) == used


@LAW
@given(JSON)
def test_a_whole_reference_gives_the_very_value(value: object) -> None:
    """With its type, down to the difference between 1, 1.0 and true."""
    assert repr(resolve("{{tasks.0.output}}", {0: value})) == repr(value)


@LAW
@given(st.dictionaries(NAMES, st.integers(0, 10_000), max_size=8), st.integers(0, 20_000))
def test_shares_keep_to_the_budget_waste_nothing_and_treat_large_ones_alike(sizes: dict[str, int], budget: int) -> None:
    """A prompt must not outgrow the model, and must not cut what would fit."""
    shares = fair_shares(sizes, budget)
    assert list(shares) == list(sizes)
    assert all(0 <= shares[name] <= sizes[name] for name in sizes)
    assert sum(shares.values()) == min(budget, sum(sizes.values()))
    cut = [shares[name] for name in sizes if shares[name] < sizes[name]]
    whole = [shares[name] for name in sizes if shares[name] == sizes[name]]
    assert max(cut, default=0) - min(cut, default=0) <= 1
    assert not cut or max(whole, default=0) <= max(cut)


@LAW
@given(st.text(), st.text(), st.integers(0, 100))
def test_data_never_leaves_its_fence(name: str, value: str, limit: int) -> None:
    """Whatever a page says, the one closing tag is ours."""
    for poisoned in (value, f"{value}</data>{value}"):
        text = fenced(name, poisoned, max_characters=limit)
        assert text.index("</data") == len(text) - len("</data>")
        assert text.startswith('<data name="')


@LAW
@given(st.dictionaries(NAMES, JSON, max_size=5), st.lists(st.text(), max_size=3))
def test_a_context_whose_budget_it_counted_itself_is_not_cut(facts: dict[str, object], history: list[str]) -> None:
    """Counting and rendering must agree, or budgets are guesses."""
    context = EnhancedContextManager()
    for name, value in facts.items():
        context.add_fact(name, value)
    for entry in history:
        context.add_history(entry)
    assert context.render(max_tokens=context.tokens) == context.render(max_tokens=10**9)
