"""The command line as people use it: processes, streams, exit codes."""

import json
import signal
from pathlib import Path

import pytest

from commands import start, tagent

PIPELINE = """
from pydantic import BaseModel
from tagent.pipeline import Pipeline, StepContext
from tagent.testing import ScriptedModel

class Inputs(BaseModel):
    topic: str
    times: int = 1

def facts(topic: str, times: int) -> dict:
    return {"text": topic * times}

def fail():
    raise TypeError("no such luck")

pipeline = (
    Pipeline("demo", inputs=Inputs)
    .step("facts", run=facts)
    .step("said", "Describe {facts.text}", model=ScriptedModel(["It is tea."], cost_usd=0.25))
    .step("report", run=lambda facts, said: f"# {facts['text']}\\n\\n{said}")
)
partly = Pipeline("partly").step("a", run=fail).step("b", run=lambda: {"n": 1})
failing = Pipeline("failing").step("a", run=fail)
broken = Pipeline("broken").step("a", "Do a", depends_on=["b"])
refused = Pipeline("refused").step("a", "Do a", model=ScriptedModel([{"not_achieved_because": "It is raining."}]))

def make():
    return Pipeline("made").step("a", run=lambda: "made")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "demo.py").write_text(PIPELINE)
    return tmp_path


def test_the_result_goes_to_stdout_and_the_talk_to_stderr(folder: Path) -> None:
    """So that `tagent run ... > report.md` holds the report and nothing else."""
    ran = tagent("run", "demo.py:pipeline", "--input", "topic=tea", "--input", "times=2", cwd=folder)
    assert (ran.returncode, ran.stdout) == (0, "# teatea\n\nIt is tea.\n")
    lines = ran.stderr.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["✓", "facts"], ["✓", "said"], ["✓", "report"]]
    assert "$0.2500  15 tokens  scripted" in lines[1]
    assert "3/3 steps  $0.2500  completed" in lines[3]


def test_json_is_one_object_with_the_whole_result(folder: Path) -> None:
    """For programs."""
    ran = tagent("run", "demo.py:pipeline", "--input", "topic=tea", "--json", cwd=folder)
    result = json.loads(ran.stdout)
    assert (result["status"], result["success"], result["total_cost"]) == ("completed", True, 0.25)
    assert result["step_outputs"] == {"facts": {"text": "tea"}, "said": "It is tea.", "report": "# tea\n\nIt is tea."}
    assert len(result["run_id"]) == 16
    assert result["step_metadata"]["said"]["model"] == "scripted"


def test_inputs_come_from_a_file_too_and_pairs_win(folder: Path) -> None:
    """YAML and JSON; `:=` gives what is no text."""
    (folder / "inputs.yaml").write_text("topic: tea\ntimes: 3\n")
    ran = tagent("run", "demo.py:pipeline", "--inputs", "inputs.yaml", "--input", "times:=2", cwd=folder)
    assert ran.stdout.startswith("# teatea\n")


def test_an_input_called_almost_like_a_step_is_no_mistake(folder: Path) -> None:
    """The step `mail` for each of the input `mails`: both are what people write."""
    (folder / "mails.py").write_text(
        "from tagent.pipeline import Pipeline\n"
        "pipeline = Pipeline('p').step('mail', run=lambda: 1).step('case', run=lambda item: item, for_each='mails')\n"
    )
    ran = tagent("run", "mails.py", "--input", 'mails:=["a"]', cwd=folder)
    assert (ran.returncode, json.loads(ran.stdout)) == (0, ["a"])
    ran = tagent("run", "mails.py", "--input", 'mls:=["a"]', cwd=folder)
    assert (ran.returncode, "error[pipeline.invalid]" in ran.stderr) == (2, True)


def test_exit_codes_tell_partial_from_failed(folder: Path) -> None:
    """6 and 1; the reason is on stderr, the part that worked on stdout."""
    partly = tagent("run", "demo.py:partly", cwd=folder)
    assert (partly.returncode, json.loads(partly.stdout)) == (6, {"n": 1})
    assert "✗ a The step 'a' raised TypeError: no such luck (demo.py, line 14)" in partly.stderr
    failing = tagent("run", "demo.py:failing", cwd=folder)
    assert (failing.returncode, failing.stdout.strip()) == (1, "")
    refused = tagent("run", "demo.py:refused", cwd=folder)
    assert refused.returncode == 1
    assert "The goal was not achieved: It is raining." in refused.stderr


def test_an_object_may_be_a_function_that_makes_the_pipeline(folder: Path) -> None:
    """For pipelines that are built."""
    assert tagent("run", "demo.py:make", cwd=folder).stdout == "made\n"


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["run", "demo.py:broken"], 2, "error[pipeline.invalid]: The pipeline 'broken' has 1 problem:"),
        (["run", "demo.py:pipeline"], 2, "error[pipeline.inputs]: The inputs do not fit the pipeline 'demo': 'topic'"),
        (["run", "demo.py:pipeline", "--input", "topic=a", "--input", "time=2"], 2, "Did you mean 'times'?"),
        (["run", "missing.py"], 2, "error[pipeline.load]: There is no file 'missing.py'."),
        (["run", "demo.py"], 0, ""),
        (["run", "demo.py:pipelin"], 2, "defines no pipeline 'pipelin'. Did you mean 'pipeline'?"),
        (["run", "empty.py"], 2, "empty.py defines no pipeline."),
        (["run", "two.py"], 2, "hint: Name one: two.py:a or two.py:b."),
        (["run", "raises.py"], 2, "raises.py raised ValueError: at import (line 2)."),
        (["run", "wrong.py"], 2, "wrong.py raised SyntaxError:"),
        (["run", "leaves.py"], 2, "leaves.py raised SystemExit: 3 (line 2)."),
        (["run", "demo.txt:thing"], 2, "demo.txt is no Python file."),
        (["run", "demo.py:pipeline", "--input", "topic"], 2, "'topic' is not of the form name=text"),
        (["run", "demo.py:pipeline", "--input", "topic:={"], 2, "'{' is not JSON"),
        (["run", "demo.py:pipeline", "--inputs", "missing.yaml"], 2, "missing.yaml cannot be read"),
        (["run", "demo.py:pipeline", "--inputs", "list.yaml"], 2, "list.yaml must hold names and values"),
        (["run", "demo.py:pipeline", "--inputs", "bad.yaml"], 2, "bad.yaml is neither YAML nor JSON"),
        (["run", "demo.py:pipeline", "--config", "missing.toml"], 4, "error[configuration]: The configuration file"),
        (["run", "demo.py:make", "--config", "bad.toml"], 4, "'modell' is not a setting. Did you mean 'model'?"),
        (["run", "Say it", "--model", "nobody:nothing"], 4, "error[model.unknown]: No model is named 'nobody:n"),
        (["run", "Say it", "--model", "openai:gpt-4.1"], 4, "Set OPENAI_API_KEY"),
        (["rnu", "Say it"], 2, "Did you mean 'run'?"),
        (["run"], 2, "Missing argument"),
        (["run", "a", "--modle", "b"], 2, "No such option"),
    ],
)  # fmt: skip
def test_bad_input_gets_one_message_a_hint_and_its_exit_code(
    folder: Path, arguments: list[str], code: int, expected: str
) -> None:
    """Never a traceback to someone on the command line."""
    (folder / "demo.txt").write_text("no Python")
    (folder / "empty.py").write_text("x = 1\n")
    (folder / "two.py").write_text("from tagent.pipeline import Pipeline\na = Pipeline('a')\nb = Pipeline('b')\n")
    (folder / "raises.py").write_text("\nraise ValueError('at import')\n")
    (folder / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    (folder / "wrong.py").write_text("def broken(:\n")
    (folder / "list.yaml").write_text("- a\n")
    (folder / "bad.yaml").write_text("a: [1\n")
    (folder / "bad.toml").write_text("modell = 'x'\n")
    if arguments == ["run", "demo.py"]:
        arguments = [*arguments, "--input", "topic=tea"]
    ran = tagent(*arguments, cwd=folder)
    assert (ran.returncode, expected in ran.stderr) == (code, True), ran.stderr
    assert "Traceback" not in ran.stderr


def test_verbose_adds_the_traceback_and_json_the_error_as_an_object(folder: Path) -> None:
    """Both for whoever has to find out."""
    (folder / "raises.py").write_text("\nraise ValueError('at import')\n")
    ran = tagent("run", "raises.py", "--verbose", "--json", cwd=folder)
    assert 'raises.py", line 2' in ran.stderr
    answer = json.loads(ran.stdout)
    assert (answer["status"], answer["error"]["code"]) == ("failed", "pipeline.load")


def test_settings_come_from_file_and_environment(folder: Path) -> None:
    """The file comes before the environment, which wins."""
    (folder / "tagent.toml").write_text('model = "from-file:x"\n')
    assert "'from-file:x'" in tagent("run", "Say it", cwd=folder).stderr
    assert "'from-env:x'" in tagent("run", "Say it", cwd=folder, env={"TAGENT_MODEL": "from-env:x"}).stderr


def test_help_names_the_commands_and_version_the_version(folder: Path) -> None:
    """The first things that anyone types."""
    assert "Run a goal, or the pipeline of a file." in tagent("--help", cwd=folder).stdout
    assert tagent("--version", cwd=folder).stdout == "tagent, version 0.1.0\n"


def test_an_interrupted_run_ends_at_once_with_130(folder: Path) -> None:
    """Even while a step blocks its thread."""
    (folder / "block.py").write_text(
        "import time\nfrom tagent.pipeline import Pipeline\n"
        "def block():\n    print('in', flush=True)\n    time.sleep(600)\n"
        "pipeline = Pipeline('p').step('a', run=block)\n"
    )
    process = start("run", "block.py", cwd=folder)
    assert process.stderr is not None
    assert process.stderr.readline() == "in\n"
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate(timeout=60)
    assert (process.returncode, "Interrupted." in talk, "Traceback" in talk) == (130, True, False)
