"""Changes of the steps while the run goes on: what a step's function adds, links, enables and leaves out."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Literal

import pytest
from pydantic import BaseModel

from builders import Ran, Recorder, returning, run, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent.adapters.storage.memory import MemoryStore
from tagent.budget import Budget
from tagent.config import TAgentConfig
from tagent.pipeline import (
    Approval,
    Dependency,
    DependencyType,
    ExecutionMode,
    Fallback,
    Pipeline,
    PipelineExecutor,
    PipelineResult,
    PipelineStep,
    RunStatus,
    StepContext,
    field,
    repeat,
    switch,
    when,
)
from tagent.pipeline.answering.answering import answer_approval
from tagent.pipeline.course.changing import changed_graph
from tagent.pipeline.driving.cancelling import cancel_run
from tagent.pipeline.driving.changing import MAX_CHANGES
from tagent.pipeline.events import RunForked, StepCompleted, StepSkipped, StepStarted
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.state import fold
from tagent.pipeline.stored.callables import DefinitionMismatchError
from tagent.pipeline.stored.changed import with_changes
from tagent.pipeline.stored.definition import Definition, Origin, outline
from tagent.pipeline.transfer.forking import fork_run, state_at
from tagent.ports import ModelRequest
from tagent.task_agent.tools.tool import Tool
from tagent.testing import ManualClock, ScriptedModel

CONCURRENT = ExecutionMode.CONCURRENT
CALLS: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def calls() -> Counter[str]:
    """Count the calls of this test alone."""
    CALLS.clear()
    return CALLS


class Finding(BaseModel):
    """What an added step gives."""

    source: str
    hits: int


async def say(context: StepContext) -> str:
    """Give the name of the step."""
    CALLS[context.step] += 1
    return context.step


async def find(context: StepContext) -> Finding:
    """Give a finding."""
    CALLS[context.step] += 1
    return Finding(source=context.step, hits=2)


async def shout(item: str) -> str:
    """Give an item in capitals."""
    CALLS[item] += 1
    return item.upper()


async def joined(parts: list[object]) -> str:
    """Merge parts."""
    return "+".join(map(str, parts))


async def more_than_one(find_a: Finding) -> bool:
    """Say whether there were several hits."""
    return find_a.hits > 1


async def is_short(output: str) -> bool:
    """Say whether an output is short."""
    return len(output) < 10


async def is_long(output: str, nope: int) -> bool:
    """Check an output by an input."""
    return len(output) > nope


CHECKED = Dependency("plan", DependencyType.VALIDATION, check=is_long)


async def undo() -> None:
    """Undo nothing."""
    CALLS["undo"] += 1


async def fails() -> str:
    """Fail."""
    raise TypeError("no")


async def report(plan: object, **others: object) -> str:
    """Tell what there is."""
    CALLS["report"] += 1
    return f"{plan}: {', '.join(sorted(others))}"


def look_up(word: str) -> str:
    """Look a word up."""
    return word


def look_around() -> str:
    """Look around."""
    return "nothing"


look_around_twice = Tool.of(look_around, name="look_around_twice", retries=1)


def planning(change: Callable[[StepContext], object], output: object = "planned") -> Callable[..., object]:
    """Return the function of a step that changes others; its code is of this module."""

    async def plan(context: StepContext) -> object:
        CALLS["plan"] += 1
        change(context)
        return output

    return plan


def pipeline_of(change: Callable[[StepContext], object], **options: object) -> Pipeline:
    """Return a pipeline whose first step changes others, and whose second one waits for it."""
    return Pipeline("p").step("plan", run=planning(change)).step("report", run=report, **options)  # type: ignore[arg-type]  # options


def why(ran: Ran, step: str = "plan") -> str:
    """Return why a step failed."""
    return str(ran.result.step_metadata[step]["reason"])


async def added(change: Callable[[StepContext], object], **options: object) -> Ran:
    """Run a pipeline that is changed so, and which has to complete; that its graph is the right one is checked."""
    pipeline = pipeline_of(change, **options)
    ran = await run(pipeline)
    assert ran.result.success, {name: it["reason"] for name, it in ran.result.step_metadata.items()}
    require_true_graph(pipeline, ran)
    return ran


def require_true_graph(pipeline: Pipeline, ran: Ran) -> None:
    """Check that the graph which the fold has is what the changed pipeline compiles to, with code and without."""
    state = fold(ExecutionGraph.build(pipeline), ran.events)
    assert plain(state.graph) == plain(ExecutionGraph.build(with_changes(pipeline, state.changes)))
    outlined = outline(Definition.of(pipeline, Origin()))
    assert list(fold(ExecutionGraph.build(outlined), ran.events).statuses.items()) == list(state.statuses.items())


def plain(graph: ExecutionGraph) -> ExecutionGraph:
    """Return the graph without the outputs of fallbacks, which are JSON values as long as they are only stored."""
    special = {
        name: replace(rules, fallback=rules.fallback and replace(rules.fallback, output=None))
        for name, rules in graph.special.items()
    }
    return replace(graph, special=special)


async def test_a_step_adds_steps_which_run_behind_it() -> None:
    """What is to be done is known only once somebody has looked."""

    def change(context: StepContext) -> None:
        context.plan.step("a", run=say, depends_on=["plan"]).step("b", run=say, depends_on=["a"])
        context.plan.depend("report", on="b")

    ran = await added(change, depends_on=["plan"])
    assert ran.result.step_outputs == {"plan": "planned", "report": "planned: b", "a": "a", "b": "b"}
    assert ran.result.final_output == "planned: b"


async def test_without_a_dependant_the_last_added_step_gives_the_output() -> None:
    """Which steps come last is seen when the run has ended, not when it began."""
    ran = await added(lambda context: context.plan.step("last", run=say, depends_on=["report"]))
    assert ran.result.final_output == "last"


async def test_an_added_step_may_read_by_name_and_be_read_by_name() -> None:
    """As in a pipeline that was written so: a parameter without which a step can do is filled by the new step."""

    def change(context: StepContext) -> None:
        context.plan.step("find_a", run=find, depends_on=["plan"])
        context.plan.step("count", "Count {find_a.hits}")

    pipeline = pipeline_of(change).step("end", run=lambda plan, count=None: f"{plan} {count}")
    ran = await run(pipeline, model=ScriptedModel(lambda _: "two"))
    assert ran.result.step_outputs["end"] == "planned two"
    require_true_graph(pipeline, ran)


def test_every_option_that_can_be_stored_comes_back_as_it_was() -> None:
    """What an added step is, it is also after a crash; what cannot be stored is refused."""
    step = PipelineStep(
        name="x", run=find, condition='steps.plan == "planned"', timeout=9, max_retries=1, optional=True,
        on_error=Fallback(output=Finding(source="none", hits=0)), compensate=undo, budget=Budget(max_tokens=9),
        config={"temperature": 0.5}, memory="pipeline", execution_mode=CONCURRENT,
        approval=Approval("output", question="Well?"), output_schema=Finding,
    )  # fmt: skip
    goal = PipelineStep(
        name="y", goal="Tell {x.hits}", output_schema=Literal["yes", "no"], tools=[look_up, look_around_twice],
        model="some-model", constraints=["Be short"], tools_filter=["look_up"], read_data=["x.source"],
    )  # fmt: skip
    items = PipelineStep(
        name="z", run=shout, for_each="plan", merge=joined, item_schema=str, max_concurrency=2, min_success=1,
        output_schema=str | None,
    )  # fmt: skip
    branches = PipelineStep(
        name="w", branches={"a": say, "b": "Tell it"}, output_schema=dict[str, str | list[int]], cache=60
    )
    again = repeat(PipelineStep(name="v", run=say, condition=more_than_one), until=is_short, max_times=3)
    check = Dependency("y", DependencyType.VALIDATION, check=is_short)
    checked = PipelineStep(name="u", run=say, depends_on=[check, Dependency("w", DependencyType.SOFT, wait_seconds=5)])
    given = [step, goal, items, branches, again, checked]

    def change(context: StepContext) -> None:
        for one in given:
            context.plan.add(one)
        context.plan.step("find_a", run=find)

    ran = asyncio.run(run(Pipeline("p").step("plan", run=planning(change, ["one", "two"]))))
    assert ran.statuses["plan"] == "completed", why(ran)
    completed = next(event for event in ran.events if isinstance(event, StepCompleted) and event.step == "plan")
    assert completed.change is not None
    pipeline = Pipeline("p").step("plan", run=planning(change))
    state = fold(ExecutionGraph.build(pipeline), ran.events)
    bound = {it.name: it for it in with_changes(pipeline, state.changes).steps}
    for one in given:
        again_ = bound[one.name]
        for name in (
            "run", "goal", "condition", "timeout", "max_retries", "optional", "compensate", "cache", "approval",
            "output_schema", "item_schema", "branches", "merge", "for_each", "until", "max_times", "execution_mode",
            "memory", "model", "budget", "tools_filter", "max_concurrency", "min_success",
        ):  # fmt: skip
            assert getattr(again_, name) == getattr(one, name), (one.name, name)
    assert list(bound["y"].tools) == [look_up, look_around_twice]
    assert bound["x"].on_error == Fallback(output=Finding(source="none", hits=0))
    found = [dep for dep in bound["u"].depends_on if isinstance(dep, Dependency)]
    assert found[0].check is is_short
    require_true_graph(pipeline, ran)


async def test_added_items_branches_rounds_and_routes_run() -> None:
    """An added step is expanded like any other."""

    def change(context: StepContext) -> None:
        context.plan.step("items", run=shout, for_each="words")
        context.plan.step("both", branches={"a": say, "b": say}, merge=joined, depends_on=["items"])
        context.plan.add(repeat(PipelineStep(name="again", run=say, depends_on=["both"]), until=is_short, max_times=3))
        context.plan.add(when("steps.again == 'again'").then("yes").otherwise("no"))
        context.plan.add(switch("again", {"again": "right", "other": "wrong"}))
        for name in ("yes", "no", "right", "wrong"):
            context.plan.step(name, run=say)

    pipeline = Pipeline("p").step("words", run=returning(["a", "b"])).step("plan", run=planning(change))
    ran = await run(pipeline)
    outputs = ran.result.step_outputs
    assert (outputs["items"], outputs["both"], outputs["again"]) == (["A", "B"], "a+b", "again")
    assert {"yes", "right"} <= outputs.keys()
    assert not {"no", "wrong"} & outputs.keys()
    assert {"when_6", "switch_7"} <= outputs.keys()  # by their places in the pipeline
    require_true_graph(pipeline, ran)


async def test_items_and_rounds_change_the_steps_too() -> None:
    """Each item may have something to be done besides; it counts with the item."""

    async def split(item: str, context: StepContext) -> str:
        context.plan.step(f"more_{item}", run=say, depends_on=["each"])
        return item

    async def again(round: int, context: StepContext) -> int:  # noqa: A002 - what rounds are called
        context.plan.step(f"round_{round}", run=say)
        return round

    pipeline = Pipeline("p").step("words", run=returning(["a", "b"])).step("each", run=split, for_each="words")
    pipeline.add_step(repeat(PipelineStep(name="again", run=again), max_times=2))
    ran = await run(pipeline)
    assert ran.result.success
    assert {"more_a", "more_b", "round_1", "round_2"} <= ran.result.step_outputs.keys()
    require_true_graph(pipeline, ran)


async def test_an_added_step_may_change_the_steps_again() -> None:
    """A plan is made as far as one can see, and its last step makes the next one."""
    pipeline = Pipeline("p").step("first", run=further)
    ran = await run(pipeline)
    assert [name for name in ran.result.step_outputs if name.startswith("step")] == ["step_1", "step_2", "step_3"]
    require_true_graph(pipeline, ran)


async def further(context: StepContext) -> str:
    """Add another one, up to the third."""
    count = int(context.step.removeprefix("step_")) if context.step.startswith("step_") else 0
    if count < 3:
        context.plan.step(f"step_{count + 1}", run=further, depends_on=[context.step])
    return context.step


async def test_two_steps_that_change_at_the_same_time_both_count() -> None:
    """Each is checked against what the other has made of it."""

    def first(context: StepContext) -> None:
        context.plan.step("a", run=say).add(when("inputs.n > 1", name="").then("a"))

    def second(context: StepContext) -> None:
        context.plan.step("b", run=say).add(when("inputs.n > 2", name="").then("b"))

    pipeline = Pipeline("p").step("one", run=planning(first), execution_mode=CONCURRENT)
    pipeline.step("two", run=planning(second), execution_mode=CONCURRENT)
    ran = await run(pipeline, inputs={"n": 2})
    assert ran.result.success
    assert ran.statuses["a"] == "completed"
    assert ran.statuses["b"] == "skipped"
    require_true_graph(pipeline, ran)


async def test_of_two_that_add_a_step_of_one_name_the_second_fails() -> None:
    """Nothing of its change counts, also not what would fit; and it is not tried again."""

    def change(context: StepContext) -> None:
        context.plan.step("same", run=say).step(f"of_{context.step}", run=say)

    pipeline = Pipeline("p").step("one", run=planning(change), execution_mode=CONCURRENT)
    pipeline.step("two", run=planning(change), execution_mode=CONCURRENT)
    ran = await run(pipeline)
    failed = [name for name in ("one", "two") if ran.statuses[name] == "failed"]
    assert len(failed) == 1
    assert ran.result.step_metadata[failed[0]]["code"] == "pipeline.change"
    assert ran.result.step_metadata[failed[0]]["attempts"] == 1
    assert f"of_{failed[0]}" not in ran.statuses
    assert "There is a step of this name already." in why(ran, failed[0])


async def test_all_that_is_wrong_with_a_change_is_told_at_once() -> None:
    """Whoever mends it need not run it once for each mistake."""

    def change(context: StepContext) -> None:
        context.plan.step("report", run=say).step("a", run=lambda: 1).step("b", run=say, depends_on=["nobody"])
        context.plan.depend("plan", on="report").depend("nowhere", on="report").enable("reprt")
        context.plan.undepend("report", on="a").step("c", "Tell {b}", timeout=0).step("d", agent=object())

    ran = await run(pipeline_of(change))
    reason = why(ran)
    for told in (
        "step 'report': There is a step of this name already.",
        "step 'a': Of its code `run` is a lambda",
        "step 'b': It depends on the unknown step 'nobody'.",
        "There is no step 'nowhere'.",
        "There is no step 'reprt'. Did you mean 'report'?",
        "step 'plan': It has begun already, so it cannot be changed",
        "step 'report': It does not depend on 'a'.",
        "step 'd': An agent of another library cannot be stored",
    ):
        assert told in reason
    assert ran.statuses == {"plan": "failed", "report": "skipped"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c.plan.step("a", run=say, depends_on=["b"]).step("b", run=say, depends_on=["a"]), "a -> b -> a"),
        (lambda c: c.plan.step("a", run=say, depends_on=["report"]).depend("report", on="a"), "wait for each other"),
        (lambda c: c.plan.undepend("report", on="plan"), "It reads the output of 'plan'"),
        (lambda c: c.plan.disable("before"), "It has ended already (completed)"),
        (lambda c: c.plan.depend("before", on="report"), "It has ended already (completed)"),
        (lambda c: c.plan.add(when("true").then("before")), "It has ended already (completed)"),
        (lambda c: c.plan.step("a", run=say, on_error="before"), "It has ended already (completed)"),
        (lambda c: c.plan.step("a", pipeline=Pipeline("q").step("x", run=say)), "A pipeline cannot be added"),
        (lambda c: c.plan.step("a", "Ask", model=ScriptedModel()), "name the model"),
        (lambda c: c.plan.step("a", "Ask", config={"tools": [look_up]}), "The setting `tools`"),
        (lambda c: c.plan.step("a", run=asyncio.sleep), "is of the module 'asyncio.tasks'"),
        (lambda c: c.plan.step("a", run=asyncio.sleep), "wrap it in a function of your own there"),
        (lambda c: c.plan.step("a", run=Finding.model_dump_json), "which is inside something else"),
        (lambda c: c.plan.step("a", run=say, condition=(field("steps.before") == "x") & say), ""),
        (lambda c: c.plan.step(7, run=say), "name"),
        (lambda c: c.plan.step("a", run=say, depends_on=5), "depends_on"),
        (lambda c: c.plan.step("a", "Ask", output_schema=set[bytes]), "`output_schema`"),
        (lambda c: c.plan.step("late", run=say), "It has ended already (completed)"),
    ],
)  # fmt: skip
async def test_what_does_not_fit_fails_the_step(change: Callable[[StepContext], object], told: str) -> None:
    """And the run goes on as if it had not asked for anything."""

    async def before(late: object = None) -> str:
        return f"{late}"

    pipeline = Pipeline("p").step("before", run=before)
    pipeline.step("plan", run=planning(change), depends_on=["before"]).step("report", run=report)
    ran = await run(pipeline)
    meta = ran.result.step_metadata["plan"]
    assert (meta["status"], meta["attempts"]) == ("failed", 1), meta
    if meta["code"] == "pipeline.change":  # what is no change at all is refused where it is written
        assert told in meta["reason"]
    assert set(ran.statuses) == {"before", "plan", "report"}
    assert ran.result.step_metadata["report"]["code"] == "upstream_failed"


async def needy(nope: int) -> int:
    """Ask for something that nobody gives."""
    return nope


async def without_need(nope: int = 1) -> int:
    """Ask for something that nobody need give."""
    return nope


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c.plan.step("a", run=needy), "called 'nope'; the function of step 'a' asks for it."),
        (lambda c: c.plan.step("a", run=say, for_each="nope"), "called 'nope'; `for_each` of step 'a'"),
        (lambda c: c.plan.step("a", run=say, condition="inputs.nope > 1"), "called 'nope'; a condition of step"),
        (lambda c: c.plan.undepend("report", on="plan").depend("report", on=CHECKED), "called 'nope'; the function"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("inputs", "hint"), [({}, ""), ({"nop": [1]}, " Did you mean 'nop'?")])
async def test_what_a_change_needs_and_the_run_was_not_given_is_told_at_once(
    change: Callable[[StepContext], object], told: str, inputs: dict[str, object], hint: str
) -> None:
    """The inputs of a run that goes on are what they are: the step could but fail, after others have been paid for."""
    pipeline = Pipeline("p").step("plan", run=planning(change)).step("report", run=passing, depends_on=["plan"])
    ran = await run(pipeline, inputs=inputs)
    assert ran.result.step_metadata["plan"]["code"] == "pipeline.change"
    assert (hint or told) in why(ran)  # where it knows the inputs, validation may be the first to say so
    assert ran.statuses == {"plan": "failed", "report": "skipped"}
    ran = await run(pipeline, inputs={"nope": [3] if "for_each" in told else 3})
    assert ran.result.step_metadata["plan"]["code"] == ""


async def test_what_a_change_can_do_without_need_not_be_given() -> None:
    """A default is one, and a guard in a condition too."""

    def change(context: StepContext) -> None:
        context.plan.step("a", run=without_need, condition="!has(inputs.nope) || inputs.nope > 1", depends_on=["plan"])

    ran = await added(change)
    assert ran.result.step_outputs["a"] == 1


async def test_a_misspelt_placeholder_of_an_added_goal_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """As at the start of a run."""

    def change(context: StepContext) -> None:
        context.plan.step("a", "Tell {repot}", depends_on=["report"])

    ran = await run(pipeline_of(change), model=ScriptedModel(["Told."]))
    assert ran.result.success
    assert caplog.messages == ["p: step 'a': {repot} names no step or input and stays as it is. Did you mean 'report'?"]


async def test_only_a_step_can_be_added() -> None:
    """What says so does not speak of a pipeline that nobody has made."""
    ran = await run(pipeline_of(lambda context: context.plan.add(say)))  # type: ignore[arg-type]  # on purpose
    assert "plan.add(...) takes a step that is made already, not a function. Write plan.add(PipelineStep(" in why(ran)


async def test_effects_of_a_step_whose_change_is_refused_are_not_written() -> None:
    """All of it or nothing."""

    def plan(context: StepContext) -> str:
        context.memory.pipeline.put("seen", 1)
        context.plan.depend("nobody", on="plan")
        return "x"

    def seen(context: StepContext) -> object:
        return context.memory.pipeline.get("seen")

    pipeline = Pipeline("p").step("plan", run=plan, optional=True).step("seen", run=seen, depends_on=["plan"])
    ran = await run(pipeline)
    assert ran.statuses["plan"] == "failed"
    assert ran.result.step_outputs == {"seen": None}


async def test_a_failed_attempt_changes_nothing() -> None:
    """The next one starts from nothing."""
    tries = itertools.count(1)

    async def plan(context: StepContext) -> str:
        attempt = next(tries)
        context.plan.step(f"of_{attempt}", run=say)
        if attempt == 1:
            raise OSError("later")
        return "x"

    ran = await run(Pipeline("p").step("plan", run=plan))
    assert list(ran.statuses) == ["plan", "of_2"]


async def test_removing_the_dependency_that_holds_a_step_up_lets_it_go() -> None:
    """It runs although what it waited for still runs, or has failed."""
    pipeline = Pipeline("p").step("slow", run=fails, max_retries=0, depends_on=["plan"])
    pipeline.step("plan", run=planning(lambda context: context.plan.undepend("free", on="slow")))
    pipeline.step("free", run=say, depends_on=["slow"])
    ran = await run(pipeline)
    assert ran.statuses == {"slow": "failed", "plan": "completed", "free": "completed"}
    require_true_graph(pipeline, ran)


async def test_a_dependency_on_a_step_that_has_ended_is_met_or_not_at_once() -> None:
    """With its output, or by its failure."""

    def change(context: StepContext) -> None:
        context.plan.step("good", run=say, depends_on=[Dependency("done", DependencyType.DATA, path="hits")])
        context.plan.step("bad", run=say, depends_on=[Dependency("done", DependencyType.DATA, path="nothing")])
        context.plan.step("worse", run=say, depends_on=["failed"])
        context.plan.depend("waits", on="failed")

    pipeline = Pipeline("p").step("done", run=returning({"hits": 1})).step("failed", run=fails, max_retries=0)
    pipeline.step("plan", run=planning(change), depends_on=["done", Dependency("failed", DependencyType.SOFT)])
    ran = await run(pipeline.step("waits", run=say, depends_on=["plan"]))
    assert ran.statuses["good"] == "completed"
    codes = {name: it["code"] for name, it in ran.result.step_metadata.items()}
    assert (codes["bad"], codes["worse"], codes["waits"]) == ("dependency_unmet", "upstream_failed", "upstream_failed")


async def test_a_disabled_step_is_left_out_and_others_go_on_without_it() -> None:
    """Those that need its output are left out with it."""
    pipeline = Pipeline("p").step("plan", run=planning(lambda context: context.plan.disable("extra")))
    pipeline.step("extra", run=say, depends_on=["plan"]).step("needs", "Tell {extra}")
    pipeline.step("end", run=say, depends_on=["extra"])
    ran = await run(pipeline)
    codes = {name: it["code"] for name, it in ran.result.step_metadata.items()}
    assert codes == {"plan": "", "extra": "disabled", "needs": "dependency_unmet", "end": ""}
    require_true_graph(pipeline, ran)


async def test_an_enabled_step_runs_and_so_does_what_was_left_out_because_of_it() -> None:
    """The step was skipped when the run began, with all that needed its output."""
    pipeline = Pipeline("p").step("plan", run=planning(lambda context: context.plan.enable("extra")))
    pipeline.step("extra", run=say, depends_on=["plan"], enabled=False)
    pipeline.step("needs", run=report_of, depends_on=[Dependency("extra", DependencyType.DATA)]).step(
        "behind", run=say, depends_on=["needs"]
    )
    pipeline.step("off", run=say, enabled=False)
    ran = await run(pipeline)
    assert ran.statuses == {
        "plan": "completed", "extra": "completed", "needs": "completed", "behind": "completed", "off": "skipped",
    }  # fmt: skip
    assert [event.step for event in ran.events if isinstance(event, StepSkipped)][:3] == ["extra", "off", "needs"]
    require_true_graph(pipeline, ran)


async def report_of(extra: str) -> str:
    """Tell it."""
    return extra


async def test_the_last_word_on_a_step_counts() -> None:
    """A plan may take back what it has said before."""

    def change(context: StepContext) -> None:
        context.plan.enable("extra").disable("extra").depend("report", on="extra").undepend("report", on="extra")

    ran = await run(pipeline_of(change).step("extra", run=say, enabled="inputs.n > 1"), inputs={"n": 2})
    assert ran.result.step_metadata["extra"]["code"] == "disabled"


async def test_a_serial_step_that_waits_for_its_turn_can_be_changed() -> None:
    """It has not begun, and its condition is judged with what it waits for now."""
    pipeline = Pipeline("p").step("plan", run=planning(lambda c: c.plan.step("new", run=say).depend("turn", on="new")))
    pipeline.step("turn", run=say, condition="inputs.n > 1")
    ran = await run(pipeline, inputs={"n": 2})
    assert list(ran.result.step_outputs) == ["plan", "turn", "new"]
    started = [event.step for event in ran.events if isinstance(event, StepStarted)]
    assert started == ["plan", "new", "turn"]
    require_true_graph(pipeline, ran)


async def test_patience_for_a_dependency_that_is_gone_ends() -> None:
    """Nothing is due any more that nobody waits for."""
    clock = ManualClock()
    soft = Dependency("slow", DependencyType.SOFT, wait_seconds=60)
    pipeline = Pipeline("p").step("slow", run=lambda: clock.sleep(1000), execution_mode=CONCURRENT, timeout=50)
    pipeline.step("plan", run=planning(lambda c: c.plan.undepend("hasty", on="slow")), execution_mode=CONCURRENT)
    pipeline.step("hasty", run=say, depends_on=[soft], execution_mode=CONCURRENT)
    ran = await run(pipeline, clock=clock)
    order = [event.step for event in ran.events if isinstance(event, StepStarted)]
    assert order[:3] == ["slow", "plan", "hasty"]


@pytest.mark.parametrize("left_out", ["a", "b"])
async def test_a_step_that_is_patient_waits_for_what_is_enabled_now(left_out: str) -> None:
    """Its patience had begun, as nothing else was missing; now something is, be it at the end of a chain."""
    clock = ManualClock()
    ended: list[str] = []

    def work(name: str, seconds: float) -> Callable[[], object]:
        async def function() -> str:
            await clock.sleep(seconds)
            ended.append(name)
            return name

        return function

    async def enable(context: StepContext) -> None:
        await clock.sleep(1)
        context.plan.enable("a")

    soft, skips = Dependency("slow", DependencyType.SOFT, wait_seconds=10), Dependency("a", on_skip="skip")
    pipeline = Pipeline("p", default_mode=CONCURRENT).step("slow", run=work("slow", 1000), timeout=2000)
    pipeline.step("plan", run=enable).step("a", run=work("a", 50), enabled=False)
    pipeline.step("b", run=work("b", 50), depends_on=[skips])
    pipeline.step("hasty", run=work("hasty", 0), depends_on=[left_out, soft])
    ran = await run(pipeline, clock=clock)
    assert ran.result.success, ran.result.explain()
    assert ended.index(left_out) < ended.index("hasty")
    assert ended[-1] == "slow"


async def test_an_added_step_takes_the_place_of_one_that_fails() -> None:
    """Also of one that fails before any attempt."""

    def change(context: StepContext) -> None:
        context.plan.step("risky", run=fails, max_retries=0, on_error="safe").step("safe", run=say)
        context.plan.step("odd", run=say, condition="steps.plan.nothing", on_error=Fallback(output="default"))

    ran = await run(pipeline_of(change))
    assert ran.result.step_outputs["risky"] == "safe"
    assert ran.result.step_outputs["odd"] == "default"
    assert ran.result.success


async def test_an_added_step_sees_messages_from_its_addition_on() -> None:
    """It listens from the commit that adds it, not from its start."""

    async def send(context: StepContext) -> str:
        await context.messages.abroadcast("news", {"n": 2})
        return "sent"

    async def early(context: StepContext) -> str:
        await context.messages.abroadcast("news", {"n": 1})
        return "sent"

    def change(context: StepContext) -> None:
        context.plan.step("wait", wait_for="news", depends_on=["send"]).depend("send", on="plan")

    pipeline = Pipeline("p").step("early", run=early).step("plan", run=planning(change), depends_on=["early"])
    ran = await run(pipeline.step("send", run=send, depends_on=["early"]))
    assert ran.result.step_outputs["wait"] == {"n": 2}


async def test_a_change_that_waits_for_approval_counts_once_somebody_says_so() -> None:
    """It is checked again then: the run has gone on meanwhile."""
    store, clock = MemoryStore(), ManualClock()
    opened = services(store=store, clock=clock)

    async def approve(context: StepContext) -> str:
        while True:
            with suppress(Exception):
                await answer_approval(context.run_id, "plan", opened, is_approved=True)
                return "approved"
            await asyncio.sleep(0)

    def change(context: StepContext) -> None:
        context.plan.step("new", run=say, depends_on=["plan"])

    pipeline = Pipeline("p").step("plan", run=planning(change), approval="output", execution_mode=CONCURRENT)
    pipeline.step("approve", run=approve, execution_mode=CONCURRENT)
    result = await PipelineExecutor(pipeline, services=opened).execute()
    assert result.step_outputs["new"] == "new"


async def test_only_the_function_of_a_step_may_change_the_steps() -> None:
    """A condition, a hook and a compensation decide on other things."""

    async def holds(context: StepContext) -> bool:
        context.plan.disable("report")
        return True

    def hook(context: StepContext) -> None:
        context.plan.disable("report")

    ran = await run(Pipeline("p").step("a", run=say, condition=holds, max_retries=0).step("report", run=say))
    assert "Only the function of a step" in why(ran, "a")
    hooked = await run(Pipeline("p", before_step=[hook]).step("report", run=say))
    assert hooked.result.success


async def test_the_model_of_an_added_agent_is_asked_for_before_the_change_counts() -> None:
    """A run does not find out later that it cannot go on."""

    class NoModels:
        async def model_for(self, config: TAgentConfig) -> object:
            raise RuntimeError("no model")

    def change(context: StepContext) -> None:
        context.plan.step("ask", "Ask")

    opened = replace(services(), models=NoModels())  # type: ignore[arg-type]  # of a kind
    result = await PipelineExecutor(pipeline_of(change), services=opened).execute()
    assert result.step_metadata["plan"]["status"] == "failed"
    assert "ask" not in result.step_metadata


async def test_the_budget_of_an_added_step_holds() -> None:
    """An account is opened for it."""
    limit = Budget(max_model_calls=1)
    pipeline = Pipeline("p").step("words", run=words)
    pipeline.step("plan", run=planning(lambda c: c.plan.step("ask", "Ask {item}", for_each="words", budget=limit)))
    ran = await run(pipeline, model=ScriptedModel(lambda _: "x"))
    assert ran.statuses["ask"] == "failed"


def all_at_once() -> Pipeline:
    """Return a pipeline that changes itself in every way."""

    def change(context: StepContext) -> None:
        context.plan.step("words", run=words).step("each", run=split_further, for_each="words", merge=joined)
        context.plan.step("ask", "Ask {each}", output_schema=str)
        context.plan.add(repeat(PipelineStep(name="again", run=say, depends_on=["ask"]), until=is_short, max_times=2))
        context.plan.depend("report", on="again").enable("extra").undepend("free", on="report").disable("off")

    pipeline = Pipeline("p").step("plan", run=planning(change)).step("report", run=report)
    pipeline.step("extra", run=say, enabled=False).step("free", run=say, depends_on=["report"])
    return pipeline.step("off", run=say, depends_on=["report"])


async def words() -> list[str]:
    """Give words."""
    CALLS["words"] += 1
    return ["x", "y"]


async def split_further(item: str, context: StepContext) -> str:
    """Give the item, and have more done."""
    CALLS[item] += 1
    context.plan.step(f"more_{item}", run=say, depends_on=["each"])
    return item


async def test_a_crash_at_any_commit_loses_and_repeats_nothing() -> None:
    """A resumed run has the steps that it had, finds their code again, and ends as if nothing had happened."""
    undisturbed = await run(all_at_once(), model=ScriptedModel(lambda _: "told"))
    assert undisturbed.result.success
    commits = 0
    for at, is_written in itertools.product(range(1, 60), (True, False)):
        CALLS.clear()
        store = CrashingStore().arm(at, is_written=is_written)
        opened = services(store=store, model=ScriptedModel(lambda _: "told"))
        try:
            result = await PipelineExecutor(all_at_once(), services=opened).execute()
        except Crash:
            commits += 1
            if at == 1 and not is_written:
                continue
            result = await resume_run("run-1", everybody_is_gone(opened), TAgentConfig(), pipeline=all_at_once())
        else:
            break
        assert result.step_outputs == undisturbed.result.step_outputs, (at, is_written)
        assert result.status is RunStatus.COMPLETED
        events = await load_events(store, "run-1")
        completed = Counter(event.step for event in events if isinstance(event, StepCompleted))
        assert set(completed.values()) == {1}
        if is_written:
            assert max(CALLS.values()) <= 2, CALLS
    assert commits > 20


async def test_a_completed_run_is_read_again_with_the_steps_that_it_added() -> None:
    """Resuming it returns the same result."""
    opened = services(model=ScriptedModel(lambda _: "told"))
    first = await PipelineExecutor(all_at_once(), services=opened).execute()
    assert first.success
    again = await resume_run("run-1", opened, TAgentConfig(), pipeline=all_at_once())
    assert again.step_outputs == first.step_outputs


async def test_after_a_rollback_the_steps_are_added_anew() -> None:
    """What an undone step had changed is undone too, and what its steps have cost is not lost."""
    is_broken = True

    async def breaks() -> str:
        if is_broken:
            raise TypeError("no")
        return "mended"

    def change(context: StepContext) -> None:
        context.plan.step("ask", "Ask", depends_on=["plan"]).depend("breaks", on="ask")

    pipeline = Pipeline("p", on_failure="rollback").step("plan", run=planning(change), compensate=undo)
    pipeline.step("breaks", run=breaks, max_retries=0)
    opened = services(model=ScriptedModel(lambda _: "told"))
    first = await PipelineExecutor(pipeline, services=opened).execute()
    assert first.status is RunStatus.FAILED
    assert first.step_outputs == {"ask": "told"}
    is_broken = False
    again = await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline)
    assert again.success, again.step_metadata
    assert again.step_outputs == {"plan": "planned", "breaks": "mended", "ask": "told"}
    assert CALLS["plan"] == 2
    assert sum(usage.requests for usage in again.token_usage.values()) == 2 * first.token_usage["ask"].requests


async def test_code_of_an_added_step_that_is_gone_is_named() -> None:
    """Nobody guesses what it was."""
    store = CrashingStore().arm(3)
    opened = services(store=store)
    pipeline = pipeline_of(lambda context: context.plan.step("new", run=passing))
    with pytest.raises(Crash):
        await PipelineExecutor(pipeline, services=opened).execute()
    kept = globals().pop("passing")
    try:
        with pytest.raises(DefinitionMismatchError, match=r"Of the step 'new', which the run has added, `run` is not"):
            await resume_run("run-1", everybody_is_gone(opened), TAgentConfig(), pipeline=pipeline)
    finally:
        globals()["passing"] = kept
    result = await resume_run("run-1", everybody_is_gone(opened), TAgentConfig(), pipeline=pipeline)
    assert result.success


async def passing() -> str:
    """Give something."""
    return "passed"


async def test_with_the_current_definition_a_step_that_is_defined_now_is_taken_from_there() -> None:
    """The definition of today counts; what the run has added besides stays."""
    store = CrashingStore().arm(2)
    opened = services(store=store)

    def change(context: StepContext) -> None:
        context.plan.step("new", run=say, depends_on=["plan"]).step("other", run=say, depends_on=["new"])

    with pytest.raises(Crash):
        await PipelineExecutor(pipeline_of(change), services=opened).execute()
    today = pipeline_of(change).step("new", run=returning("of today"), depends_on=["plan"])
    result = await resume_run("run-1", everybody_is_gone(opened), TAgentConfig(), pipeline=today, definition="current")
    assert result.step_outputs["new"] in ("of today", "new")
    assert result.step_outputs["other"] == "other"
    assert result.success


async def test_a_run_is_cancelled_and_looked_at_with_its_added_steps() -> None:
    """Whoever cancels has no code: what is stored is enough."""
    opened = services()

    async def cancel(context: StepContext) -> str:
        await cancel_run(context.run_id, opened)
        await asyncio.sleep(60)
        return "x"

    pipeline = Pipeline("p").step("plan", run=planning(lambda c: c.plan.step("new", run=say, depends_on=["cancel"])))
    pipeline.step("cancel", run=cancel, depends_on=["plan"])
    result = await PipelineExecutor(pipeline, services=opened).execute()
    assert result.status is RunStatus.CANCELLED
    assert result.step_metadata["new"]["status"] == "cancelled"
    state = await state_at(opened.store, "run-1")
    assert list(state.statuses) == ["plan", "cancel", "new"]
    assert list((await state_at(opened.store, "run-1", 2)).statuses) == ["plan", "cancel"]


async def test_a_fork_behind_a_change_has_the_added_steps_and_one_before_makes_them_anew() -> None:
    """The change is among the events that are taken over, or not."""
    opened = services()
    pipeline = pipeline_of(lambda c: c.plan.step("new", run=say, depends_on=["plan"]).depend("report", on="new"))
    await PipelineExecutor(pipeline, services=opened).execute()
    events = await load_events(opened.store, "run-1")
    behind = next(n for n, it in enumerate(events, 1) if isinstance(it, StepCompleted) and it.step == "plan")
    fork = await fork_run("run-1", opened, at_event=behind)
    result = await resume_run(fork.run_id, opened, TAgentConfig(), pipeline=pipeline)
    assert result.step_outputs["report"] == "planned: new"
    assert CALLS["plan"] == 1
    anew = await fork_run("run-1", opened, from_step="plan")
    result = await resume_run(anew.run_id, opened, TAgentConfig(), pipeline=pipeline)
    assert result.step_outputs["report"] == "planned: new"
    assert CALLS["plan"] == 2
    assert any(isinstance(it, RunForked) for it in await load_events(opened.store, anew.run_id))


async def unable() -> None:
    """Fail to undo."""
    raise OSError("no way back")


@pytest.mark.parametrize("is_written", [True, False])
async def test_a_crash_while_it_is_rolled_back_forgets_no_step_that_was_added(*, is_written: bool) -> None:
    """One whose effects are still there has to be told of, and whoever added it may have been undone already."""

    def change(context: StepContext) -> None:
        context.plan.step("new", run=say, depends_on=["plan"], compensate=unable, max_retries=0)
        context.plan.depend("bad", on="new")

    def all_of_it() -> Pipeline:
        pipeline = Pipeline("p", on_failure="rollback").step("first", run=say, compensate=undo)
        pipeline.step("plan", run=planning(change), compensate=undo, depends_on=["first"])
        return pipeline.step("bad", run=fails, depends_on=["plan"], max_retries=0)

    undisturbed = found_of((await run(all_of_it())).result)
    assert undisturbed["new"] == ("completed", "step.compensation")
    for at in itertools.count(1):
        store = CrashingStore().arm(at, is_written=is_written)
        opened = everybody_is_gone(services(store=store))
        try:
            result = await PipelineExecutor(all_of_it(), services=opened).execute()
        except Crash:
            store.arm(10**9)
            if not await store.runs() or (await store.run("run-1")).finished_at is not None:
                continue
            result = await resume_run("run-1", opened, TAgentConfig(), pipeline=all_of_it())
        else:
            break
        assert found_of(result) == undisturbed, at
    assert at > 8


def found_of(result: PipelineResult) -> dict[str, tuple[str, str]]:
    """Return step name -> its status and code."""
    return {name: (str(facts["status"]), facts["code"]) for name, facts in result.step_metadata.items()}


async def test_steps_inside_a_step_are_changed_like_others() -> None:
    """A pipeline inside a step has steps of its own, which only its own steps change."""
    inner = pipeline_of(lambda c: c.plan.step("new", run=say, depends_on=["plan"]).depend("report", on="new"))
    outer = Pipeline("outer").step("inside", pipeline=inner)
    undisturbed = await run(outer)
    assert undisturbed.result.final_output == "planned: new"
    for at in range(2, 12):
        CALLS.clear()
        opened = services(store=CrashingStore().arm(at))
        try:
            result = await PipelineExecutor(outer, services=opened).execute()
        except Crash:
            result = await resume_run("run-1", everybody_is_gone(opened), TAgentConfig(), pipeline=outer)
        assert result.final_output == "planned: new", at


async def test_a_second_run_of_an_executor_begins_with_the_steps_as_they_are_defined() -> None:
    """A change is of one run."""
    executor = PipelineExecutor(all_at_once(), services=services(model=ScriptedModel(lambda _: "told")))
    first, second = await executor.execute(), await executor.execute()
    assert first.step_outputs == second.step_outputs
    assert [step.name for step in executor.pipeline.steps] == ["plan", "report", "extra", "free", "off"]


async def test_a_plan_that_is_made_while_nobody_waits_any_more_is_lost() -> None:
    """An attempt that ran out of time changes nothing."""
    clock = ManualClock()

    async def slow(context: StepContext) -> str:
        context.plan.step("new", run=say)
        await clock.sleep(100)
        return "x"

    ran = await run(Pipeline("p").step("slow", run=slow, timeout=5, max_retries=0), clock=clock)
    assert ran.statuses == {"slow": "failed"}


async def test_the_number_of_changes_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that changes itself for ever comes to an end."""
    assert MAX_CHANGES == 1_000
    monkeypatch.setattr("tagent.pipeline.driving.changing.MAX_CHANGES", 3)
    ran = await run(Pipeline("p").step("again_0", run=for_ever))
    assert ran.statuses["again_3"] == "failed"
    assert "have changed" in why(ran, "again_3")


async def for_ever(context: StepContext) -> str:
    """Add another one."""
    count = int(context.step.removeprefix("again_"))
    context.plan.step(f"again_{count + 1}", run=for_ever, depends_on=[context.step])
    return context.step


async def test_sinks_are_shown_what_has_changed() -> None:
    """Everything that looks at a run learns of its new steps from the event that completes the step."""
    recorder = Recorder()
    await run(pipeline_of(lambda c: c.plan.step("new", run=say)), sinks=(recorder,))
    [completed] = [it for it in recorder.events if isinstance(it, StepCompleted) and it.step == "plan"]
    assert completed.change is not None
    graph = changed_graph(ExecutionGraph.build(pipeline_of(print)), completed.change)
    assert graph.names == ("plan", "report", "new")


def test_the_prompt_of_an_added_agent_names_what_it_reads() -> None:
    """Its placeholders are filled like those of any goal."""
    seen: list[str] = []

    def answer(request: ModelRequest) -> object:
        seen.append(str(request.messages))
        return "x"

    pipeline = pipeline_of(lambda c: c.plan.step("ask", "Tell {plan}"))
    asyncio.run(run(pipeline, model=ScriptedModel(answer)))
    assert any("planned" in prompt for prompt in seen)
