"""Whatever is written and whatever the data are: reading and judging end soon, with an answer or a clear error."""

from collections.abc import Callable, Mapping

import pytest

from tagent.pipeline.conditions import Condition, ConditionError, condition_of, field


def test_a_text_may_have_2000_characters() -> None:
    """The cap is checked before anything is read."""
    longest = "true" + " || true" * 249 + "    "
    assert condition_of(longest).judge({}).holds
    with pytest.raises(ConditionError, match="has 2,001 characters; at most 2,000 are allowed"):
        condition_of(longest + " ")


def test_an_object_may_not_be_longer_than_its_text_may_be() -> None:
    """It is stored as text, and read again when the run is resumed."""
    with pytest.raises(ConditionError, match="at most 2,000 are allowed"):
        field("inputs.id").is_in(range(1000))


@pytest.mark.parametrize(
    "text",
    [
        "(" * 60 + "true" + ")" * 60,
        "(" * 2000,
        "[" * 1000 + "]" * 1000,
        "1" + " + 1" * 60 + " == 61",
        "true ? true : " * 60 + "true",
        "int(" * 60 + "1" + ")" * 60,
        "true == " * 60 + "true",
    ],
)
def test_nesting_has_a_limit(text: str) -> None:
    """A library that recursed here took the process with it."""
    with pytest.raises(ConditionError):
        condition_of(text)


def test_an_object_may_not_be_nested_deeper_than_a_text() -> None:
    """What can be built can be stored, read and judged."""

    def nested(condition: Condition, times: int) -> Condition:
        return nested(~(condition & field("a.ok")) | field("c.ok"), times - 1) if times else condition

    condition = nested(field("b.ok").is_true(), 15)
    assert condition_of(condition.text) == condition
    with pytest.raises(ConditionError, match="nested more than 50 levels deep"):
        nested(condition, 15)


def test_long_chains_are_flat() -> None:
    """Two hundred parts are no nesting."""
    text = " && ".join(["true"] * 200)
    assert condition_of(text).judge({}).holds
    assert condition_of("!" * 1991 + "(1 == 1)").judge({}).holds is False


NESTED: list[object] = []
for _ in range(50_000):
    NESTED = [NESTED]


def judged(text: str, inputs: Mapping[str, object]) -> str:
    """Return the problem of judging a condition."""
    with pytest.raises(ConditionError) as raised:
        condition_of(text).judge({"inputs": inputs})
    return raised.value.message


@pytest.mark.parametrize(
    ("text", "inputs", "problem"),
    [
        ("inputs.l.all(i, i > 0)", {"l": [1] * 10_001}, "the list has 10,001 items; at most 10,000"),
        ("5 in inputs.l", {"l": [1] * 10_001}, "the list has 10,001 items; at most 10,000"),
        ("inputs.l + inputs.l == []", {"l": [1] * 6_000}, "the list would have more than 10,000 items"),
        ("inputs.s + inputs.s == ''", {"s": "x" * 600_000}, "the text would have more than 1,000,000 characters"),
        ("inputs.a == inputs.b", {"a": NESTED, "b": [NESTED]}, "nested too deeply"),
        ("int(inputs.s) == 1", {"s": "1" * 100_000}, "int() takes a string that is a whole number"),
        ("double(inputs.n) > 1.0", {"n": 10**400}, "too large for a double"),
    ],
)
def test_large_data_are_refused(text: str, inputs: Mapping[str, object], problem: str) -> None:
    """A condition is judged between two steps, on the thread that drives all runs."""
    assert problem in judged(text, inputs)


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        (f"inputs.l.all(i, {' && '.join(['i > 0'] * 30)})", {"l": [1] * 10_000}),
        ("inputs.l.all(i, i in inputs.l)", {"l": list(range(10_000))}),
        ("inputs.l.all(i, inputs.l == inputs.m)", {"l": [1] * 10_000, "m": [1] * 10_000}),
        ("inputs.l.exists(i, inputs.s.contains('ab'))", {"l": [1] * 10_000, "s": "a" * 1_000_000}),
        ("inputs.l.all(i, inputs.s + 'x' != inputs.s)", {"l": [1] * 10_000, "s": "a" * 900_000}),
        ("inputs.l.all(i, inputs.s == inputs.t)", {"l": [1] * 10_000, "s": "a" * 900_000, "t": "a" * 900_000}),
        (f"inputs.l.all(i, {' || '.join(['i.x'] * 40)} || true)", {"l": [1] * 10_000}),
        (
            "inputs.l.all(i, !inputs.s.contains(inputs.t))",
            {"l": [1] * 10_000, "s": "a" * 2_499, "t": "a" * 1_250 + "b"},
        ),
    ],
)
def test_steps_are_counted(text: str, inputs: Mapping[str, object]) -> None:
    """Each of these would take minutes: a list in a list, a long text again and again."""
    assert "it takes too many steps" in judged(text, inputs)


def test_a_large_list_within_the_limits_is_judged() -> None:
    """Ten thousand items are a usual result of a search."""
    values = {"inputs": {"l": [{"price": n} for n in range(10_000)]}}
    assert condition_of("inputs.l.all(i, has(i.price) && i.price >= 0 && i.price < 10000)").judge(values).holds


def test_a_condition_is_read_deep_in_a_stack() -> None:
    """A hook of a hook may be the one who reads it."""

    def at(depth: int, read: Callable[[], Condition]) -> Condition:
        return read() if depth == 0 else at(depth - 1, read)

    text = "(" * 49 + "true" + ")" * 49
    assert at(300, lambda: condition_of(text)).judge({}).holds
