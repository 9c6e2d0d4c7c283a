"""`tagent run` with tools and an output schema from files, as people use it."""

import json
from pathlib import Path

import pytest

from commands import tagent
from endpoints import Endpoint, Reply, answer, completion

TOOLS = """
def population(city: str) -> int:
    "Return how many people live in a city."
    print("looking up", city)
    return {"Porto": 231_962}[city]
"""

OUTPUT = """
from pydantic import BaseModel

class Fact(BaseModel):
    city: str
    people: int

output_schema = Fact
"""

PIPELINE = """
from tagent.pipeline import Pipeline

pipeline = Pipeline("facts").step("people", "How many live in Porto?", tools_filter=["population"])
"""

GOAL = "How many people live in Porto?"


def plan() -> Reply:
    """Return a plan that calls the tool once."""
    task = {"description": "look up", "tool_name": "population", "tool_args": {"city": "Porto"}}
    return completion(json.dumps({"tasks": [task]}))


def settings(endpoint: Endpoint) -> dict[str, str]:
    return {"OPENAI_BASE_URL": endpoint.base_url, "OPENAI_API_KEY": "none"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "code" / "deep").mkdir(parents=True)
    (tmp_path / "code" / "deep" / "tagent.tools.py").write_text(TOOLS)
    (tmp_path / "code" / "tagent.output.py").write_text(OUTPUT)
    (tmp_path / "facts.py").write_text(PIPELINE)
    return tmp_path


@pytest.mark.parametrize(
    "options",
    [
        ("--search-dir", "code"),
        ("--tools", "code", "--output-schema", "code/tagent.output.py"),
        ("--tools", "code/deep/tagent.tools.py", "--search-dir", "code", "--output-schema", "code/tagent.output.py"),
    ],
)
def test_a_goal_has_the_tools_and_the_output_of_the_files(folder: Path, options: tuple[str, ...]) -> None:
    """Only the output is on stdout, whatever the tools print."""
    with Endpoint(plan(), answer({"city": "Porto", "people": 231_962})) as endpoint:
        ran = tagent("run", GOAL, *options, cwd=folder, env=settings(endpoint))
        asked = [json.dumps(request.body) for request in endpoint.requests]
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {"city": "Porto", "people": 231_962}
    assert "looking up Porto" in ran.stderr
    assert len(asked) == 2
    assert "Return how many people live in a city." in asked[0]
    assert "231962" in asked[1]


def test_a_run_with_tools_is_resumed_with_them_and_says_so_when_they_are_gone(folder: Path) -> None:
    """The run remembers where its code is; without it, it must not go on as if it had none."""
    options = ("--search-dir", "code", "--label", "kind=fact")
    with Endpoint(plan(), Reply("{}", 401)) as endpoint:
        failed = tagent("run", GOAL, *options, "--json", cwd=folder, env=settings(endpoint))
    run_id = json.loads(failed.stdout)["run_id"]
    assert failed.returncode == 1
    moved = (folder / "code").rename(folder / "gone")
    with Endpoint(plan(), answer({"city": "Porto", "people": 1})) as endpoint:
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        store = f"sqlite:///{folder}/.tagent/runs.db"
        command = ("runs", "resume", run_id, "--store", store)
        missing = tagent(*command, cwd=elsewhere, env=settings(endpoint))
        assert "error[tool.load]" in missing.stderr
        assert str(folder / "code" / "deep" / "tagent.tools.py") in missing.stderr
        assert endpoint.requests == []
        moved.rename(folder / "code")
        resumed = tagent(*command, cwd=elsewhere, env=settings(endpoint))
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout) == {"city": "Porto", "people": 1}


def test_an_imported_run_with_tools_does_not_go_on_without_them(folder: Path) -> None:
    """Where the files were is not part of what is exported: nobody runs code because a document names it."""
    with Endpoint(plan(), Reply("{}", 401)) as endpoint:
        failed = tagent("run", GOAL, "--tools", "code", "--json", cwd=folder, env=settings(endpoint))
        run_id = json.loads(failed.stdout)["run_id"]
        exported = tagent("runs", "export", run_id, cwd=folder)
        assert str(folder) not in exported.stdout
        (folder / "run.json").write_text(exported.stdout)
        other = folder / "other"
        other.mkdir()
        imported = tagent("runs", "import", "../run.json", cwd=other)
        assert imported.returncode == 0, imported.stderr
        resumed = tagent("runs", "resume", run_id, cwd=other, env=settings(endpoint))
    assert "error[pipeline.no_origin]" in resumed.stderr


def test_the_agents_of_a_pipeline_get_the_tools_too(folder: Path) -> None:
    """So one pipeline can be run with other tools."""
    with Endpoint(plan(), answer("231,962")) as endpoint:
        ran = tagent("run", "facts.py", "--tools", "code", cwd=folder, env=settings(endpoint))
    assert (ran.returncode, ran.stdout) == (0, "231,962\n"), ran.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["facts.py", "--output-schema", "code/tagent.output.py"], 2, "--output-schema is for a goal"),
        ([GOAL, "--search-dir", "elsewhere"], 2, "elsewhere is no folder"),
        ([GOAL, "--search-dir", "code/empty"], 2, "neither tagent.tools.py nor tagent.output.py"),
        ([GOAL, "--tools", "code/empty"], 2, "no tagent.tools.py in code/empty"),
        ([GOAL, "--max-cost", "0"], 2, "--max-cost"),
    ],
)
def test_wrong_options_are_told_before_anything_runs(folder: Path, arguments: list[str], code: int, said: str) -> None:
    """A misspelt folder must not become an agent without tools."""
    (folder / "code" / "empty").mkdir()
    ran = tagent("run", *arguments, cwd=folder)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert said in ran.stderr


def test_a_file_that_does_not_load_is_told_without_a_traceback(folder: Path) -> None:
    """File, line and reason."""
    (folder / "bad.py").write_text("n = 1\nimport nowhere_at_all\n")
    ran = tagent("run", GOAL, "--tools", "bad.py", cwd=folder)
    assert ran.returncode != 0
    assert "error[tool.load]" in ran.stderr
    assert "bad.py, line 2: ModuleNotFoundError: No module named 'nowhere_at_all'." in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_cost_of_a_run_is_limited(folder: Path) -> None:
    """A limit that is asked for is part of the run, also when it is resumed."""
    with Endpoint(answer("It is.")) as endpoint:
        ran = tagent(
            "run", "Say it", "--max-cost", "0.5", "--label", "a=b", "--json", cwd=folder, env=settings(endpoint)
        )
        run_id = json.loads(ran.stdout)["run_id"]
    exported = json.loads(tagent("runs", "export", run_id, cwd=folder).stdout)
    assert exported["definition"]["config"]["max_cost_usd"] == 0.5
