"""What reaches down into a pipeline inside a step: budgets, approvals, a cancel from elsewhere."""

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from builders import CONCURRENT, Recorder, returning, run, services
from crashes import Crash, CrashingStore, everybody_is_gone
from lasting import lasting
from tagent import approvals, approve, reject, resume, run_pipeline
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.pipeline import (
    Approval,
    Pipeline,
    PipelineExecutor,
    PipelineResult,
    PipelineStep,
    RunStatus,
    StepContext,
    repeat,
)
from tagent.pipeline.answering.answering import answer_approval, open_approvals
from tagent.pipeline.answering.documents import SCOPE
from tagent.pipeline.driving.cancelling import cancel_run
from tagent.pipeline.events import ApprovalRequested, InnerProgressed, RunResumed
from tagent.pipeline.journal import claim_watch
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.resuming import resume_run
from tagent.ports.documents import Put
from tagent.ports.effects import Effects
from tagent.testing import ScriptedModel

STUCK_SECONDS = 60.0


@pytest.fixture
def store(tmp_path: Path) -> dict[str, object]:
    """Return the settings that name a store on disk."""
    return {"store": f"file:///{tmp_path / 'runs'}"}


def talking(count: int, **options: object) -> Pipeline:
    """Return a pipeline of so many goals, one behind the other."""
    pipeline = Pipeline("inner", **options)  # type: ignore[arg-type]  # each by its name
    for number in range(count):
        pipeline.step(f"s{number}", "Say it", depends_on=[f"s{number - 1}"] if number else [])
    return pipeline


def answering(**options: float) -> ScriptedModel:
    """Return a model that says the same to everybody."""
    return ScriptedModel(lambda _: "done", **options)  # type: ignore[arg-type]  # each by its name


# Budgets


@pytest.mark.parametrize("whose", ["run", "step", "pipeline"])
async def test_the_calls_inside_are_paid_from_all_accounts_around_them(whose: str) -> None:
    """A budget holds for all that happens under it, and the message says whose it is."""
    limits = {"max_model_calls": 2}
    inner = talking(4, budget=limits if whose == "pipeline" else None)
    outer = Pipeline("outer", budget=limits if whose == "run" else None)
    outer.step("inner", pipeline=inner, budget=limits if whose == "step" else None)
    model = answering()
    ran = await run(outer, model=model)
    facts = ran.result.step_metadata["inner"]
    assert len(model.requests) == 2
    assert facts["code"] == "step.pipeline"
    assert f"[budget.exceeded]: The {whose}'s max_model_calls allows 2" in facts["reason"]
    assert facts["steps"]["s2"]["code"] == "budget.exceeded"


async def test_items_at_once_share_the_budget_of_their_step() -> None:
    """However many runs are inside."""
    model = answering()
    outer = Pipeline("outer").step("items", run=returning([1, 2, 3, 4]))
    outer.step("each", pipeline=talking(2), for_each="items", budget={"max_model_calls": 3}, min_success=0)
    await run(outer, model=model)
    assert len(model.requests) == 3


async def test_what_was_spent_before_a_crash_counts_inside_too() -> None:
    """Accounts begin with what is on record."""
    inner = talking(4, budget={"max_model_calls": 3})
    for at in range(1, 30):
        model, crashing = answering(), CrashingStore().arm(at)
        opened = everybody_is_gone(services(store=crashing, model=model))
        outer = Pipeline("outer").step("inner", pipeline=inner)
        is_over = False
        with suppress(Crash):
            await PipelineExecutor(outer, services=opened).execute()
            is_over = True
        crashing.arm(10**9)
        if is_over or (await crashing.run("run-1")).finished_at is not None:
            break
        result = await resume_run("run-1", opened, TAgentConfig(), pipeline=outer)
        assert len(model.requests) == 3, at
        assert result.token_usage["inner"].requests == 3
    assert at > 6


async def test_a_run_that_waits_for_a_larger_budget_goes_on_inside() -> None:
    """The pause reaches the outermost run, and what completed inside stays."""
    model, memory = answering(), MemoryStore()
    outer = Pipeline("outer", budget={"max_model_calls": 2}, on_budget="wait").step("inner", pipeline=talking(4))
    opened = services(store=memory, model=model)
    waiting = await PipelineExecutor(outer, services=opened).execute()
    assert (waiting.status, waiting.code) == (RunStatus.WAITING, "budget.exceeded")
    assert waiting.step_metadata["inner"]["steps"]["s1"]["status"] == "completed"
    more = TAgentConfig(max_model_calls=9)
    result = await resume_run(waiting.run_id, opened, TAgentConfig(), pipeline=outer, overrides=more)
    assert result.success, result.explain()
    assert len(model.requests) == 4


