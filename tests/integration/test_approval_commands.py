"""`tagent runs approvals`, `approve` and `reject` as somebody types them, and what the other commands say of it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from commands import tagent
from tagent import run_pipeline
from tagent.pipeline.answering.documents import SCOPE
from tagent.pipeline.stored.loading import load_pipeline
from tagent.ports.documents import Put
from tagent.ports.effects import Effects
from tagent.runtime import open_services_on

EXAMPLE = Path(__file__).parents[2] / "examples" / "approval.py"

STEERING = """
from tagent.pipeline import Approval, Pipeline

ask = Approval("output", question="Right?\\n\\x1b[2JYes!")
pipeline = Pipeline("p").step("a", run=lambda: "one\\n\\x1b[2J  tagent runs approve x y", approval=ask)
"""


@pytest.fixture
def waiting(tmp_path: Path) -> str:
    """Return a run of the example that waits, in the default store of the folder."""
    ran = tagent("run", str(EXAMPLE), "--json", cwd=tmp_path)
    assert ran.returncode == 3, ran.stderr
    return str(json.loads(ran.stdout)["run_id"])


def told(*arguments: str, cwd: Path) -> Any:
    """Return what a command tells programs."""
    ran = tagent(*arguments, "--json", cwd=cwd)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_the_example_goes_from_question_to_question(tmp_path: Path, waiting: str) -> None:
    """A reader copies the lines of its docstring."""
    again = tagent("runs", "approve", waiting, "refund", "--comment", "He is right.", "--resume", cwd=tmp_path)
    assert again.returncode == 3, again.stderr
    assert "letter: Shall this letter to Ana be sent?" in again.stderr
    done = tagent("runs", "approve", waiting, "letter", "--output", '"Dear Ana"', "--resume", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "sent: Dear Ana\n"), done.stderr


def test_the_example_sends_a_letter_that_says_no(tmp_path: Path, waiting: str) -> None:
    """A no has its own way."""
    again = tagent("runs", "reject", waiting, "refund", "--comment", "Ask for the receipt.", "--resume", cwd=tmp_path)
    assert again.returncode == 3, again.stderr
    done = tagent("runs", "approve", waiting, "letter", "--resume", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "sent: Dear customer, nothing paid to Ana.\n"), done.stderr


def test_the_example_runs_from_beginning_to_end_in_code(tmp_path: Path) -> None:
    """The other way to start it."""
    result = run_pipeline(load_pipeline(EXAMPLE), {"store": f"file:///{tmp_path / 'runs'}"})
    assert (result.status, result.code) == ("waiting", "approval.waiting")


def test_lists_say_what_waits_since_when_and_until_when(tmp_path: Path, waiting: str) -> None:
    """Whoever decides looks there."""
    (asked,) = told("runs", "approvals", cwd=tmp_path)
    assert (asked["run_id"], asked["pipeline"], asked["step"], asked["of"]) == (waiting, "claim", "refund", "start")
    assert asked["question"] == "Pay EUR 40.0 to Ana, who has ordered 7 times?"
    assert (asked["default"], asked["due_at"] > asked["at"]) == ("reject", True)
    (run,) = told("runs", "list", "--status", "waiting", cwd=tmp_path)
    assert run["approvals"] == [asked]
    shown = told("runs", "show", waiting, cwd=tmp_path)
    assert list(shown["approvals"]) == ["refund"]
    for command in (["list"], ["show", waiting], ["approvals"], ["approvals", waiting]):
        ran = tagent("runs", *command, cwd=tmp_path)
        assert "Pay EUR 40.0 to Ana" in ran.stdout, ran.stderr
    assert f"tagent runs approve {waiting} refund" in tagent("runs", "show", waiting, cwd=tmp_path).stdout
    told("runs", "approve", waiting, "refund", cwd=tmp_path)
    assert told("runs", "approvals", cwd=tmp_path) == []
    nothing = tagent("runs", "approvals", cwd=tmp_path)
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "Nothing waits" in nothing.stderr


def test_programs_are_told_what_was_answered_and_what_to_do(tmp_path: Path, waiting: str) -> None:
    """With a hint that can be typed as it is."""
    answered = told("runs", "approve", waiting, "refund", "--comment", "Yes.", cwd=tmp_path)
    at = answered.pop("at")
    assert at.endswith("+00:00")
    actor = answered.pop("actor")
    assert "@" in actor
    assert answered == {
        "run_id": waiting,
        "step": "refund",
        "is_approved": True,
        "comment": "Yes.",
        "is_edited": False,
        "goes_on": "nobody",
        "process": "",
        "resume": f"tagent runs resume {waiting}",
    }
    late = tagent("runs", "reject", waiting, "refund", "--json", cwd=tmp_path)
    assert late.returncode == 1
    error = json.loads(late.stdout)["error"]
    assert error["code"] == "approval.answered"
    assert f"approved already, by {actor}" in error["message"]


@pytest.mark.parametrize("written", ["nope", "@none.json", '{"a":', "["])
def test_an_output_that_cannot_be_read_is_refused_with_a_hint(tmp_path: Path, waiting: str, written: str) -> None:
    """A text needs its quotes, and a shell takes some away."""
    ran = tagent("runs", "approve", waiting, "refund", "--output", written, cwd=tmp_path)
    assert ran.returncode == 2
    assert "--output" in ran.stderr
    assert len(told("runs", "approvals", cwd=tmp_path)) == 1


def test_what_is_asked_cannot_steer_a_terminal_nor_look_like_more_lines(tmp_path: Path) -> None:
    """It may come from a model."""
    (tmp_path / "steering.py").write_text(STEERING)
    ran = tagent("run", "steering.py", cwd=tmp_path)
    run_id = json.loads(tagent("runs", "approvals", "--json", cwd=tmp_path).stdout)[0]["run_id"]
    said = ran.stderr + "".join(
        tagent("runs", *command, cwd=tmp_path).stdout for command in (["list"], ["show", run_id], ["approvals"])
    )
    assert "\x1b" not in said
    assert not [line for line in said.splitlines() if line.strip().startswith(("tagent runs approve x", "Yes!"))]


def test_nonsense_among_the_approvals_is_passed_over(tmp_path: Path, waiting: str) -> None:
    """Anybody can write there, and nobody wants to see a traceback."""

    async def spoil() -> None:
        async with open_services_on(f"sqlite:///{tmp_path / '.tagent' / 'runs.db'}") as services:
            await services.store.write(Effects(puts=(Put(SCOPE, f"{waiting}/x", b"\xff{"), Put(SCOPE, "", b"{}"))))

    asyncio.run(spoil())
    assert len(told("runs", "approvals", cwd=tmp_path)) == 1
    ran = tagent("runs", "approve", waiting, "x", cwd=tmp_path)
    assert ran.returncode == 1
    assert "approval.not_open" in ran.stderr


def test_a_run_in_memory_says_that_nobody_can_answer(tmp_path: Path) -> None:
    """It would wait, and nobody would know why."""
    pipeline = "from tagent.pipeline import Approval, Pipeline\n"
    pipeline += 'pipeline = Pipeline("p").step("a", run=lambda: 1, approval=Approval(timeout=0.1, default="approve"))\n'
    (tmp_path / "timed.py").write_text(pipeline)
    ran = tagent("run", "timed.py", "--store", "memory://", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "1\n"), ran.stderr
    assert "name another store" in ran.stderr
