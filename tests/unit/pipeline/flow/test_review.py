"""What a review found: large outputs in rollbacks, paused compensations, blocking parts, hidden deadlocks."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from builders import CONCURRENT, raising, returning, run, services
from tagent import resume, run_pipeline
from tagent.adapters.clock import SystemClock
from tagent.config import TAgentConfig
from tagent.pipeline import (
    DeadlockError,
    Fallback,
    Pipeline,
    PipelineExecutor,
    RetryPolicy,
    RunStatus,
    StepContext,
    StepOutcome,
    StepStatus,
)
from tagent.pipeline.driving.stopping import StopSignal
from tagent.pipeline.events import RunEvent, StepStarted
from tagent.pipeline.exceptions import RunStoppedError
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.scheduler import Limits, next_commands
from tagent.pipeline.state import PipelineState, apply
from tagent.pipeline.stored.definition import Definition, Origin, bind
from tagent.testing import ManualClock, ScriptedModel

BROKEN = TypeError("broken")
LARGE = {"v": "x" * 40_000}


def test_a_compensation_sees_a_large_output_whole(tmp_path: Path) -> None:
    """It is read from the store when it is wanted, also when every step has ended."""
    undone: list[int] = []

    def undo(a: dict[str, str]) -> None:
        undone.append(len(a["v"]))

    pipeline = Pipeline("p", on_failure="rollback").step("a", run=lambda: LARGE, compensate=undo)
    result = run_pipeline(pipeline.step("b", run=raising(BROKEN)), store=f"sqlite:///{tmp_path}/runs.db")
    assert undone == [40_000]
    assert result.step_metadata["a"]["status"] is StepStatus.COMPENSATED


def test_after_a_rollback_the_new_output_counts(tmp_path: Path) -> None:
    """Not the large one of the life before."""
    store = f"sqlite:///{tmp_path}/runs.db"
    lives: list[int] = []

    def give() -> dict[str, str]:
        lives.append(1)
        return LARGE if len(lives) == 1 else {"v": "new"}

    def pay(a: dict[str, str]) -> str:
        if len(lives) == 1:
            raise BROKEN
        return a["v"]

    pipeline = Pipeline("p", on_failure="rollback").step("a", run=give, compensate=lambda: None).step("b", run=pay)
    first = run_pipeline(pipeline, store=store)
    again = resume(first.run_id, pipeline, store=store)
    assert again.step_outputs["a"] == {"v": "new"}
    assert again.final_output == "new"


async def test_a_compensation_may_wait_for_a_larger_budget() -> None:
    """A run that can neither go on nor end would hang for ever."""
    model = ScriptedModel(lambda request: "undone")
    pipeline = Pipeline("p", on_failure="rollback", on_budget="wait", budget={"max_model_calls": 1})
    pipeline.step("a", run=returning(1), compensate="Undo it").step("b", run=returning(2), compensate="Undo that")
    pipeline.step("c", run=raising(BROKEN))
    opened = services(model=model)
    first = await PipelineExecutor(pipeline, services=opened).execute()
    assert first.status is RunStatus.WAITING
    larger = TAgentConfig(max_model_calls=5)
    again = await resume_run(first.run_id, opened, TAgentConfig(), pipeline=pipeline, overrides=larger)
    assert again.status is RunStatus.FAILED
    assert [again.step_metadata[name]["status"] for name in "ab"] == [StepStatus.COMPENSATED] * 2


async def test_an_item_whose_function_still_runs_is_not_started_again() -> None:
    """As with a step: two at once could do harm; and the run goes on to its end."""
    release = threading.Event()

    def block(item: int) -> int:
        if item == 1:
            release.wait()
        return item

    pipeline = Pipeline("p").step("items", run=returning([0, 1]))
    retry = RetryPolicy(base_seconds=0.01)
    pipeline.step("each", run=block, for_each="items", timeout=0.5, retry=retry, min_success=1)
    try:
        ran = await run(pipeline, clock=SystemClock())
    finally:
        release.set()
    part = ran.result.step_metadata["each"]["parts"]["1"]
    assert (part["status"], part["attempts"]) == (StepStatus.FAILED, 1)
    assert "still runs" in part["reason"]
    assert ran.result.final_output == [0]


async def test_a_run_can_be_stopped_between_two_compensations() -> None:
    """A worker that shuts down must not wait for a long way back."""
    stop = StopSignal()
    undone: list[str] = []

    async def undo(context: StepContext) -> None:
        undone.append(context.step)
        stop.give()

    pipeline = Pipeline("p", on_failure="rollback")
    for name in "abc":
        pipeline.step(name, run=returning(name), compensate=undo)
    pipeline.step("end", run=raising(BROKEN))
    opened = services()
    with pytest.raises(RunStoppedError):
        await PipelineExecutor(pipeline, services=opened).execute(stop=stop)
    assert undone == ["c"]
    result = await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline)
    assert undone == ["c", "b", "a"]
    assert result.code == "run.rollback"


def test_a_deadline_does_not_hide_a_deadlock() -> None:
    """Waiting for its end would change nothing."""
    bent = Pipeline("p").step("a", run=returning(1), depends_on=["b"]).step("b", run=returning(1), depends_on=["a"])
    state = PipelineState(ExecutionGraph.build(bent))
    with pytest.raises(DeadlockError):
        next_commands(state, 1.0, Limits(deadline_at=100.0))


async def test_a_fallback_s_large_output_of_an_earlier_life_is_taken(tmp_path: Path) -> None:
    """It was released while the step that it stands in for was tried once more."""
    store = f"sqlite:///{tmp_path}/runs.db"

    def build() -> Pipeline:
        pipeline = Pipeline("p", default_mode=CONCURRENT).step("a", run=raising(OSError("away")), max_retries=1,
            retry=RetryPolicy(base_seconds=0.01), on_error="alt")  # fmt: skip
        pipeline.step("alt", run=returning(LARGE))
        return pipeline.step("end", run=needs_a, depends_on=["a"], max_retries=0)

    lives: list[int] = []

    async def needs_a(a: dict[str, Any]) -> int:
        lives.append(1)
        if len(lives) == 1:
            raise BROKEN
        return len(a["v"])

    first = await asyncio.to_thread(run_pipeline, build(), store=store)
    again = await asyncio.to_thread(resume, first.run_id, build(), store=store)
    assert again.final_output == 40_000


async def test_fewer_items_than_must_succeed_fail_the_step() -> None:
    """What asks for five has not got them from two."""
    pipeline = Pipeline("p").step("items", run=returning([1, 2]))
    ran = await run(pipeline.step("each", run=lambda item: item, for_each="items", min_success=5))
    metadata = ran.result.step_metadata["each"]
    assert (metadata["status"], metadata["code"]) == (StepStatus.FAILED, "step.parts")
    assert "5" in metadata["reason"]


async def test_hooks_are_told_of_an_attempt_that_was_cancelled() -> None:
    """Whatever was opened before it is to be closed."""
    seen: list[tuple[str, str]] = []

    async def before(context: StepContext) -> None:
        seen.append((context.step, "begins"))

    async def after(context: StepContext, outcome: StepOutcome) -> None:
        seen.append((context.step, outcome.status.value))

    async def slow() -> None:
        await asyncio.Event().wait()

    pipeline = Pipeline("p", on_failure="fail_fast", default_mode=CONCURRENT, before_step=[before], after_step=[after])
    await run(pipeline.step("slow", run=slow).step("bad", run=raising(BROKEN)))
    assert ("slow", "begins") in seen
    assert ("slow", "cancelled") in seen


def test_limits_of_an_older_definition_stay_those_of_its_steps() -> None:
    """A run that began under the old rule goes on under it."""
    pipeline = Pipeline("p", config={"max_model_calls": 1}).step("a", "A").step("b", "B", config={"max_model_calls": 9})
    today = Definition.of(pipeline, Origin())
    assert today.spec["version"] == 2
    old = Definition.written({**today.spec, "version": 1})
    bound = bind(old, pipeline)
    assert TAgentConfig.of(bound.config).max_model_calls is None
    assert [TAgentConfig.of(step.config).max_model_calls for step in bound.steps] == [1, 9]
    assert TAgentConfig.of(bind(today, pipeline).config).max_model_calls == 1


async def test_an_interrupted_step_is_cancelled_by_a_deadline_not_skipped() -> None:
    """It had begun; that a crash came between does not undo that."""
    from tagent.pipeline.course.commands import CancelStep
    from tagent.pipeline.events import RunHalted, RunResumed

    state = PipelineState(ExecutionGraph.build(Pipeline("p").step("a", run=returning(1))))
    apply(state, StepStarted("a", 1, "k", 0.0))
    apply(state, RunResumed(2, "me", "", 1.0))
    apply(state, RunHalted("run.deadline", "Too late.", 2.0))
    [command] = next_commands(state, 2.0)
    assert isinstance(command, CancelStep)


async def test_an_output_in_advance_needs_no_model_and_no_time() -> None:
    """The simplest fallback there is."""
    ran = await run(Pipeline("p").step("a", run=raising(BROKEN), on_error=Fallback(output=[])), clock=ManualClock())
    assert ran.result.final_output == []


def charging(log: list[str], *, stop: StopSignal) -> Pipeline:
    """Return a pipeline that charges, fails, and refunds; who refunds asks for the run to be stopped meanwhile."""

    async def refund(context: StepContext) -> None:
        log.append(f"refund {context.idempotency_key.split('/', 1)[1]}")
        if stop.is_given:
            return
        stop.give()
        await asyncio.Event().wait()

    async def charge(context: StepContext) -> str:
        log.append(f"charge {context.idempotency_key.split('/', 1)[1]}")
        return "charged"

    async def pay() -> str:
        if not stop.is_given:
            raise BROKEN
        return "paid"

    pipeline = Pipeline("p", on_failure="rollback").step("charge", run=charge, compensate=refund)
    return pipeline.step("pay", run=pay, depends_on=["charge"])


async def test_what_was_being_undone_when_the_run_was_cancelled_is_done_again() -> None:
    """Nobody knows how far the refund came, so the charge does not count any more; its next one has another key."""
    from tagent.pipeline.driving.cancelling import cancel_run

    log: list[str] = []
    stop = StopSignal()
    opened = services(clock=SystemClock())
    pipeline = charging(log, stop=stop)

    async def cancel() -> None:
        while not stop.is_given:  # noqa: ASYNC110 - the signal has no event
            await asyncio.sleep(0)
        await cancel_run("run-1", opened)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(PipelineExecutor(pipeline, services=opened).execute())
        group.create_task(cancel())
    assert running.result().status is RunStatus.CANCELLED
    again = await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline)
    assert again.final_output == "paid"
    assert log == ["charge charge", "refund charge/<compensation>", "charge charge~1"]


async def test_time_spent_waiting_for_a_larger_budget_is_not_the_run_s() -> None:
    """Who allows more tomorrow must not find that the deadline was today."""
    clock = ManualClock(now=1000)
    model = ScriptedModel(lambda request: "done")
    budget = {"max_model_calls": 1, "deadline_seconds": 60}
    pipeline = Pipeline("p", on_budget="wait", budget=budget).step("a", "A").step("b", "B")
    opened = services(model=model, clock=clock)
    first = await PipelineExecutor(pipeline, services=opened).execute()
    assert first.status is RunStatus.WAITING
    clock.advance(86_400)
    larger = TAgentConfig(max_model_calls=5)
    again = await resume_run(first.run_id, opened, TAgentConfig(), pipeline=pipeline, overrides=larger)
    assert again.status is RunStatus.COMPLETED


async def test_an_interrupted_attempt_that_was_cancelled_has_all_its_attempts_again() -> None:
    """Its number must not count against it."""
    from tagent.pipeline.events import RunFinished, RunHalted, RunResumed, StepCancelled
    from tagent.pipeline.state import fold

    graph = ExecutionGraph.build(Pipeline("p").step("a", run=returning(1)))
    events: list[RunEvent] = [
        StepStarted("a", 1, "k", 0.0),
        RunResumed(2, "me", "", 1.0),
        RunHalted("run.cancelled", "Enough.", 2.0),
        StepCancelled("a", "run.cancelled", "Enough.", 2.0),
        RunFinished(RunStatus.CANCELLED, 2.0),
        RunResumed(3, "me", "", 3.0),
    ]
    record = fold(graph, events).steps["a"]
    assert (record.next_attempt, record.attempts_before) == (2, 1)


class Panic(BaseException):
    """What some libraries raise when they break: no `Exception`."""


async def test_whatever_a_step_raises_is_its_failure() -> None:
    """Not the end of the process, with everybody else's runs in it."""
    ran = await run(Pipeline("p").step("a", run=raising(Panic("broken")), max_retries=0).step("b", run=returning(1)))  # type: ignore[arg-type]  # no Exception
    assert ran.result.step_metadata["a"]["code"] == "step.failed"
    assert ran.result.status is RunStatus.PARTIAL


