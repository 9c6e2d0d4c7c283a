"""Runs: what starts when, what a failure stops, what is retried, what comes out."""

import asyncio
import itertools
import logging
import sys
import threading
from typing import Annotated

import pytest
from pydantic import BaseModel, Field, SecretStr

from builders import CONCURRENT, Recorder, chain, diamond, raising, returning, run, services
from tagent.adapters.clock import SystemClock
from tagent.adapters.storage.memory import MemoryStore
from tagent.exceptions import StoreError
from tagent.pipeline import (
    Dependency,
    DependencyType,
    Pipeline,
    PipelineExecutor,
    RetryPolicy,
    RunStatus,
    StepContext,
    StepStatus,
)
from tagent.pipeline.events import StepFailed
from tagent.ports import Batch, ModelRateLimitError
from tagent.testing import ManualClock, ScriptedModel


class Fact(BaseModel):
    name: str
    n: int


async def test_functions_are_fed_by_name_with_outputs_inputs_and_context() -> None:
    """Most real pipelines are functions; nobody should have to wire them."""

    def find(topic: str) -> Fact:
        return Fact(name=topic, n=2)

    async def tell(find: Fact, run: StepContext, times: int = 3) -> dict[str, object]:
        return {"text": find.name * find.n, "times": times, "attempt": run.attempt, "key": run.idempotency_key}

    ran = await run(
        Pipeline("p").step("find", run=find).step("tell", run=tell), inputs={"topic": "ab"}, clock=SystemClock()
    )
    assert ran.result.success
    assert ran.result.step_outputs["find"] == Fact(name="ab", n=2)
    assert ran.result.final_output == {"text": "abab", "times": 3, "attempt": 1, "key": "run-1/tell"}
    assert ran.executor.results == ran.result.step_outputs
    assert ran.executor.shared_state.facts["find"] == {"name": "ab", "n": 2}
    assert ran.executor.scheduler.step_status == dict.fromkeys(("find", "tell"), StepStatus.COMPLETED)


async def test_four_concurrent_steps_overlap() -> None:
    """All four must be inside at the same time, or the barrier would never open."""
    together = asyncio.Barrier(4)

    async def meet() -> int:
        return await together.wait()

    pipeline = Pipeline("p", default_mode=CONCURRENT)
    for name in "abcd":
        pipeline.step(name, run=meet)
    result = (await run(pipeline)).result
    assert sorted(result.step_outputs.values()) == [0, 1, 2, 3]


async def test_four_concurrent_blocking_steps_overlap_too() -> None:
    """Sync functions run in threads and do not hold each other up."""
    together = threading.Barrier(4, timeout=30)
    pipeline = Pipeline("p", default_mode=CONCURRENT)
    for name in "abcd":
        pipeline.step(name, run=together.wait)
    result = (await run(pipeline, clock=SystemClock())).result
    assert sorted(result.step_outputs.values()) == [0, 1, 2, 3]


async def test_a_fast_branch_does_not_wait_for_a_slow_sibling() -> None:
    """Work in batches would: the sibling ends only after the whole fast branch has."""
    fast_branch_is_done = asyncio.Event()

    async def slow() -> str:
        await fast_branch_is_done.wait()
        return "slow"

    async def finish(fast: str) -> str:
        fast_branch_is_done.set()
        return fast

    pipeline = (
        Pipeline("p", default_mode=CONCURRENT)
        .step("slow", run=slow)
        .step("fast", run=returning("fast"))
        .step("finish", run=finish)
    )
    assert (await run(pipeline)).result.success


async def test_serial_steps_never_overlap() -> None:
    """It is what the mode is for: things that must not happen at the same time."""
    inside = 0
    order: list[str] = []

    def step(name: str) -> object:
        async def work() -> None:
            nonlocal inside
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            order.append(name)
            inside -= 1

        return work

    pipeline = Pipeline("p")
    for name in "cab":
        pipeline.step(name, run=step(name))  # type: ignore[arg-type]
    assert (await run(pipeline)).result.success
    assert order == ["c", "a", "b"]


