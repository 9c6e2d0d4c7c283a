"""Resuming runs with parts, conditions, rollbacks and pauses: what is said to be reused, and what is."""

from collections import Counter

import pytest

from builders import CONCURRENT, returning, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.pipeline import ExecutionMode, Pipeline, PipelineExecutor, PipelineResult, RunStatus, StepStatus
from tagent.pipeline.events import PartCompleted
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.resuming import MAX_IDLE_RESUMES, CrashLoopError, Reuse, resume_run
from tagent.pipeline.transfer.forking import fork_run
from tagent.ports import ModelRequest, Services
from tagent.testing import ScriptedModel

PARALLEL = ExecutionMode.PARALLEL_MERGE


async def resume(
    opened: Services, pipeline: Pipeline, *, overrides: TAgentConfig | None = None
) -> tuple[PipelineResult, Reuse]:
    seen: list[Reuse] = []
    result = await resume_run(
        "run-1", opened, TAgentConfig(), pipeline=pipeline, overrides=overrides, announce=seen.append
    )
    return result, seen[0]


async def test_finished_items_are_told_and_reused_after_a_crash() -> None:
    """With 412 of 1,000 done, 588 are left to pay for."""
    calls: Counter[int] = Counter()

    async def grade(item: int) -> int:
        calls[item] += 1
        return item

    pipeline = Pipeline("p").step("n", run=returning(list(range(10))))
    pipeline.step("x", run=grade, for_each="n", execution_mode=PARALLEL, max_concurrency=2)
    pipeline.step("end", run=lambda x: x[-1])
    store = CrashingStore().arm(4)
    opened = services(store=store)
    with pytest.raises(Crash):
        await PipelineExecutor(pipeline, services=opened).execute()
    done = len(calls)  # it died before the next two began
    result, reuse = await resume(everybody_is_gone(opened), pipeline)
    assert (reuse.completed, reuse.interrupted, reuse.open) == (("n",), {"x": 0}, ("end",))
    assert reuse.parts == {"x": (done, 10)}
    assert 0 < done < 10
    assert (result.final_output, sum(calls.values())) == (9, 10)


async def test_calls_of_interrupted_items_are_told() -> None:
    """Those that agents of items had finished when it crashed."""
    plan = [{"tool_name": "look", "tool_args": {}}]

    def look() -> str:
        """Look."""
        return "seen"

    def answer(request: ModelRequest) -> object:
        return plan if request.purpose == "plan" else "done"

    pipeline = Pipeline("p").step("n", run=returning([1, 2]))
    pipeline.step("x", "Look at {item}", for_each="n", execution_mode=PARALLEL, max_concurrency=1, tools=[look])
    opened = services(store=CrashingStore().arm(5), model=ScriptedModel(answer))
    with pytest.raises(Crash):
        await PipelineExecutor(pipeline, services=opened).execute()
    result, reuse = await resume(everybody_is_gone(opened), pipeline)
    assert reuse.interrupted["x"] >= 1
    assert result.final_output == ["done", "done"]


async def test_what_was_left_out_is_neither_reused_nor_still_to_do() -> None:
    """It stays so; and what had failed is to do again, without what of it is done."""
    is_broken = True

    def grade(item: int) -> int:
        if item == 2 and is_broken:
            raise TypeError("no")
        return item

    pipeline = Pipeline("p", default_mode=CONCURRENT).step("n", run=returning([1, 2, 3]))
    pipeline.step("off", run=returning(1), enabled=False)
    pipeline.step("high", run=returning(1), condition="steps.n[0] > 5")
    pipeline.step("x", run=grade, for_each="n", execution_mode=PARALLEL, max_retries=0)
    opened = services(store=MemoryStore())
    first = await PipelineExecutor(pipeline, services=opened).execute()
    assert first.step_metadata["x"]["status"] is StepStatus.FAILED
    is_broken = False
    result, reuse = await resume(opened, pipeline)
    assert (reuse.completed, reuse.interrupted, reuse.open, reuse.parts) == (("n",), {}, ("x",), {"x": (2, 3)})
    assert result.final_output == [1, 2, 3]


async def test_a_run_that_was_rolled_back_does_what_was_undone_again() -> None:
    """Reused is only what is still there."""
    is_broken = True
    done: list[str] = []

    def note(what: str, output: int) -> int:
        done.append(what)
        return output

    def end(a: int, b: int) -> int:
        if is_broken:
            raise TypeError("no")
        return a + b

    pipeline = (
        Pipeline("p", on_failure="rollback")
        .step("a", run=lambda: note("a", 1), compensate=lambda: note("undo a", 0))
        .step("b", run=lambda: note("b", 2))
        .step("end", run=end, max_retries=0)
    )
    opened = services(store=MemoryStore())
    await PipelineExecutor(pipeline, services=opened).execute()
    is_broken = False
    result, reuse = await resume(opened, pipeline)
    assert (reuse.completed, reuse.open) == (("b",), ("a", "end"))
    assert (result.final_output, done) == (3, ["a", "b", "undo a", "a"])


