"""The schema that the smallest model is sent: narrow enough to come to an end."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field

from tagent.adapters.models.small_model_schema import SmallModelSchema


class Size(StrEnum):
    SMALL = "small"
    BIG = "big"


class Thing(BaseModel):
    title: str
    code: Annotated[str, Field(pattern="[a-z]+")]
    size: Size
    tags: list[str]
    corners: Annotated[list[int], Field(min_length=8)]
    few: Annotated[list[int], Field(max_length=2)]
    short: Annotated[str, Field(max_length=20)]
    long: Annotated[str, Field(min_length=300)]
    missing: str | None
    note: str | None = None
    count: int = 1


def sent() -> dict[str, Any]:
    """Return the properties of a `Thing` as they are sent."""
    properties: dict[str, Any] = SmallModelSchema(Thing.model_json_schema()).walk()["properties"]
    return properties


def test_bounds_texts_and_lists() -> None:
    """Without an end in the schema the model repeats itself until it is cut."""
    assert sent()["title"]["maxLength"] == 200
    assert sent()["tags"]["maxItems"] == 6
    assert sent()["tags"]["items"]["maxLength"] == 60


def test_keeps_the_bounds_that_the_user_set() -> None:
    """The answer is checked against them, so what is sent must not contradict."""
    assert sent()["corners"]["minItems"] == sent()["corners"]["maxItems"] == 8
    assert sent()["few"]["maxItems"] == 2
    assert sent()["short"]["maxLength"] == 20
    assert sent()["long"]["minLength"] == sent()["long"]["maxLength"] == 300


def test_leaves_texts_with_a_form_of_their_own_alone() -> None:
    """A pattern or a list of values bounds the text already."""
    assert "maxLength" not in sent()["code"]
    assert sent()["size"]["enum"] == ["small", "big"] if "enum" in sent()["size"] else "$ref" in sent()["size"]


def test_does_not_ask_for_what_may_be_left_out() -> None:
    """It would be filled by chance; what is required, or never null, is still asked for."""
    assert "note" not in sent()
    assert {"missing", "count"} <= sent().keys()
