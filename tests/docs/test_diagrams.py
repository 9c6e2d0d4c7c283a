"""Diagrams that are drawn from code stand in the documents as the code has them."""

import doctest
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "diagrams.py"


def loaded() -> ModuleType:
    """Return the script that draws them; it is in no package."""
    spec = spec_from_file_location("diagrams", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


diagrams = loaded()


@pytest.mark.parametrize("page", diagrams.PAGES, ids=lambda page: page.name)
def test_the_state_diagrams_of_a_page_are_those_of_the_transition_tables(page: Path) -> None:
    """A diagram that lags behind the code misleads; `make diagrams` draws it anew."""
    text = page.read_text(encoding="utf-8")
    assert diagrams.with_diagrams(text, diagrams.PAGES[page]) == text


def test_a_page_without_its_diagram_is_noticed() -> None:
    """Nothing to replace must not pass for everything replaced."""
    with pytest.raises(ValueError, match="has 0 state diagrams"):
        diagrams.with_diagrams("A page.", ["stateDiagram-v2"])


def test_the_script_does_as_its_example_says() -> None:
    """The script is in no package, so nobody else runs it."""
    assert doctest.testmod(diagrams).failed == 0
