"""What a run does when a step has failed: go on, fall back, stop, undo; and how it ends early."""

import asyncio
from collections.abc import Callable

import pytest

from builders import CONCURRENT, raising, returning, run, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent.config import TAgentConfig
from tagent.pipeline import (
    DeadlockError,
    Fallback,
    Pipeline,
    PipelineExecutor,
    PipelineResult,
    RetryPolicy,
    RunStatus,
    StepContext,
)
from tagent.pipeline.events import RunFinished, RunHalted, StepFailed, StepStarted
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.scheduler import next_commands
from tagent.pipeline.state import PipelineState
from tagent.testing import ManualClock, ScriptedModel

BROKEN = TypeError("broken")


def statuses(result: PipelineResult) -> dict[str, str]:
    """Return where each step ended."""
    return {name: metadata["status"].value for name, metadata in result.step_metadata.items()}


async def plus_one(a: int) -> int:
    """Need the output of `a`."""
    return a + 1


async def test_a_step_takes_the_place_of_one_that_failed() -> None:
    """Those behind it read its output under the name that they know."""
    pipeline = Pipeline("p").step("a", run=raising(BROKEN), on_error="cheap").step("cheap", run=returning(7))
    ran = await run(pipeline.step("end", run=plus_one))
    metadata = ran.result.step_metadata["a"]
    assert ran.result.final_output == 8
    assert ran.result.status is RunStatus.COMPLETED
    assert (metadata["substituted_by"], metadata["code"]) == ("cheap", "step.failed")


async def test_a_fallback_runs_only_if_it_is_needed() -> None:
    """It is not paid for while all goes well, and the run is complete without it."""
    pipeline = Pipeline("p").step("a", run=returning(1), on_error="cheap").step("cheap", run=returning(7))
    ran = await run(pipeline.step("end", run=plus_one))
    assert statuses(ran.result) == {"a": "completed", "cheap": "skipped", "end": "completed"}
    assert ran.result.status is RunStatus.COMPLETED
    assert ran.result.final_output == 2


async def test_a_fallback_that_fails_fails_the_step() -> None:
    """There is nothing left to try."""
    pipeline = Pipeline("p").step("a", run=raising(BROKEN), on_error="cheap").step("cheap", run=raising(BROKEN))
    ran = await run(pipeline.step("end", run=plus_one))
    assert statuses(ran.result) == {"a": "failed", "cheap": "failed", "end": "skipped"}
    assert "'cheap'" in ran.result.step_metadata["a"]["reason"]


async def test_an_output_can_be_given_in_advance() -> None:
    """For what may be missing without harm."""
    pipeline = Pipeline("p").step("a", run=raising(BROKEN), on_error=Fallback(output=3)).step("end", run=plus_one)
    ran = await run(pipeline)
    assert ran.result.final_output == 4
    assert ran.result.step_metadata["a"]["substituted_by"] == "default"


async def test_a_fallback_comes_after_the_last_attempt() -> None:
    """Retries are for what may pass, it is for what does not."""
    pipeline = Pipeline("p").step("a", run=raising(OSError("away"), times=2, then=5), on_error=Fallback(output=3))
    ran = await run(pipeline)
    assert ran.result.final_output == 5


def waits_for_ever() -> Callable[[], object]:
    """Return a step function that ends only when it is cancelled."""

    async def function() -> None:
        await asyncio.Event().wait()

    return function


async def test_a_failure_stops_only_what_depends_on_it() -> None:
    """Unless the pipeline says otherwise."""
    pipeline = Pipeline("p", default_mode=CONCURRENT).step("a", run=raising(BROKEN)).step("b", run=plus_one)
    ran = await run(pipeline.step("c", run=returning(1)))
    assert statuses(ran.result) == {"a": "failed", "b": "skipped", "c": "completed"}
    assert ran.result.status is RunStatus.PARTIAL


async def test_fail_fast_stops_what_runs_and_starts_nothing() -> None:
    """Work that no longer matters is not paid for."""
    pipeline = Pipeline("p", default_mode=CONCURRENT, on_failure="fail_fast")
    pipeline.step("slow", run=waits_for_ever()).step("bad", run=raising(BROKEN))
    pipeline.step("later", run=returning(1), depends_on=["slow"])
    ran = await run(pipeline)
    assert statuses(ran.result) == {"slow": "cancelled", "bad": "failed", "later": "skipped"}
    assert (ran.result.status, ran.result.code) == (RunStatus.FAILED, "run.fail_fast")
    assert "'bad'" in ran.result.reason


async def test_an_optional_failure_stops_nothing() -> None:
    """It is not the run's."""
    pipeline = Pipeline("p", on_failure="fail_fast").step("extra", run=raising(BROKEN), optional=True)
    ran = await run(pipeline.step("end", run=returning(1)))
    assert ran.result.status is RunStatus.COMPLETED


