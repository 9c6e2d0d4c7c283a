"""What is read in an answer around which the model wrote something else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagent.adapters.models.reading import is_json, json_values, output_so_far, readable

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
OBJECTS = st.dictionaries(st.text(), VALUES)
PROSE = st.text(st.characters(exclude_characters="{}[]", exclude_categories=["Cs"]))


@given(before=PROSE, value=OBJECTS, after=PROSE)
def test_finds_the_one_object_amid_prose(before: str, value: object, after: str) -> None:
    """Whatever stands around it, and whatever brackets and quotes are in it."""
    text = json.dumps(value)
    assert json_values(before + text + after) == (text,)


@given(values=st.lists(OBJECTS, min_size=2, max_size=4), between=PROSE)
def test_several_objects_are_several(values: list[object], between: str) -> None:
    """Choosing one of them would be a guess."""
    assert len(json_values(between.join(json.dumps(value) for value in values))) == len(values)


@pytest.mark.parametrize(
    "text", ["", "Blue, I think.", "{blue}", '{"output": "bl', "[", "}{", "{" * 10_000, "[" * 100_000]
)
def test_finds_nothing_where_nothing_is(text: str) -> None:
    """Half an object is none, and brackets without end take no time without end."""
    assert json_values(text) == ()
    assert not is_json(text)


@given(OBJECTS)
def test_leaves_json_as_it_is(value: object) -> None:
    """Also where a text in it looks like JSON in a fence."""
    text = json.dumps(value)
    assert readable(text) == text


def test_does_not_guess_between_an_example_and_the_answer() -> None:
    """Not even when the first of them stands in a fence, which the vendor's library would take."""
    text = '```json\n{"output": "an example"}\n``` So: ```json\n{"output": "blue"}\n```'
    assert not is_json(readable(text))
    assert "`" not in readable(text)


def test_finds_an_array_where_no_object_is() -> None:
    """But the number of a footnote beside an object is no answer."""
    assert json_values("Here: [1, 2].") == ("[1, 2]",)
    assert json_values('As [1] says: {"a": 1}') == ('{"a": 1}',)


@given(st.text(), st.integers(0, 200))
def test_shows_ever_more_of_a_text(output: str, length: int) -> None:
    """What was shown stays; nothing is shown that does not come to be part of the answer."""
    whole = json.dumps({"output": output, "not_achieved_because": None})
    shown = output_so_far(whole[:length], is_text=False)
    assert shown is None or output.startswith(shown)
    assert (output_so_far(whole, is_text=False) or "") == output


@given(VALUES, st.integers(0, 200))
def test_never_fails_on_a_beginning(output: object, length: int) -> None:
    """A stream may be cut anywhere."""
    whole = json.dumps({"output": output})
    output_so_far(whole[:length], is_text=False)
    shown = output_so_far(whole, is_text=False)
    if not isinstance(output, str) and output is not None:
        assert shown is not None
        assert json.loads(shown) == output


@pytest.mark.parametrize(
    "text", ["", "Blue", "{", '{"not_achieved_because": "x"}', '{"output": null}', "[1]", '{"output": ""}']
)
def test_shows_nothing_before_there_is_something(text: str) -> None:
    """A refusal is not an answer."""
    assert output_so_far(text, is_text=False) is None


def test_shows_free_text_as_it_is() -> None:
    """Braces in it are part of it."""
    assert output_so_far('It is {"output', is_text=True) == 'It is {"output'
    assert output_so_far("", is_text=True) is None
