"""`tagent run` with tools and an output schema from files, as people use it."""

import json
import sys
from pathlib import Path

import pytest

from commands import tagent
from endpoints import Endpoint, Reply, answer, completion
from mcp_servers import SCRIPT

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
        (["facts.py", "--max-cost", "0"], 2, "--max-cost"),
        ([GOAL, "--tools", "facts.py"], 2, "facts.py: it defines no tools."),
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


def test_a_goal_is_resumed_with_the_settings_of_the_file_it_began_with(folder: Path) -> None:
    """Else it may go to another server, or on without its limits."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    store = f"sqlite:///{folder}/.tagent/runs.db"
    key = {"OPENAI_API_KEY": "none"}
    with Endpoint(Reply("{}", 401), answer("It is.")) as endpoint, Endpoint(answer("Elsewhere.")) as other:
        (folder / "cfg.toml").write_text(f'base_url = "{endpoint.base_url}"\nmodel = "openai:from-the-file"\n')
        (folder / "other.toml").write_text(f'base_url = "{other.base_url}"\nmodel = "openai:named"\n')
        failed = tagent("run", "Say it", "--config", "cfg.toml", "--json", cwd=folder, env=key)
        run_id = json.loads(failed.stdout)["run_id"]
        command = ("runs", "resume", run_id, "--store", store)
        moved = (folder / "cfg.toml").rename(folder / "gone.toml")
        missing = tagent(*command, cwd=elsewhere, env=key)
        assert missing.returncode == 4
        assert f"began with the settings of {folder / 'cfg.toml'}, which is not there any more" in missing.stderr
        assert "hint: Put the file back, or name another one: --config FILE." in missing.stderr
        exported = tagent("runs", "export", run_id, cwd=folder)
        assert str(folder) not in exported.stdout, "where files lie on this machine is nobody's business"
        copied = tagent("runs", "fork", run_id, "--from", "goal", cwd=folder)
        moved.rename(folder / "cfg.toml")
        resumed = tagent(*command, cwd=elsewhere, env=key)
        assert (resumed.returncode, resumed.stdout) == (0, "It is.\n"), resumed.stderr
        assert [request.body["model"] for request in endpoint.requests] == ["from-the-file"] * 2
        fork = ("runs", "resume", copied.stdout.strip(), "--config", str(folder / "other.toml"))
        named = tagent(*fork, "--store", store, cwd=elsewhere, env=key)
        assert (named.returncode, named.stdout) == (0, "Elsewhere.\n"), named.stderr
        assert [request.body["model"] for request in other.requests] == ["named"]


def test_the_cost_of_a_resumed_goal_is_limited(folder: Path) -> None:
    """The endpoint's model has no price, so a limit of cost lets it ask for nothing."""
    with Endpoint(Reply("{}", 401), answer("It is.")) as endpoint:
        failed = tagent("run", "Say it", "--json", cwd=folder, env=settings(endpoint))
        run_id = json.loads(failed.stdout)["run_id"]
        limited = tagent(
            "runs", "resume", run_id, "--max-cost", "0.5", "--model", "openai:x", cwd=folder, env=settings(endpoint)
        )
        assert limited.returncode == 5
        assert "max_cost_usd=0.5" in limited.stderr, limited.stderr


def test_the_cost_of_a_pipeline_is_limited_and_it_can_wait_for_more(folder: Path) -> None:
    """Each call costs 25 cents: two fit into 30, and the third waits until somebody pays for it."""
    (folder / "priced.py").write_text(
        "from tagent.pipeline import Pipeline\n"
        "from tagent.testing import ScriptedModel\n"
        "model = ScriptedModel(lambda request: 'done', cost_usd=0.25)\n"
        "pipeline = Pipeline('p', config={'model': model}, on_budget='wait')\n"
        "for name in 'abc':\n    pipeline.step(name, 'Do it')\n"
        "fails = Pipeline(pipeline, on_budget='fail')\n"
    )
    failed = tagent("run", "priced.py:fails", "--max-cost", "0.2", "--json", cwd=folder)
    assert (failed.returncode, json.loads(failed.stdout)["status"]) == (6, "partial"), failed.stderr
    waits = tagent("run", "priced.py:pipeline", "--max-cost", "0.3", "--json", cwd=folder)
    told = json.loads(waits.stdout)
    assert (waits.returncode, told["status"], told["total_cost"]) == (3, "waiting", 0.5), waits.stderr
    assert "The run waits [budget.exceeded]: The run's max_cost_usd allows 0.3 USD; spent: 0.5." in waits.stderr
    assert f"tagent runs resume {told['run_id']} --max-cost USD" in waits.stderr
    resumed = tagent("runs", "resume", told["run_id"], "--max-cost", "1", "--json", cwd=folder)
    assert (resumed.returncode, json.loads(resumed.stdout)["total_cost"]) == (0, 0.75), resumed.stderr


def test_the_tools_of_servers_in_a_file_are_used_by_a_run_and_when_it_is_resumed(folder: Path) -> None:
    """A server is one more tool of the file."""
    (folder / "notes.py").write_text(
        "from tagent import MCPServer\n"
        f"notes = MCPServer.stdio({sys.executable!r}, {SCRIPT!r}, 'stdio', prefix='my')\n"
        "def population(city: str) -> int: ...\n"
    )
    task = {"description": "look up", "tool_name": "my_note", "tool_args": {"title": "tea"}}
    planned = completion(json.dumps({"tasks": [task]}))
    with Endpoint(Reply("{}", 401), planned, answer("Tea.")) as endpoint:
        failed = tagent("run", GOAL, "--tools", "notes.py", "--json", cwd=folder, env=settings(endpoint))
        run_id = json.loads(failed.stdout)["run_id"]
        exported = tagent("runs", "export", run_id, cwd=folder)
        resumed = tagent("runs", "resume", run_id, cwd=folder, env=settings(endpoint))
        asked = [json.dumps(request.body) for request in endpoint.requests]
        assert (resumed.returncode, resumed.stdout) == (0, "Tea.\n"), resumed.stderr
        assert all("Return the note of a title." in body and "population" in body for body in asked[:2])
        other = folder / "other"
        other.mkdir()
        (other / "run.json").write_text(exported.stdout)
        assert tagent("runs", "import", "run.json", cwd=other).returncode == 0
        without = tagent("runs", "resume", run_id, cwd=other, env=settings(endpoint))
    assert "error[pipeline.no_origin]" in without.stderr, "it must not go on as if it had no tools"
