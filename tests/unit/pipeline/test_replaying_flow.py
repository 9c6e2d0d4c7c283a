"""Replays of runs with parts, conditions, merges, fallbacks and rollbacks: each answer comes where it was given."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel

from builders import CONCURRENT, raising, returning, run, services
from tagent.adapters.clock import SystemClock
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.pipeline import (
    Dependency,
    DependencyType,
    ExecutionMode,
    Pipeline,
    PipelineExecutor,
    RunStatus,
    StepContext,
    StepStatus,
)
from tagent.pipeline.replay.recorded_errors import CutOffError
from tagent.pipeline.replay.replaying import Replay, replay_run
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.transfer.exporting import export_run
from tagent.pipeline.transfer.forking import fork_run
from tagent.pipeline.transfer.importing import read_recording
from tagent.pipeline.transfer.recording import Recording
from tagent.ports import ModelRequest
from tagent.retries import RetryPolicy
from tagent.testing import ManualClock, ScriptedModel

Value = TypeVar("Value")
PARALLEL, CONDITIONAL = ExecutionMode.PARALLEL_MERGE, ExecutionMode.CONDITIONAL
BOTH = pytest.mark.parametrize("recorded_functions", [False, True])


class Page(BaseModel):
    title: str
    words: int


def by_prompt(request: ModelRequest) -> object:
    """Answer from what is asked, whoever asks first."""
    asked = request.messages[-1].content
    if "Decide whether" in asked:
        return {"reason": "There is no gap.", "holds": False}
    if request.purpose == "plan":
        return []
    if "Read page" in asked:
        number = int(asked.split("Read page ")[1].split("<")[1].split(">")[1])
        if number == 3:
            return {"not_achieved_because": "The page is empty."}
        return {"title": f"page {number}", "words": number}
    return f"said {len(asked)}"


def said(request: ModelRequest) -> object:
    return pytest.fail("A model was asked.")


async def recorded(pipeline: Pipeline, **inputs: object) -> Recording:
    """Run it, and return the run through a file and back."""
    store = MemoryStore()
    ran = await run(pipeline, store=store, model=ScriptedModel(by_prompt), inputs=inputs)
    return read_recording(await export_run(store, ran.result.run_id))


async def replayed(recording: Recording, pipeline: Pipeline, *, recorded_functions: bool) -> Replay:
    opened = services(model=ScriptedModel(said))
    return await replay_run(recording, opened, pipeline=pipeline, recorded_functions=recorded_functions)


class World:
    """Everything that a run may have; `calls` are those of its functions."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def called(self, name: str, output: Value) -> Value:
        self.calls.append(name)
        return output

    def pipeline(self) -> Pipeline:
        def grade(item: Page, index: int) -> int:
            return self.called("grade", item.words * 10 + index)

        def total(outputs: Sequence[int]) -> int:
            return self.called("total", sum(outputs))

        def is_enough(grades: int) -> bool:
            return self.called("is_enough", grades > 5)

        def is_checked(output: int) -> bool:
            return self.called("is_checked", output > 10_000)

        def broken() -> int:
            self.called("broken", 0)
            raise TypeError("no")

        return (
            Pipeline("world", default_mode=CONCURRENT)
            .step("numbers", run=lambda: self.called("numbers", [1, 2, 3]))
            .step(
                "pages",
                "Read page {item}",
                for_each="numbers",
                execution_mode=PARALLEL,
                item_schema=Page,
                output_schema=list[Page],
                min_success=2,
                max_retries=0,
            )
            .step("grades", run=grade, for_each="pages", execution_mode=PARALLEL, merge=total)
            .step("views", branches={"bull": "Ask the bull", "bear": lambda: 7}, execution_mode=PARALLEL)
            .step("summary", merge="Sum it up", depends_on=["views", "grades"], execution_mode=PARALLEL)
            .step(
                "entry",
                "Enter",
                constraints=["Only if there is a gap"],
                depends_on=["views"],
                execution_mode=CONDITIONAL,
            )
            .step("enough", run=lambda: self.called("enough", 1), condition=is_enough)
            .step("big", run=lambda: self.called("big", 1), condition="steps.grades > 1000")
            .step(
                "checked",
                run=lambda: self.called("checked", 1),
                depends_on=[Dependency("grades", DependencyType.VALIDATION, check=is_checked)],
            )
            .step("rate", run=broken, max_retries=0, on_error="old_rate", output_schema=float)
            .step("old_rate", run=lambda: self.called("old_rate", 1.5))
            .step("spare", run=broken, max_retries=0, optional=True)
            .step("end", run=lambda summary, rate, entry="none": f"{summary} {rate} {entry}")
        )