async def test_skips_the_dependents_of_a_failed_step_and_nothing_else() -> None:
    """Work that can no longer be right is not paid for; everything else goes on."""
    pipeline = diamond().step("e", run=returning("e"), depends_on=["a"])
    pipeline.steps[1].run = raising(TypeError("no"))
    ran = await run(pipeline)
    assert ran.statuses == {"a": "completed", "b": "failed", "c": "completed", "d": "skipped", "e": "completed"}
    assert (ran.result.status, ran.result.success, ran.result.final_output) == (RunStatus.PARTIAL, False, "e")
    metadata = ran.result.step_metadata
    assert metadata["b"]["reason"].startswith("The step 'b' raised TypeError: no (builders.py, line ")
    assert (metadata["d"]["code"], metadata["d"]["reason"]) == ("upstream_failed", "The step 'b' before it failed.")


async def test_a_run_whose_every_end_failed_has_failed() -> None:
    """And the skips go all the way down."""
    pipeline = chain("a", "b", "c")
    pipeline.steps[0].run = raising(TypeError("no"))
    ran = await run(pipeline)
    assert ran.statuses == {"a": "failed", "b": "skipped", "c": "skipped"}
    assert (ran.result.status, ran.result.final_output) == (RunStatus.FAILED, None)
    assert ran.result.step_metadata["c"]["reason"] == "The step 'b' before it was skipped."


async def test_a_failed_attempt_is_tried_again_with_growing_waits() -> None:
    """Three retries by default, each wait twice the last, never beyond the ceiling."""
    pipeline = Pipeline("p").step("a", run=raising(RuntimeError("flaky"), times=3), retry=RetryPolicy(2, 5))
    ran = await run(pipeline)
    assert isinstance(ran.clock, ManualClock)
    assert [round(seconds, 6) for seconds in ran.clock.waits] == [2, 4, 5]
    assert ran.result.final_output == "mended"
    metadata = ran.result.step_metadata["a"]
    assert (metadata["attempts"], metadata["retry_count"], metadata["reason"]) == (4, 3, "")
    assert ran.result.execution_time == pytest.approx(11)


async def test_retries_end() -> None:
    """`max_retries=1` means two attempts."""
    ran = await run(Pipeline("p").step("a", run=raising(RuntimeError("flaky")), max_retries=1))
    metadata = ran.result.step_metadata["a"]
    assert (metadata["status"], metadata["attempts"], metadata["code"]) == (StepStatus.FAILED, 2, "step.failed")


async def test_a_mistake_in_the_program_is_not_tried_again() -> None:
    """No wait mends a TypeError."""
    ran = await run(Pipeline("p").step("a", run=raising(TypeError("no"))))
    assert ran.result.step_metadata["a"]["attempts"] == 1


async def test_an_async_step_is_stopped_at_its_timeout() -> None:
    """And tried again, as a slow answer may be a passing one."""
    calls = itertools.count(1)
    was_cancelled = False

    async def slow_once() -> str:
        nonlocal was_cancelled
        if next(calls) == 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                was_cancelled = True
                raise
        return "in time"

    ran = await run(Pipeline("p").step("a", run=slow_once, timeout=5))
    assert (ran.result.final_output, was_cancelled) == ("in time", True)
    failure = next(event for event in ran.events if isinstance(event, StepFailed))
    assert (failure.code, failure.reason) == ("step.timeout", "The step 'a' did not finish within 5 s.")


async def test_a_blocking_step_is_given_up_at_its_timeout_and_not_started_twice() -> None:
    """The run does not wait for the thread, and two of it at once could do harm."""
    release = threading.Event()
    contexts: list[StepContext] = []

    def block(run: StepContext) -> None:
        contexts.append(run)
        release.wait()

    policy = RetryPolicy(base_seconds=0.01)
    pipeline = Pipeline("p").step("a", run=block, timeout=0.05, retry=policy)
    try:
        ran = await run(pipeline, clock=SystemClock())
    finally:
        release.set()
    metadata = ran.result.step_metadata["a"]
    assert (metadata["status"], metadata["code"], metadata["attempts"]) == (StepStatus.FAILED, "step.timeout", 1)
    assert "Its function still runs, so it is not started again." in metadata["reason"]
    assert [context.cancelled for context in contexts] == [True]


