"""Pipelines as steps: what they are given, what they give, and what of them is seen from outside."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from builders import CONCURRENT, Recorder, raising, returning, run, services
from tagent.adapters.storage.memory import MemoryStore
from tagent.budget import Budget
from tagent.config import TAgentConfig
from tagent.pipeline import (
    Fallback,
    Pipeline,
    PipelineExecutor,
    PipelineStep,
    RetryPolicy,
    RunStatus,
    StepContext,
    StepOutcome,
    StepStatus,
    repeat,
    when,
)
from tagent.pipeline.driving.stopping import StopSignal
from tagent.pipeline.events import AgentNoticed, InnerProgressed
from tagent.pipeline.exceptions import RunStoppedError
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.state import fold
from tagent.testing import ManualClock, ScriptedModel


class Topic(BaseModel):
    """What a research is about."""

    topic: str
    depth: int = 1


class Report(BaseModel):
    """What a research comes to."""

    title: str
    pages: int


def research() -> Pipeline:
    """Return a pipeline of two steps that gives a `Report`."""

    async def collect(topic: str, depth: int) -> dict[str, object]:
        return {"topic": topic, "depth": depth}

    async def write(collect: dict[str, Any]) -> Report:
        return Report(title=collect["topic"], pages=collect["depth"])

    return Pipeline("research", inputs=Topic).step("collect", run=collect).step("write", run=write)


def steps_of(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return how the steps inside a step went, by name."""
    return {name: str(it["status"]) for name, it in facts["steps"].items()}


async def test_a_pipeline_is_given_what_paths_lead_to() -> None:
    """The outputs of the steps outside are what a pipeline works on."""
    outer = Pipeline("outer").step("classify", run=returning({"topic": "tea", "score": 3}))
    outer.step("research", pipeline=research(), inputs={"topic": "classify.topic", "depth": "classify.score"})
    ran = await run(outer)
    assert ran.result.step_outputs["research"] == Report(title="tea", pages=3)
    assert ran.result.final_output == Report(title="tea", pages=3)
    assert steps_of(ran.result.step_metadata["research"]) == {"collect": "completed", "write": "completed"}


async def test_a_pipeline_is_given_by_name_what_has_the_name_of_its_inputs() -> None:
    """As the parameters of functions are: a step's output, or an input."""
    outer = Pipeline("outer").step("topic", run=returning("tea")).step("research", pipeline=research())
    ran = await run(outer, inputs={"depth": 4})
    assert ran.result.final_output == Report(title="tea", pages=4)
    assert (await run(outer)).result.final_output == Report(title="tea", pages=1)  # the model has a default


async def test_a_pipeline_without_an_input_model_is_given_by_name_what_its_steps_ask_for() -> None:
    """Nobody has to declare what can be read off the steps."""
    inner = Pipeline("inner").step("double", run=lambda n, factor=2: n * factor).step("told", "Say {double} of {n}")
    model = ScriptedModel(["Done."])
    outer = Pipeline("outer").step("n", run=returning(4)).step("inner", pipeline=inner)
    ran = await run(outer, inputs={"factor": 3}, model=model)
    assert ran.result.step_metadata["inner"]["steps"]["double"]["status"] is StepStatus.COMPLETED
    assert ran.result.final_output == "Done."
    asked = str(model.requests[0].messages)
    assert ">12<" in asked
    assert ">4<" in asked


async def test_a_function_gives_a_pipeline_all_of_its_inputs() -> None:
    """What needs a computation is one."""

    def inputs(classify: dict[str, Any], context: StepContext) -> Topic:
        return Topic(topic=f"{classify['topic']} for {context.step}", depth=2)

    outer = Pipeline("outer").step("classify", run=returning({"topic": "tea"}))
    ran = await run(outer.step("research", pipeline=research(), inputs=inputs))
    assert ran.result.final_output == Report(title="tea for research", pages=2)


