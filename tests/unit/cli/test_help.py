"""What the help says: what a script needs to know, and what an option takes."""

import pytest
from click.testing import CliRunner

from tagent.cli import errors
from tagent.cli.main import cli


def help_of(*words: str) -> str:
    """Return the help of a command, as one line."""
    return " ".join(CliRunner().invoke(cli, [*words, "--help"]).stdout.split())


def test_the_exit_codes_stand_in_the_help() -> None:
    """Whoever writes a script looks there; each code that there is."""
    told = help_of()
    codes = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)}
    assert len(codes) == 8
    for code in codes:
        assert f" {code} " in told.partition("Exit codes:")[2], code


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run"], "NAME:=JSON for a number, a bool, a list. Files are read by --inputs. Repeatable."),
        (["run"], "Hold STEP to have given this; it does not run. What is no JSON is text; @FILE reads a file."),
        (["run"], "[default: TAGENT_STORE, else the settings, else sqlite:///.tagent/runs.db;"),
        (["runs", "list"], "at this time or later: 2026-07-28, 2026-07-28T12:00 (UTC), or so long ago: 2h, 7d."),
        (["runs", "cancel"], "before this time: 2026-07-28, 2026-07-28T12:00 (UTC), or so long ago: 2h, 7d."),
        (["runs", "show"], "--step STEP"),
        (["runs", "diff"], "--step STEP"),
        (["runs", "fork"], "Make a new run of an old one's beginning;"),
        (["memory", "get"], "shared:NAME"),
        (["memory", "set"], "[default: kept for ever]"),
        (["memory", "list"], "step:ID/STEP"),
        (["worker"], "a free port. [default: none]"),
        (["db"], "prune Delete finished runs. upgrade Bring the database to this tagent's schema."),
    ],
)
def test_an_option_says_what_it_takes(words: list[str], told: str) -> None:
    """And what counts without it."""
    assert told in help_of(*words)


@pytest.mark.parametrize("group", ["runs", "memory", "messages", "db"])
def test_no_line_of_a_list_of_commands_is_cut(group: str) -> None:
    """Half a sentence says nothing."""
    assert "..." not in help_of(group).partition("Commands:")[2]
