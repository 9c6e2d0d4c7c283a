"""The main job: the report example on real metadata."""

import asyncio
import json
import re
from importlib import metadata
from pathlib import Path

from click.testing import CliRunner

from builders import services
from tagent.adapters.clock import SystemClock
from tagent.cli.main import cli
from tagent.pipeline import PipelineExecutor, PipelineResult, StepStatus
from tagent.pipeline.stored.loading import load_pipeline
from tagent.ports import ModelRequest
from tagent.testing import ScriptedModel

EXAMPLE = Path(__file__).parents[2] / "examples" / "package_report.py"


def judgement(request: ModelRequest) -> object:
    """Answer the two agent steps."""
    if "Say for whom" in request.messages[-1].content:
        return {"audience": "library authors", "maturity": "stable"}
    return {"summary": "It checks data.", "typical_uses": ["settings"]}


def report_on(package: str) -> PipelineResult:
    model = ScriptedModel(judgement, name="judge", cost_usd=0.5)
    pipeline = load_pipeline(EXAMPLE)
    opened = services(clock=SystemClock(), model=model)
    return asyncio.run(PipelineExecutor(pipeline, inputs={"package": package}, services=opened).execute())


def test_facts_come_from_the_metadata_and_judgement_from_the_model_that_is_named() -> None:
    """Nobody may mistake one for the other."""
    result = report_on("pydantic")
    report: str = result.final_output
    assert result.success
    assert report.startswith(f"# pydantic {metadata.version('pydantic')}\n")
    for requirement in metadata.requires("pydantic") or []:
        assert (f"- `{requirement}`" in report) is ("extra ==" not in requirement)
    assert "## Judgement, from judge\n\nIt checks data.\n\n- settings\n" in report
    assert "| purpose | judge | 15 | $0.5000 |" in report
    assert re.search(r"\| facts \| none \| 0 \| \$0.0000 \| \d+\.\d\d \|", report)
    assert result.total_cost == 1.0


def test_packages_with_little_metadata_are_reported_too() -> None:
    """Real input is uneven: no licence field, no links, no classifiers."""
    for package in ("click", "pip", "PyYAML"):
        assert report_on(package).success, package


def test_a_package_that_is_not_installed_fails_the_steps_that_read_it() -> None:
    """And no model is asked about nothing."""
    result = report_on("no-such-package")
    assert not result.success
    assert result.step_metadata["facts"]["status"] is StepStatus.FAILED
    assert "PackageNotFoundError" in result.step_metadata["facts"]["reason"]
    assert result.step_metadata["purpose"]["status"] is StepStatus.SKIPPED
    assert result.total_cost == 0


def test_the_report_runs_on_the_embedded_model_from_the_command_line() -> None:
    """What `make run` does: no key, no network, typed answers of a real model."""
    ran = CliRunner().invoke(
        cli,
        ["run", str(EXAMPLE), "--input", "package=pydantic", "--model", "embedded", "--json"],
        standalone_mode=False,
    )
    result = json.loads(ran.stdout)
    assert (ran.return_value, result["status"], result["total_cost"]) == (0, "completed", 0.0)
    assert result["step_outputs"]["audience"]["maturity"] in {"experimental", "usable", "stable", "legacy"}
    assert result["token_usage"]["purpose"]["output_tokens"] > 0
    assert "embedded" in result["step_metadata"]["purpose"]["model"]