async def test_inputs_that_do_not_fit_fail_the_step_at_once() -> None:
    """It is found before anything runs inside, and another try would not mend it."""
    outer = Pipeline("outer").step("topic", run=returning(["tea"])).step("research", pipeline=research())
    ran = await run(outer)
    facts = ran.result.step_metadata["research"]
    assert (facts["status"], facts["code"], facts["attempts"]) == (StepStatus.FAILED, "pipeline.inputs", 1)
    assert "steps" not in facts


async def test_a_function_of_inputs_that_gives_no_dict_is_told() -> None:
    """The message says whose mistake it is."""
    inner = Pipeline("inner").step("a", run=returning(1))
    ran = await run(Pipeline("outer").step("inner", pipeline=inner, inputs=lambda: 7, max_retries=0))
    assert ran.result.step_metadata["inner"]["code"] == "step.input"
    assert "gave int" in ran.result.step_metadata["inner"]["reason"]


async def test_an_input_that_a_function_gives_for_nothing_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """As validation says of one that is written down; it cannot know what a function gives."""
    inner = Pipeline("inner").step("a", run=lambda topic: topic)
    outer = Pipeline("outer").step(
        "inner", pipeline=inner, inputs=lambda item: {"topic": item, "topik": 1}, for_each="n"
    )
    ran = await run(outer, inputs={"n": [1, 2]})
    assert ran.result.final_output == [1, 2]
    told = (
        "step 'inner' gives its pipeline an input for nothing: No step reads the input 'topik'. Did you mean 'topic'?"
    )
    assert caplog.messages == [told]
    ran = await run(Pipeline("outer").step("inner", pipeline=inner, inputs=returning({})))
    assert "Give it in `inputs=` of the step 'inner'." in ran.result.step_metadata["inner"]["reason"]


async def test_a_pipeline_that_does_not_complete_fails_its_step_which_says_why() -> None:
    """Whoever reads the outer run need not look inside to know what was wrong."""
    inner = Pipeline("inner").step("divide", run=raising(ZeroDivisionError("by nothing")), max_retries=0)
    inner.step("after", run=lambda divide: divide)
    ran = await run(Pipeline("outer").step("inner", pipeline=inner).step("end", run=lambda inner: inner))
    facts = ran.result.step_metadata["inner"]
    assert (facts["code"], facts["attempts"]) == ("step.pipeline", 1)  # its steps have retries of their own
    assert facts["reason"].startswith("The pipeline 'inner' of the step 'inner' did not complete: its step 'divide'")
    assert "[step.failed]" in facts["reason"]
    assert steps_of(facts) == {"divide": "failed", "after": "skipped"}
    assert ran.statuses == {"inner": "failed", "end": "skipped"}


async def test_a_partial_run_inside_fails_the_step_too() -> None:
    """Success is never claimed for a pipeline of which a required step failed."""
    inner = Pipeline("inner").step("a", run=raising(ValueError("x")), max_retries=0).step("b", run=returning(2))
    ran = await run(Pipeline("outer").step("inner", pipeline=inner))
    assert ran.result.step_metadata["inner"]["code"] == "step.pipeline"


async def test_a_failed_pipeline_is_replaced_left_out_or_tried_again_like_any_step() -> None:
    """What becomes of failures outside does not depend on what the work was."""
    inner = Pipeline("inner").step("a", run=raising(ValueError("x")), max_retries=0)
    instead = Fallback(output={"instead": True})
    outer = Pipeline("outer").step("inner", pipeline=inner, on_error=instead, output_schema=dict)
    assert (await run(outer)).result.final_output == {"instead": True}
    optional = Pipeline("outer").step("inner", pipeline=inner, optional=True)
    optional.step("b", run=returning(1), depends_on=["inner"])
    assert (await run(optional)).result.success