async def test_a_blocking_step_that_heeds_its_context_is_tried_again() -> None:
    """Whoever looks at `cancelled` gets the retries."""
    calls = itertools.count(1)
    has_stopped = threading.Event()

    def heed(run: StepContext) -> str:
        if next(calls) == 1:
            while not run.cancelled:
                has_stopped.wait(0.001)
            has_stopped.set()
        return "second"

    pipeline = Pipeline("p").step("a", run=heed, timeout=0.2, retry=RetryPolicy(base_seconds=0.3))
    ran = await run(pipeline, clock=SystemClock())
    assert (ran.result.final_output, ran.result.step_metadata["a"]["attempts"]) == ("second", 2)


async def test_cancelling_a_run_stops_its_steps_at_once() -> None:
    """Also a blocking one, whose thread is left behind and told."""
    release, started = threading.Event(), threading.Event()
    contexts: list[StepContext] = []
    async_step_was_cancelled = asyncio.Event()

    def block(run: StepContext) -> None:
        contexts.append(run)
        started.set()
        release.wait()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            async_step_was_cancelled.set()

    pipeline = Pipeline("p", default_mode=CONCURRENT).step("block", run=block).step("wait", run=wait)
    executing = asyncio.ensure_future(run(pipeline, clock=SystemClock()))
    await asyncio.to_thread(started.wait)
    executing.cancel()
    try:
        with pytest.raises(asyncio.CancelledError):
            await executing
    finally:
        release.set()
    assert contexts[0].cancelled
    assert async_step_was_cancelled.is_set()


async def test_a_step_that_cancels_itself_fails_and_does_not_hang_the_run() -> None:
    """Awaiting something that somebody else cancelled looks like a cancellation of the step."""

    async def give_up() -> None:
        raise asyncio.CancelledError

    ran = await run(Pipeline("p").step("a", run=give_up))
    assert (ran.statuses["a"], ran.result.step_metadata["a"]["code"]) == ("failed", "step.cancelled")


async def test_a_timeout_deep_inside_a_step_is_its_own_failure() -> None:
    """Not the step's timeout, which was not reached."""

    async def inner() -> None:
        raise TimeoutError("the database")

    ran = await run(Pipeline("p").step("a", run=inner, timeout=50, max_retries=0))
    assert ran.result.step_metadata["a"]["reason"].startswith("The step 'a' raised TimeoutError: the database (")


async def test_a_step_that_exits_the_process_only_fails() -> None:
    """Libraries call sys.exit on bad arguments."""

    def leave() -> None:
        sys.exit(3)

    ran = await run(Pipeline("p").step("a", run=leave, max_retries=0), clock=SystemClock())
    assert ran.result.step_metadata["a"]["reason"].startswith("The step 'a' raised SystemExit: 3 (")


async def test_outputs_that_are_not_json_or_do_not_fit_fail_the_step() -> None:
    """They could not be resumed; success would be a lie."""

    def wrong() -> Fact:
        return {"name": "x"}  # type: ignore[return-value]

    pipeline = Pipeline("p").step("opaque", run=returning(object())).step("wrong", run=wrong)
    ran = await run(pipeline, clock=SystemClock())
    assert {meta["code"] for meta in ran.result.step_metadata.values()} == {"step.output"}
    assert "n: Field required" in ran.result.step_metadata["wrong"]["reason"]


async def test_a_data_dependency_without_its_data_skips_the_step() -> None:
    """It says what was missing, and does not call the model for nothing."""
    pipeline = Pipeline("p").step("a", run=returning({"x": 1})).step("b", "Use {a.y}")
    needed = Dependency("a", DependencyType.DATA, path="items[0]")
    pipeline.step("c", run=returning(1), depends_on=[needed], execution_mode=CONCURRENT).step("d", "Use {a.x}")
    ran = await run(pipeline, model=ScriptedModel(["done"]))
    assert ran.statuses == {"a": "completed", "b": "skipped", "c": "skipped", "d": "completed"}
    assert ran.result.step_metadata["b"]["code"] == "dependency_unmet"
    assert "a has no field 'y'" in ran.result.step_metadata["b"]["reason"]


