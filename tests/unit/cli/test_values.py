"""Values as people type them on the command line."""

from pathlib import Path

import click
import pytest

from tagent.cli.values import json_of, pair_of, text_of


@pytest.mark.parametrize("written", ["topic", "=tea", ":=3", ""])
def test_a_pair_without_a_name_or_a_value_is_refused(written: str) -> None:
    """The message says how one is written, and which option is meant."""
    with pytest.raises(click.BadParameter, match="not of the form path=text or path:=json") as refused:
        pair_of(written, "--set", named="path")
    assert refused.value.param_hint == "--set"


@pytest.mark.parametrize("written", ["{", "[" * 100_000, "tea"])
def test_what_is_no_json_is_refused_however_deep_it_is(written: str) -> None:
    """Whoever types it sees no traceback."""
    with pytest.raises(click.BadParameter, match="is not JSON"):
        json_of(written, "--input")


def test_a_text_stays_a_text_whatever_it_looks_like() -> None:
    """A version is no number."""
    assert pair_of("version=1.10", "--input") == ("version", "1.10")
    assert pair_of("query=a=b:=c", "--input") == ("query", "a=b:=c")


def test_a_value_may_stand_in_a_file(tmp_path: Path) -> None:
    """Long ones do not fit on a line."""
    (tmp_path / "output.json").write_text('{"city": "Évora"}', encoding="utf-8")
    assert text_of(f"@{tmp_path}/output.json", "--output") == '{"city": "Évora"}'
    assert text_of("plain", "--output") == "plain"


@pytest.mark.parametrize("named", ["missing.json", "latin.txt", "nul\0byte"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, named: str) -> None:
    """It may be missing, hold no text, or have no name that a file can have."""
    (tmp_path / "latin.txt").write_bytes(b"\xe9")
    with pytest.raises(click.BadParameter, match="cannot be read"):
        text_of(f"@{tmp_path}/{named}", "--output")