async def test_another_attempt_does_what_the_one_before_did_not_complete() -> None:
    """What is paid for inside is not paid for again."""
    calls: list[str] = []

    async def first() -> str:
        calls.append("first")
        return "first"

    inner = Pipeline("inner").step("first", run=first)
    inner.step("second", run=raising(ValueError("x"), times=1), max_retries=0, depends_on=["first"])
    again = RetryPolicy(only=("step.pipeline",))
    ran = await run(Pipeline("outer").step("inner", pipeline=inner, retry=again))
    assert (ran.result.final_output, calls) == ("mended", ["first"])
    assert ran.result.step_metadata["inner"]["attempts"] == 2


async def test_its_steps_have_retries_of_their_own() -> None:
    """A step inside fails for the step outside only when its own attempts are used up."""
    inner = Pipeline("inner").step("a", run=raising(OSError("away"), times=2))
    ran = await run(Pipeline("outer").step("inner", pipeline=inner))
    assert ran.result.final_output == "mended"
    assert ran.result.step_metadata["inner"]["steps"]["a"]["attempts"] == 3


async def test_an_item_each_is_given_to_a_run_of_its_own() -> None:
    """A pipeline for each item of a list is the most common use of both."""
    inner = Pipeline("inner").step("square", run=lambda item, index: item * item + index)
    outer = Pipeline("outer").step("numbers", run=returning([1, 2, 3]))
    outer.step("each", pipeline=inner, for_each="numbers", merge="list")
    ran = await run(outer)
    assert ran.result.final_output == [1, 5, 11]
    parts = ran.result.step_metadata["each"]["parts"]
    assert [steps_of(parts[it]) for it in ("0", "1", "2")] == [{"square": "completed"}] * 3


async def test_items_are_mapped_and_typed() -> None:
    """A merge sees what the pipeline gives as its type."""
    outer = Pipeline("outer").step("topics", run=returning([{"t": "tea"}, {"t": "rum"}]))
    mapped = {"topic": "item.t", "depth": "index"}
    outer.step(
        "each",
        pipeline=research(),
        for_each="topics",
        inputs=mapped,
        merge=lambda reports: [it.title for it in reports],
    )
    assert (await run(outer)).result.final_output == ["tea", "rum"]


async def test_each_round_is_a_run_of_its_own() -> None:
    """A loop around several steps: each round knows what the one before gave."""
    inner = Pipeline("inner").step("grown", run=lambda previous: 1 if previous is None else previous * 3)
    inner.step("told", run=lambda grown: grown)
    outer = Pipeline("outer").add_step(
        repeat(PipelineStep(name="grow", pipeline=inner), until="output > 20", max_times=9)
    )
    ran = await run(outer)
    assert ran.result.final_output == 27
    assert [steps_of(it) for it in ran.result.step_metadata["grow"]["parts"].values()] == [
        {"grown": "completed", "told": "completed"}
    ] * 4


async def test_pipelines_lie_in_each_other() -> None:
    """To the depth that is allowed, with everything passed through."""
    pipeline = Pipeline("p0").step("s", run=lambda n: n + 1)
    for depth in range(1, 11):
        pipeline = Pipeline(f"p{depth}").step("s", pipeline=pipeline)
    ran = await run(pipeline, inputs={"n": 1})
    assert ran.result.final_output == 2
    assert len([event for event in ran.events if isinstance(event, InnerProgressed)]) > 10


async def test_a_pipeline_whose_last_step_is_left_out_gives_nothing() -> None:
    """The type of what it gives allows for it; what depends on it goes on with None."""
    inner = Pipeline("inner").step("a", run=returning(1)).step("b", run=lambda a: a, condition="steps.a > 1")
    ran = await run(Pipeline("outer").step("inner", pipeline=inner).step("end", run=lambda inner: [inner]))
    assert ran.result.success
    assert ran.result.final_output == [None]


async def test_nothing_where_something_is_needed_fails_the_step() -> None:
    """With a schema of its own the step promises an output."""
    inner = Pipeline("inner").step("a", run=returning(1)).step("b", run=lambda a: a, condition="steps.a > 1")
    ran = await run(Pipeline("outer").step("inner", pipeline=inner, output_schema=int))
    assert ran.result.step_metadata["inner"]["code"] == "step.pipeline"
    assert "left out" in ran.result.step_metadata["inner"]["reason"]


