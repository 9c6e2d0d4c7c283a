"""What a docstring tells a model, whichever form it has."""

import pytest

from tagent.task_agent.tools.docstrings import Described, described

GOOGLE = """Return the weather.

For several days.

Args:
    city: Where; a
        name of a city.
    days (int): How many: from 1.

Returns:
    One line a day.

Raises:
    LookupError: Never mind.

Note:
    Slow on Sundays.
"""

REST = """Return the weather.

For several days.

:param city: Where; a
    name of a city.
:param int days: How many: from 1.
:returns: One line a day.
:raises LookupError: Never mind.
"""

NUMPY = """Return the weather.

For several days.

Parameters
----------
city : str
    Where; a
    name of a city.
days : int, optional
    How many: from 1.

Returns
-------
str
    One line a day.

Raises
------
LookupError
    Never mind.
"""


@pytest.mark.parametrize("docstring", [GOOGLE, REST, NUMPY])
def test_every_form_tells_the_meaning_of_the_parameters(docstring: str) -> None:
    """Teams write one of the three."""
    told = described(docstring)
    assert told.parameters == {"city": "Where; a name of a city.", "days": "How many: from 1."}
    assert told.summary.startswith("Return the weather.\n\nFor several days.\n\nReturns: One line a day.")
    assert "Never mind" not in told.summary


def test_a_note_stays_in_the_summary() -> None:
    """It may say when to use the tool."""
    assert described(GOOGLE).summary.endswith("Note: Slow on Sundays.")


@pytest.mark.parametrize(
    "docstring",
    [
        "",
        "Find: it.",
        "Return {x: 1}.\n\n    Indented:\n      as it is\n",
        "Args:",
        "Returns:\n    A list.",
        ":ref:`x`",
    ],
)
def test_a_docstring_without_parameters_stays_as_it_is(docstring: str) -> None:
    """Nothing is guessed, and nothing lost."""
    assert described(docstring) == Described(docstring)


@pytest.mark.parametrize("heading", ["Example", "Examples"])
def test_an_example_for_programmers_is_not_told_and_one_for_readers_is(heading: str) -> None:
    """A doctest costs tokens and shows a model nothing that it can use."""
    assert described(f"Find it.\n\n{heading}:\n    >>> find(1)\n    2\n").summary == "Find it."
    assert described(f"Find it.\n\n{heading}:\n    'red shoes'\n").summary == f"Find it.\n\n{heading}: 'red shoes'"
