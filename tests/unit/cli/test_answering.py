"""`runs approve` and `runs reject` of several steps, and of runs that do not know from where their code comes."""

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from tagent import run_pipeline
from tagent.cli.commands import RunCommands
from tagent.cli.errors import run_and_exit
from tagent.cli.main import cli
from tagent.cli.waiting import asked_and_how_to_answer
from tagent.pipeline.answering.errors import ApprovalAnsweredError
from tagent.pipeline.events import ApprovalRequested
from tagent.pipeline.stored.loading import load_pipeline
from tagent.pipeline.stored.origins import NoPipelineError

FILE = """
from tagent.pipeline import Approval, ExecutionMode, Pipeline

pipeline = Pipeline("letters", default_mode=ExecutionMode.CONCURRENT)
pipeline.step("one", run=lambda: "Dear Ana", output_schema=str, approval="output")
pipeline.step("two", run=lambda: "Dear Bob", output_schema=str, approval="output")
pipeline.step("three", run=lambda: "Dear Cyd", approval=Approval(question="Write to Cyd?"))
pipeline.step("all", run=lambda one, two, three: [one, two, three])
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "letters.py"
    path.write_text(FILE)
    return path


@pytest.fixture
def tagent(tmp_path: Path) -> Callable[..., Result]:
    """Return what calls a command on one store; whatever it raises is raised."""

    def called(*arguments: str, typed: str = "") -> Result:
        words = [*arguments, "--store", f"file:///{tmp_path}/runs"]
        return CliRunner().invoke(cli, words, input=typed, standalone_mode=False, catch_exceptions=False)

    return called


@pytest.fixture
def waiting(file: Path, tmp_path: Path) -> str:
    """Return a run that was begun in Python and waits for three answers."""
    return run_pipeline(load_pipeline(str(file)), {"store": f"file:///{tmp_path}/runs"}).run_id


def test_several_steps_are_answered_at_once(tagent: Callable[..., Result], waiting: str) -> None:
    """Fifty customers are one command; who goes on is said once."""
    done = tagent("runs", "approve", waiting, "one", "two", "one")
    lines = done.stdout.splitlines()
    assert (done.return_value, lines[:2]) == (0, [f"{waiting}  one  approved", f"{waiting}  two  approved"])
    assert done.stdout.count("Go on with it") == 1
    no = tagent("runs", "reject", waiting, "three", "--comment", "Too late.")
    assert (no.return_value, no.stdout.splitlines()[0]) == (0, f"{waiting}  three  rejected")


def test_of_several_those_that_cannot_be_answered_are_named(tagent: Callable[..., Result], waiting: str) -> None:
    """The others count all the same; a script sees that not all did."""
    tagent("runs", "approve", waiting, "two")
    done = tagent("runs", "approve", waiting, "one", "two", "four", "--json")
    told = json.loads(done.stdout)
    assert done.return_value == 1
    assert [it["step"] for it in told["answered"]] == ["one"]
    assert [(it["step"], it["code"]) for it in told["refused"]] == [
        ("two", "approval.answered"),
        ("four", "approval.not_open"),
    ]
    assert "error[approval.answered]: The step 'two'" in done.stderr
    again = tagent("runs", "approve", waiting, "one", "two")
    assert (again.return_value, again.stdout) == (1, "")
    with pytest.raises(ApprovalAnsweredError):
        tagent("runs", "approve", waiting, "one")


def test_all_that_waits_is_shown_and_answered(
    tagent: Callable[..., Result], waiting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody says yes to what he has not seen, unless he says that, too."""
    tagent("runs", "approve", waiting, "two")
    with pytest.raises(click.UsageError, match="Nothing was approved: there is no terminal"):
        tagent("runs", "approve", waiting, "--all")
    monkeypatch.setattr("tagent.cli.runs.answering.agrees", lambda question, done: "2" in question and done == "no")
    refused = tagent("runs", "approve", waiting, "--all")
    assert (refused.return_value, refused.stdout) == (1, "")
    assert "  three: Write to Cyd?\n" in refused.stderr
    assert refused.stderr.endswith("Nothing was approved.\n")
    done = tagent("runs", "approve", waiting, "--all", "--yes", "--json")
    assert sorted(it["step"] for it in json.loads(done.stdout)["answered"]) == ["one", "three"]
    nothing = tagent("runs", "approve", waiting, "--all", "--yes", "--json")
    assert (nothing.return_value, json.loads(nothing.stdout)) == (0, {"answered": [], "refused": []})
    assert nothing.stderr == "Nothing waits for an approval.\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Name the steps, or say --all."),
        (["one", "--all"], "Name the steps, or say --all."),
        (["one", "two", "--output", "1"], "--output is about one step: name that one alone."),
        (["--all", "--output", "1"], "--output is about one step: name that one alone."),
    ],
)
def test_what_is_answered_is_said_in_one_way(
    tagent: Callable[..., Result], waiting: str, words: list[str], told: str
) -> None:
    """An output is of one step."""
    with pytest.raises(click.UsageError) as caught:
        tagent("runs", "approve", waiting, *words)
    assert caught.value.message == told