async def test_whichever_branch_is_taken_inside_gives_the_output() -> None:
    """Branches end in steps of their own, of which one runs."""
    inner = Pipeline("inner").add_step(when("inputs.n > 1").then("many").otherwise("one"))
    inner.step("many", run=returning(["a", "b"])).step("one", run=returning("a"))
    outer = Pipeline("outer").step("inner", pipeline=inner)
    assert (await run(outer, inputs={"n": 5})).result.final_output == ["a", "b"]
    assert (await run(outer, inputs={"n": 0})).result.final_output == "a"


async def test_the_cost_of_the_steps_inside_is_that_of_the_step() -> None:
    """The total is the sum of the steps', counted once."""
    model = ScriptedModel(["a", "b", "c"], cost_usd=0.5)
    inner = Pipeline("inner").step("x", "Say x").step("y", "Say y")
    ran = await run(Pipeline("outer").step("inner", pipeline=inner).step("z", "Say z"), model=model)
    assert ran.result.total_cost == 1.5
    assert ran.result.cost_per_step == {"inner": 1.0, "z": 0.5}
    assert {name: it["cost"] for name, it in ran.result.step_metadata["inner"]["steps"].items()} == {"x": 0.5, "y": 0.5}
    assert ran.result.token_usage["inner"].requests == 2


async def test_settings_come_from_the_run_the_step_the_pipeline_and_the_step_inside() -> None:
    """The nearer one counts."""
    asked: list[float | None] = []
    seen = ScriptedModel(["1", "2", "3"])
    inner = Pipeline("inner", config={"temperature": 0.3}).step("a", "Say a")
    inner.step("b", "Say b", config={"temperature": 0.4})
    plain = Pipeline("plain").step("c", "Say c")
    outer = Pipeline("outer", config={"temperature": 0.1, "max_model_calls": 9})
    outer.step("inner", pipeline=inner, config={"temperature": 0.2})
    outer.step("plain", pipeline=plain, config={"temperature": 0.2})
    opened = services(model=seen)

    class Models:
        async def model_for(self, config: TAgentConfig) -> ScriptedModel:
            asked.append(config.temperature)
            return seen

    await PipelineExecutor(outer, services=replace(opened, models=Models())).execute()
    assert asked[:3] == [0.3, 0.4, 0.2]  # before the run begins
    assert list(dict.fromkeys(asked[3:])) == [0.3, 0.4, 0.2]


async def test_a_run_whose_model_inside_cannot_be_had_does_not_begin() -> None:
    """As for the steps outside: nothing is half done."""

    class NoModels:
        async def model_for(self, config: TAgentConfig) -> ScriptedModel:
            raise LookupError("no model")

    store = MemoryStore()
    inner = Pipeline("inner").step("a", "Say a")
    opened = replace(services(store=store), models=NoModels())
    outer = Pipeline("outer").step("first", run=returning(1)).step("inner", pipeline=inner)
    with pytest.raises(LookupError):
        await PipelineExecutor(outer, services=opened).execute()
    assert not await store.runs()


async def test_the_journal_folds_to_the_state_inside() -> None:
    """What is seen of the inside is the fold of the outer journal, like all else."""
    ran = await run(Pipeline("outer").step("research", pipeline=research(), inputs=lambda: {"topic": "tea"}))
    state = fold(ran.executor.scheduler.graph, ran.events)
    inner = state.steps["research"].inner
    assert inner is not None
    assert inner.status is RunStatus.COMPLETED
    assert inner.run_id == f"{ran.result.run_id}/research"
    assert inner.inputs == {"topic": "tea", "depth": 1}


