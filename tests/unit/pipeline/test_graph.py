"""The graph of a definition: its order, its circles, and what is noted of its edges."""

from graphlib import TopologicalSorter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagent.pipeline import Dependency, DependencyType, ExecutionMode, Fallback, Pipeline, PipelineStep
from tagent.pipeline.graph import CircularDependencyError, ExecutionGraph
from tagent.pipeline.rules import NO_RULES, StepRules
from tagent.pipeline.validation import checked


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """Draw steps that depend on any others which do not depend on them, defined in any order."""
    places = range(draw(st.integers(1, 12)))
    before = {place: draw(st.sets(st.sampled_from(range(place)))) if place else set() for place in places}
    pipeline = Pipeline("p", default_mode=ExecutionMode.CONCURRENT)
    for place in draw(st.permutations(places)):
        pipeline.step(f"s{place}", "Do it", depends_on=[f"s{source}" for source in sorted(before[place])])
    return pipeline


@given(pipelines())
def test_steps_come_in_waves_behind_all_that_they_wait_for_in_definition_order(pipeline: Pipeline) -> None:
    """The order is told to people and kept by the scheduler: it must be the same wherever it is worked out."""
    graph = ExecutionGraph.build(pipeline)
    sorter = TopologicalSorter({name: graph.dependencies(name) for name in graph.names})
    sorter.prepare()
    expected: list[str] = []
    while sorter.is_active():
        wave = sorted(sorter.get_ready(), key=graph.positions.__getitem__)
        expected += wave
        sorter.done(*wave)
    assert list(graph.topological_order()) == expected


def test_who_waits_for_a_step_waits_for_the_one_that_may_take_its_place() -> None:
    """Else the order would put a step before the output that it reads."""
    pipeline = Pipeline("p").step("use", "Use {rate}").step("rate", "Rate it", on_error="guess").step("guess", "Guess")
    assert ExecutionGraph.build(pipeline).topological_order() == ("rate", "guess", "use")


def test_a_circle_through_a_step_that_takes_the_place_of_another_is_found() -> None:
    """Such a run would wait for itself as soon as the first step fails."""
    pipeline = Pipeline("p").step("rate", "Rate it", on_error="guess").step("use", "Use {rate}")
    graph = ExecutionGraph.build(pipeline.step("guess", "Guess from {use}"))
    with pytest.raises(CircularDependencyError) as caught:
        graph.topological_order()
    assert {"use", "guess"} <= set(caught.value.cycle)


def test_a_circle_names_the_steps_along_it_and_no_others() -> None:
    """Steps behind a circle are blocked as well, and naming them would send the reader astray."""
    pipeline = Pipeline("p").step("free", "Begin").step("a", "Use {b} and {free}").step("b", "Use {a}")
    with pytest.raises(CircularDependencyError) as caught:
        ExecutionGraph.build(pipeline.step("behind", "Use {b}")).topological_order()
    assert set(caught.value.cycle) == {"a", "b"}


def test_the_graph_notes_who_waits_softly_and_who_takes_whose_place() -> None:
    """The state asks for both with every step, so they are looked up and not searched for."""
    soft = Dependency("news", DependencyType.SOFT, wait_seconds=5)
    pipeline = Pipeline("p").step("news", "Find news").step("rate", "Rate it", on_error=Fallback("guess"))
    graph = ExecutionGraph.build(pipeline.step("guess", "Guess").step("text", "Write", depends_on=[soft, "rate"]))
    assert (graph.soft, graph.stands_in_for) == ({"text": ("news",)}, {"guess": ("rate",)})


PARALLEL = ExecutionMode.PARALLEL_MERGE


@pytest.mark.parametrize(
    "step",
    [
        PipelineStep(),
        PipelineStep(execution_mode=ExecutionMode.CONCURRENT, depends_on=["a", Dependency("b", DependencyType.DATA)]),
        PipelineStep(execution_mode=PARALLEL, depends_on=["a"]),
    ],
)
def test_a_step_about_which_nothing_is_special_has_no_rules_of_its_own(step: PipelineStep) -> None:
    """Large pipelines have many of these; what is said nowhere takes neither time nor memory."""
    assert StepRules.of(step) is NO_RULES


@pytest.mark.parametrize(
    "step",
    [
        PipelineStep(enabled=False),
        PipelineStep(enabled="inputs.deep"),
        PipelineStep(condition="steps.a.score > 1.0"),
        PipelineStep(execution_mode=ExecutionMode.CONDITIONAL, constraints=["Only on Mondays"]),
        PipelineStep(depends_on=[Dependency("a", DependencyType.VALIDATION, check=bool)]),
        PipelineStep(optional=True),
        PipelineStep(on_error="other"),
        PipelineStep(compensate="Undo it"),
        PipelineStep(execution_mode=PARALLEL, for_each="a.items"),
        PipelineStep(execution_mode=PARALLEL, branches=["Ask the bull", "Ask the bear"]),
    ],
)
def test_whatever_is_special_about_a_step_is_in_its_rules(step: PipelineStep) -> None:
    """A rule that is overlooked here is one that no run keeps."""
    assert StepRules.of(step) != NO_RULES


def test_a_checked_definition_comes_with_the_graph_that_was_checked() -> None:
    """A run need not build it once more, and cannot get another one than was found to be right."""
    pipeline = Pipeline("p").step("facts", "Find facts").step("text", "Describe {facts}")
    assert checked(pipeline).graph == ExecutionGraph.build(pipeline)
