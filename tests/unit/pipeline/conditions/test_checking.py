"""What is wrong with a condition is told when the pipeline is defined."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, RootModel
from typing_extensions import TypedDict

from tagent.pipeline.conditions import condition_of, condition_problems


class Label(StrEnum):
    """An enumeration."""

    GOOD = "good"
    BAD = "bad"


class Price(TypedDict):
    """A typed dict."""

    amount: float
    currency: Literal["EUR", "USD"]


@dataclass
class Seller:
    """A dataclass."""

    name: str
    rating: Annotated[int, Field(ge=0)]


class Item(BaseModel):
    """A model in a list."""

    price: Price
    seller: Seller | None
    tags: list[str] = []


class Items(RootModel[list[Item]]):
    """A model that is its list."""


class Mood(BaseModel):
    """A model."""

    score: float
    label: Label
    is_sure: bool
    note: str | None = None
    by_day: dict[str, int] = {}
    anything: object = None


class Inputs(BaseModel):
    """What a run is given."""

    region: Literal["eu", "us"]
    most: int = 10


STEPS = {"mood": Mood, "items": Items, "name": str, "raw": None, "count": int | None, "either": int | str}


def problems(text: str) -> list[tuple[str, str]]:
    """Return what is wrong with a condition."""
    condition = condition_of(text)
    return [*condition_problems(condition, step_types=STEPS, inputs=Inputs, roots=("steps", "inputs"))]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("steps.mod.score > 7", "unknown_step", "There is no step 'mod'. Did you mean 'mood'?"),
        ("has(steps.mod)", "unknown_step", "There is no step 'mod'. Did you mean 'mood'?"),
        ("inputs.regin == 'eu'", "unknown_input", "There is no input 'regin'. Did you mean 'region'?"),
        ("steps.mood.scor > 7", "unknown_path", "steps.mood has no field 'scor'. Did you mean 'score'? It has: score,"),
        ("steps.mood.score.x > 7", "unknown_path", "steps.mood.score is a number."),
        ("steps.name.x > 7", "unknown_path", "steps.name is a text."),
        ("steps.name[0] == 'x'", "unknown_path", "steps.name is a text."),
        ("steps.items.price > 7", "unknown_path", "steps.items is a list."),
        ("steps.items[0].prise.amount > 7", "unknown_path", "has no field 'prise'. Did you mean 'price'?"),
        ("steps.items[0].price.sum > 7", "unknown_path", "has no field 'sum'. It has: amount, currency."),
        ("steps.items[0].seller.nam == 'x'", "unknown_path", "Did you mean 'name'?"),
        ("steps.items.all(i, i.prise.amount > 7)", "unknown_path", "i has no field 'prise'"),
        ("steps.mood.by_day.monday.x > 1", "unknown_path", "steps.mood.by_day.monday is a number."),
        ("steps.name > 7", "bad_condition", "`steps.name > 7` compares a text with a number."),
        ("steps.mood.is_sure == 'yes'", "bad_condition", "compares a bool with a text."),
        (
            "steps.mood.note > 7",
            "bad_condition",
            "compares null or text with a number.".replace("null or ", "null or a "),
        ),
        ("steps.mood.score && true", "bad_condition", "`steps.mood.score` must be a bool, and it is a number."),
        ("!steps.name", "bad_condition", "`steps.name` must be a bool, and it is a text."),
        ("steps.name ? true : false", "bad_condition", "`steps.name` must be a bool, and it is a text."),
        (
            "steps.mood.score",
            "bad_condition",
            "It must be a bool, and `steps.mood.score` is a number. Compare it with something.",
        ),
        ("steps.items.all(i, i.price.amount)", "bad_condition", "`i.price.amount` must be a bool"),
        ("steps.name.all(i, true)", "bad_condition", "`steps.name` does not go with all(), and it is a text."),
        (
            "steps.mood.label == 'goood'",
            "bad_condition",
            'It is never "goood". Did you mean \'good\'? There are: "good", ',
        ),
        ("inputs.region in ['eu', 'uk']", "bad_condition", 'It is never "uk". There are: "eu", "us".'),
        ("steps.items[0].price.currency != 'EURO'", "bad_condition", 'It is never "EURO".'),
        ("1 in steps.items[0].tags", "bad_condition", "looks for a number among a text."),
        ("'x' in steps.name", "bad_condition", "`steps.name` must be a list, and it is a text."),
        ("steps.mood.score.size() > 1", "bad_condition", "`steps.mood.score` does not go with size()"),
        ("steps.mood.score.startsWith('x')", "bad_condition", "`steps.mood.score` does not go with startsWith()"),
        ("int(steps.mood.is_sure) == 1", "bad_condition", "does not go with int(), and it is a bool."),
        ("steps.name - 1 > 0", "bad_condition", "`steps.name` does not go with -, and it is a text."),
        ("steps.name + 1 == 'x'", "bad_condition", "`steps.name + 1` puts a text and a number together."),
        ("-steps.name == 1", "bad_condition", "`steps.name` must be a number"),
        ("output.ok", "bad_condition", "`output.ok` cannot be read here, only steps and inputs."),
    ],
)
def test_a_mistake_is_told_with_what_would_be_right(text: str, code: str, message: str) -> None:
    """Otherwise it is found when the step is due, after the steps before it were paid for."""
    [(found_code, found)] = problems(text)
    assert found_code == code
    assert message in found


@pytest.mark.parametrize(
    "text",
    [
        "steps.mood.score > 7 && steps.mood.label == 'good' && steps.mood.is_sure",
        "steps.mood.note == null || steps.mood.note.size() > 3",
        "steps.items.exists(i, i.seller != null && i.seller.rating >= 4 && 'new' in i.tags)",
        "steps.items[0].price.amount + 1 < 20.5 && steps.items[0].price.currency == 'EUR'",
        "steps.mood.by_day.exists(day, day == 'monday') && steps.mood.by_day.monday > inputs.most",
        "steps.raw.whatever[3].x.startsWith('x') || steps.mood.anything.y > 1 || steps.raw",
        "steps.count > 3 && steps.either == 'x' && steps.either > 3",
        "inputs.region in ['eu', 'us'] ? steps.count == null : false",
        "has(steps.mood.by_day.tuesday) && size(steps.items) > 0",
    ],
)
def test_what_may_be_right_passes(text: str) -> None:
    """A check that cries wolf is switched off."""
    assert problems(text) == []


def test_names_are_enough_where_there_is_no_model() -> None:
    """Inputs are often only names; then nothing is said of their types."""
    condition = condition_of("inputs.a > 1 && inputs.b == 'x'")
    assert [*condition_problems(condition, step_types={}, inputs=["a", "b"])] == []
    assert [*condition_problems(condition, step_types={}, inputs=None)] == []
    assert [code for code, _ in condition_problems(condition, step_types={}, inputs=["a"])] == ["unknown_input"]


def test_the_check_of_a_dependency_reads_its_output() -> None:
    """`output` is what the step before it gave; elsewhere there is none."""
    condition = condition_of("output.scor > 7")
    found = [*condition_problems(condition, step_types={}, roots=("steps", "inputs", "output"), output=Mood)]
    assert [code for code, _ in found] == ["unknown_path"]
    assert [code for code, _ in condition_problems(condition, step_types={})] == ["bad_condition"]


def test_whether_a_step_is_enabled_depends_on_inputs_alone() -> None:
    """It is decided before anything runs."""
    condition = condition_of("steps.mood.is_sure && inputs.most > 1")
    [(code, message)] = condition_problems(condition, step_types=STEPS, inputs=Inputs, roots=("inputs",))
    assert (code, message) == ("bad_condition", "`steps.mood.is_sure` cannot be read here, only inputs.")


def test_all_mistakes_are_told_at_once_and_each_once() -> None:
    """One run of the check for one round of mending."""
    found = problems("steps.mod.score > 7 && steps.mod.score < 9 && steps.name > 3 && inputs.regin == 'eu'")
    assert [code for code, _ in found] == ["unknown_step", "bad_condition", "unknown_input"]
