"""What the definition says of one step's fate."""

import pytest

from tagent.pipeline import Pipeline
from tagent.pipeline.rules import Expansion, StepRules
from tagent.pipeline.stored.definition import Definition, Origin, bind, outline


@pytest.mark.parametrize(
    ("least", "count", "allowed"),
    [
        (None, 4, 0), (1, 4, 3), (1.0, 4, 0), (1.0, 0, 0), (0.0, 4, 4), (0, 4, 4), (0.5, 5, 2), (4, 3, 0),
        (0.55, 100, 45), (0.07, 100, 93), (0.999, 100_000, 100),
    ],
)  # fmt: skip
def test_a_whole_number_is_a_count_and_a_float_a_share(least: float | None, count: int, allowed: int) -> None:
    """1 of 4 and 1.0 of 4 are as far apart as can be; and 0.55 * 100 is a little more than 55."""
    assert Expansion(None, (), 16, least).allowed_failures(count) == allowed


@pytest.mark.parametrize(("least", "allowed"), [(1, 3), (1.0, 0)])
def test_a_count_and_a_share_are_stored_as_what_they_are(least: float, allowed: int) -> None:
    """A run that is resumed or moved allows what it allowed before."""
    pipeline = Pipeline("p").step("a", "Use {item}", for_each="things", min_success=least)
    definition = Definition.of(pipeline, Origin())
    assert [allowed_by(it) for it in (pipeline, bind(definition, pipeline), outline(definition))] == [allowed] * 3


def allowed_by(pipeline: Pipeline) -> int:
    expansion = StepRules.of(pipeline.steps[0]).expansion
    assert expansion is not None
    return expansion.allowed_failures(4)