async def test_hooks_of_the_pipeline_inside_see_its_steps() -> None:
    """They belong to the pipeline, wherever it runs."""
    seen: list[str] = []

    async def after(context: StepContext, outcome: StepOutcome) -> None:
        seen.append(f"{context.run_id} {context.step} {outcome.status.value}")

    inner = Pipeline("inner", after_step=[after]).step("a", run=returning(1))
    await run(Pipeline("outer").step("inner", pipeline=inner).step("b", run=returning(2)))
    assert seen == ["run-1/inner a completed"]


async def test_what_steps_inside_learn_the_step_has_learned() -> None:
    """The result of the whole run shows it."""

    def learn(context: StepContext) -> int:
        context.learn("city", "Lisbon")
        context.save("secret", 1)
        return 1

    inner = Pipeline("inner").step("a", run=learn)
    ran = await run(Pipeline("outer").step("inner", pipeline=inner))
    assert ran.result.learned_facts == {"city": "Lisbon"}
    assert ran.result.saved_memories == {}


async def test_the_memory_of_a_run_inside_is_its_own_and_is_forgotten_with_the_run() -> None:
    """Names inside must not meet names outside."""
    seen: list[object] = []

    def put(context: StepContext) -> int:
        context.memory.run.put("key", "inside")
        return 1

    def get(context: StepContext, a: int) -> int:
        seen.append(context.memory.run.get("key"))
        return a

    def outside(context: StepContext) -> int:
        seen.append(context.memory.run.get("key"))
        return 1

    store = MemoryStore()
    inner = Pipeline("inner", shared_context={"x": 1}).step("a", run=put).step("b", run=get)
    outer = Pipeline("outer").step("inner", pipeline=inner).step("c", run=outside, depends_on=["inner"])
    ran = await run(outer, store=store)
    assert ran.result.success, ran.result.explain()
    assert seen == ["inside", None]


async def test_a_step_inside_waits_for_a_message() -> None:
    """It listens from when its run began."""
    store = MemoryStore()

    def publish(context: StepContext) -> int:
        context.messages.broadcast("news", {"n": 7})
        return 1

    inner = Pipeline("inner").step("go", run=publish).step("wait", wait_for="news", execution_mode=CONCURRENT)
    ran = await run(Pipeline("outer").step("inner", pipeline=inner), store=store)
    assert ran.result.final_output == {"n": 7}, ran.result.explain()


async def test_the_deadline_of_the_pipeline_inside_ends_its_run() -> None:
    """Its budget is of each of its runs."""
    clock = ManualClock()

    async def slow() -> None:
        await clock.sleep(100)

    inner = Pipeline("inner", budget=Budget(deadline_seconds=10)).step("slow", run=slow)
    ran = await run(Pipeline("outer").step("inner", pipeline=inner), clock=clock)
    facts = ran.result.step_metadata["inner"]
    assert (facts["code"], facts["attempts"]) == ("step.pipeline", 1)
    assert "[run.deadline]" in facts["reason"]
    assert steps_of(facts) == {"slow": "cancelled"}


async def test_the_timeout_of_the_step_ends_the_run_inside() -> None:
    """What runs inside is cancelled with the attempt, and what is open is on record as cut off."""
    clock = ManualClock()

    async def slow() -> None:
        await clock.sleep(100)

    inner = Pipeline("inner").step("slow", run=slow).step("after", run=lambda slow: slow)
    ran = await run(Pipeline("outer").step("inner", pipeline=inner, timeout=5, max_retries=0), clock=clock)
    facts = ran.result.step_metadata["inner"]
    assert facts["code"] == "step.timeout"
    assert steps_of(facts) == {"slow": "cancelled", "after": "cancelled"}


async def test_fail_fast_outside_stops_what_runs_inside() -> None:
    """An early end reaches down."""
    clock = ManualClock()
    stopped: list[str] = []
    begun = asyncio.Event()

    async def slow() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("slow")

    async def bad() -> None:
        await begun.wait()
        raise ValueError

    inner = Pipeline("inner").step("slow", run=slow)
    outer = Pipeline("outer", on_failure="fail_fast").step("inner", pipeline=inner, execution_mode=CONCURRENT)
    outer.step("bad", run=bad, max_retries=0, execution_mode=CONCURRENT)
    ran = await run(outer, clock=clock)
    assert stopped == ["slow"]
    assert ran.statuses == {"inner": "cancelled", "bad": "failed"}
    assert steps_of(ran.result.step_metadata["inner"]) == {"slow": "cancelled"}


