"""What a JSON schema says of a path and of two values; what it leaves open is never refused."""

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from tagent.task_agent.tools import schemas


class Page(BaseModel):
    url: str
    size: int | None = None
    links: list["Page"] = []


class Found(BaseModel):
    pages: list[Page]
    by_name: dict[str, Page] = {}
    anything: object = None


SCHEMA = TypeAdapter(Found | None).json_schema(mode="serialization")


@pytest.mark.parametrize(
    ("path", "missing"),
    [
        ((), None),
        (("pages",), None),
        (("pages", 0, "url"), None),
        (("pages", "0", "url"), None),
        (("pages", -1, "links", 3, "links", 0, "size"), None),
        (("by_name", "whatever", "url"), None),
        (("anything", "at", 3, "all"), None),
        (("titles",), "titles"),
        (("pages", "url"), "url"),
        (("pages", 0, "title"), "title"),
        (("pages", 0, "links", 0, "title"), "title"),
        (("pages", 0, "url", "host"), "host"),
        (("by_name", "whatever", "title"), "title"),
        ((0,), 0),
    ],
)
def test_names_the_first_part_of_a_path_that_cannot_be_there(path: tuple[str | int, ...], missing: object) -> None:
    """Recursive types, optional ones and mappings included."""
    assert schemas.missing_part(SCHEMA, path) == missing


@pytest.mark.parametrize(
    ("given", "wanted", "fits"),
    [
        (int, str, True),
        (str, int, True),
        (int, float, True),
        (dict[str, int], str, False),
        (Page, str, False),
        (str, Page, False),
        (list[str], str, False),
        (list[str], list[int], True),
        (str | None, int | None, True),
        (Page | str, str, True),
        (list[str], dict[str, str], False),
        (object, str, True),
        (Page, object, True),
    ],
)
def test_refuses_only_what_can_never_fit(given: Any, wanted: Any, *, fits: bool) -> None:
    """Text that holds a number may be one; a list is never a word."""
    here = TypeAdapter(given).json_schema()
    there = TypeAdapter(wanted).json_schema()
    assert schemas.may_fit(here, there) is fits


def test_the_properties_of_a_model_are_resolved() -> None:
    """Also where they are only named."""
    page = schemas.part(SCHEMA, ("pages", 0))
    assert page is not None
    assert schemas.type_name(page) == "object"


LOOP = {"$ref": "#/$defs/a"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"x": True}},
        {"type": "object", "properties": None},
        {"type": "object", "properties": [1]},
        {"anyOf": "abc"},
        {"anyOf": [True, 3, None]},
        {"$defs": [], "$ref": "#/$defs/a"},
        {"$defs": {"a": LOOP}, **LOOP},
        {"$defs": {"a": {"anyOf": [LOOP, LOOP]}}, **LOOP},
        {"$ref": "#/properties/a", "properties": {"a": LOOP}},
        {"type": ["string", "null"]},
        {"type": 5},
        {"type": "array", "items": [1, 2]},
    ],
)
def test_a_schema_of_any_shape_is_answered_with_the_benefit_of_the_doubt(schema: dict[str, Any]) -> None:
    """It may be a server's, which may be careless or worse."""
    assert schemas.missing_part(schema, ("x", "y", 0)) is None or schema["type"] == "array"
    assert schemas.may_fit(schema, {"type": "string"}) or schema["type"] in {"array", "object"}
    assert isinstance(schemas.type_name(schema), str)