def booking(undone: list[tuple[str, int, str]], **failing: Exception) -> Pipeline:
    """Return a pipeline of three bookings of which the last fails, and that undoes the others."""

    def undoing(name: str) -> Callable[[StepContext], object]:
        async def undo(context: StepContext) -> None:
            undone.append((name, context.attempt, context.idempotency_key.split("/", 1)[1]))
            if name in failing:
                raise failing[name]

        return undo

    pipeline = Pipeline("trip", on_failure="rollback")
    pipeline.step("hotel", run=returning({"id": 1}), compensate=undoing("hotel"))
    pipeline.step("look", run=returning("nothing to undo"))
    pipeline.step("flight", run=returning({"id": 2}), compensate=undoing("flight"))
    return pipeline.step("pay", run=raising(BROKEN), depends_on=["hotel", "flight"], max_retries=0)


async def test_a_rollback_undoes_what_completed_in_reverse_order() -> None:
    """As one takes back what was built: the last first."""
    undone: list[tuple[str, int, str]] = []
    ran = await run(booking(undone))
    assert undone == [("flight", 1, "flight/<compensation>"), ("hotel", 1, "hotel/<compensation>")]
    assert statuses(ran.result) == {
        "hotel": "compensated", "look": "completed", "flight": "compensated", "pay": "failed",
    }  # fmt: skip
    assert (ran.result.status, ran.result.code) == (RunStatus.FAILED, "run.rollback")
    assert "hotel" not in ran.result.step_outputs


async def test_a_compensation_gets_the_output_that_it_undoes() -> None:
    """By the name of its own step, and others by theirs."""
    undone: list[object] = []

    async def undo(hotel: dict[str, int], city: str) -> None:
        undone.append((hotel["id"], city))

    pipeline = Pipeline("trip", on_failure="rollback").step("hotel", run=returning({"id": 1}), compensate=undo)
    await run(pipeline.step("pay", run=raising(BROKEN)), inputs={"city": "Lisbon"})
    assert undone == [(1, "Lisbon")]


async def test_a_goal_can_compensate() -> None:
    """An agent with tools may be who knows how."""
    model = ScriptedModel(["Cancelled."])
    pipeline = Pipeline("trip", on_failure="rollback")
    pipeline.step("hotel", run=returning({"id": "H7"}), compensate="Cancel the booking {hotel.id}")
    ran = await run(pipeline.step("pay", run=raising(BROKEN)), model=model)
    assert statuses(ran.result)["hotel"] == "compensated"
    assert "H7" in model.requests[0].messages[-1].content


async def test_a_compensation_is_tried_again_and_its_failure_stops_no_other() -> None:
    """What can be undone is, and what cannot is told."""
    undone: list[tuple[str, int, str]] = []
    ran = await run(booking(undone, flight=OSError("away")))
    assert [name for name, *_ in undone] == ["flight"] * 4 + ["hotel"]
    assert statuses(ran.result)["hotel"] == "compensated"
    flight = ran.result.step_metadata["flight"]
    assert (flight["status"].value, flight["code"]) == ("completed", "step.compensation")
    assert "away" in flight["reason"]


@pytest.mark.parametrize("at", range(1, 16))
@pytest.mark.parametrize("is_written", [True, False])
async def test_a_crash_while_undoing_undoes_nothing_twice(at: int, is_written: bool) -> None:  # noqa: FBT001 - a parameter
    """Whatever was committed counts; the rest is done by whoever resumes."""
    undone: list[tuple[str, int, str]] = []
    pipeline = booking(undone)
    store = CrashingStore().arm(at, is_written=is_written)
    opened = everybody_is_gone(services(store=store))
    try:
        result = await PipelineExecutor(pipeline, services=opened).execute()
    except Crash:
        if not await store.runs() or (await store.records("run-1"))[-1].kind == "RunFinished":
            return
        committed = [(r.kind, r.payload) for r in await store.records("run-1")]
        done = [p for kind, p in committed if kind == "PartCompleted"]
        store.arm(10**9)
        before = len(undone)
        result = await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline)
        again = [name for name, *_ in undone[before:]]
        assert len(again) == 2 - len(done)
    assert statuses(result)["hotel"] == statuses(result)["flight"] == "compensated"
    assert (result.status, result.code) == (RunStatus.FAILED, "run.rollback")
    assert "'pay' failed" in result.reason