# Approvals


def asking(**options: object) -> tuple[Pipeline, Counter[str]]:
    """Return a pipeline with an approval two pipelines deep, and what was called."""
    calls: Counter[str] = Counter()

    def noted(name: str) -> object:
        calls[name] += 1
        return name

    deep = Pipeline("deep").step("before", run=lambda: noted("before"))
    deep.step("refund", run=lambda before: noted("refund"), approval=Approval(question="Refund {before}?", **options))  # type: ignore[arg-type]
    middle = Pipeline("middle").step("deep", pipeline=deep)
    outer = Pipeline("outer").step("middle", pipeline=middle, execution_mode=CONCURRENT)
    return outer.step("free", run=lambda: noted("free"), execution_mode=CONCURRENT), calls


def test_an_approval_inside_pauses_the_run_and_is_answered_by_its_path(store: dict[str, object]) -> None:
    """The process may end; nothing that was done is done again."""
    outer, calls = asking()
    waiting = run_pipeline(outer, store)
    assert (waiting.status, waiting.code) == (RunStatus.WAITING, "approval.waiting")
    [found] = approvals(waiting.run_id, store)
    assert (found.step, found.question) == ("middle/deep/refund", "Refund before?")
    approve(waiting.run_id, "middle/deep/refund", store)
    result = resume(waiting.run_id, outer, store)
    assert result.success, result.explain()
    assert calls == {"before": 1, "refund": 1, "free": 1}
    assert not approvals(waiting.run_id, store)


def test_a_rejection_inside_fails_the_steps_around_it(store: dict[str, object]) -> None:
    """A no is no for the pipeline, too; its step says so."""
    outer, calls = asking()
    waiting = run_pipeline(outer, store)
    reject(waiting.run_id, "middle/deep/refund", store, comment="Too much.")
    result = resume(waiting.run_id, outer, store)
    assert calls["refund"] == 0
    assert result.step_metadata["middle"]["code"] == "step.pipeline"
    assert "approval.rejected" in result.step_metadata["middle"]["reason"]