async def test_facts_and_memories_of_a_step_come_with_its_success_only() -> None:
    """Buffered and committed together, so a retried step leaves nothing half-written."""
    calls = itertools.count(1)

    async def note(run: StepContext) -> None:
        run.learn("attempt", run.attempt)
        run.save("seen", [run.attempt])
        if next(calls) == 1:
            run.save("ghost", True)  # noqa: FBT003
            raise RuntimeError("flaky")

    async def read(run: StepContext) -> object:
        return dict(run.shared)

    pipeline = Pipeline("p", shared_context={"start": 1}).step("note", run=note)
    pipeline.step("read", run=read, depends_on=["note"])
    result = (await run(pipeline)).result
    assert result.learned_facts == {"attempt": 2}
    assert result.saved_memories == {"seen": [2]}
    assert result.final_output == {"start": 1, "seen": [2]}


async def test_a_step_sees_how_the_steps_before_it_went() -> None:
    """Reports can say what each part cost."""

    async def report(run: StepContext) -> object:
        step = run.steps["ask"]
        return [step.status, step.model, step.usage.total_tokens, step.cost_usd, step.attempts]

    pipeline = Pipeline("p").step("ask", "Say it").step("report", run=report, depends_on=["ask"])
    ran = await run(pipeline, model=ScriptedModel(["it"], cost_usd=0.25))
    assert ran.result.final_output == ["completed", "scripted", 15, 0.25, 1]


async def test_final_names_the_step_whose_output_counts() -> None:
    """Else it is the last one on which no other depends."""
    assert (await run(diamond())).result.final_output == "d"
    pipeline = Pipeline("p", final="a").step("a", run=returning("a")).step("b", run=returning("b"))
    assert (await run(pipeline)).result.final_output == "a"


async def test_a_sink_that_fails_is_logged_and_does_not_fail_the_run(caplog: pytest.LogCaptureFixture) -> None:
    """Watching must not change what is watched."""

    class Broken:
        def emit(self, event: object) -> None:
            raise RuntimeError("the screen is gone")

    recorder = Recorder()
    with caplog.at_level(logging.ERROR):
        ran = await run(chain("a"), sinks=(Broken(), recorder))
    assert ran.result.success
    assert recorder.events == ran.events
    assert "the screen is gone" in caplog.text


async def test_nothing_starts_when_its_start_cannot_be_written() -> None:
    """Journal first, act second."""
    called = False

    class Broken(MemoryStore):
        async def commit(self, batch: Batch) -> None:
            raise StoreError("The disk is full.")

    async def work() -> None:
        nonlocal called
        called = True

    pipeline = Pipeline("p").step("first", run=returning(1)).step("a", run=work, depends_on=["first"])
    with pytest.raises(StoreError, match="The disk is full"):
        await run(pipeline, store=Broken())
    assert not called


async def test_a_run_whose_end_cannot_be_written_raises_and_stops_its_other_steps() -> None:
    """What is not committed did not happen, so it must not be reported."""
    was_cancelled = asyncio.Event()

    class Failing(MemoryStore):
        async def commit(self, batch: Batch) -> None:
            if any(record.kind == "StepCompleted" for record in batch.records):
                raise StoreError("The disk is full.")
            await super().commit(batch)

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            was_cancelled.set()

    pipeline = Pipeline("p", default_mode=CONCURRENT).step("a", run=returning(1)).step("b", run=wait)
    with pytest.raises(StoreError, match="The disk is full"):
        await run(pipeline, store=Failing())
    assert was_cancelled.is_set()


async def test_callable_objects_partials_and_sync_functions_that_return_awaitables_work() -> None:
    """Whatever can be called can be a step."""
    from functools import partial

    class Doubler:
        async def __call__(self, a: int) -> int:
            return a * 2

    def later(b: int) -> object:
        return returning(b + 1)()

    async def add(x: int, b: int) -> int:
        return x + b

    pipeline = (
        Pipeline("p")
        .step("a", run=returning(2))
        .step("b", run=Doubler())
        .step("c", run=later)
        .step("d", run=partial(add, 10))
    )
    ran = await run(pipeline, clock=SystemClock())
    assert ran.result.step_outputs == {"a": 2, "b": 4, "c": 5, "d": 14}


