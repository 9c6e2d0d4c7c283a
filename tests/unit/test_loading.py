"""A file that a user names, run as it is."""

import sys
from pathlib import Path

import pytest

from tagent.loading import LoadFailure, run_file


@pytest.fixture(autouse=True)
def _same_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])


def written(folder: Path, text: str, name: str = "tagent.tools.py") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def test_a_file_with_dots_in_its_name_runs_and_its_folder_can_be_imported_from(tmp_path: Path) -> None:
    """`tagent.tools.py` is no module of the package tagent."""
    written(tmp_path, "n = 42", "beside_the_tools.py")
    module = run_file(written(tmp_path, "from beside_the_tools import n"))
    assert not isinstance(module, LoadFailure)
    assert module.n == 42
    assert "." not in module.__name__


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    """Their classes are looked up by the module's name."""
    modules = [run_file(written(tmp_path / name, f"here = {name!r}")) for name in ("a", "b")]
    assert [module.here for module in modules if not isinstance(module, LoadFailure)] == ["a", "b"]
    assert len({sys.modules[module.__name__].here for module in modules if not isinstance(module, LoadFailure)}) == 2


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("\nimport nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'", 2),
        ("n = 1\ndef f(:\n    pass", "SyntaxError: invalid syntax", 2),
        ("def f():\n    raise LookupError\n\nf()", "LookupError", 2),
        ("raise SystemExit(3)", "SystemExit: 3", 1),
        ("import broken_beside", "SyntaxError: invalid syntax in ", 1),
        ("\0", "SyntaxError: source code string cannot contain null bytes", None),
    ],
)
def test_a_failure_is_told_with_the_line_of_the_file(tmp_path: Path, text: str, reason: str, line: int | None) -> None:
    """The user sees where to look, and no traceback of ours."""
    written(tmp_path, "def (", "broken_beside.py")
    failure = run_file(written(tmp_path, text))
    assert isinstance(failure, LoadFailure)
    assert failure.reason.startswith(reason)
    assert failure.line == line
    assert failure.cause is not None


def test_what_is_no_python_file_is_a_failure_too(tmp_path: Path) -> None:
    """A misspelt name is the most common mistake."""
    assert run_file(tmp_path / "gone.py") == LoadFailure("there is no such file")
    assert run_file(written(tmp_path, "n = 1", "tools.txt")) == LoadFailure("it is no Python file")
