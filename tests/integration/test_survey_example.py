"""The example of a run that changes its own steps, as a reader starts it, and as it goes on after a crash."""

import asyncio
import json
from pathlib import Path

from builders import services
from commands import tagent
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent.config import TAgentConfig
from tagent.pipeline import PipelineExecutor
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.stored.loading import load_pipeline

EXAMPLE = Path(__file__).parents[2] / "examples" / "survey.py"
ADDED = ["read_almanac", "renew_almanac", "read_atlas", "read_census", "compare"]


def test_the_command_shows_the_steps_that_were_added(tmp_path: Path) -> None:
    """While it runs, in the list of its steps, and in its history."""
    ran = tagent("run", str(EXAMPLE), cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "asked for a new almanac" in ran.stdout
    assert "adds read_almanac, renew_almanac, read_atlas, read_census, compare" in ran.stderr
    assert all(name in ran.stderr for name in ADDED)
    [listed] = json.loads(tagent("runs", "list", "--json", cwd=tmp_path).stdout)
    shown = json.loads(tagent("runs", "show", listed["run_id"], "--json", cwd=tmp_path).stdout)
    assert list(shown["steps"]) == ["sources", "report", *ADDED]
    assert {step["status"] for step in shown["steps"].values()} == {"completed"}
    assert "compare" in tagent("runs", "show", listed["run_id"], cwd=tmp_path).stdout
    logs = tagent("runs", "logs", listed["run_id"], cwd=tmp_path).stdout
    assert "adds read_almanac" in logs


def test_a_run_goes_on_with_the_functions_of_the_file_as_it_is_loaded_again() -> None:
    """Another process has other functions of the same names."""
    undisturbed = asyncio.run(PipelineExecutor(load_pipeline(EXAMPLE), services=services()).execute())
    assert undisturbed.success
    crashes = 0
    for at in range(2, 20):
        opened = services(store=CrashingStore().arm(at))
        try:
            asyncio.run(PipelineExecutor(load_pipeline(EXAMPLE), services=opened).execute())
        except Crash:
            crashes += 1
            after = everybody_is_gone(opened)
            result = asyncio.run(resume_run("run-1", after, TAgentConfig(), pipeline=load_pipeline(EXAMPLE)))
            assert result.final_output == undisturbed.final_output
    assert crashes > 3
