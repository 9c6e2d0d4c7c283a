"""`tagent runs replay`, and the tests that it writes: each command and each test a process of its own."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from commands import environment, tagent

PIPELINE = """
import os
from pathlib import Path
from pydantic import BaseModel
from tagent.pipeline import Pipeline
from tagent.task_agent.tools.tool import Tool
from tagent.testing import ScriptedModel

class Facts(BaseModel):
    title: str

def fetch(name: str) -> str:
    with open("calls", "a") as log: log.write("fetch\\n")
    return "text of " + name

def answer(request):
    with open("calls", "a") as log: log.write("model\\n")
    if request.purpose == "plan":
        return [{"tool_name": "fetch", "tool_args": {"name": "x"}}]
    return {"title": "A \\\\N{DASH} \\"title\\""}

def shout(facts: Facts) -> str:
    print("shouting")
    return facts.title.upper() + "!"

pipeline = (
    Pipeline("report")
    .step("facts", "Find the title", output_schema=Facts, tools=[Tool.of(fetch, side_effect=True)], model=ScriptedModel(answer))
    .step("shout", run=shout)
)
"""  # noqa: E501

SETTINGS = """
[tool.pytest.ini_options]
filterwarnings = ["error"]
asyncio_default_fixture_loop_scope = "function"
"""

TITLE = 'A \\N{DASH} "title"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "report.py").write_text(PIPELINE)
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    return tmp_path


def recorded(folder: Path, file: str = "report.py") -> str:
    """Run the pipeline, forget its calls, and return the run's id."""
    assert tagent("run", file, cwd=folder).returncode == 0
    (folder / "calls").unlink(missing_ok=True)
    return str(json.loads(tagent("runs", "list", "--json", cwd=folder).stdout)[0]["run_id"])


def change(folder: Path) -> None:
    """Let the function give something else."""
    (folder / "report.py").write_text(PIPELINE.replace('+ "!"', '+ "?"'))


def pytest_on(folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=120
    )


def test_a_replay_says_that_nothing_changed_and_touches_nothing(folder: Path) -> None:
    """Neither the model nor the tool, nor the store of runs."""
    run_id = recorded(folder)
    replayed = tagent("runs", "replay", run_id, cwd=folder)
    assert (replayed.returncode, replayed.stdout) == (
        0,
        "= facts: completed, the same output\n= shout: completed, the same output\nThe run: completed\n",
    ), replayed.stderr
    assert "shouting" in replayed.stderr, "what steps print is talk"
    assert not (folder / "calls").exists()
    assert len(json.loads(tagent("runs", "list", "--json", cwd=folder).stdout)) == 1


def test_a_replay_shows_what_todays_code_changes(folder: Path) -> None:
    """As a diff for people, as JSON for programs, and by the exit code for both."""
    run_id = recorded(folder)
    change(folder)
    replayed = tagent("runs", "replay", run_id, cwd=folder)
    assert replayed.returncode == 1
    assert "! shout: completed, another output\n" in replayed.stdout
    title = TITLE.upper()
    assert f"    -{title}!\n    +{title}?\n" in replayed.stdout
    values = json.loads(tagent("runs", "replay", run_id, "--json", cwd=folder).stdout)
    assert (values["is_unchanged"], values["replayed_status"]) == (False, "completed")
    assert [(step["step"], step["is_equal"]) for step in values["steps"]] == [("facts", True), ("shout", False)]
    again = tagent("runs", "replay", run_id, "--recorded-functions", cwd=folder)
    assert (again.returncode, "shouting" in again.stderr) == (0, False)


def test_a_replay_against_another_file_runs_that_one(folder: Path) -> None:
    """With the steps that it has; what it asks for and nobody recorded is an error of its step."""
    run_id = recorded(folder)
    more = PIPELINE.replace('Pipeline("report")', 'Pipeline("report").step("new", "Say it")')
    (folder / "more.py").write_text(more)
    replayed = tagent("runs", "replay", run_id, "--against", "more.py:pipeline", cwd=folder)
    assert replayed.returncode == 1
    assert "! new: absent -> failed" in replayed.stdout
    assert "[replay.not_recorded] The step 'new' asks for another answer of the model (answer)" in replayed.stdout
    assert not (folder / "calls").exists()