async def test_an_attempt_that_somebody_cancels_before_it_begins_fails() -> None:
    """The run would wait for it for ever."""

    async def cancel_the_others() -> str:
        for task in asyncio.all_tasks():
            if task.get_name() == "step:b":
                task.cancel()
        return "done"

    pipeline = Pipeline("p", default_mode=CONCURRENT).step("a", run=cancel_the_others).step("b", run=returning(1))
    ran = await run(pipeline)
    assert ran.result.step_metadata["b"]["code"] == "step.cancelled"


async def again_with(first: Pipeline, today: Pipeline) -> Any:
    """Run a pipeline that fails, then take the run up with today's."""
    opened = services()
    failed = await PipelineExecutor(first, services=opened).execute()
    assert failed.status is not RunStatus.COMPLETED
    return await resume_run(failed.run_id, opened, TAgentConfig(), pipeline=today, definition="current")


def lists() -> Pipeline:
    """Return a pipeline that gives two lists."""
    return Pipeline("p").step("src", run=returning([1, 2, 3])).step("other", run=returning([5, 6]))


async def not_three(item: int) -> int:
    """Fail for one item."""
    if item == 3:
        raise BROKEN
    return item


async def tenfold(item: int) -> int:
    """Give ten times the item."""
    return item * 10


async def test_items_of_another_list_are_not_taken_for_those_that_are_done() -> None:
    """Today's definition goes through something else: what its parts are called says nothing."""
    first = lists().step("each", run=not_three, for_each="src")
    again = await again_with(first, lists().step("each", run=tenfold, for_each="other"))
    assert again.final_output == [50, 60]
    again = await again_with(first, lists().step("each", branches=[returning("a"), returning("b")], depends_on=["src"]))
    assert again.final_output == ["a", "b"]
    again = await again_with(first, lists().step("each", branches={"u": returning("a")}, depends_on=["src"]))
    assert list(again.step_metadata["each"]["parts"]) == ["u"]
    again = await again_with(first, lists().step("each", run=returning(7), depends_on=["src"]))
    assert again.final_output == 7
    assert "parts" not in again.step_metadata["each"]