@BOTH
async def test_a_replay_of_a_run_that_has_everything_gives_the_same(recorded_functions: bool) -> None:  # noqa: FBT001 - a case
    """Items, branches, merges and judgements each get their own answers, however they follow each other."""
    world = World()
    recording = await recorded(world.pipeline())
    world.calls.clear()
    replay = await replayed(recording, world.pipeline(), recorded_functions=recorded_functions)
    replay.assert_unchanged()
    told = replay.result.step_metadata
    assert told["pages"]["parts"]["2"]["code"] == "agent.goal_not_achieved"
    assert (told["entry"]["reason"], told["checked"]["code"]) == ("There is no gap.", "dependency_unmet")
    assert told["rate"]["substituted_by"] == "old_rate"
    assert replay.result.total_cost == 0
    assert world.calls == [] if recorded_functions else {"grade", "total", "is_enough", "broken"} <= set(world.calls)


async def test_what_was_judged_is_said_again_with_its_reason() -> None:
    """Whoever reads the replay's explanation reads that of the run."""
    world = World()
    store = MemoryStore()
    ran = await run(world.pipeline(), store=store, model=ScriptedModel(by_prompt))
    recording = read_recording(await export_run(store, ran.result.run_id))
    replay = await replayed(recording, world.pipeline(), recorded_functions=True)
    assert replay.result.explain() == ran.result.explain()


async def test_a_changed_condition_is_seen() -> None:
    """Conditions are under test like any other code."""

    def pipeline(condition: Callable[..., bool]) -> Pipeline:
        return Pipeline("p").step("a", run=returning(1)).step("b", run=returning(2), condition=condition)

    recording = await recorded(pipeline(lambda a: a == 1))
    replay = await replayed(recording, pipeline(lambda a: a == 2), recorded_functions=False)
    assert [(it.step, it.after.code) for it in replay.differences] == [("b", "condition_false")]
    (await replayed(recording, pipeline(lambda a: a == 2), recorded_functions=True)).assert_unchanged()


async def test_a_condition_that_could_not_be_found_out_cannot_be_now() -> None:
    """It fails with what it had failed with."""

    def ask(a: int) -> bool:
        raise TypeError("no")

    def never(a: int) -> bool:
        pytest.fail("A function was called.")

    def pipeline(condition: Callable[..., bool]) -> Pipeline:
        return Pipeline("p").step("a", run=returning(1)).step("b", run=returning(2), condition=condition, max_retries=0)

    recording = await recorded(pipeline(ask))
    (await replayed(recording, pipeline(never), recorded_functions=True)).assert_unchanged()


async def test_an_item_that_was_tried_again_gives_what_its_last_attempt_gave() -> None:
    """The item's, and not that of whichever item came next."""

    def flaky(item: int, context: StepContext) -> int:
        if item == 2 and context.attempt == 1:
            raise OSError("slow")
        context.learn(f"fact {item}", item)
        return 10 * item

    def pipeline(function: Callable[..., object]) -> Pipeline:
        numbers = Pipeline("p").step("numbers", run=returning([1, 2, 3]))
        return numbers.step(
            "x", run=function, for_each="numbers", execution_mode=PARALLEL, retry=RetryPolicy(base_seconds=0.001)
        )

    recording = await recorded(pipeline(flaky))

    def never(item: int) -> int:
        pytest.fail("A function was called.")

    replay = await replayed(recording, pipeline(never), recorded_functions=True)
    replay.assert_unchanged()
    assert replay.result.final_output == [10, 20, 30]
    assert replay.result.learned_facts == {"fact 1": 1, "fact 2": 2, "fact 3": 3}