async def test_a_graceful_stop_reaches_inside_and_fails_nothing() -> None:
    """A worker that ends lets the step inside finish; whoever resumes goes on behind it."""
    store, stop = MemoryStore(), StopSignal()
    calls: list[str] = []

    async def first() -> str:
        calls.append("first")
        stop.give()
        return "first"

    async def second(first: str) -> str:
        calls.append("second")
        return first

    inner = Pipeline("inner").step("first", run=first).step("second", run=second)
    outer = Pipeline("outer").step("inner", pipeline=inner)
    with pytest.raises(RunStoppedError):
        await PipelineExecutor(outer, services=services(store=store)).execute(stop=stop)
    assert calls == ["first"]
    result = await resume_run("run-1", services(store=store), TAgentConfig(), pipeline=outer)
    assert (result.final_output, calls) == ("first", ["first", "second"])


async def test_who_watches_is_told_what_agents_inside_do_right_now() -> None:
    """Notices carry the path of their step; committed events come once."""
    recorder = Recorder()
    inner = Pipeline("inner").step("say", "Say it")
    outer = Pipeline("outer").step("items", run=returning([1])).step("each", pipeline=inner, for_each="items")
    ran = await run(outer, model=ScriptedModel(["It."]), sinks=(recorder,))
    everything: list[object] = list(recorder.events)
    assert [event for event in everything if not isinstance(event, AgentNoticed)] == ran.events
    noticed = [event for event in everything if isinstance(event, AgentNoticed)]
    assert {(event.step, event.part) for event in noticed} <= {("each/0/say", "")}
    assert noticed


async def test_a_pipeline_changed_after_the_start_is_of_another_run() -> None:
    """What runs is what was given, however deep inside."""
    inner = Pipeline("inner").step("a", run=returning(1))
    executor = PipelineExecutor(Pipeline("outer").step("inner", pipeline=inner), services=services())
    inner.steps[0].run = returning(2)
    inner.step("b", run=returning(3))
    assert (await executor.execute()).final_output == 1


async def test_a_compensation_of_the_step_undoes_what_the_pipeline_did() -> None:
    """It is told what the pipeline gave."""
    undone: list[object] = []

    def undo(inner: object) -> None:
        undone.append(inner)

    inner = Pipeline("inner").step("a", run=returning(5))
    outer = Pipeline("outer", on_failure="rollback").step("inner", pipeline=inner, compensate=undo)
    outer.step("bad", run=raising(ValueError("x")), max_retries=0, depends_on=["inner"])
    ran = await run(outer)
    assert undone == [5]
    assert ran.statuses == {"inner": "compensated", "bad": "failed"}


def test_the_graph_of_a_step_holds_that_of_its_pipeline() -> None:
    """The fold needs no definition besides."""
    graph = ExecutionGraph.build(Pipeline("outer").step("inner", pipeline=research()))
    inner = graph.rules("inner").inner
    assert inner is not None
    assert inner.names == ("collect", "write")


async def test_the_events_of_a_run_are_all_in_one_journal() -> None:
    """There is one run, with one id and one writer."""
    store = MemoryStore()
    inner = Pipeline("inner").step("a", run=returning(1))
    ran = await run(Pipeline("outer").step("inner", pipeline=inner), store=store)
    assert len(await store.runs()) == 1
    events = await load_events(store, ran.result.run_id)
    kinds = [type(event.event).__name__ for event in events if isinstance(event, InnerProgressed)]
    assert kinds == ["RunStarted", "StepStarted", "StepCompleted", "RunFinished"]
