"""Conditions as Python objects."""

import copy
import pickle
from collections.abc import Callable
from enum import Enum

import pytest

from tagent.pipeline import Pipeline
from tagent.pipeline.conditions import Condition, ConditionError, NeedsCallError, condition_of, exists, field


class Region(Enum):
    """A value that people write instead of its text."""

    EU = "eu"


def enough() -> bool:
    """Stand for a function of a user."""
    raise AssertionError("A condition calls nothing.")


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (field("a.n") > 7, "steps.a.n > 7"),
        (7 > field("a.n"), "steps.a.n < 7"),  # noqa: SIM300 - the other way round
        (field("steps.output.n") != -1.5, "steps.output.n != -1.5"),
        (field("output.n") <= field("inputs.most"), "output.n <= inputs.most"),
        (field("inputs.region") == Region.EU, 'inputs.region == "eu"'),
        (field("a.my-key[2].x") == None, 'steps.a["my-key"][2].x == null'),  # noqa: E711 - it makes a condition
        (field('a["my key"].x') < 1, 'steps.a["my key"].x < 1'),
        (field('steps["my step"].x') < 1, 'steps["my step"].x < 1'),
        (field("steps.a.in") < 1, 'steps.a["in"] < 1'),
        (field("inputs") == 1, "steps.inputs == 1"),
        (field("output") == [1, "x", (True, None)], 'output == [1, "x", [true, null]]'),
        (field("a.x").is_in({2}), "steps.a.x in [2]"),
        (field("a.x").is_in(field("b.all")), "steps.a.x in steps.b.all"),
        (field("a.ok") & ~field("b.ok") | exists("c"), "steps.a.ok && !steps.b.ok || has(steps.c)"),
        (~(field("a.ok") & field("b.ok")), "!(steps.a.ok && steps.b.ok)"),
        (~~(field("a.ok") & field("b.ok")), "steps.a.ok && steps.b.ok"),
        (exists("a.x") & "inputs.n > 1", "has(steps.a.x) && inputs.n > 1"),
        ("inputs.n > 1" | field("a.ok"), "inputs.n > 1 || steps.a.ok"),
        ("inputs.n > 1" & exists("a.x"), "inputs.n > 1 && has(steps.a.x)"),
        ((field("a.n") > 1) & enough, "steps.a.n > 1 && enough()"),
        (enough | field("a.ok"), "enough() || steps.a.ok"),
        (~condition_of(enough), "!enough()"),
    ],
)
def test_objects_write_the_text(condition: Condition, text: str) -> None:
    """What is stored, shown and compared is the text."""
    assert condition.text == str(condition) == text
    if not condition.functions:
        assert condition_of(text) == condition


def test_a_field_that_holds_a_bool_is_a_condition() -> None:
    """`condition=field("review.approved")` is what people write first."""
    approved = field("review.approved")
    assert isinstance(approved, Condition)
    assert condition_of(approved) == approved.is_true() == condition_of("steps.review.approved")
    assert approved.steps == {"review"}
    assert copy.deepcopy(approved).judge({"steps": {"review": {"approved": True}}}).holds
    assert [step.name for step in Pipeline("p").step("a", "A").step("b", "B", condition=approved).steps] == ["a", "b"]


def test_conditions_copy_pickle_and_compare() -> None:
    """A definition is copied with its pipeline, and handed to processes."""
    condition = (field("a.n") > 1) & enough & exists("b.x")
    for twin in (copy.deepcopy(condition), pickle.loads(pickle.dumps(condition))):  # noqa: S301 - our own
        assert twin == condition
        assert hash(twin) == hash(condition)
        assert twin.functions == (enough,)
    assert (field("a.n") == 1) != (field("a.n") == True)  # noqa: E712 - 1 and true are two conditions
    assert (field("a.n") == 1) != (field("a.n") == 1.0)
    assert condition != "steps.a.n > 1"
    assert condition_of(lambda: True) != condition_of(lambda: False)  # two functions, one text


@pytest.mark.parametrize(
    "write",
    [
        lambda: (field("a.n") > 1) and (field("a.n") < 3),
        lambda: not field("a.ok"),
        lambda: 1 < field("a.n") < 3,
        lambda: field("a.ok") or True,
    ],
)
def test_and_or_not_are_refused_with_what_to_write(write: Callable[[], object]) -> None:
    """Python would drop one part in silence: `a > 1 and a < 3` would mean `a < 3`."""
    with pytest.raises(ConditionError) as raised:
        write()
    assert "Write & for `and`, | for `or` and ~ for `not`" in raised.value.hint


@pytest.mark.parametrize("value", [object(), {"a": 1}, float("nan"), float("inf"), 2**63, "\ud800", [object()], b"x"])
def test_what_no_condition_can_hold_is_refused_at_once(value: object) -> None:
    """Where it is written, and not where the definition is stored."""
    with pytest.raises(ConditionError, match="cannot hold a value of the class"):
        field("a.x") == value  # noqa: B015 - comparing makes the condition


@pytest.mark.parametrize("path", ["", "a b", "a.", "a[-1]", "steps[0].x", "a..b", 'a["b', 'a["b"] == 1', "a[x]"])
def test_what_is_no_path_is_refused(path: str) -> None:
    """A path with a typing error must not become some other condition."""
    with pytest.raises(ConditionError):
        field(path)


def test_more_that_is_refused() -> None:
    """Each of these would be a condition that means something else than it says."""
    with pytest.raises(ConditionError, match=r"is_in\(\) takes several values"):
        field("a.x").is_in("eu")
    with pytest.raises(ConditionError, match="is always there"):
        exists("output")


def test_a_function_is_asked_by_whoever_judges() -> None:
    """Judging is pure; the caller calls, puts the answer on record, and asks again."""
    condition = (field("inputs.n") > 1) & enough
    values: dict[str, object] = {"inputs": {"n": 2}}
    with pytest.raises(NeedsCallError) as raised:
        condition.judge(values)
    assert raised.value.function is enough
    verdict = condition.judge(values, {enough: False})
    assert (verdict.holds, verdict.reason) == (False, "enough() is false")
    assert not condition.judge({"inputs": {"n": 0}}).holds  # nothing to ask


def test_an_answer_that_is_no_bool_is_refused() -> None:
    """`return None` at the end of a function must not count as false."""
    with pytest.raises(ConditionError, match="the function enough gives null; it must give a bool"):
        condition_of(enough).judge({}, {enough: None})  # type: ignore[dict-item]  # the mistake


def test_a_function_without_a_hash_is_refused() -> None:
    """Answers are kept by function."""

    class Judge:
        __hash__ = None  # type: ignore[assignment]  # what a plain dataclass has

        def __call__(self) -> bool:
            return True

    with pytest.raises(ConditionError, match="The function of the class Judge has no hash"):
        condition_of(Judge())


@pytest.mark.parametrize(
    "written",
    [
        lambda: field("a.x") > 7 & field("a.y"),  # type: ignore[operator]  # as it is forgotten
        lambda: field("a.x") > 7 | (field("a.y") < 3),  # type: ignore[operator]  # as it is forgotten
        lambda: field("a.x") == "eu" & exists("a.y"),
        lambda: field("a.x") > field("a.y") & field("a.z"),
    ],
)
def test_forgotten_parentheses_are_told_as_such(written: Callable[[], object]) -> None:
    """Python takes what stands beside `&` first, so that the error is about something else."""
    with pytest.raises(ConditionError) as raised:
        written()
    assert "put each part in parentheses" in raised.value.hint