def test_a_run_that_does_not_know_its_code_is_given_it(
    tagent: Callable[..., Result], waiting: str, file: Path, tmp_path: Path
) -> None:
    """Begun in Python; what it prints can be typed once the file is named."""
    with pytest.raises(NoPipelineError) as caught:
        tagent("runs", "approve", waiting, "one", "--output", '"Dear Eva"')
    assert caught.value.hint.endswith("or `--pipeline FILE`.")
    done = tagent("runs", "approve", waiting, "one", "--output", '"Dear Eva"', "--pipeline", str(file))
    url = f"file:///{tmp_path}/runs"
    assert (
        f"tagent runs resume {waiting} {file} --store {url}\nOr by: tagent worker {file} --store {url}\n" in done.stdout
    )
    unnamed = tagent("runs", "approve", waiting, "two")
    assert f"tagent runs resume {waiting} PIPELINE.py --store {url}" in unnamed.stdout
    assert "PIPELINE.py stands for the file of its pipeline" in unnamed.stdout
    with pytest.raises(NoPipelineError) as caught:
        tagent("runs", "resume", waiting)
    assert caught.value.hint.endswith(f"or `tagent runs resume {waiting} FILE`.")
    still = tagent("runs", "resume", waiting, str(file))
    assert (still.return_value, still.stdout) == (3, "")
    assert f"Go on with it: tagent runs resume {waiting} {file} --store {url}" in still.stderr
    ended = tagent("runs", "approve", waiting, "three", "--resume", "--pipeline", str(file))
    assert (ended.return_value, json.loads(ended.stdout)) == (0, ["Dear Eva", "Dear Bob", "Dear Cyd"])


def test_a_run_goes_on_with_the_code_of_another_file(tagent: Callable[..., Result], file: Path, tmp_path: Path) -> None:
    """Where its own has moved to; and a goal is none."""
    tagent("run", str(file))
    run_id = json.loads(tagent("runs", "list", "--json").stdout)[0]["run_id"]
    moved = file.rename(tmp_path / "moved.py")
    tagent("runs", "approve", run_id, "--all", "--yes")
    for definition in ("stored", "current"):
        done = tagent("runs", "resume", run_id, str(moved), "--definition", definition)
        assert (done.return_value, json.loads(done.stdout)) == (0, ["Dear Ana", "Dear Bob", "Dear Cyd"])
    with pytest.raises(click.BadParameter, match="'Do it' names no file"):
        tagent("runs", "resume", run_id, "Do it")


def test_an_output_that_does_not_fit_is_a_wrong_value_of_its_option(
    waiting: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one that is no JSON, and one of a step that has none yet."""
    store = ["--pipeline", str(file), "--store", f"file:///{tmp_path}/runs"]
    for step, output, told in (
        ("one", "7", "Invalid value for --output: The output of the step 'one' does not fit str"),
        ("one", "{", "Invalid value for --output: It is not JSON"),
        ("three", "7", "error[approval.output]: The output of the step 'three'"),
    ):
        with pytest.raises(SystemExit) as ended:
            run_and_exit(cli, ["runs", "approve", waiting, step, "--output", output, *store])
        assert ended.value.code == 2
        assert told in capsys.readouterr().err


def test_the_commands_are_told_once() -> None:
    """Four lines a question leave no room for the questions; of many the rest is listed elsewhere."""
    commands = RunCommands("1f2e")
    one = {"pay": ApprovalRequested("pay", "start", 0, "Pay?", 0.0)}
    assert list(asked_and_how_to_answer(one, commands)) == [
        "  pay: Pay?",
        "Answer it:",
        "  tagent runs approve 1f2e pay",
        "  tagent runs reject 1f2e pay",
    ]
    many = {f"cases/{n}/pay": ApprovalRequested("pay", "output", 1, "Pay?", 0.0, output=n) for n in range(30)}
    told = list(asked_and_how_to_answer(many, commands))
    assert told[:2] == ["  cases/0/pay: Pay?", "    0"]
    assert told[40:] == [
        "  and 10 more: tagent runs approvals 1f2e",
        "Answer one STEP, or several:",
        "  tagent runs show 1f2e --step STEP",
        "  tagent runs approve 1f2e STEP...",
        "  tagent runs approve 1f2e --all",
        "  tagent runs approve 1f2e STEP --output @FILE",
        "  tagent runs reject 1f2e STEP...",
    ]
    assert list(asked_and_how_to_answer({}, commands)) == []


def test_a_run_that_waits_or_fails_prints_no_output(tagent: Callable[..., Result], file: Path, tmp_path: Path) -> None:
    """An empty line would be one; a text that is empty is."""
    assert tagent("run", str(file)).stdout == ""
    for code, printed in (("1 / 0", ""), ("None", ""), ("''", "\n")):
        failing = tmp_path / "failing.py"
        failing.write_text(
            f"from tagent.pipeline import Pipeline\npipeline = Pipeline('p').step('a', run=lambda: {code})"
        )
        assert tagent("run", str(failing)).stdout == printed