async def test_a_run_that_is_driven_goes_on_inside_when_the_answer_comes() -> None:
    """While something else works, nobody need resume anything."""
    outer, calls = asking()
    asked, answered = asyncio.Event(), asyncio.Event()

    class Watch:
        def emit(self, event: object) -> None:
            while isinstance(event, InnerProgressed):
                event = event.event
            if isinstance(event, ApprovalRequested):
                asked.set()

    async def busy() -> None:
        await answered.wait()

    outer.step("busy", run=busy, execution_mode=CONCURRENT)
    opened = services(store=MemoryStore(), sinks=(Watch(),))

    async def say_yes() -> None:
        await asked.wait()
        await answer_approval("run-1", "middle/deep/refund", opened, is_approved=True)
        answered.set()

    async with asyncio.timeout(STUCK_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(say_yes())
        result = await PipelineExecutor(outer, services=opened).execute()
    assert result.success, result.explain()
    assert calls == {"before": 1, "refund": 1, "free": 1}


def test_each_item_and_each_round_asks_for_itself(store: dict[str, object]) -> None:
    """Their paths tell them apart."""
    inner = Pipeline("inner").step("pay", run=lambda item: item, approval=True)
    outer = Pipeline("outer").step("each", pipeline=inner, for_each="items")
    waiting = run_pipeline(outer, store, inputs={"items": [5, 6]})
    assert [it.step for it in approvals(waiting.run_id, store)] == ["each/0/pay", "each/1/pay"]
    approve(waiting.run_id, "each/0/pay", store)
    still = resume(waiting.run_id, outer, store)
    assert (still.status, [it.step for it in approvals(waiting.run_id, store)]) == ("waiting", ["each/1/pay"])
    approve(waiting.run_id, "each/1/pay", store)
    assert resume(waiting.run_id, outer, store).final_output == [5, 6]

    loop = Pipeline("loop").step("grow", run=lambda previous: 1 + (previous or 0), approval="output")
    rounds = Pipeline("rounds").add_step(repeat(PipelineStep(name="loop", pipeline=loop), max_times=2))
    waiting = run_pipeline(rounds, store)
    assert [it.step for it in approvals(waiting.run_id, store)] == ["loop/1/grow"]
    approve(waiting.run_id, "loop/1/grow", store)
    waiting = resume(waiting.run_id, rounds, store)
    assert [it.step for it in approvals(waiting.run_id, store)] == ["loop/2/grow"]
    approve(waiting.run_id, "loop/2/grow", store)
    assert resume(waiting.run_id, rounds, store).final_output == 2


def undone_at_first(calls: Counter[str], paying: asyncio.Event) -> Pipeline:
    """Return a pipeline that is rolled back the first time, and asks inside a step."""

    async def last() -> int:
        calls["last"] += 1
        if calls["last"] == 1:
            raise ValueError
        return calls["paid"]

    async def busy() -> None:
        if calls["last"]:  # the second time
            await paying.wait()

    def pay() -> None:
        calls["paid"] += 1
        paying.set()

    inner = Pipeline("inner").step("pay", run=pay, approval=True, compensate=lambda: None)
    inner.step("busy", run=busy, execution_mode=CONCURRENT)
    outer = Pipeline("outer", on_failure="rollback").step("inner", pipeline=inner)
    return outer.step("last", run=last, depends_on=["inner"], max_retries=0)


@pytest.mark.parametrize("is_driven", [True, False])
async def test_after_a_rollback_a_step_inside_is_asked_about_by_the_same_path(*, is_driven: bool) -> None:
    """The run inside has another id then, of which whoever answers knows nothing."""
    calls, paying = Counter[str](), asyncio.Event()
    outer = undone_at_first(calls, paying)
    with lasting(MemoryStore()) as opened:

        async def resumed() -> PipelineResult:
            async with asyncio.timeout(STUCK_SECONDS):
                return await resume_run("run-1", opened, TAgentConfig(), pipeline=outer)

        async def say_yes() -> None:
            while not (found := await open_approvals(opened)):  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)
            assert [it.step for it in found] == ["inner/pay"]
            await answer_approval("run-1", "inner/pay", opened, is_approved=True)

        await PipelineExecutor(outer, services=opened).execute()
        await say_yes()
        assert (await resumed()).step_metadata["inner"]["status"] == "compensated"
        if is_driven:
            paying.clear()
            async with asyncio.TaskGroup() as group:
                group.create_task(say_yes())
                result = await resumed()
        else:
            assert (await resumed()).status == "waiting"
            await say_yes()
            result = await resumed()
        assert (result.status, result.final_output) == ("completed", 2), result.explain()
        assert await open_approvals(opened) == ()


async def test_what_is_asked_as_a_run_inside_begins_can_be_answered() -> None:
    """Also where something else is written as it begins: that its steps listen for events."""

    def pay(context: StepContext) -> None:
        context.messages.broadcast("receipts", {"amount": 40})

    inner = Pipeline("inner").step("pay", run=pay, approval=True).step("wait", wait_for="receipts", depends_on=["pay"])
    outer = Pipeline("outer").step("inner", pipeline=inner)
    with lasting(MemoryStore()) as opened:
        waiting = await PipelineExecutor(outer, services=opened).execute()
        assert waiting.status == "waiting"
        assert [it.step for it in await open_approvals(opened)] == ["inner/pay"]
        await answer_approval("run-1", "inner/pay", opened, is_approved=True)
        async with asyncio.timeout(STUCK_SECONDS):
            result = await resume_run("run-1", opened, TAgentConfig(), pipeline=outer)
        assert result.final_output == {"amount": 40}, result.explain()


