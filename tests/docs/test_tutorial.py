"""The tutorial is typed in from its first line to its last, as whoever learns from it does."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted(ROOT.glob("docs/tutorial/*.md"))

RUN_ID = re.compile(r"\b[0-9a-f]{16}\b")
_CHANGING = (
    (RUN_ID, "ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)"), "TIME"),
    (re.compile(r"\b\d+(\.\d)?s\b"), "SECONDS"),
    (re.compile(r"\w+@[\w.-]+"), "SOMEBODY"),
    (re.compile(r"[ ]+"), " "),
)
"""What is another one each time, and what stands for it when outputs are compared."""


def parts(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the blocks of a page in order: a file's name and its text, or a command and what it prints."""
    for language, block in re.findall(r"```(python|console)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", block)
            assert name, "a file says its name in its first line"
            yield name[1], block
        else:
            for typed in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, printed = typed.partition("\n")
                yield f"$ {command}", printed


def same_each_time(printed: str) -> str:
    for changing, told in _CHANGING:
        printed = changing.sub(told, printed)
    return printed


def typed_in(command: str, folder: Path) -> str:
    """Return what a command prints, to both of its outputs, in a shell that knows no key and no settings."""
    ours = {name: it for name, it in os.environ.items() if not name.startswith("TAGENT_") and "KEY" not in name}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ran = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={**ours, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return ran.stdout


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_whoever_follows_a_tutorial_sees_what_it_shows(page: Path, tmp_path: Path) -> None:
    """Files are written, commands typed, and ids taken from what was printed before."""
    run_id = ""
    found = list(parts(page))
    assert any(name.startswith("$ ") for name, _ in found)
    for name, text in found:
        if not name.startswith("$ "):
            (tmp_path / name).write_text(text, encoding="utf-8")
            continue
        printed = typed_in(re.sub(r"\bID\b", run_id, name.removeprefix("$ ")), tmp_path)
        assert same_each_time(printed) == same_each_time(text), name
        if shown := RUN_ID.search(printed):  # the newest comes first
            run_id = shown[0]
