"""Every mistake in a definition, at once, with what would be right."""

import logging
import math
from collections.abc import Iterator

import pytest
from pydantic import BaseModel, ConfigDict, RootModel

from builders import chain, returning
from tagent.pipeline import (
    Dependency,
    DependencyType,
    ExecutionMode,
    Pipeline,
    PipelineExecutor,
    PipelineStep,
    PipelineValidationError,
    Problem,
    StepContext,
    validate,
)


class Company(BaseModel):
    name: str
    address: "Address | None" = None
    scores: dict[str, int] = {}
    staff: list["Person"] = []


class Address(BaseModel):
    city: str


class Person(BaseModel):
    age: int


Company.model_rebuild()


def codes(pipeline: Pipeline, **options: object) -> list[str]:
    return [p.code for p in validate(pipeline, **options) if p.severity == "error"]  # type: ignore[arg-type]


def only(pipeline: Pipeline, **options: object) -> Problem:
    problems = [p for p in validate(pipeline, **options) if p.severity == "error"]  # type: ignore[arg-type]
    assert len(problems) == 1, problems
    return problems[0]


def test_a_sound_pipeline_has_no_errors() -> None:
    """The checks must not stand in the way."""
    assert codes(chain("a", "b", "c")) == []


def test_an_empty_pipeline_is_refused() -> None:
    """It would succeed without having done anything."""
    assert only(Pipeline("p")).code == "empty"


def test_all_problems_come_at_once_and_name_their_step() -> None:
    """Mending one mistake a run is slow; the error lists them all."""
    pipeline = (
        Pipeline("shop")
        .step("serch", "Search", timeout=-1)
        .step("report", "Report", depends_on=["search"], max_retries=-2)
        .step("report", "Again")
    )
    with pytest.raises(PipelineValidationError) as caught:
        PipelineExecutor(pipeline)
    assert [(p.step, p.code) for p in caught.value.problems] == [
        ("report", "duplicate_name"),
        ("serch", "bad_timeout"),
        ("report", "bad_retries"),
        ("report", "unknown_step"),
    ]
    assert "The pipeline 'shop' has 4 problems:" in str(caught.value)
    assert "step 'report': It depends on the unknown step 'search'. Did you mean 'serch'?" in str(caught.value)


def test_a_circle_is_one_problem_that_spells_it_out() -> None:
    """The order of the names is the way around."""
    pipeline = Pipeline("p").step("a", "Do a", depends_on=["b"]).step("b", "Do b", depends_on=["a"])
    assert "a -> b -> a" in only(pipeline).message or "b -> a -> b" in only(pipeline).message


def test_a_step_that_depends_on_itself_is_a_circle() -> None:
    """The smallest one."""
    assert only(Pipeline("p").step("a", "Do a", depends_on=["a"])).code == "cycle"


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, True, "5"])
def test_a_timeout_must_be_a_number_of_seconds_above_zero(timeout: object) -> None:
    """A timeout of 0 would fail every attempt, a string only at run time."""
    assert only(Pipeline("p").step("a", "Do a", timeout=timeout)).code == "bad_timeout"  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [-1, 1.5, True, "3"])
def test_retries_are_whole_numbers_from_zero(count: object) -> None:
    """Anything else would surface only after a failure."""
    assert only(Pipeline("p").step("a", "Do a", max_retries=count)).code == "bad_retries"  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x00b", "x" * 201])
def test_names_that_no_view_could_show_are_refused(name: str) -> None:
    """Names go to terminals, logs and pages."""
    assert only(Pipeline("p").step(name, "Do it")).code == "bad_name"


def test_names_are_any_visible_text_without_a_slash() -> None:
    """Nothing is ever stored under a name as a path, so they are harmless; a slash leads to a step inside a step."""
    assert codes(Pipeline("p").step("..\\..\\passwd", "Do it").step("naïve ☂ name", "Do it")) == []
    assert only(Pipeline("p").step("../../etc/passwd", "Do it")).code == "bad_name"


