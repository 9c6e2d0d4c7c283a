"""What goes wrong on the command line, whatever is typed."""

import json
from pathlib import Path

import pytest

from tagent.cli.errors import USAGE, run_and_exit
from tagent.cli.main import cli

ODD = b"d\xe9j\xe0".decode("utf-8", "surrogateescape")
"""What Python makes of an argument of a terminal that writes Latin-1, where it expects UTF-8."""


@pytest.mark.parametrize(
    ("arguments", "which"),
    [
        (["run", ODD], "Argument 2 is"),
        (["run", "Say hello", "--label", f"team={ODD}"], "Argument 4, behind --label, is"),
        (["runs", "approve", "1f2e", "refund", "--comment", ODD], "Argument 6, behind --comment, is"),
        (["runs", "reject", "1f2e", "refund", f"--comment={ODD}"], "Argument 5 is"),
        (["runs", "cancel", "1f2e", "--reason", ODD], "Argument 5, behind --reason, is"),
        (["runs", "fork", "1f2e", "--label", f"{ODD}=x"], "Argument 5, behind --label, is"),
        ([ODD], "Argument 1 is"),
    ],
)
def test_an_argument_that_is_no_utf_8_is_a_mistake_of_usage(
    arguments: list[str],
    which: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No store could keep it; nothing is begun."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        run_and_exit(cli, [*arguments, "--json"])
    told = capsys.readouterr()
    assert (left.value.code, list(tmp_path.iterdir())) == (USAGE, [])
    assert told.err.startswith(f"Error: {which} no UTF-8: see its character ")
    assert json.loads(told.out)["error"]["code"] == "usage"
