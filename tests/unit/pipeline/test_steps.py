"""What people write: steps."""

from dataclasses import fields

from tagent.pipeline import Dependency, DependencyType, ExecutionMode, PipelineStep
from tagent.pipeline.steps import StepOptions


def test_a_step_has_every_field_of_the_specification() -> None:
    """Code written from the specification must find them."""
    names = {field.name for field in fields(PipelineStep)}
    assert names >= {
        "id", "name", "goal", "constraints", "depends_on", "execution_mode", "timeout", "retry_count",
        "max_retries", "tools_filter", "output_schema",
    }  # fmt: skip
    step = PipelineStep("step_1", "search", "Find it")
    assert (step.execution_mode, step.max_retries, step.retry_count, step.tools_filter) == (
        ExecutionMode.SERIAL, 3, 0, None,
    )  # fmt: skip


def test_the_fluent_form_knows_every_option_of_a_step() -> None:
    """An option that only the dataclass knew would be refused in the form that everybody writes."""
    assert set(StepOptions.__annotations__) == {field.name for field in fields(PipelineStep)} - {"name", "goal"}


def test_the_type_of_a_dependency_may_be_text() -> None:
    """As `execution_mode` may; else every check of it would silently be false."""
    dependency = Dependency("a", "soft", wait_seconds=1)  # type: ignore[arg-type]  # what people write
    assert dependency.type is DependencyType.SOFT
    assert dependency == Dependency("a", DependencyType.SOFT, wait_seconds=1)


def test_settings_of_a_step_are_not_shown() -> None:
    """They may hold a key."""
    assert "sk-secret" not in repr(PipelineStep(name="a", config={"api_key": "sk-secret"}))