def test_an_imported_run_is_replayed_against_a_file_that_is_named(folder: Path) -> None:
    """It does not know its file, and says how to name one."""
    run_id = recorded(folder)
    assert tagent("runs", "export", run_id, "-o", "run.json", cwd=folder).returncode == 0
    other = ("--store", "sqlite:///other.db")
    assert tagent("runs", "import", "run.json", *other, cwd=folder).returncode == 0
    refused = tagent("runs", "replay", run_id, *other, cwd=folder)
    assert (refused.returncode, "error[pipeline.no_origin]" in refused.stderr) == (1, True)
    assert tagent("runs", "replay", run_id, "--against", "report.py", *other, cwd=folder).returncode == 0


def test_a_run_becomes_a_test_that_passes_until_the_pipeline_changes(folder: Path) -> None:
    """A pytest file that is as clean as one written by hand, with the run beside it."""
    run_id = recorded(folder)
    made = tagent("runs", "replay", run_id, "--as-test", "tests/test_report.py", cwd=folder)
    assert made.returncode == 0, made.stderr
    test = folder / "tests" / "test_report.py"
    for check in (
        ["check", "--isolated", "--select", "E,F,I,N,UP,B,D,RUF", "--ignore", "D203,D213"],
        ["format", "--check"],
    ):
        ruff = subprocess.run(
            [sys.executable, "-m", "ruff", *check, "--line-length", "120", str(test)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ruff.returncode == 0, ruff.stdout
    passed = pytest_on(folder, "tests")
    assert (passed.returncode, "1 passed" in passed.stdout) == (0, True), passed.stdout
    assert not (folder / "calls").exists()
    assert str(folder) not in test.with_suffix(".json").read_text() + test.read_text(), "it can be moved and shared"
    change(folder)
    failed = pytest_on(folder, "tests")
    assert failed.returncode == 1
    assert "! shout: completed, another output" in failed.stdout
    kept = tagent("runs", "replay", run_id, "--as-test", "tests/test_report.py", cwd=folder)
    assert (kept.returncode, "exists already" in kept.stderr) == (2, True)


def test_nothing_of_a_run_gets_into_the_code_of_its_test(tmp_path: Path) -> None:
    """Names and outputs are in the JSON; the names of files are literals, whatever they are."""
    evil = 'x"""\nimport os; os.system("touch pwned")\n"""'
    folder = tmp_path / 'a"; open("pwned", "w"); "'
    folder.mkdir()
    source = (
        "from tagent.pipeline import Pipeline\n"
        f"def f() -> dict: return {{{evil!r}: {evil!r}}}\n"
        f"pipeline = Pipeline({'p' + evil!r}).step('a', run=f)\n"
    )
    name = 'é$run ${x} %s {y} "; open("pwned","w"); ".py'
    (folder / name).write_text(source)
    run_id = recorded(folder, name)
    made = tagent("runs", "replay", run_id, "--as-test", str(tmp_path / 'test_"$pipeline.py'), cwd=folder)
    assert made.returncode == 0, made.stderr
    test = tmp_path / 'test_"$pipeline.py'
    tree = ast.parse(test.read_text(encoding="ascii"))
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert calls == ["Path", "replay(FOLDER / RUN, FOLDER / PIPELINE).assert_unchanged", "replay"]
    assert "os.system" not in test.read_text()
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nothing"], 1, "error[store.unknown_run]"),
        (["RUN", "--against", "missing.py"], 2, "error[pipeline.load]"),
        (["RUN", "--against", "a goal"], 2, "names no file"),
        (["RUN", "--as-test", "report.txt"], 2, "is no Python file"),
        (["RUN", "--as-test", "report.py"], 2, "exists already"),
        (["RUN", "--as-test", "/dev/null/x.py"], 2, "/dev/null"),
    ],
)
def test_bad_input_gets_a_clear_error(folder: Path, arguments: list[str], code: int, said: str) -> None:
    """Never a traceback."""
    run_id = recorded(folder)
    ran = tagent("runs", "replay", *[run_id if it == "RUN" else it for it in arguments], cwd=folder)
    assert (ran.returncode, said in ran.stderr, "Traceback" in ran.stderr) == (code, True, False), ran.stderr


def test_importing_the_doubles_stays_cheap() -> None:
    """Who scripts a model does not pay for replays."""
    code = "import sys, tagent.testing; assert not {m for m in sys.modules if 'replay' in m or 'runtime' in m}; "
    more = "from tagent.testing import replay; assert callable(replay)"
    subprocess.run([sys.executable, "-W", "error", "-c", code + more], env=environment(), check=True)