def test_a_step_needs_exactly_one_of_goal_and_function() -> None:
    """Neither does nothing; both leave open which one counts."""
    assert only(Pipeline("p").step("a")).code == "no_work"
    assert only(Pipeline("p").step("a", "Do a", run=returning(1))).code == "two_works"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", 5, "must be text"),
        ("goal", 5, "must be text"),
        ("goal", returning(1), "Did you mean run=?"),
        ("depends_on", "a", "Write a list: ['a']"),
        ("depends_on", None, "a list of str or Dependency"),
        ("depends_on", [5], "a list of str or Dependency"),
        ("constraints", "Be kind", "Write a list: ['Be kind']"),
        ("constraints", [5], "a list of str"),
        ("read_data", "a.b", "Write a list"),
        ("tools_filter", "search", "Write a list"),
        ("tools", None, "must be a list"),
        ("retry", 3, "max_retries"),
        ("model", 5, "a string or a language model"),
    ],
)
def test_fields_of_the_wrong_type_are_named_and_nothing_is_read_from_them(field: str, value: object, said: str) -> None:
    """Also in a pipeline that is built by a program."""
    step = PipelineStep(name="s", goal="Do it")
    setattr(step, field, value)
    problem = only(Pipeline("p").add_step(step))
    assert (problem.code, said in problem.message) == ("bad_type", True), problem


def test_a_single_constraint_for_all_is_one_and_not_its_letters() -> None:
    """It is an easy slip."""
    assert Pipeline("p", global_constraints="Be kind").global_constraints == ["Be kind"]


def test_modes_may_be_written_as_text_and_unknown_ones_are_refused() -> None:
    """Files will write them so."""
    step = PipelineStep(name="a", goal="Do a", execution_mode="concurrent")  # type: ignore[arg-type]
    assert Pipeline("p").add_step(step).steps[0].execution_mode is ExecutionMode.CONCURRENT
    bogus = Pipeline("p").step("a", "Do a", execution_mode="bogus")  # type: ignore[arg-type]
    assert only(bogus).message == (
        "`execution_mode` is 'bogus'; it must be one of SERIAL, CONCURRENT, CONDITIONAL, PARALLEL_MERGE."
    )


def test_misspelt_placeholders_and_inputs_that_nobody_reads_are_pointed_out() -> None:
    """Other braces stay as they are, so it is a warning."""
    pipeline = Pipeline("p").step("reviews", run=returning(1)).step("a", "Use {revews} in {json}")
    problems = [(p.severity, p.code) for p in validate(pipeline, inputs=["topci"]) if p.severity != "hint"]
    assert problems == [("warning", "unused_input"), ("warning", "unknown_placeholder")]


def test_generators_are_refused() -> None:
    """Their body would run outside the step."""

    def numbers() -> Iterator[int]:
        yield 1

    assert "bad_function" in codes(Pipeline("p").step("a", run=numbers))


def test_paths_into_root_models_and_open_models_are_understood() -> None:
    """Their JSON is what paths lead into."""

    class Names(RootModel[list[str]]):
        pass

    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")

    names = Pipeline("p").step("n", "Find them", output_schema=Names).step("o", "Find it", output_schema=Open)
    assert codes(Pipeline(names).step("b", "Use {n[0]} and {o.anything}")) == []
    assert codes(Pipeline(names).step("b", "Use {n.root}")) == []


def test_paths_are_checked_against_the_schema_they_lead_into() -> None:
    """A misspelt field would fail only after the steps before it were paid for."""
    company = Pipeline("p").step("company", "Find it", output_schema=Company)
    for path in ("company.name", "company.address.city", "company.scores.any", "company.staff[0].age"):
        assert codes(Pipeline(company).step("b", "Do b", read_data=[path])) == []
        assert codes(Pipeline(company).step("b", f"Use {{{path}}}")) == []
    for path in ("company.nam", "company.address.town", "company.staff[0].name", "company.name.first", "company[0]"):
        assert codes(Pipeline(company).step("b", "Do b", read_data=[path])) == ["unknown_path"], path
        assert codes(Pipeline(company).step("b", f"Use {{{path}}}")) == ["unknown_path"], path
    assert "Did you mean 'name'?" in only(Pipeline(company).step("b", "Use {company.nam}")).message


def test_a_data_dependency_is_checked_against_the_schema_too() -> None:
    """It waits for a path that cannot come."""
    company = Pipeline("p").step("company", "Find it", output_schema=Company)
    for path, expected in (("name", []), ("staff[0].age", []), ("nam", ["unknown_path"]), ("a..b", ["bad_path"])):
        needed = Dependency("company", DependencyType.DATA, path=path)
        assert codes(Pipeline(company).step("b", "Do b", depends_on=[needed])) == expected


