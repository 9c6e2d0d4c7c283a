"""Forks as people make them: each command a process of its own."""

import json
from pathlib import Path

import pytest

from commands import tagent

PIPELINE = """
from tagent.pipeline import Pipeline

def find(topic: str) -> dict:
    with open("calls", "a") as log: log.write("find ")
    return {"words": [topic, "x"]}

def count(find: dict) -> int:
    with open("calls", "a") as log: log.write("count ")
    return len(find["words"])

pipeline = Pipeline("lab").step("find", run=find).step("count", run=count)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lab.py").write_text(PIPELINE)
    assert tagent("run", "lab.py", "--input", "topic=tea", cwd=tmp_path).stdout == "2\n"
    return tmp_path


def parent(folder: Path) -> str:
    return str(json.loads(tagent("runs", "list", "--json", cwd=folder).stdout)[-1]["run_id"])


def test_a_fork_is_made_resumed_and_compared(folder: Path) -> None:
    """The id is on stdout, what is reused on stderr."""
    run_id = parent(folder)
    forked = tagent("runs", "fork", run_id, "--from", "count", cwd=folder)
    assert "Reused: find\nRuns again: count\n" in forked.stderr
    fork = forked.stdout.strip()
    assert f"tagent runs resume {fork}" in forked.stderr
    assert tagent("runs", "resume", fork, cwd=folder).stdout == "2\n"
    assert (folder / "calls").read_text() == "find count count "
    edited = tagent("runs", "fork", run_id, "--set", 'steps.find.output:={"words": []}', "--json", cwd=folder)
    other = json.loads(edited.stdout)
    assert (other["reused"], other["again"]) == (["find"], ["count"])
    assert tagent("runs", "resume", other["run_id"], cwd=folder).stdout == "0\n"
    rows = tagent("runs", "diff", run_id, other["run_id"], cwd=folder).stdout
    assert [line.split()[3] for line in rows.splitlines()[2:]] == ["differs", "differs"]
    shown = tagent("runs", "diff", run_id, other["run_id"], "--step", "count", cwd=folder).stdout
    assert "-2\n+0" in shown
    assert json.loads(tagent("runs", "diff", run_id, fork, "--json", cwd=folder).stdout)["steps"][0]["is_output_equal"]
    logs = tagent("runs", "logs", other["run_id"], cwd=folder).stdout
    assert f"from run {run_id}" in logs


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--from", "cuont"], 2, "Did you mean 'count'"),
        (["--at", "100"], 2, "events 1 to"),
        (["--set", "x"], 2, "not of the form path=text"),
        (["--set", "steps.find.output:={"], 2, "not JSON"),
        (["--set", "model=a", "--set", "model.b=c"], 2, "set twice"),
        (["--set", "steps.find.goal=x"], 2, "is a function"),
        ([], 2, "a place to begin"),
    ],
)
def test_a_fork_that_does_not_fit_is_told_in_a_line(
    folder: Path, arguments: list[str], code: int, message: str
) -> None:
    """Nothing is made then, and nobody sees a traceback."""
    found = tagent("runs", "fork", parent(folder), *arguments, cwd=folder)
    assert message in found.stderr
    assert "Traceback" not in found.stderr
    assert (found.returncode, found.stdout) == (code, "")
    assert len(json.loads(tagent("runs", "list", "--json", cwd=folder).stdout)) == 1
