"""The one grammar for paths into data."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from pydantic import BaseModel

from tagent.exceptions import DataPathError
from tagent.paths import DataPath, field_values


class Page(BaseModel):
    """A Pydantic model with a method and a property, which no path may reach."""

    url: str = "https://example.org"

    @property
    def host(self) -> str:
        raise AssertionError("a path called a property")

    def fetch(self) -> str:
        raise AssertionError("a path called a method")


@dataclass
class Site:
    pages: list[Page]


def looked_up(path: str, values: Mapping[str, object]) -> object:
    return DataPath.parse(path).look_up(values)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("facts", DataPath("facts")),
        ("facts.files", DataPath("facts", ("files",))),
        ("a-b.c_d[0][-1]", DataPath("a-b", ("c_d", 0, -1))),
        ("tasks.0.output", DataPath("tasks", ("0", "output"))),
    ],
)
def test_reads_names_fields_and_positions(text: str, path: DataPath) -> None:
    """Users, models and our own messages write paths in this one way."""
    assert DataPath.parse(text) == path
    assert str(path) == text


@pytest.mark.parametrize("text", ["", "0a", "a..b", "a.", "a[x]", "a[0", "a b", ".a", "a['b']", "a.b()", "a\n", "ä"])
def test_refuses_what_is_no_path(text: str) -> None:
    """A typo is reported, not read as something else."""
    with pytest.raises(DataPathError, match="is not a path") as raised:
        DataPath.parse(text)
    assert raised.value.path == text


def test_refuses_a_path_of_absurd_length() -> None:
    """A model's babble is not parsed, and not repeated in a message."""
    with pytest.raises(DataPathError) as raised:
        DataPath.parse("a" + ".b" * 10_000)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("step", {"files": ["x", "y"], "0": "zero", "none": None, "items": 2}),
        ("step.files[1]", "y"),
        ("step.files[-1]", "y"),
        ("step.files.0", "x"),
        ("step.0", "zero"),
        ("step.none", None),
        ("step.items", 2),
    ],
)
def test_finds_values_in_json(path: str, value: object) -> None:
    """Outputs of steps and tasks are JSON; both ways of writing a position work."""
    assert looked_up(path, {"step": {"files": ["x", "y"], "0": "zero", "none": None, "items": 2}}) == value


def test_finds_values_in_models_and_dataclasses() -> None:
    """Inputs may still be the user's own objects."""
    assert looked_up("site.pages[0].url", {"site": Site([Page()])}) == "https://example.org"


@pytest.mark.parametrize("member", ["fetch", "host", "model_dump", "__class__"])
def test_never_reaches_what_is_no_declared_field(member: str) -> None:
    """A path comes from a model or a file: it may read data and must not run code."""
    with pytest.raises(DataPathError, match=f"page has no field '{member}'"):
        looked_up(f"page.{member}", {"page": Page()})


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("stepp", "Nothing is named 'stepp'. Did you mean 'step'?"),
        ("step.file", "step has no field 'file'. Did you mean 'files'? It has: files, none, text."),
        ("step.files[2]", "step.files has 2 items, so 'step.files[2]' leads nowhere."),
        ("step.files[-3]", "step.files has 2 items"),
        ("step.files.2", "step.files has 2 items"),
        ("step.files.first", "step.files has no field 'first'. It has no fields."),
        ("step[0]", "step is no list"),
        ("step.text[0]", "step.text is no list"),
        ("step.text.0", "step.text has no field '0'"),
        ("step.none.x", "step.none is null, so 'step.none.x' leads nowhere."),
        ("step.none[0]", "step.none is null, so 'step.none[0]' leads nowhere."),
    ],
)
def test_says_where_a_path_leads_nowhere(path: str, message: str) -> None:
    """Whoever wrote the path must see which part is wrong and what is there instead."""
    with pytest.raises(DataPathError) as raised:
        looked_up(path, {"step": {"files": ["x", "y"], "text": "hello", "none": None}})
    assert message in str(raised.value)
    assert raised.value.path == path


@pytest.mark.parametrize("value", [None, 1, "text", [1], Page, Site])
def test_scalars_lists_and_classes_have_no_fields(value: object) -> None:
    """Only an instance's declared fields count as its data."""
    assert field_values(value) == {}
