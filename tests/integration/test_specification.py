"""The specification's examples, as they are written there, on a scripted model."""

import asyncio
import subprocess
import sys

import pytest
from pydantic import BaseModel

import tagent
from tagent import MissingExtraError, arun_pipeline, run_agent, run_pipeline
from tagent.pipeline import ExecutionMode, Pipeline, PipelineResult
from tagent.ports import ModelRequest
from tagent.testing import ScriptedModel


class CompanyInfo(BaseModel):
    name: str
    industry: str
    reputation_score: float


class ReputationAnalysis(BaseModel):
    overall_score: float
    complaints: int
    satisfaction: float


class CompanyReport(BaseModel):
    company: CompanyInfo
    reputation: ReputationAnalysis
    recommendations: list[str]


def company_research() -> Pipeline:
    """Return Example 1."""
    company_research = Pipeline(name="company_research", description="Comprehensive company analysis pipeline")

    company_research.step(
        name="web_search",
        goal="Search for basic company information online",
        constraints=["Use only reliable sources", "Gather recent information"],
    ).step(
        name="reclame_aqui_check",
        goal="Check company reputation on Reclame Aqui",
        depends_on=["web_search"],
        constraints=["Focus on complaint patterns", "Get satisfaction ratings"],
    ).step(
        name="social_media_analysis",
        goal="Analyze company's Instagram and social media presence",
        depends_on=["web_search"],
        execution_mode=ExecutionMode.CONCURRENT,
    ).step(
        name="final_report",
        goal="Create comprehensive report combining all findings",
        depends_on=["reclame_aqui_check", "social_media_analysis"],
        constraints=["Professional format", "Include executive summary"],
    )
    return company_research


def test_example_1_runs_as_written() -> None:
    """`run_agent(Pipeline(other))` included."""
    model = ScriptedModel(lambda request: f"answer to: {goal_of(request)}")
    result = run_agent(Pipeline(company_research()), model=model)
    assert isinstance(result, PipelineResult)
    assert result.success
    assert list(result.step_outputs) == ["web_search", "reclame_aqui_check", "social_media_analysis", "final_report"]
    assert result.final_output == "answer to: Create comprehensive report combining all findings"
    assert len(model.requests) == 4
    final = model.requests[-1].messages[-1].content
    assert "answer to: Check company reputation on Reclame Aqui" in final
    assert "answer to: Analyze company's Instagram and social media presence" in final
    assert "- Professional format\n- Include executive summary" in final


def goal_of(request: ModelRequest) -> str:
    return request.messages[-1].content.splitlines()[0].removeprefix("Goal: ")


def test_the_structured_output_example_runs_as_written() -> None:
    """Each output is an object of its schema, and the last one the final output."""
    pipeline = Pipeline("company_research")
    pipeline.step(
        name="basic_info", goal="Gather company information", output_schema=CompanyInfo
    ).step(
        name="reputation_check", goal="Analyze reputation", depends_on=["basic_info"], output_schema=ReputationAnalysis
    ).step(
        name="final_report",
        goal="Create final report",
        depends_on=["basic_info", "reputation_check"],
        output_schema=CompanyReport,
    )  # fmt: skip
    info = CompanyInfo(name="Acme", industry="Tea", reputation_score=8.5)
    analysis = ReputationAnalysis(overall_score=8, complaints=3, satisfaction=0.9)
    report = CompanyReport(company=info, reputation=analysis, recommendations=["Buy"])

    result = run_agent(pipeline, model=ScriptedModel([info, analysis, report]))
    company_info = result.step_outputs["basic_info"]
    reputation = result.step_outputs["reputation_check"]
    final_report = result.final_output
    assert (company_info, reputation, final_report) == (info, analysis, report)
    assert isinstance(final_report, CompanyReport)


def ecommerce_analysis() -> Pipeline:
    """Return Example 2."""
    ecommerce_pipeline = Pipeline("ecommerce_analysis")

    ecommerce_pipeline.step(
        name="product_search",
        goal="Find product information and pricing",
        tools_filter=["web_search", "price_comparison"]
    ).step(
        name="competitor_analysis",
        goal="Analyze competitor pricing and features",
        depends_on=["product_search"],
        execution_mode=ExecutionMode.CONCURRENT
    ).step(
        name="review_analysis",
        goal="Analyze customer reviews and ratings",
        depends_on=["product_search"],
        execution_mode=ExecutionMode.CONCURRENT
    ).step(
        name="market_validation",
        goal="Validate market demand and trends",
        depends_on=["competitor_analysis", "review_analysis"],
        execution_mode=ExecutionMode.CONDITIONAL,
        constraints=["Only if competitor analysis shows market gap"]
    ).step(
        name="business_report",
        goal="Generate business intelligence report",
        depends_on=["competitor_analysis", "review_analysis", "market_validation"],
        constraints=["Include ROI projections", "Market entry recommendations"]
    )  # fmt: skip
    return ecommerce_pipeline


