"""The one form of the last call: the output, or why there is none."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from tagent.exceptions import ConfigurationError
from tagent.task_agent.answers import answer_type


class City(BaseModel):
    name: str


@pytest.mark.parametrize(
    ("output_type", "output"),
    [
        (str, "text"),
        (int, 0),
        (bool, False),
        (dict, {"a": 1}),
        (list[int], []),
        (City, {"name": "Oslo"}),
        (int | str, "x"),
        (Any, [1]),
        (Literal["yes", "no"], "no"),
        (Annotated[int, Field(ge=1)], 1),
    ],
)
def test_any_type_that_pydantic_can_check_may_be_asked_for(output_type: object, output: object) -> None:
    """An output that is empty, zero or false is an output."""
    answer = answer_type(output_type).model_validate({"output": output})
    assert answer.is_achieved


def test_the_output_has_its_type() -> None:
    """Not a dict that looks like it."""
    assert answer_type(City).model_validate({"output": {"name": "Oslo"}}).output == City(name="Oslo")


@pytest.mark.parametrize(
    "answer",
    [
        {"output": None},
        {"output": None, "not_achieved_because": "It is not there."},
        {"output": "text", "not_achieved_because": "Only half of it."},
    ],
)
def test_no_output_or_an_objection_means_not_achieved(answer: dict[str, object]) -> None:
    """In doubt, a goal is not achieved: a made-up success is the worst result."""
    assert not answer_type(str).model_validate(answer).is_achieved


def test_an_empty_objection_is_none() -> None:
    """Small models fill every field."""
    assert answer_type(str).model_validate({"output": "x", "not_achieved_because": "", "do_next": ""}).is_achieved


@pytest.mark.parametrize("answer", [{}, {"output": "x"}, {"output": 1, "extra": 1}, {"not_achieved_because": "no"}])
def test_an_answer_of_another_form_is_refused(answer: dict[str, object]) -> None:
    """The model is asked again instead."""
    with pytest.raises(ValidationError):
        answer_type(int).model_validate(answer)


def test_the_schema_names_the_output_first_and_requires_it() -> None:
    """Measured: in another order, the smallest model's choice is a matter of chance."""
    schema = answer_type(int).model_json_schema()
    assert next(iter(schema["properties"])) == "output"
    assert schema["required"] == ["output"]


class Opaque: ...


@pytest.mark.parametrize(("output_type", "name"), [(42, "42"), ("int", "'int'"), (Opaque, "Opaque")])
def test_what_pydantic_cannot_check_is_refused_by_name(output_type: object, name: str) -> None:
    """The error is ours, and says which argument is wrong."""
    with pytest.raises(ConfigurationError, match=f"The output format {name} is no type"):
        answer_type(output_type)
