"""Arguments against a server's JSON schema: what is told, and what is left to the server."""

import pytest

from tagent.adapters.toolsets.schemas import ArgumentSchema

SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "count": {"type": ["integer", "null"], "minimum": 1},
        "size": {"enum": ["S", "M"]},
    },
    "required": ["title"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("arguments", "problems"),
    [
        ({"title": "a"}, ()),
        ({}, ("'title' is missing",)),
        ({"title": 7}, ("title: does not fit type 'string'",)),
        ({"title": "a", "sizes": 1, "hue": 2}, ("'hue', 'sizes' are unknown",)),
        ({"title": "a", "count": 0}, ()),
        ({"title": "a", "count": None}, ()),
        ({"title": "a", "count": 2.0}, ()),
        ({"title": "a", "count": 2.5}, ("count: does not fit type ['integer', 'null']",)),
        ({"title": "a", "count": True}, ("count: does not fit type ['integer', 'null']",)),
        ({"title": "a", "size": "XXL"}, ("size: does not fit enum ['S', 'M']",)),
    ],
)
def test_names_what_does_not_fit_without_its_value(arguments: dict[str, object], problems: tuple[str, ...]) -> None:
    """A model mends what it is told; a value may be a tool's output."""
    assert ArgumentSchema(SCHEMA).problems(arguments, ()) == problems


def test_a_value_that_is_not_known_yet_is_not_judged() -> None:
    """The reference to an earlier task stands in its place; that the argument exists is checked all the same."""
    schema = ArgumentSchema(SCHEMA)
    later = "{{tasks.0.output}}"
    assert schema.problems({"title": later, "count": later}, ["title", "count"]) == ()
    assert schema.problems({"title": later, "hue": later}, ["title", "hue"]) == ("'hue' is unknown",)


@pytest.mark.parametrize("schema", [{"type": "no such type"}, {"$ref": "https://example.org/schema.json"}])
def test_a_schema_that_cannot_be_used_leaves_it_to_the_server(schema: dict[str, object]) -> None:
    """No reference is fetched, and a careless server can still be used."""
    assert ArgumentSchema(schema).problems({"anything": 1}, ()) == ()


LOOP = {"$ref": "#/properties/a"}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}},
        {"properties": {"a": LOOP}, "required": ["a"]},
        {"properties": {"a": True}},
        {"properties": None, "required": "a"},
        {"properties": {"a": {"type": 5, "enum": "x"}}},
        {"$id": "http://[", "allOf": [{"allOf": []}]},
    ],
)
def test_a_hostile_schema_takes_no_time_and_raises_nothing(schema: dict[str, object]) -> None:
    """The event loop would stand still for every other run; what is not looked at the server sees."""
    assert ArgumentSchema(schema).problems({"a": "a" * 40 + "!"}, ()) == ()
