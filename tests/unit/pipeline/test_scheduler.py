"""The order of steps: graph, ready steps, circles, deadlock."""

import pytest

from builders import chain, diamond
from tagent.pipeline import (
    CircularDependencyError,
    DeadlockError,
    Dependency,
    DependencyType,
    ExecutionMode,
    Pipeline,
    PipelineScheduler,
    PipelineState,
    StepStatus,
)
from tagent.pipeline.course.commands import FinishRun, StartStep, WaitUntil
from tagent.pipeline.events import RunStarted, StepFailed, StepStarted
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.scheduler import next_commands
from tagent.pipeline.state import apply


def ready(scheduler: PipelineScheduler) -> list[str]:
    return [step.name for step in scheduler.get_ready_steps()]


def test_the_graph_is_by_step_name() -> None:
    """The specification's sketch mixes ids and names, so that its own graph never matches."""
    assert PipelineScheduler(diamond()).execution_graph == {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def test_steps_become_ready_as_their_dependencies_complete() -> None:
    """The scheduler can be asked by hand what would run next."""
    scheduler = PipelineScheduler(diamond())
    assert ready(scheduler) == ["a"]
    scheduler.step_status["a"] = StepStatus.COMPLETED
    assert ready(scheduler) == ["b", "c"]
    scheduler.step_status.update(b=StepStatus.COMPLETED, c=StepStatus.RUNNING)
    assert ready(scheduler) == []
    scheduler.step_status["c"] = StepStatus.COMPLETED
    assert ready(scheduler) == ["d"]


def test_of_several_serial_steps_the_first_is_ready_and_only_while_none_runs() -> None:
    """SERIAL means one at a time, in definition order."""
    scheduler = PipelineScheduler(Pipeline("p").step("a", "Do a").step("b", "Do b").step("c", "Do c"))
    assert ready(scheduler) == ["a"]
    scheduler.step_status["a"] = StepStatus.RUNNING
    assert ready(scheduler) == []
    scheduler.step_status["a"] = StepStatus.FAILED
    assert ready(scheduler) == ["b"]


def test_the_order_follows_the_definition_where_dependencies_leave_a_choice() -> None:
    """A plan that changes from run to run cannot be compared."""
    pipeline = Pipeline("p").step("z", "Do z").step("a", "Do a").step("m", "Do m", depends_on=["a"])
    assert PipelineScheduler(pipeline).topological_order() == ["z", "a", "m"]


def test_what_a_step_reads_is_a_dependency_without_being_written_twice() -> None:
    """Placeholders, `read_data` and parameters name their steps already."""

    def join(left: str, right: str) -> str:
        return left + right

    pipeline = (
        Pipeline("p", global_constraints=["Respect {rules.tone}"])
        .step("rules", run=lambda: {"tone": "kind"})
        .step("left", "Do left")
        .step("right", "Use {left} and {nothing}", read_data=["rules.tone"])
        .step("joined", run=join)
    )
    graph = PipelineScheduler(pipeline).execution_graph
    assert graph == {"rules": [], "left": ["rules"], "right": ["left", "rules"], "joined": ["left", "right"]}


def test_a_declared_dependency_keeps_its_type_when_the_step_is_also_read() -> None:
    """Declaring HARD must not be turned into DATA by a placeholder."""
    pipeline = Pipeline("p").step("a", "Do a").step("b", "Use {a.x}", depends_on=["a"])
    assert [edge.type for edge in ExecutionGraph.build(pipeline).incoming["b"]] == [DependencyType.HARD]


def test_a_placeholder_inside_json_is_one_and_a_doubled_brace_is_none() -> None:
    """An example of the form wanted is the commonest thing in a goal."""
    pipeline = Pipeline("p").step("a", "Do a").step("b", 'Answer like {"name": {a}}').step("c", "Not {{a}}")
    assert PipelineScheduler(pipeline).execution_graph == {"a": [], "b": ["a"], "c": []}


def test_each_path_that_is_read_is_waited_for() -> None:
    """A declared path does not stand for another one."""
    needed = Dependency("a", DependencyType.DATA, path="x")
    pipeline = Pipeline("p").step("a", "Do a").step("b", "Use {a.y} and {a.x}", depends_on=[needed])
    paths = [str(edge.path) for edge in ExecutionGraph.build(pipeline).incoming["b"]]
    assert paths == ["a.x", "a.y"]


def test_a_circle_is_spelled_out() -> None:
    """Whoever wrote it must see where to cut."""
    pipeline = Pipeline("p").step("a", "Do a", depends_on=["c"]).step("b", "Do b", depends_on=["a"])
    pipeline.step("c", "Do c", depends_on=["b"])
    with pytest.raises(CircularDependencyError, match="Steps wait for each other: ") as caught:
        PipelineScheduler(pipeline).topological_order()
    assert caught.value.cycle[0] == caught.value.cycle[-1]
    graph = PipelineScheduler(pipeline).execution_graph
    assert all(
        later in graph[earlier] for earlier, later in zip(caught.value.cycle, caught.value.cycle[1:], strict=False)
    )


def test_a_deadlock_names_what_each_step_waits_for() -> None:
    """A stuck run must never end in silence."""
    scheduler = PipelineScheduler(chain("a", "b", "c"))
    scheduler.check_deadlock()
    scheduler.step_status["a"] = StepStatus.FAILED
    with pytest.raises(DeadlockError, match=r"'b' waits for \['a'\]; 'c' waits for \['b'\]") as caught:
        scheduler.check_deadlock()
    assert caught.value.blocked == {"b": frozenset({"a"}), "c": frozenset({"b"})}


def test_a_run_in_which_nothing_can_move_raises_instead_of_stopping() -> None:
    """The same in a run: `break` would claim an end that was none."""
    pipeline = Pipeline("p").step("a", "Do a", depends_on=["b"]).step("b", "Do b", depends_on=["a"])
    with pytest.raises(DeadlockError):
        next_commands(PipelineState(ExecutionGraph.build(pipeline)), now=0)


def test_a_due_retry_starts_and_one_that_is_not_due_says_when() -> None:
    """Backoff is a moment in the journal, not a sleeping task."""
    state = PipelineState(ExecutionGraph.build(chain("a")))
    for event in (
        RunStarted("r", "p", {}, {}, 0),
        StepStarted("a", 1, "k", 0),
        StepFailed("a", 1, "step.failed", "It broke.", 10.0, 1),
    ):
        apply(state, event)
    assert next_commands(state, now=9.0) == [WaitUntil(10.0)]
    assert next_commands(state, now=10.0) == [StartStep("a", 2)]


def test_a_serial_step_keeps_its_turn_while_it_waits_for_another_attempt() -> None:
    """SERIAL means one after another, second attempts included."""
    pipeline = Pipeline("p").step("a", "Do a").step("b", "Do b")
    state = PipelineState(ExecutionGraph.build(pipeline))
    apply(state, StepStarted("a", 1, "k", 0))
    apply(state, StepFailed("a", 1, "step.failed", "It broke.", 5.0, 1))
    assert next_commands(state, now=1.0) == [WaitUntil(5.0)]
    assert next_commands(state, now=5.0) == [StartStep("a", 2)]
    apply(state, StepStarted("a", 2, "k", 5))
    assert next_commands(state, now=6.0) == []
    apply(state, StepFailed("a", 2, "step.failed", "It broke.", None, 7))
    assert next_commands(state, now=7.0) == [StartStep("b", 1)]


def test_starts_do_not_hide_when_the_next_retry_is_due() -> None:
    """Else nobody would wake for it."""
    pipeline = Pipeline("p", default_mode=ExecutionMode.CONCURRENT).step("a", "Do a").step("b", "Do b")
    state = PipelineState(ExecutionGraph.build(pipeline))
    apply(state, StepStarted("a", 1, "k", 0))
    apply(state, StepFailed("a", 1, "step.failed", "It broke.", 5.0, 1))
    assert next_commands(state, now=1.0) == [StartStep("b", 1), WaitUntil(5.0)]


def test_a_run_without_unfinished_steps_finishes() -> None:
    """An empty pipeline never gets here; a finished one always does."""
    state = PipelineState(ExecutionGraph.build(Pipeline("p")))
    assert isinstance(next_commands(state, now=0)[0], FinishRun)


def test_dependencies_on_unknown_steps_are_left_to_validation() -> None:
    """The graph can be drawn although the definition has mistakes."""
    pipeline = Pipeline("p").step("a", "Do a", depends_on=["ghost", Dependency("other")])
    assert PipelineScheduler(pipeline).execution_graph == {"a": []}
    assert pipeline.steps[0].execution_mode is ExecutionMode.SERIAL
