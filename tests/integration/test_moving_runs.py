"""`tagent runs export` and `tagent runs import`: a run moves between two folders, each command a process of its own."""

import json
import subprocess
from pathlib import Path

import pytest

from commands import TAGENT, environment, tagent

PIPELINE = """
from pathlib import Path
from tagent.pipeline import Pipeline
from tagent.testing import ScriptedModel

print("loaded")

def first() -> int:
    if not Path("open").exists():
        raise TypeError("closed")
    return 1

pipeline = Pipeline("p").step("first", run=first).step("said", "Say {first}", model=ScriptedModel(["One."]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p.py").write_text(PIPELINE)
    (tmp_path / "open").touch()
    (tmp_path / "other").mkdir()
    return tmp_path


def only_run(folder: Path) -> str:
    return str(json.loads(tagent("runs", "list", "--json", cwd=folder).stdout)[0]["run_id"])


def test_a_run_is_the_same_in_another_folder(folder: Path) -> None:
    """Through a pipe or a file, byte for byte, and shown with its steps."""
    assert tagent("run", "p.py", cwd=folder).returncode == 0
    run_id = only_run(folder)
    printed = tagent("runs", "export", run_id, cwd=folder)
    written = tagent("runs", "export", run_id, "-o", "run.json", cwd=folder)
    assert (printed.returncode, written.returncode, written.stdout) == (0, 0, "")
    assert (folder / "run.json").read_text() == printed.stdout
    imported = subprocess.run(
        [*TAGENT, "runs", "import", "-", "--json"],
        cwd=folder / "other",
        env=environment(),
        input=printed.stdout,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(imported.stdout)["run_id"] == run_id
    assert tagent("runs", "export", run_id, cwd=folder / "other").stdout == printed.stdout
    assert tagent("runs", "show", run_id, "--step", "said", cwd=folder / "other").stdout == "One.\n"
    again = tagent("runs", "import", "../run.json", cwd=folder / "other")
    assert (again.returncode, "error[run.exists]" in again.stderr) == (1, True)


def test_an_imported_run_does_not_load_the_file_it_came_from(folder: Path) -> None:
    """Promise 16 on the command line: the file is named again by whoever trusts it."""
    (folder / "open").unlink()
    assert tagent("run", "p.py", cwd=folder).returncode == 1
    run_id = only_run(folder)
    assert "loaded" in tagent("runs", "resume", run_id, cwd=folder).stderr, "the file of our own run is known"
    document = tagent("runs", "export", run_id, "-o", "run.json", cwd=folder)
    assert document.returncode == 0
    values = json.loads((folder / "run.json").read_text())
    values["definition"]["origin"] = {"file": str(folder / "p.py"), "object_name": "pipeline"}
    (folder / "run.json").write_text(json.dumps(values))
    assert tagent("runs", "import", "../run.json", cwd=folder / "other").stdout == f"{run_id}\n"
    resumed = tagent("runs", "resume", run_id, cwd=folder / "other")
    assert (resumed.returncode, "loaded" in resumed.stderr) == (1, False)
    assert "error[pipeline.no_origin]" in resumed.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["runs", "export", "nothing"], 1, "error[store.unknown_run]"),
        (["runs", "import", "p.py"], 1, "error[run.import]: This is no run that can be imported: it is no JSON"),
        (["runs", "import", "/dev/zero"], 1, "it is larger than 64 MB"),
        (["runs", "import", "large.json", "--max-mb", "1"], 1, "it is larger than 1 MB"),
        (["runs", "import", "deep.json"], 1, "it is nested too deeply"),
        (["runs", "import", "missing.json"], 2, "No such file"),
        (["runs", "import", "."], 2, "Is a directory"),
        (["runs", "export", "nothing", "-o", "."], 2, "is a directory"),
    ],
)
def test_bad_input_gets_a_clear_error(folder: Path, arguments: list[str], code: int, said: str) -> None:
    """Never a traceback, and no store is made better or worse."""
    (folder / "large.json").write_bytes(b" " * (1024 * 1024 + 1))
    (folder / "deep.json").write_bytes(b"[" * 1_000_000)
    ran = tagent(*arguments, cwd=folder)
    assert (ran.returncode, said in ran.stderr, "Traceback" in ran.stderr) == (code, True, False), ran.stderr
    assert json.loads(tagent("runs", "list", "--json", cwd=folder).stdout) == []