def analyst(*, has_gap: bool) -> ScriptedModel:
    """Return a model that answers every goal, and judges whether there is a gap."""

    def answer(request: ModelRequest) -> object:
        if "Decide whether the step" in request.messages[-1].content:
            return {"reason": f"The analysis shows {'a' if has_gap else 'no'} gap.", "holds": has_gap}
        return f"answer to: {goal_of(request)}"

    return ScriptedModel(answer)


def test_example_2_runs_as_written() -> None:
    """With a market gap every step runs; the judge is asked once, and sees the analyses."""
    model = analyst(has_gap=True)
    result = run_agent(ecommerce_analysis(), model=model)
    assert result.success
    assert list(result.step_outputs) == [step.name for step in ecommerce_analysis().steps]
    assert result.final_output == "answer to: Generate business intelligence report"
    [asked] = [r for r in model.requests if "Decide whether the step" in r.messages[-1].content]
    assert "Only if competitor analysis shows market gap" in asked.messages[-1].content
    assert "answer to: Analyze competitor pricing and features" in asked.messages[-1].content


def test_in_example_2_without_a_market_gap_the_report_still_runs() -> None:
    """`market_validation` is skipped with its reason, and nothing has gone wrong."""
    model = analyst(has_gap=False)
    result = run_agent(ecommerce_analysis(), model=model)
    assert result.success
    validation = result.step_metadata["market_validation"]
    assert (validation["status"].value, validation["code"]) == ("skipped", "condition_false")
    assert validation["reason"] == "The analysis shows no gap."
    assert result.final_output == "answer to: Generate business intelligence report"
    assert len(model.requests) == 5
    assert "The analysis shows no gap." in result.explain()


def test_the_sync_functions_work_inside_a_running_loop() -> None:
    """Notebooks call them there."""

    async def notebook() -> PipelineResult:
        return run_pipeline(company_research(), model=ScriptedModel(lambda request: "x"))

    assert asyncio.run(notebook()).success


async def test_the_async_twin_gives_the_same() -> None:
    """Servers have a loop already."""
    result = await arun_pipeline(company_research(), model=ScriptedModel(lambda request: "x"))
    assert result.success


def test_a_one_step_pipeline_asks_what_the_goal_alone_asks() -> None:
    """Same calls, same tokens: a pipeline costs no extra model call."""
    alone, wrapped = ScriptedModel(["x"]), ScriptedModel(["x"])
    goal = run_agent("Say it", model=alone)
    result = run_agent(Pipeline("p").step("a", "Say it"), model=wrapped)
    assert [r.messages for r in alone.requests] == [r.messages for r in wrapped.requests]
    assert result.token_usage["a"] == goal.token_usage


def test_every_public_name_can_be_imported() -> None:
    """`__all__` is the promise."""
    import tagent.pipeline
    import tagent.ports
    import tagent.testing

    for module in (tagent, tagent.pipeline, tagent.ports, tagent.testing):
        for name in module.__all__:
            assert getattr(module, name) is not None
    assert set(tagent.__all__) <= set(dir(tagent))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = tagent.nothing


WITHOUT_EXTRA = """
import sys
sys.modules["yaml"] = None
import tagent
assert tagent.PIPELINE_AVAILABLE is False
from tagent.testing import ScriptedModel
assert tagent.run_agent("Say it", model=ScriptedModel(["x"])).output == "x"
try:
    import tagent.pipeline
except ImportError as error:
    assert isinstance(error, tagent.MissingExtraError), error
    print(error)
"""


def test_without_the_extra_goals_work_and_pipelines_say_what_to_install() -> None:
    """The core stays light, and nobody is left with a bare ImportError."""
    assert tagent.PIPELINE_AVAILABLE is True
    assert issubclass(MissingExtraError, ImportError)
    shown = subprocess.run([sys.executable, "-c", WITHOUT_EXTRA], capture_output=True, text=True, check=True)
    assert shown.stdout == "Pipeline support requires: pip install tagent[pipeline]\n"


CHEAP = """
import sys, tagent
heavy = {"pydantic", "pydantic_ai", "openai", "httpx2", "rich", "click", "yaml", "asyncio"} & set(sys.modules)
assert not heavy, heavy
import tagent.cli.main
heavy = {"pydantic", "pydantic_ai", "openai", "rich", "xllamacpp"} & set(sys.modules)
assert not heavy, heavy
"""


def test_importing_tagent_loads_nothing_heavy() -> None:
    """What loads them late is what keeps `import tagent` and `tagent --help` quick."""
    subprocess.run([sys.executable, "-c", CHEAP], check=True)
