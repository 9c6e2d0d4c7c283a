"""Crashes while a pipeline runs inside a step: nothing inside that is on record is done again."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest

from builders import CONCURRENT, raising, returning, run, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent.config import TAgentConfig
from tagent.pipeline import Pipeline, PipelineExecutor, PipelineStep, RetryPolicy, RunStatus, StepContext, repeat
from tagent.pipeline.events import InnerProgressed, RunEvent, StepCompleted
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.state import fold
from tagent.testing import ScriptedModel


def counting(calls: Counter[str]) -> Pipeline:
    """Return a pipeline with one of each inside others: steps, items, rounds, a goal and effects."""

    def work(name: str, value: object) -> Callable[..., object]:
        async def function(context: StepContext) -> object:
            calls[f"{context.idempotency_key}"] += 1
            await context.memory.run.aput(name, value)
            return value

        return function

    async def grow(previous: int | None, context: StepContext) -> int:
        calls[context.idempotency_key] += 1
        return 1 + (previous or 0)

    async def squared(item: int, context: StepContext) -> int:
        calls[context.idempotency_key] += 1
        return item * item

    deep = Pipeline("deep").step("deepest", run=work("deepest", "deepest"))
    deep.step("say", "Say it", depends_on=["deepest"])
    middle = Pipeline("middle").step("first", run=work("first", 1)).step("deep", pipeline=deep, depends_on=["first"])
    middle.step("last", run=lambda first, deep: [first, deep])
    each = Pipeline("each").step("squared", run=squared)
    loop = Pipeline("loop").step("grow", run=grow)
    outer = Pipeline("outer").step("numbers", run=returning([2, 3]))
    outer.step("middle", pipeline=middle, execution_mode=CONCURRENT)
    outer.step("each", pipeline=each, for_each="numbers")
    outer.add_step(repeat(PipelineStep(name="loop", pipeline=loop), until="output >= 2", max_times=4))
    return outer.step("end", run=lambda middle, each, loop: [middle, each, loop])


def length(inner: str) -> int:
    """Return how long what the pipeline inside gave is."""
    return len(inner)


def failing(calls: Counter[str]) -> Callable[..., object]:
    """Return a step function that always raises, and counts how often."""

    async def bad() -> None:
        calls["bad"] += 1
        raise ValueError

    return bad


def ended(events: tuple[RunEvent, ...]) -> Counter[str]:
    """Return how often each step inside has completed, by path."""
    found: Counter[str] = Counter()
    for event in events:
        path, inside = [], event
        while isinstance(inside, InnerProgressed):
            path += [inside.step, inside.part]
            inside = inside.event
        if isinstance(inside, StepCompleted):
            found["/".join(filter(None, [*path, inside.step]))] += 1
    return found


@pytest.mark.parametrize("is_written", [True, False])
async def test_a_crash_at_any_commit_repeats_nothing_that_is_on_record(*, is_written: bool) -> None:
    """Neither steps inside nor calls of their models, at whatever depth; and the outcome is that of no crash."""
    whole = await run(counting(Counter()), model=ScriptedModel(["It."] * 9))
    expected = [[1, "It."], [4, 9], 2]
    assert whole.result.final_output == expected, whole.result.explain()
    at = 0
    while True:
        at += 1
        calls: Counter[str] = Counter()
        model, store = ScriptedModel(["It."] * 9), CrashingStore().arm(at, is_written=is_written)
        opened = everybody_is_gone(services(store=store, model=model))
        pipeline = counting(calls)
        is_over = False
        with suppress(Crash):
            await PipelineExecutor(pipeline, services=opened).execute()
            is_over = True
        store.arm(10**9)
        if is_over:
            break
        if not await store.runs():
            continue
        before = ended(await load_events(store, "run-1"))
        asked_before, done_before = len(model.requests), Counter(calls)
        result = await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline)
        assert result.final_output == expected, (at, result.explain())
        events = await load_events(store, "run-1")
        assert set(ended(events).values()) == {1}, at
        for path in before:
            key = f"run-1/{path}"
            assert calls[key] == done_before[key], (at, key)
        if before["middle/deep/say"]:
            assert len(model.requests) == asked_before, at
        state = fold(PipelineExecutor(pipeline, services=opened).scheduler.graph, events)
        assert state.status is RunStatus.COMPLETED
    assert at > 15


async def test_a_model_call_inside_that_is_on_record_is_not_made_again() -> None:
    """The agent of a step inside goes on where it was, as one outside does."""

    def look() -> str:
        """Look around."""
        return "a door"

    inner = Pipeline("inner").step("see", "What is there?", tools=[look])
    outer = Pipeline("outer").step("inner", pipeline=inner)
    requests: set[int] = set()
    for at in range(1, 40):
        model = ScriptedModel([[{"tool_name": "look"}], "A door.", "again", "again"])
        store = CrashingStore().arm(at)
        opened = everybody_is_gone(services(store=store, model=model))
        with suppress(Crash):
            await PipelineExecutor(outer, services=opened).execute()
            break
        store.arm(10**9)
        result = await resume_run("run-1", opened, TAgentConfig(), pipeline=outer)
        assert result.final_output == "A door."
        requests.add(len(model.requests))
    assert requests == {2}


async def test_a_run_inside_that_failed_just_before_a_crash_has_failed() -> None:
    """A crash is no further try."""
    for at in range(1, 12):
        calls: Counter[str] = Counter()
        inner = Pipeline("inner").step("bad", run=failing(calls), max_retries=0)
        outer = Pipeline("outer").step("inner", pipeline=inner)
        store = CrashingStore().arm(at)
        opened = everybody_is_gone(services(store=store))
        is_over = False
        with suppress(Crash):
            await PipelineExecutor(outer, services=opened).execute()
            is_over = True
        store.arm(10**9)
        failed = [
            event
            for event in await load_events(store, "run-1")
            if isinstance(event, InnerProgressed) and type(event.event).__name__ == "StepFailed"
        ]
        before = calls["bad"]
        if is_over:
            break
        if (await store.run("run-1")).finished_at is not None:
            continue
        result = await resume_run("run-1", opened, TAgentConfig(), pipeline=outer)
        assert result.step_metadata["inner"]["code"] == "step.pipeline"
        if failed:
            assert calls["bad"] == before, at


async def test_resuming_a_failed_run_opens_what_failed_inside() -> None:
    """As outside: what completed stays, what failed has all its attempts again."""
    calls: Counter[str] = Counter()

    async def first() -> int:
        calls["first"] += 1
        return 1

    async def second(first: int) -> int:
        calls["second"] += 1
        if calls["second"] == 1:
            raise ValueError
        return first

    inner = Pipeline("inner").step("first", run=first).step("second", run=second, max_retries=0)
    outer = Pipeline("outer").step("inner", pipeline=inner)
    opened = services()
    failed = await PipelineExecutor(outer, services=opened).execute()
    assert failed.status is RunStatus.FAILED
    result = await resume_run(failed.run_id, opened, TAgentConfig(), pipeline=outer)
    assert result.final_output == 1
    assert calls == {"first": 1, "second": 2}


async def test_todays_definition_counts_inside_too() -> None:
    """A mended step inside is what a resume with `definition="current"` is for."""

    def outer(*, is_mended: bool) -> Pipeline:
        async def second(first: int) -> int:
            if not is_mended:
                raise ValueError
            return first + 1

        inner = Pipeline("inner").step("first", run=returning(1)).step("second", run=second, max_retries=0)
        if is_mended:
            inner.step("third", run=lambda second: second * 10)
        return Pipeline("outer").step("inner", pipeline=inner)

    opened = services()
    failed = await PipelineExecutor(outer(is_mended=False), services=opened).execute()
    result = await resume_run(
        failed.run_id, opened, TAgentConfig(), pipeline=outer(is_mended=True), definition="current"
    )
    assert result.final_output == 20, result.explain()


async def test_an_undone_pipeline_begins_anew() -> None:
    """Its effects are undone, so all of it is done once more."""
    calls: Counter[str] = Counter()

    async def work(context: StepContext) -> int:
        calls[context.run_id] += 1
        return 1

    async def bad(inner: int) -> int:
        calls["bad"] += 1
        if calls["bad"] == 1:
            raise ValueError
        return inner

    inner = Pipeline("inner").step("work", run=work)
    outer = Pipeline("outer", on_failure="rollback")
    outer.step("inner", pipeline=inner, compensate=lambda inner: None).step("bad", run=bad, max_retries=0)
    opened = services()
    failed = await PipelineExecutor(outer, services=opened).execute()
    assert failed.step_metadata["inner"]["status"] == "compensated"
    result = await resume_run(failed.run_id, opened, TAgentConfig(), pipeline=outer)
    assert result.success, result.explain()
    assert calls == {"run-1/inner": 1, "run-1/inner~1": 1, "bad": 2}


async def test_large_outputs_inside_lie_beside_the_journal_and_are_read_again() -> None:
    """A resume finds them, and nothing is cut to its excerpt."""
    large = "x" * 100_000

    async def second(first: str) -> int:
        return len(first)

    def outer() -> Pipeline:
        inner = Pipeline("inner").step("first", run=returning(large)).step("second", run=second)
        inner.step("third", run=lambda first, second: first + str(second))
        return Pipeline("outer").step("inner", pipeline=inner).step("end", run=length)

    for at in range(1, 14):
        store = CrashingStore().arm(at)
        opened = everybody_is_gone(services(store=store))
        with suppress(Crash):
            await PipelineExecutor(outer(), services=opened).execute()
        store.arm(10**9)
        records = await store.records("run-1")
        assert max(len(record.payload) for record in records) < 20_000
        if (await store.run("run-1")).finished_at is not None:
            break
        result = await resume_run("run-1", opened, TAgentConfig(), pipeline=outer())
        assert result.final_output == 100_006
        assert len(result.step_outputs["inner"]) == 100_006


async def test_retries_of_the_step_outside_are_counted_over_crashes() -> None:
    """Each attempt is one, however often its process died."""
    again = RetryPolicy(only=("step.pipeline",), base_seconds=0.0, ceiling_seconds=0.0)
    for at in range(1, 60):
        calls: Counter[str] = Counter()
        inner = Pipeline("inner").step("bad", run=failing(calls), max_retries=0)
        outer = Pipeline("outer").step("inner", pipeline=inner, max_retries=2, retry=again)
        store = CrashingStore().arm(at)
        opened = everybody_is_gone(services(store=store))
        is_over = False
        with suppress(Crash):
            await PipelineExecutor(outer, services=opened).execute()
            is_over = True
        store.arm(10**9)
        if is_over or (await store.run("run-1")).finished_at is not None:
            break
        result = await resume_run("run-1", opened, TAgentConfig(), pipeline=outer)
        assert result.step_metadata["inner"]["attempts"] == 3, at
        assert 3 <= calls["bad"] <= 4, at


def undoing(undone: list[str], *, inside: bool = True) -> Pipeline:
    """Return a pipeline whose rollback reaches two pipelines down."""

    def undo(name: str) -> Callable[..., object]:
        async def function(context: StepContext) -> None:
            undone.append(f"{context.run_id}/{name}")

        return function

    deep = Pipeline("deep").step("c", run=returning(3), compensate=undo("c"))
    middle = Pipeline("middle").step("a", run=returning(1), compensate=undo("a"))
    middle.step("b", run=returning(2), depends_on=["a"], compensate=undo("b")).step(
        "deep", pipeline=deep, depends_on=["b"]
    )
    outer = Pipeline("outer", on_failure="rollback")
    outer.step("middle", pipeline=middle, compensate=None if inside else undo("middle"))
    return outer.step("bad", run=raising(ValueError("x")), max_retries=0, depends_on=["middle"])


async def test_a_rollback_reaches_down_to_the_steps_inside() -> None:
    """Last first; a step with a compensation of its own is undone by that alone."""
    undone: list[str] = []
    ran = await run(undoing(undone))
    assert undone == ["run-1/middle/deep/c", "run-1/middle/b", "run-1/middle/a"]
    assert ran.statuses == {"middle": "compensated", "bad": "failed"}
    inside = ran.result.step_metadata["middle"]["steps"]
    assert {name: str(it["status"]) for name, it in inside.items()} == dict.fromkeys(("a", "b", "deep"), "compensated")
    whole: list[str] = []
    await run(undoing(whole, inside=False))
    assert whole == ["run-1/middle"]


async def test_a_crash_while_it_is_undone_inside_undoes_nothing_twice() -> None:
    """What is on record as undone is; the rest is undone by whoever resumes."""
    for at in range(1, 60):
        undone: list[str] = []
        store = CrashingStore().arm(at)
        opened = everybody_is_gone(services(store=store))
        with suppress(Crash):
            await PipelineExecutor(undoing(undone), services=opened).execute()
        store.arm(10**9)
        if (await store.run("run-1")).finished_at is not None:
            break
        result = await resume_run("run-1", opened, TAgentConfig(), pipeline=undoing(undone))
        assert result.step_metadata["middle"]["status"] == "compensated", (at, result.explain())
        assert len(set(undone)) == 3, at
        assert len(undone) <= 4, at  # what was under way may be done once more
    assert at > 10


async def test_what_cannot_be_undone_inside_is_told_outside() -> None:
    """The step is not undone, and says which one inside was not."""
    inner = Pipeline("inner").step("a", run=returning(1), compensate=raising(ValueError("no way back")), max_retries=0)
    outer = Pipeline("outer", on_failure="rollback").step("inner", pipeline=inner)
    outer.step("bad", run=raising(ValueError("x")), max_retries=0, depends_on=["inner"])
    ran = await run(outer)
    facts = ran.result.step_metadata["inner"]
    assert (facts["status"], facts["code"]) == ("completed", "step.compensation")
    assert "its step 'a'" in facts["reason"]