async def test_an_answer_two_pipelines_deep_is_heard_while_a_step_beside_it_works() -> None:
    """Whoever is in the middle hands it on: its own steps need nobody's word, and it is not idle."""
    order: list[str] = []
    paid = asyncio.Event()

    async def busy() -> None:
        await paid.wait()
        order.append("busy")

    async def pay() -> None:
        order.append("pay")
        paid.set()

    deep = Pipeline("deep").step("pay", run=pay, approval=True)
    middle = Pipeline("middle", default_mode=CONCURRENT).step("deep", pipeline=deep).step("busy", run=busy)
    outer = Pipeline("outer").step("middle", pipeline=middle)
    opened = services(store=MemoryStore())

    async def say_yes() -> None:
        while not await open_approvals(opened):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        await answer_approval("run-1", "middle/deep/pay", opened, is_approved=True)

    async with asyncio.timeout(STUCK_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(say_yes())
        result = await PipelineExecutor(outer, services=opened).execute()
    assert result.success, result.explain()
    assert order == ["pay", "busy"]


# Cancelling


async def test_a_cancel_from_elsewhere_reaches_what_runs_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver stops the step inside, and both are on record as cancelled."""
    monkeypatch.setattr(claim_watch, "LOOK_SECONDS", 0.01)
    began, cut_off = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut_off.set()

    recorder = Recorder()
    memory = MemoryStore()
    opened = services(store=memory, sinks=(recorder,))
    inner = Pipeline("inner").step("done", run=returning(1)).step("long", run=wait).step("after", run=lambda long: long)
    outer = Pipeline("outer").step("inner", pipeline=inner)

    async def cancel() -> None:
        await began.wait()
        await cancel_run("run-1", opened)

    async with asyncio.timeout(STUCK_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(cancel())
        result = await PipelineExecutor(outer, services=opened).execute()
    assert cut_off.is_set()
    assert result.status is RunStatus.CANCELLED
    inside = result.step_metadata["inner"]["steps"]
    assert {name: str(it["status"]) for name, it in inside.items()} == {
        "done": "completed",
        "long": "cancelled",
        "after": "cancelled",
    }


async def test_what_was_cancelled_can_be_resumed_inside() -> None:
    """As any cancelled run: what completed stays."""
    memory, calls = MemoryStore(), Counter[str]()
    began = asyncio.Event()

    async def first() -> int:
        calls["first"] += 1
        return 1

    async def second(first: int) -> int:
        calls["second"] += 1
        if calls["second"] == 1:
            began.set()
            await asyncio.Event().wait()
        return first

    inner = Pipeline("inner").step("first", run=first).step("second", run=second)
    outer = Pipeline("outer").step("inner", pipeline=inner)
    opened = services(store=memory)

    async def cancel() -> None:
        await began.wait()
        await cancel_run("run-1", opened)

    async with asyncio.timeout(STUCK_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(cancel())
        await PipelineExecutor(outer, services=opened).execute()
    result = await resume_run("run-1", opened, TAgentConfig(), pipeline=outer)
    assert (result.final_output, calls) == (1, {"first": 1, "second": 2})
    resumed = [
        event.event
        for event in await load_events(memory, "run-1")
        if isinstance(event, InnerProgressed) and isinstance(event.event, RunResumed)
    ]
    assert len(resumed) == 1


# Large outputs


async def test_a_question_about_a_large_output_inside_that_is_missing_is_asked_again_with_its_beginning() -> None:
    """It is read off the journal, where the output itself is not."""
    inner = Pipeline("inner").step("draft", run=returning("x" * 100_000), approval="output")
    outer = Pipeline("outer").step("inner", pipeline=inner)
    with lasting(MemoryStore()) as opened:
        await PipelineExecutor(outer, services=opened).execute()
        await opened.store.write(Effects(puts=(Put(SCOPE, "run-1/inner/draft", None),)))
        assert await open_approvals(opened) == ()
        waiting = await resume_run("run-1", opened, TAgentConfig(), pipeline=outer)
        assert waiting.status == "waiting"
        [asked] = await open_approvals(opened)
        assert asked.step == "inner/draft"
        assert set(str(asked.output)) == {"x"}
        await answer_approval("run-1", "inner/draft", opened, is_approved=True)
        result = await resume_run("run-1", opened, TAgentConfig(), pipeline=outer)
        assert len(result.final_output) == 100_000


async def test_a_store_that_lasts_is_read_again_for_what_is_inside() -> None:
    """Outputs inside that are beside the journal are loaded before a step inside reads them."""
    large = "x" * 100_000
    calls: Counter[str] = Counter()

    async def bad(first: str) -> int:
        calls["bad"] += 1
        if calls["bad"] == 1:
            raise ValueError
        return len(first)

    inner = Pipeline("inner").step("first", run=returning(large)).step("second", run=bad, max_retries=0)
    outer = Pipeline("outer").step("inner", pipeline=inner)
    with lasting(MemoryStore()) as opened:
        failed = await PipelineExecutor(outer, services=opened).execute()
        result = await resume_run(failed.run_id, opened, TAgentConfig(), pipeline=outer)
        assert result.final_output == 100_000, result.explain()