@BOTH
async def test_a_rolled_back_run_is_rolled_back_again(recorded_functions: bool) -> None:  # noqa: FBT001 - a case
    """With the goals of its compensations on recorded answers."""

    def undo() -> None:
        if recorded_functions:
            pytest.fail("A function was called.")

    def pipeline(compensate: Callable[[], None]) -> Pipeline:
        return (
            Pipeline("p", on_failure="rollback")
            .step("a", run=returning(1), compensate="Undo what came to {a}")
            .step("b", run=returning(2), compensate=compensate)
            .step("c", run=raising(TypeError("no")), depends_on=["a", "b"])
        )

    recording = await recorded(pipeline(lambda: None))
    replay = await replayed(recording, pipeline(undo), recorded_functions=recorded_functions)
    replay.assert_unchanged()
    assert replay.result.code == "run.rollback"
    assert replay.result.step_metadata["a"]["status"] is StepStatus.COMPENSATED


async def test_what_was_cut_off_by_a_failure_is_cut_off_again() -> None:
    """It does not fail first with having nothing to say, which would be another run."""

    async def slow() -> None:
        await asyncio.Event().wait()

    async def fail() -> None:
        for _ in range(50):
            await asyncio.sleep(0)
        raise TypeError("no")

    def pipeline(failing: Callable[[], object]) -> Pipeline:
        made = Pipeline("p", on_failure="fail_fast", default_mode=CONCURRENT)
        return made.step("slow", run=slow).step("fail", run=failing, max_retries=0).step("next", run=lambda slow: slow)

    recording = await recorded(pipeline(fail))
    replay = await replayed(recording, pipeline(fail), recorded_functions=True)
    replay.assert_unchanged()
    assert replay.result.step_metadata["slow"]["status"] is StepStatus.CANCELLED


async def test_what_was_cut_off_is_not_waited_for_when_nobody_cuts_it_off_any_more() -> None:
    """A replay ends, whatever has changed."""

    def pipeline(*, breaks: bool) -> Pipeline:
        made = Pipeline("p", on_failure="fail_fast", default_mode=CONCURRENT)
        function = raising(TypeError("no")) if breaks else returning(1)
        return (
            made.step("slow", "Say it").step("first", run=returning(1)).step("fail", run=function, depends_on=["first"])
        )

    class Slow(ScriptedModel):
        async def ask(self, request: ModelRequest) -> Any:
            await asyncio.Event().wait()

    store = MemoryStore()
    ran = await run(pipeline(breaks=True), store=store, model=Slow())
    assert ran.statuses["slow"] == "cancelled"
    recording = read_recording(await export_run(store, ran.result.run_id))
    (await replayed(recording, pipeline(breaks=True), recorded_functions=False)).assert_unchanged()
    mended = await replayed(recording, pipeline(breaks=False), recorded_functions=False)
    told = mended.result.step_metadata
    assert (told["slow"]["code"], told["fail"]["status"]) == ("replay.not_recorded", StepStatus.COMPLETED)


async def test_a_run_that_was_cut_off_from_outside_is_refused() -> None:
    """When in its steps that was, nothing says: whatever a replay came to would be a guess."""

    async def slow() -> None:
        await asyncio.Event().wait()

    pipeline = Pipeline("p", budget={"deadline_seconds": 0.02}).step("a", run=slow)
    store = MemoryStore()
    ran = await run(pipeline, store=store, clock=SystemClock())
    assert ran.result.code == "run.deadline"
    recording = read_recording(await export_run(store, ran.result.run_id))
    with pytest.raises(CutOffError, match=r"cut off in the middle of its steps \[run.deadline\]") as refused:
        await replayed(recording, pipeline, recorded_functions=False)
    assert refused.value.run_id == ran.result.run_id


