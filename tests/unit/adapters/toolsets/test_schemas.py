"""Arguments against a server's JSON schema: what is told, and what is left to the server."""

import pytest

from tagent.adapters.toolsets.schemas import ArgumentSchema

SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "count": {"type": "integer", "minimum": 1},
        "sizes": {"type": "array", "items": {"enum": ["S", "M"]}},
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
        ({"title": "a", "size": 1, "hue": 2}, ("'hue', 'size' are unknown",)),
        ({"title": "a", "count": 0}, ("count: does not fit minimum 1",)),
        ({"title": "a", "sizes": ["M", "XXL"]}, ("sizes.1: does not fit enum ['S', 'M']",)),
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
