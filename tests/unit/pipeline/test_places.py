"""Where an error of a step comes from, as people are told."""

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from builders import run
from tagent.pipeline import Pipeline
from tagent.pipeline.exceptions import StepFailedError
from tagent.pipeline.places import place_of


def opened() -> str:
    return Path("nowhere/at/all").read_text(encoding="utf-8")


def validated() -> object:
    return TypeAdapter(int).validate_python("x")


def decoded() -> object:
    return json.loads("{")


@pytest.mark.parametrize("function", [opened, validated, decoded])
async def test_the_line_is_that_of_the_users_code(function: object) -> None:
    """`pathlib.py, line 1044` helps nobody to find it."""
    ran = await run(Pipeline("p").step("a", run=function, max_retries=0))  # type: ignore[arg-type]  # a function
    line = function.__code__.co_firstlineno + 1  # type: ignore[attr-defined]  # a function
    assert ran.result.step_metadata["a"]["reason"].endswith(f"(test_places.py, line {line})")


def test_a_line_of_a_library_is_better_than_none() -> None:
    """A function of a library may be the step's own."""
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")
    trace = caught.value.__traceback__
    assert trace is not None
    assert place_of(caught.value.with_traceback(trace.tb_next)).startswith("decoder.py, line ")
    assert place_of(ValueError("x")) == ""


def test_an_error_without_a_text_is_told_without_a_colon() -> None:
    """A bare `raise ValueError` and an `assert` are such."""
    assert StepFailedError("a", ValueError()).message == "The step 'a' raised ValueError"
    assert StepFailedError("a", ValueError("x")).message == "The step 'a' raised ValueError: x"