async def test_items_of_the_same_list_are_kept_although_the_function_was_mended() -> None:
    """That is what one mends it for."""
    first = lists().step("each", run=not_three, for_each="src")
    again = await again_with(first, lists().step("each", run=tenfold, for_each="src"))
    assert again.final_output == [1, 2, 30]


@pytest.mark.parametrize("gone", [returning(9), raising(BROKEN)])
async def test_a_step_may_be_gone_from_today_s_definition(gone: Any) -> None:
    """Whoever renames a step and resumes with `current` must not end in a traceback."""
    first = Pipeline("p").step("gone", run=gone).step("x", run=raising(BROKEN))
    again = await again_with(first, Pipeline("p").step("x", run=returning(1)))
    assert (again.status, again.step_outputs) == (RunStatus.COMPLETED, {"x": 1})


async def test_an_agent_that_undoes_is_told_what_the_step_gave() -> None:
    """Whatever `read_data` told the agent that did it."""
    model = ScriptedModel(lambda request: "BOOKING-77")
    pipeline = Pipeline("p", on_failure="rollback")
    pipeline.step("hotel", "Book", read_data=["city"], compensate="Take it back").step("pay", run=raising(BROKEN))
    ran = await run(pipeline, inputs={"city": "Porto"}, model=model)
    assert ran.result.step_metadata["hotel"]["status"] is StepStatus.COMPENSATED
    assert "BOOKING-77" in model.requests[-1].messages[-1].content