async def test_no_limit_of_time_or_money_ends_a_replay() -> None:
    """The run is over, and so are its deadline and its budget."""

    def pipeline(function: Callable[[], object]) -> Pipeline:
        made = Pipeline("p", budget={"deadline_seconds": 5, "max_model_calls": 2}, config={"max_tokens": 10_000})
        return made.step("a", run=function, budget={"deadline_seconds": 3}).step("b", "Say {a}")

    recording = await recorded(pipeline(returning(1)))
    clock = ManualClock()

    async def late() -> int:
        clock.advance(60)
        return 1

    replay = await replay_run(recording, services(clock=clock, model=ScriptedModel(said)), pipeline=pipeline(late))
    replay.assert_unchanged()


async def test_an_agent_that_ran_out_of_time_does_so_again() -> None:
    """Its last question was never answered."""

    class Slow(ScriptedModel):
        async def ask(self, request: ModelRequest) -> Any:
            await asyncio.Event().wait()

    pipeline = Pipeline("p").step("a", "Say it", timeout=0.02, max_retries=0)
    store = MemoryStore()
    ran = await run(pipeline, store=store, model=Slow(), clock=SystemClock())
    recording = read_recording(await export_run(store, ran.result.run_id))
    replay = await replayed(recording, pipeline, recorded_functions=False)
    replay.assert_unchanged()
    assert replay.steps[0].after.code == "step.timeout"


@pytest.mark.parametrize("is_seen", [False, True])
async def test_patience_ends_as_it_ended(is_seen: bool) -> None:  # noqa: FBT001 - a case
    """In a replay no time passes: what was waited for in vain is not waited for, what was awaited is."""
    clock = ManualClock()

    async def first() -> str:
        await clock.sleep(1.0 if is_seen else 9.0)
        return "seen"

    def pipeline(function: Callable[[], object]) -> Pipeline:
        soft = Dependency("first", DependencyType.SOFT, wait_seconds=3)
        made = Pipeline("p", default_mode=CONCURRENT).step("first", run=function)
        return made.step("then", run=lambda first="not seen": first, depends_on=[soft])

    async def passing() -> None:
        while True:
            await asyncio.sleep(0)
            clock.advance(0.5)

    store = MemoryStore()
    time = asyncio.ensure_future(passing())
    ran = await run(pipeline(first), store=store, clock=clock)
    time.cancel()
    assert ran.result.final_output == ("seen" if is_seen else "not seen")
    recording = read_recording(await export_run(store, ran.result.run_id))

    async def later() -> str:
        for _ in range(20):
            await asyncio.sleep(0)
        return "seen"

    (await replayed(recording, pipeline(later), recorded_functions=False)).assert_unchanged()


async def test_an_output_that_a_person_wrote_counts_whatever_the_step_is() -> None:
    """In a fork, of a step with items, with a condition, or of a function."""

    def pipeline() -> Pipeline:
        made = Pipeline("p").step("numbers", run=returning([1, 2]))
        made.step("items", run=lambda item: item, for_each="numbers", execution_mode=PARALLEL)
        made.step("maybe", run=returning(1), condition="steps.numbers[0] > 5")
        return made.step("sum", run=lambda items, maybe=0: sum(items) + maybe)

    opened = services(store=MemoryStore())
    parent = await PipelineExecutor(pipeline(), services=opened).execute()
    assert parent.final_output == 3
    edits = {"steps": {"items": {"output": [100]}, "maybe": {"output": 7}}}
    fork = await fork_run(parent.run_id, opened, overrides=edits, pipeline=pipeline())
    result = await resume_run(fork.run_id, opened, TAgentConfig(), pipeline=pipeline())
    assert (result.status, result.final_output) == (RunStatus.COMPLETED, 107)
    recording = read_recording(await export_run(opened.store, fork.run_id))
    for recorded_functions in (False, True):
        replay = await replayed(recording, pipeline(), recorded_functions=recorded_functions)
        replay.assert_unchanged()