async def test_an_executor_without_services_opens_the_registered_ones() -> None:
    """The specification writes `PipelineExecutor(pipeline, config).execute()`."""
    result = await PipelineExecutor(chain("a"), {"max_planning_cycles": 2}).execute()
    assert result.success
    assert len(result.run_id) == 16


async def test_the_same_executor_runs_again_as_another_run() -> None:
    """An executor is a definition with services, not a run."""
    executor = PipelineExecutor(chain("a"), services=services())
    assert [(await executor.execute()).run_id, (await executor.execute()).run_id] == ["run-1", "run-2"]


async def test_a_due_retry_does_not_wait_for_the_steps_that_run() -> None:
    """It may be the very thing that they wait for."""
    mended = asyncio.Event()
    calls = itertools.count(1)

    async def flaky() -> None:
        if next(calls) == 1:
            raise RuntimeError("flaky")
        mended.set()

    async def wait() -> None:
        await mended.wait()

    pipeline = Pipeline("p", default_mode=CONCURRENT)
    pipeline.step("flaky", run=flaky).step("quick", run=returning(1)).step("wait", run=wait, depends_on=["quick"])
    assert (await run(pipeline, clock=SystemClock())).result.success


async def test_serial_steps_keep_their_order_when_one_is_tried_again() -> None:
    """One after another: a step that creates must not be overtaken by the one that inserts."""
    order: list[str] = []
    calls = itertools.count(1)

    async def create() -> None:
        order.append("create")
        if next(calls) < 3:
            raise RuntimeError("flaky")

    async def insert() -> None:
        order.append("insert")

    await run(Pipeline("p").step("create", run=create).step("insert", run=insert))
    assert order == ["create", "create", "create", "insert"]


async def test_nothing_is_written_while_nothing_happens() -> None:
    """A due SERIAL retry that waits for its turn must not spin."""
    commits = 0

    class Counting(MemoryStore):
        async def commit(self, batch: Batch) -> None:
            nonlocal commits
            commits += 1
            assert batch.records
            await super().commit(batch)

    pipeline = Pipeline("p").step("a", run=raising(RuntimeError("flaky"), times=2)).step("b", run=returning(1))
    assert (await run(pipeline, store=Counting())).result.success
    assert commits < 12


async def test_a_step_that_cancels_its_own_task_fails_and_does_not_hang_the_run() -> None:
    """Some libraries do, and never take it back."""

    async def give_up() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    ran = await run(Pipeline("p").step("a", run=give_up))
    assert ran.result.step_metadata["a"]["code"] == "step.cancelled"


async def test_a_step_that_goes_on_after_its_timeout_has_not_succeeded() -> None:
    """Swallowing the cancellation does not stretch the time."""

    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "late"
        return "never"

    ran = await run(Pipeline("p").step("a", run=stubborn, timeout=1, max_retries=0))
    assert ran.result.step_metadata["a"]["code"] == "step.timeout"


class Unspeakable(Exception):  # noqa: N818 - an error of somebody's
    def __str__(self) -> str:
        raise RuntimeError("no")


class Hidden(BaseModel):
    token: SecretStr = SecretStr("")


class Shortened(BaseModel):
    left_out: int = Field(exclude=True)


@pytest.mark.parametrize(
    ("function", "code"),
    [
        (lambda: "\ud800", "step.output"),
        (lambda: 10**5000, "step.output"),
        (lambda: float("nan"), "step.output"),
        (lambda: {"x": float("inf")}, "step.output"),
        (lambda: (n for n in range(3)), "step.output"),
        (lambda: {1: 1, "1": 2}, "step.output"),
        (raising(ValueError("\udcff")), "step.failed"),
        (raising(Unspeakable()), "step.failed"),
        (raising(BaseExceptionGroup("several", [asyncio.CancelledError()])), "step.failed"),  # type: ignore[arg-type]
        (raising(GeneratorExit()), "step.failed"),  # type: ignore[arg-type]  # an error of somebody's
        (lambda: (_ for _ in ()).throw(GeneratorExit), "step.failed"),
        (lambda: asyncio.to_thread((_ for _ in ()).throw, GeneratorExit), "step.failed"),
    ],
)
async def test_whatever_a_step_does_fails_the_step_and_never_the_run(function: object, code: str) -> None:
    """Its siblings have nothing to do with it."""
    pipeline = Pipeline("p").step("odd", run=function, max_retries=0).step("ok", run=returning(1))  # type: ignore[arg-type]
    ran = await run(pipeline, clock=SystemClock())
    assert ran.statuses == {"odd": "failed", "ok": "completed"}
    assert ran.result.step_metadata["odd"]["code"] == code
    assert ran.events, "the journal can be read"