async def test_what_was_undone_is_done_again_under_another_key() -> None:
    """A service that knows the old key would say that it is done already."""
    keys: list[str] = []
    is_mended: list[bool] = []

    async def book(context: StepContext) -> int:
        keys.append(context.idempotency_key)
        return 1

    async def pay(hotel: int) -> int:
        if not is_mended:
            raise BROKEN
        return hotel

    pipeline = Pipeline("trip", on_failure="rollback").step("hotel", run=book, compensate=returning(None))
    opened = services()
    first = await PipelineExecutor(pipeline.step("pay", run=pay), services=opened).execute()
    is_mended.append(True)
    again = await resume_run(first.run_id, opened, TAgentConfig(), pipeline=pipeline)
    assert again.status is RunStatus.COMPLETED
    assert keys == ["run-1/hotel", "run-1/hotel~1"]


async def test_a_run_is_over_at_its_deadline() -> None:
    """What runs is stopped, what has not begun never does, and what is done stays."""
    clock = ManualClock()

    async def slow() -> None:
        await clock.sleep(100)

    pipeline = Pipeline("p", default_mode=CONCURRENT, budget={"deadline_seconds": 30})
    pipeline.step("quick", run=returning(1)).step("slow", run=slow).step("late", run=returning(2), depends_on=["slow"])
    ran = await run(pipeline, clock=clock)
    assert statuses(ran.result) == {"quick": "completed", "slow": "cancelled", "late": "skipped"}
    assert (ran.result.status, ran.result.code) == (RunStatus.PARTIAL, "run.deadline")
    assert clock.now() == 30


async def test_the_deadline_holds_across_a_crash() -> None:
    """It counts from the run's beginning, whichever process drives it."""
    clock = ManualClock()

    async def slow() -> None:
        await clock.sleep(20)

    pipeline = Pipeline("p", budget={"deadline_seconds": 30}).step("a", run=slow).step("b", run=slow)
    store = CrashingStore().arm(2)
    opened = everybody_is_gone(services(store=store, clock=clock))
    with pytest.raises(Crash):
        await PipelineExecutor(pipeline, services=opened).execute()
    store.arm(10**9)
    result = await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline)
    assert result.code == "run.deadline"
    assert clock.now() == 30


async def test_a_run_that_ended_at_its_deadline_can_be_taken_up_again() -> None:
    """Then with all of its time."""
    clock = ManualClock()

    async def slow() -> str:
        await clock.sleep(20)
        return "done"

    pipeline = Pipeline("p", budget={"deadline_seconds": 30}).step("a", run=slow).step("b", run=slow)
    opened = services(clock=clock)
    first = await PipelineExecutor(pipeline, services=opened).execute()
    assert statuses(first) == {"a": "completed", "b": "cancelled"}
    again = await resume_run(first.run_id, opened, TAgentConfig(), pipeline=pipeline)
    assert statuses(again) == {"a": "completed", "b": "completed"}


async def test_which_errors_are_tried_again_is_the_step_s_to_say() -> None:
    """The table is for everybody, a step knows better."""
    calls: list[int] = []

    async def fails(context: StepContext) -> None:
        calls.append(context.attempt)
        raise ValueError("no")

    never = RetryPolicy(never=[ValueError])
    await run(Pipeline("p").step("a", run=fails, retry=never))
    assert calls == [1]
    calls.clear()
    only = RetryPolicy(only=["OSError"])
    await run(Pipeline("p").step("a", run=fails, retry=only))
    assert calls == [1]


async def test_a_run_in_which_nothing_can_move_ends_with_a_deadlock() -> None:
    """It must never end in silence; validation cannot be asked about a definition that is bent afterwards."""
    pipeline = Pipeline("p").step("a", run=returning(1)).step("b", run=plus_one).step("c", run=returning(1))
    opened = services()
    executor = PipelineExecutor(pipeline, services=opened)
    bent = Pipeline("p").step("a", run=returning(1), depends_on=["b"]).step("b", run=plus_one, depends_on=["a"])
    executor.scheduler.graph = ExecutionGraph.build(bent.step("c", run=returning(1)))
    with pytest.raises(DeadlockError) as caught:
        await executor.execute()
    assert caught.value.blocked == {"a": frozenset({"b"}), "b": frozenset({"a"})}
    record = await opened.store.run("run-1")
    assert record.status == "failed"
    assert (await opened.store.records("run-1"))[-1].kind == "RunFinished"


def test_nothing_starts_behind_a_halt() -> None:
    """Promise 8, as the scheduler keeps it: whatever was about to begin, it does not."""
    from tagent.pipeline.state import apply

    state = PipelineState(ExecutionGraph.build(Pipeline("p").step("a", run=returning(1)).step("b", run=returning(1))))
    apply(state, StepStarted("a", 1, "k", 0.0))
    apply(state, StepFailed("a", 1, "step.failed", "It broke.", 5.0, 1.0))
    apply(state, RunHalted("run.cancelled", "Enough.", 2.0))
    kinds = {type(command).__name__ for command in next_commands(state, 100.0)}
    assert kinds == {"CancelStep"}


