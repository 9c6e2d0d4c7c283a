"""What people write: pipelines."""

import pytest

from tagent.pipeline import ExecutionMode, Pipeline, PipelineError, PipelineStep, on_event


def test_steps_written_one_behind_the_other_are_labelled_in_order() -> None:
    """Both ways of adding a step give the same pipeline."""
    pipeline = Pipeline("p").step("a", "Do a").add_step(PipelineStep(name="b", goal="Do b"))
    assert [(step.id, step.name, step.goal) for step in pipeline.steps] == [
        ("step_1", "a", "Do a"),
        ("step_2", "b", "Do b"),
    ]


def test_an_unknown_option_is_refused_with_the_nearest_one() -> None:
    """A misspelt `depends_on` that is ignored would run steps in the wrong order."""
    with pytest.raises(PipelineError, match="'depends_no'. Did you mean 'depends_on'?"):
        Pipeline("p").step("a", "Do a", depends_no=["b"])  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("option", "said"), [("fallback", "on_error="), ("on_failure", "on_error=, what the run does")]
)
def test_an_option_with_another_name_here_is_told(option: str, said: str) -> None:
    """No name is near to it."""
    with pytest.raises(PipelineError, match=said):
        Pipeline("p").step("a", "Do a", **{option: "b"})  # type: ignore[arg-type]  # unknown on purpose


def test_the_default_mode_holds_for_steps_that_name_none() -> None:
    """Pipelines that should run wide say so once."""
    pipeline = Pipeline("p", default_mode=ExecutionMode.CONCURRENT)
    pipeline.step("a", "Do a").step("b", "Do b", execution_mode=ExecutionMode.SERIAL)
    assert [step.execution_mode for step in pipeline.steps] == [ExecutionMode.CONCURRENT, ExecutionMode.SERIAL]


def test_a_pipeline_made_from_another_is_a_copy() -> None:
    """The specification's first example writes `Pipeline(other)`; changing the copy must not change the other."""
    original = Pipeline("p", "What it is for", shared_context={"k": 1}, global_constraints=["Be brief"])
    original.step("a", "Do a")
    copy = Pipeline(original)
    copy.steps[0].timeout = 5
    copy.steps[0].depends_on.append("b")  # type: ignore[attr-defined]  # a list, unless something else was given
    copy.steps[0].constraints.append("Be quick")  # type: ignore[attr-defined]
    copy.step("b", "Do b").shared_context["k"] = 2
    copy.global_constraints.append("Be kind")
    assert (copy.name, copy.description) == ("p", "What it is for")
    assert [step.name for step in original.steps] == ["a"]
    assert original.steps[0].timeout is None
    assert (original.steps[0].depends_on, original.steps[0].constraints) == ([], [])
    assert (original.shared_context, original.global_constraints) == ({"k": 1}, ["Be brief"])
    assert repr(copy) == "Pipeline('p', 2 steps)"


def test_steps_can_be_given_to_the_constructor() -> None:
    """Generated pipelines have their steps as a list."""
    pipeline = Pipeline("p", steps=[PipelineStep(name="a", goal="Do a"), PipelineStep(name="b", goal="Do b")])
    assert [step.id for step in pipeline.steps] == ["step_1", "step_2"]


def test_a_copy_takes_what_else_is_given() -> None:
    """Added where it adds up, instead where it does not."""
    original = Pipeline("p", global_constraints=["Be brief"], shared_context={"k": 1, "l": 1})
    copy = Pipeline(
        original.step("a", "Do a"),
        final="a",
        global_constraints=["Be kind"],
        shared_context={"k": 2},
        config={"model": "m"},
    )
    assert (copy.final, copy.global_constraints, copy.shared_context) == (
        "a",
        ["Be brief", "Be kind"],
        {"k": 2, "l": 1},
    )
    assert copy.config == {"model": "m"}


def test_a_single_one_is_meant_as_a_list_of_one() -> None:
    """One hook, one trigger, one rule: nobody thinks of brackets; and None is what a variable holds."""
    hook, trigger, step = print, on_event("orders.created"), PipelineStep(name="a", goal="Find it")
    pipeline = Pipeline(
        "p",
        steps=[step],
        global_constraints="Be kind",
        triggers=trigger,
        before_step=None,
        after_step=hook,
    )
    assert (pipeline.steps, pipeline.global_constraints) == ([step], ["Be kind"])
    assert (pipeline.triggers, pipeline.before_step, pipeline.after_step) == ([trigger], [], [hook])


def test_what_is_no_step_is_refused_where_it_is_added() -> None:
    """A name is easily taken for a step."""
    with pytest.raises(PipelineError, match="cannot have a str as a step. Write PipelineStep"):
        Pipeline("p", steps=["facts"])  # type: ignore[list-item]  # so it is written
