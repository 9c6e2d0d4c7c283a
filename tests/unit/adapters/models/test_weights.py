"""Which weights the embedded model is served from, and what a result calls them."""

from pathlib import Path

import pytest

from tagent.adapters.models.weights import is_installed, model_name, weights
from tagent.exceptions import ConfigurationError


def test_takes_the_weights_that_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is to be set up after the installation."""
    monkeypatch.delenv("TAGENT_LOCAL_MODEL", raising=False)
    file = weights()
    assert file is not None
    assert model_name(file) == "SmolLM2-135M-Instruct"


def test_takes_the_file_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A better small model is one variable away."""
    file = tmp_path / "mine.gguf"
    file.write_bytes(b"GGUF and so on")
    monkeypatch.setenv("TAGENT_LOCAL_MODEL", str(file))
    assert weights() == file


@pytest.mark.parametrize("content", [b"", b"PK and so on"])
def test_refuses_a_file_of_another_kind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes) -> None:
    """It is told at once and by name, without starting an engine that fails in silence."""
    file = tmp_path / "mine.gguf"
    file.write_bytes(content)
    monkeypatch.setenv("TAGENT_LOCAL_MODEL", str(file))
    with pytest.raises(ConfigurationError, match="not a GGUF file"):
        weights()


@pytest.mark.parametrize("name", ["missing.gguf", "."])
def test_refuses_a_file_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """A mistyped path is a mistake of the settings, and no later try will help."""
    monkeypatch.setenv("TAGENT_LOCAL_MODEL", str(tmp_path / name))
    with pytest.raises(ConfigurationError, match=r"TAGENT_LOCAL_MODEL names .*cannot be read"):
        weights()


def test_a_file_that_is_named_wrongly_is_not_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It still counts as installed, so that its mistake is told instead of "no model is chosen"."""
    monkeypatch.setenv("TAGENT_LOCAL_MODEL", str(tmp_path / "missing.gguf"))
    assert is_installed()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"),
        ("Qwen2.5-0.5B-Instruct-Q4_K_M.gguf", "Qwen2.5-0.5B-Instruct"),
        ("gemma-3-270m-it-IQ3_XXS.gguf", "gemma-3-270m-it"),
        ("tiny.f16.gguf", "tiny"),
        ("Q8.gguf", "Q8"),
        ("phi-3.5.gguf", "phi-3.5"),
    ],
)
def test_names_the_model_without_how_precisely_it_is_kept(file: str, name: str) -> None:
    """What answered is a model; the packing of its numbers is not part of its name."""
    assert model_name(Path(file)) == name