def test_read_data_must_name_a_step_or_an_input() -> None:
    """The nearest name is suggested."""
    pipeline = Pipeline("p").step("facts", "Find them").step("b", "Do b", read_data=["fact.x"])
    assert "Did you mean 'facts'?" in only(pipeline, inputs=[]).message
    assert only(Pipeline("p").step("b", "Do b", read_data=["a b"])).code == "bad_path"
    assert codes(Pipeline("p").step("b", "Do b", read_data=["topic"]), inputs=["topic"]) == []


def test_a_name_that_is_both_input_and_step_is_refused() -> None:
    """Which of the two a placeholder means would be a guess."""
    assert only(Pipeline("p").step("topic", "Find it"), inputs=["topic"]).code == "ambiguous_name"


def test_parameters_that_nothing_fills_are_found_when_the_inputs_are_known() -> None:
    """The function would fail only at its turn."""

    def report(fact: str, context: StepContext, style: str = "plain") -> str:
        return fact

    pipeline = Pipeline("p").step("facts", "Find them").step("report", run=report)
    assert codes(pipeline) == [], "what is not declared may be given when it runs"
    declared = Pipeline(pipeline, inputs=Person)
    assert "'fact' of its function" in only(declared).message
    assert "Did you mean 'facts'?" in only(declared).message


def test_functions_that_cannot_be_called_by_name_are_refused() -> None:
    """Their parameters are filled by name."""
    assert only(Pipeline("p").step("a", run=lambda x, /: x)).code == "bad_function"
    assert only(Pipeline("p").step("a", run="not a function")).code == "bad_function"  # type: ignore[arg-type]

    def unreadable(x: "Missing") -> None:  # type: ignore[name-defined]  # noqa: F821
        """Its annotation names nothing."""

    assert "'Missing' is not defined" in only(Pipeline("p").step("a", run=unreadable), inputs=["x"]).message


def test_types_and_tools_that_cannot_be_described_are_refused() -> None:
    """Better now than after the first steps were paid for."""

    class Opaque:
        pass

    assert only(Pipeline("p").step("a", "Do a", output_schema=Opaque)).code == "bad_schema"
    assert only(Pipeline("p").step("a", "Do a", tools=["no tool"])).code == "bad_tool"  # type: ignore[list-item]


def test_settings_of_pipeline_and_steps_are_checked() -> None:
    """With the nearest name."""
    pipeline = Pipeline("p", config={"modle": "x"}).step("a", "Do a", config={"temperature": 9})
    assert codes(pipeline) == ["bad_config", "bad_config"]


def test_the_shared_context_must_be_json() -> None:
    """It is journalled with the start of the run."""
    assert only(Pipeline("p", shared_context={"x": object()}).step("a", "Do a")).code == "bad_context"


def test_final_must_name_a_step() -> None:
    """Else the final output would always be None."""
    assert "Did you mean 'report'?" in only(Pipeline("p", final="reprot").step("report", "Do it")).message


def test_a_filter_that_names_no_tool_warns_and_does_not_fail(caplog: pytest.LogCaptureFixture) -> None:
    """The specification's second example names two tools that may not be there."""
    pipeline = Pipeline("p").step("a", "Do a", tools_filter=["web_serch"])

    def web_search(query: str) -> str:
        """Search."""
        return query

    problems = validate(pipeline, tools=[web_search])
    assert [(p.severity, p.code) for p in problems] == [("warning", "unknown_tool")]
    assert "Did you mean 'web_search'?" in problems[0].message
    with caplog.at_level(logging.WARNING):
        PipelineExecutor(pipeline)
    assert "web_serch" in caplog.text


def test_options_for_agents_on_a_function_warn() -> None:
    """They have no effect there."""
    problems = validate(Pipeline("p").step("a", run=returning(1), constraints=["Be kind"]))
    assert [(p.severity, p.code) for p in problems] == [("warning", "no_effect")]


def test_serial_steps_that_could_run_together_are_hinted_at() -> None:
    """SERIAL is the default of the specification, and silently slow."""
    hints = [p for p in validate(Pipeline("p").step("a", "Do a").step("b", "Do b")) if p.severity == "hint"]
    assert "'a', 'b' could run together" in hints[0].message