@pytest.mark.parametrize("value", [Hidden(token=SecretStr("sk-1")), Shortened(left_out=1)])
async def test_what_would_not_come_back_as_it_was_fails_the_step(value: Hidden | Shortened) -> None:
    """The next step would get asterisks for a password, and the run would be called a success."""
    find = returning(value)
    ran = await run(Pipeline("p").step("a", run=find, output_schema=type(value)))
    metadata = ran.result.step_metadata["a"]
    assert (metadata["code"], "does not come back" in metadata["reason"]) == ("step.output", True)
    assert "sk-1" not in metadata["reason"]


async def test_an_error_of_pydantic_is_told_without_the_values() -> None:
    """They may be secret, and reasons go to journals and screens."""

    async def check() -> None:
        Fact.model_validate({"name": ["sk-secret"], "n": 1})

    ran = await run(Pipeline("p").step("a", run=check, max_retries=0))
    reason = ran.result.step_metadata["a"]["reason"]
    assert "name: Input should be a valid string" in reason
    assert "sk-secret" not in reason


async def test_parameters_are_given_what_their_annotations_say() -> None:
    """Text for a number is the number; and a dict for a model is the model."""

    def double(n: int) -> int:
        return n * 2

    async def use(found: Fact) -> str:
        return found.name

    pipeline = Pipeline("p").step("double", run=double).step("found", run=lambda: {"name": "x", "n": 1})
    pipeline.step("use", run=use).step("wrong", run=double_of_text)
    ran = await run(pipeline, inputs={"n": "3", "text": "three"}, clock=SystemClock())
    assert ran.result.step_outputs == {"double": 6, "found": {"name": "x", "n": 1}, "use": "x"}
    wrong = ran.result.step_metadata["wrong"]
    assert (wrong["code"], "three" in wrong["reason"]) == ("step.input", False)


def double_of_text(text: int) -> int:
    return text * 2


async def test_the_rest_of_the_parameters_take_the_rest_of_the_dependencies() -> None:
    """How the outputs of steps built in a loop are gathered."""

    async def total(s1: int, **others: int) -> list[int]:
        return [s1, sum(others.values())]

    pipeline = Pipeline("p", default_mode=CONCURRENT)
    for n in range(5):
        pipeline.step(f"s{n}", run=returning(n))
    pipeline.step("total", run=total, depends_on=[f"s{n}" for n in range(5)])
    assert (await run(pipeline)).result.final_output == [1, 9]


async def test_a_pipeline_changed_while_it_runs_is_another_pipeline() -> None:
    """The run goes on with what was started."""
    pipeline = chain("a", "b")
    executor = PipelineExecutor(pipeline, services=services())
    pipeline.steps.clear()
    assert (await executor.execute()).final_output == "b"


async def test_contexts_may_be_optional_annotated_or_behind_a_partial() -> None:
    """However it is written, it is asked for."""
    from functools import partial

    async def bound(x: int, run: StepContext) -> list[object]:
        return [x, run.step]

    async def optional(run: StepContext | None = None) -> bool:
        return run is not None

    async def annotated(run: Annotated[StepContext, "what"]) -> str:
        return run.step

    pipeline = Pipeline("p").step("b", run=partial(bound, 1)).step("o", run=optional).step("a", run=annotated)
    assert (await run(pipeline)).result.step_outputs == {"b": [1, "b"], "o": True, "a": "a"}


async def test_a_provider_that_asks_to_wait_for_hours_has_failed_the_step() -> None:
    """Nobody would know what the run is doing."""
    model = ScriptedModel([ModelRateLimitError("m", retry_after_seconds=1e9)])
    ran = await run(Pipeline("p").step("a", "Do a"), model=model)
    assert (ran.statuses["a"], ran.result.execution_time) == ("failed", 0)