async def test_the_end_of_a_run_says_why() -> None:
    """Who reads the journal need not put it together."""
    pipeline = Pipeline("p", on_failure="fail_fast").step("bad", run=raising(BROKEN)).step("b", run=returning(1))
    ran = await run(pipeline)
    end = ran.events[-1]
    assert isinstance(end, RunFinished)
    assert (end.code, end.reason) == (ran.result.code, ran.result.reason)


async def test_a_function_s_step_has_a_deadline_over_all_its_attempts() -> None:
    """A timeout is of each attempt; a budget is of the step."""
    clock = ManualClock(now=1000)

    async def slow() -> None:
        await clock.sleep(20)
        raise OSError("away")

    pipeline = Pipeline("p").step("a", run=slow, budget={"deadline_seconds": 30}, retry=RetryPolicy(base_seconds=0))
    ran = await run(pipeline, clock=clock)
    metadata = ran.result.step_metadata["a"]
    assert (metadata["code"], metadata["attempts"]) == ("budget.exceeded", 2)
    assert clock.now() == 1030


async def test_an_optional_step_s_fallback_may_fail_too() -> None:
    """It is the optional step that has failed, and the run is complete without it."""
    pipeline = Pipeline("p").step("a", run=raising(BROKEN), on_error="b", optional=True).step("b", run=raising(BROKEN))
    ran = await run(pipeline.step("end", run=returning(1), depends_on=["a"]))
    assert ran.result.status is RunStatus.COMPLETED
    assert ran.result.final_output == 1


async def test_what_came_from_elsewhere_is_not_undone() -> None:
    """A step that failed has had no effect that its compensation knows."""
    undone: list[str] = []

    async def undo(context: StepContext) -> None:
        undone.append(context.step)

    pipeline = Pipeline("p", on_failure="rollback")
    pipeline.step("a", run=raising(BROKEN), on_error=Fallback(output=3), compensate=undo)
    pipeline.step("b", run=returning(1), compensate=undo)
    await run(pipeline.step("c", run=raising(BROKEN), depends_on=["a", "b"]))
    assert undone == ["b"]


async def test_what_completed_last_in_the_second_life_is_undone_first() -> None:
    """The order is that of the effects that there are."""
    undone: list[str] = []
    flight_is_slow: list[bool] = []

    async def undo(context: StepContext) -> None:
        undone.append(context.step)

    async def fly() -> str:
        for _ in range(50 if flight_is_slow else 1):
            await asyncio.sleep(0)
        return "booked"

    async def stay() -> str:
        for _ in range(10):
            await asyncio.sleep(0)
        return "booked"

    pipeline = Pipeline("trip", on_failure="rollback", default_mode=CONCURRENT)
    pipeline.step("hotel", run=stay, compensate=undo).step("flight", run=fly, compensate=undo)
    pipeline.step("pay", run=raising(BROKEN), depends_on=["hotel", "flight"])
    opened = services()
    first = await PipelineExecutor(pipeline, services=opened).execute()
    assert undone == ["hotel", "flight"]
    flight_is_slow.append(True)
    await resume_run(first.run_id, opened, TAgentConfig(), pipeline=pipeline)
    assert undone[2:] == ["flight", "hotel"]


async def test_a_fallback_that_does_not_fit_leaves_the_first_failure_to_be_read() -> None:
    """Both have gone wrong, and the first is the cause."""

    async def seven() -> int:
        return 7

    pipeline = Pipeline("p").step("a", run=raising(BROKEN), output_schema=int, on_error="b")
    ran = await run(pipeline.step("b", run=returning("no number")).step("end", run=seven))
    metadata = ran.result.step_metadata["a"]
    assert (metadata["status"].value, metadata["code"]) == ("failed", "step.failed")
    assert "broken" in metadata["reason"]
    assert "'b'" in metadata["reason"]


async def test_a_step_that_is_disabled_needs_no_model() -> None:
    """Nobody should need a key for what does not run."""
    from tagent.config import TAgentConfig as Settings
    from tagent.ports.model_errors import ModelError

    class NoModels:
        async def model_for(self, config: Settings) -> ScriptedModel:
            raise ModelError("none", "There is no model.")

    from dataclasses import replace as replaced

    opened = replaced(services(), models=NoModels())
    pipeline = Pipeline("p").step("a", "Say it", enabled="inputs.is_wanted").step("b", "Say it", enabled=False)
    pipeline.step("c", run=returning(1))
    executor = PipelineExecutor(pipeline, services=opened, inputs={"is_wanted": False})
    assert (await executor.execute()).success
    with pytest.raises(ModelError):
        await PipelineExecutor(pipeline, services=opened, inputs={"is_wanted": True}).execute()