async def test_a_paused_run_goes_on_with_a_larger_budget() -> None:
    """And pays for nothing twice."""
    model = ScriptedModel(lambda request: "text")
    pipeline = Pipeline("p", on_budget="wait").step("a", "Say it").step("b", "Say {a}").step("c", "Say {b}")
    opened = services(store=MemoryStore(), model=model)
    call = TAgentConfig(max_model_calls=2)
    first = await PipelineExecutor(pipeline, overrides=call, services=opened).execute()
    assert (first.status, first.explain().splitlines()[-1]) == (RunStatus.WAITING, "Not done yet: 'c'.")
    result, reuse = await resume(opened, pipeline, overrides=TAgentConfig(max_model_calls=9))
    assert (reuse.completed, list(reuse.interrupted)) == (("a", "b"), ["c"])
    assert (result.status, len(model.requests)) == (RunStatus.COMPLETED, 3)


@pytest.mark.parametrize("what", ["part", "condition", "compensation"])
async def test_a_part_that_kills_every_process_ends_as_a_crash_loop(what: str) -> None:
    """Promise 9, whichever piece of a step it is; the error names it."""
    store = CrashingStore()

    async def kill() -> bool:
        store.arm(1, is_written=False)
        return True

    async def kill_item(item: int) -> int:
        store.arm(1, is_written=False)
        return item

    pipeline = Pipeline("p", on_failure="rollback").step("n", run=returning([1, 2]))
    if what == "part":
        pipeline.step("x", run=kill_item, for_each="n", execution_mode=PARALLEL)
    elif what == "condition":
        pipeline.step("x", run=returning(1), condition=kill, depends_on=["n"])
    else:
        pipeline.step("x", run=returning(1), compensate=kill)
        pipeline.step("bad", run=lambda x: 1 / 0, max_retries=0)
    opened = services(store=store)
    with pytest.raises(Crash):
        await PipelineExecutor(pipeline, services=opened).execute()
    for _ in range(MAX_IDLE_RESUMES):
        with pytest.raises(Crash):
            await resume(everybody_is_gone(opened), pipeline)
    named = {"part": "'x/1'", "condition": "'x/<condition>'", "compensation": "'x/<compensation>'"}[what]
    with pytest.raises(CrashLoopError, match=named) as given_up:
        await resume(everybody_is_gone(opened), pipeline)
    assert given_up.value.resumes == MAX_IDLE_RESUMES


async def test_the_failed_parts_of_a_completed_step_stay_failed() -> None:
    """The step is done, and what it lacks is still worth knowing when the run is taken up again."""
    is_broken = True

    def grade(item: int) -> int:
        if item == 2:
            raise TypeError("no")
        return item

    def end(x: list[int]) -> int:
        if is_broken:
            raise TypeError("not yet")
        return len(x)

    pipeline = Pipeline("p").step("n", run=returning([1, 2, 3]))
    pipeline.step("x", run=grade, for_each="n", execution_mode=PARALLEL, min_success=1, max_retries=0)
    pipeline.step("end", run=end)
    opened = services(store=MemoryStore())
    first = await PipelineExecutor(pipeline, services=opened).execute()
    is_broken = False
    result, _ = await resume(opened, pipeline)
    assert result.final_output == 2
    assert result.step_metadata["x"]["parts"] == first.step_metadata["x"]["parts"]
    assert "completed without 1 of its 3 parts" in result.explain()


async def test_completed_steps_inside_are_told_and_reused_those_of_items_too() -> None:
    """They are paid for, and an item that failed does not do them again."""
    is_broken = True
    done: Counter[str] = Counter()

    def draft(case: int) -> int:
        done["draft"] += 1
        return case

    def send(draft: int) -> int:
        if is_broken and draft != 2:
            raise TypeError("no")
        return draft

    inner = Pipeline("inner").step("draft", run=draft).step("send", run=send, max_retries=0)
    pipeline = Pipeline("p").step("cases", pipeline=inner, for_each="n", inputs={"case": "item"}, max_retries=0)
    opened = services(store=MemoryStore())
    await PipelineExecutor(pipeline, inputs={"n": [1, 2, 3]}, services=opened).execute()
    is_broken = False
    result, reuse = await resume(opened, pipeline)
    assert (reuse.open, reuse.parts, reuse.inside) == (("cases",), {"cases": (1, 3)}, {"cases": 2})
    assert (result.final_output, done["draft"]) == ([1, 2, 3], 3)


async def test_how_many_parts_there_are_is_not_told_where_it_is_not_known() -> None:
    """Right after a fork the list was not counted yet."""
    pipeline = Pipeline("p").step("n", run=returning([1, 2, 3]))
    pipeline.step("x", run=lambda item: item, for_each="n", max_concurrency=1)
    opened = services(store=MemoryStore())
    parent = await PipelineExecutor(pipeline, services=opened).execute()
    events = await load_events(opened.store, parent.run_id)
    [at, *_] = [n for n, event in enumerate(events, 1) if isinstance(event, PartCompleted)]
    fork = await fork_run(parent.run_id, opened, at_event=at)
    seen: list[Reuse] = []
    await resume_run(fork.run_id, opened, TAgentConfig(), pipeline=pipeline, announce=seen.append)
    assert seen[0].parts == {"x": (1, None)}
