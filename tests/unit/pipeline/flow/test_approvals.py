"""What an approval means for a run: what waits, what counts, and what an answer does."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

import tagent
from builders import CONCURRENT, Recorder, returning
from lasting import lasting
from tagent import aapprovals, aapprove, approvals, approve, areject, reject, resume, run_pipeline
from tagent.adapters.clock import SystemClock
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.exceptions import ConfigurationError
from tagent.pipeline import (
    AnsweredApproval,
    Approval,
    ApprovalAnsweredError,
    ApprovalNotOpenError,
    ApprovalOutputError,
    Pipeline,
    PipelineExecutor,
    PipelineResult,
    PipelineValidationError,
    StepContext,
    StepOutputError,
    StepStatus,
    validate,
)
from tagent.pipeline.answering.answering import answer_approval, open_approvals
from tagent.pipeline.answering.documents import ANSWERED, SCOPE
from tagent.pipeline.driving.cancelling import cancel_run
from tagent.pipeline.events import ApprovalAnswered, RunPaused
from tagent.pipeline.journal.history import history
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.stored.origins import NoPipelineError
from tagent.ports import Services, Store
from tagent.ports.documents import DocumentQuery, Put
from tagent.ports.effects import Effects
from tagent.ports.records import Batch
from tagent.ports.store_errors import StoreUnavailableError, UnknownRunError
from tagent.testing import ManualClock


@pytest.fixture
def store(tmp_path: Path) -> dict[str, object]:
    return {"store": f"file:///{tmp_path / 'runs'}"}


class Calls(list[str]):
    """Notes what was called."""

    def of(self, name: str, gives: object = "done") -> Callable[[], object]:
        """Return a step function with this name that notes its calls."""

        def function() -> object:
            self.append(name)
            return gives

        return function


def steps_of(result: PipelineResult) -> dict[str, str]:
    return {name: f"{it['status']} {it['code']}".strip() for name, it in result.step_metadata.items()}


def test_nothing_of_a_step_runs_before_the_yes_and_nothing_twice(store: dict[str, object]) -> None:
    """Its items neither; and what was done before the pause is not done again."""
    calls = Calls()
    pipeline = Pipeline("p").step("list", run=calls.of("list", [1, 2]))
    pipeline.step("each", run=lambda item: calls.append(f"item {item}"), for_each="list", approval=True)
    waiting = run_pipeline(pipeline, store)
    assert (waiting.status, waiting.code, calls) == ("waiting", "approval.waiting", ["list"])
    approve(waiting.run_id, "each", store)
    assert resume(waiting.run_id, pipeline, store).success
    assert sorted(calls) == ["item 1", "item 2", "list"]


def test_all_else_goes_on_meanwhile(store: dict[str, object]) -> None:
    """A run waits when nothing else can be done."""
    pipeline = Pipeline("p").step("asked", run=returning(1), approval=True).step("free", run=returning(2))
    pipeline.step("behind", run=lambda asked: asked, depends_on=["asked"])
    waiting = run_pipeline(pipeline, store)
    assert steps_of(waiting) == {"asked": "waiting", "free": "completed", "behind": "pending"}


def test_what_a_step_wrote_counts_only_with_the_yes(store: dict[str, object]) -> None:
    """Neither its facts nor its memory, while somebody still looks at its output."""

    def learn(context: StepContext) -> str:
        context.facts["hills"] = 7
        context.memory.pipeline.put("price", 40)
        return "learnt"

    pipeline = Pipeline("p").step("learn", run=learn, approval="output")

    async def price() -> object:
        async with tagent.runtime.open_services(TAgentConfig(**store)) as opened:
            return await opened.store.document("pipeline/p", "price")

    waiting = run_pipeline(pipeline, store)
    assert (waiting.learned_facts, waiting.step_outputs, asyncio.run(price())) == ({}, {}, None)
    approve(waiting.run_id, "learn", store)
    done = resume(waiting.run_id, pipeline, store)
    assert (done.learned_facts, done.final_output) == ({"hills": 7}, "learnt")
    assert asyncio.run(price()) is not None


def test_what_a_rejected_output_came_with_never_counts(store: dict[str, object]) -> None:
    """And its fallback takes its place, as after any failure; it is not tried again."""
    calls = Calls()

    def learn(context: StepContext) -> str:
        calls.append("learn")
        context.facts["hills"] = 8
        return "wrong"

    pipeline = Pipeline("p").step("learn", run=learn, approval="output", on_error="guess", max_retries=3)
    pipeline.step("guess", run=lambda: "guessed").step("text", run=lambda learn: f"It is {learn}.")
    waiting = run_pipeline(pipeline, store)
    reject(waiting.run_id, "learn", store, comment="Eight?", actor="ana@desk")
    done = resume(waiting.run_id, pipeline, store)
    assert (done.final_output, done.learned_facts, calls) == ("It is guessed.", {}, ["learn"])
    assert "Eight?" in done.step_metadata["learn"]["reason"]


def test_an_optional_step_that_is_rejected_does_not_stop_the_run(store: dict[str, object]) -> None:
    """A no is a failure like any other."""
    pipeline = Pipeline("p").step("extra", run=returning(1), approval=True, optional=True)
    pipeline.step("rest", run=returning(2), depends_on=["extra"])
    waiting = run_pipeline(pipeline, store)
    reject(waiting.run_id, "extra", store)
    done = resume(waiting.run_id, pipeline, store)
    assert (done.status, done.final_output) == ("completed", 2)
    assert steps_of(done)["extra"] == "failed approval.rejected"


def test_an_edited_output_is_checked_against_the_type_of_its_step(store: dict[str, object]) -> None:
    """It is refused as a whole, or counts as if the step had given it."""
    pipeline = Pipeline("p").step("count", run=lambda: 7, output_schema=int, approval="output")
    pipeline.step("double", run=lambda count: 2 * count)
    run_id = run_pipeline(pipeline, store).run_id
    with pytest.raises(StepOutputError):
        approve(run_id, "count", store, output="eight", pipeline=pipeline)
    with pytest.raises(NoPipelineError):
        approve(run_id, "count", store, output=8)
    assert [it.step for it in approvals(run_id, store)] == ["count"]
    assert approve(run_id, "count", store, output=8, pipeline=pipeline).is_edited
    assert resume(run_id, pipeline, store).final_output == 16


def test_there_is_nothing_to_edit_before_a_step_starts(store: dict[str, object]) -> None:
    """Whoever thinks so has misread the question."""
    pipeline = Pipeline("p").step("count", run=lambda: 7, approval=True)
    run_id = run_pipeline(pipeline, store).run_id
    with pytest.raises(ApprovalOutputError):
        approve(run_id, "count", store, output=8, pipeline=pipeline)
    assert approve(run_id, "count", store).goes_on.by == "nobody"


def test_whoever_comes_second_is_told_who_was_first(store: dict[str, object]) -> None:
    """While the run waits, while it goes on, and when it has ended."""
    pipeline = Pipeline("p").step("a", run=returning(1), approval=True).step("b", run=lambda a: a, approval=True)
    run_id = run_pipeline(pipeline, store).run_id
    approve(run_id, "a", store, actor="ana@desk", comment="Yes.")

    def told() -> tuple[str, bool, str]:
        with pytest.raises(ApprovalAnsweredError) as caught:
            reject(run_id, "a", store)
        return caught.value.actor, caught.value.is_approved, caught.value.comment

    assert told() == ("ana@desk", True, "Yes.")
    resume(run_id, pipeline, store)
    assert told() == ("ana@desk", True, "Yes.")
    approve(run_id, "b", store)
    assert resume(run_id, pipeline, store).success
    assert told() == ("ana@desk", True, "Yes.")


def test_a_step_that_nobody_is_asked_about_is_refused_with_what_is_asked(store: dict[str, object]) -> None:
    """A name is easily misspelt."""
    pipeline = Pipeline("p").step("refund", run=returning(1), approval=True).step("rest", run=lambda refund: refund)
    run_id = run_pipeline(pipeline, store).run_id
    with pytest.raises(ApprovalNotOpenError, match="Did you mean 'refund'") as caught:
        approve(run_id, "refnud", store)
    assert caught.value.open == ("refund",)
    with pytest.raises(ApprovalNotOpenError):
        approve(run_id, "rest", store)
    with pytest.raises(UnknownRunError):
        approve(f"{run_id}x", "refund", store)
    with pytest.raises(UnknownRunError):
        approvals(f"{run_id}x", store)


def test_a_cancelled_run_waits_for_nothing(store: dict[str, object]) -> None:
    """Its question is taken back with it."""
    pipeline = Pipeline("p").step("a", run=returning(1), approval=True)
    run_id = run_pipeline(pipeline, store).run_id
    tagent.cancel(run_id, store)
    assert approvals(config=store) == ()
    with pytest.raises(ApprovalNotOpenError, match="cancelled"):
        approve(run_id, "a", store)


def test_a_fork_of_a_run_that_waits_asks_anew(store: dict[str, object]) -> None:
    """A yes for one run is none for another."""
    pipeline = Pipeline("p").step("a", run=returning(1)).step("b", run=lambda a: a, approval=True)
    run_id = run_pipeline(pipeline, store).run_id
    new = tagent.fork(run_id, store, from_step="b")
    approve(run_id, "b", store)
    again = resume(new.run_id, pipeline, store)
    assert again.status == "waiting"
    approve(new.run_id, "b", store)
    assert resume(new.run_id, pipeline, store).success


@pytest.mark.parametrize("junk", [b"", b"\xff", b"[]", b'{"answer": {"is_approved": "yes"}}'])
def test_a_damaged_question_can_be_answered_all_the_same(store: dict[str, object], junk: bytes) -> None:
    """The journal knows what is asked."""
    pipeline = Pipeline("p").step("a", run=returning(1), approval=True)
    run_id = run_pipeline(pipeline, store).run_id
    _put(store, Put(SCOPE, f"{run_id}/a", junk))
    assert approvals(config=store) == ()
    approve(run_id, "a", store)
    assert resume(run_id, pipeline, store).success


@pytest.mark.parametrize("junk", [b"", b"\xff", b"[]", None])
def test_a_damaged_or_missing_question_is_asked_again_by_whoever_resumes(
    store: dict[str, object], junk: bytes | None
) -> None:
    """It is not taken for a yes, nor for the end of the run."""
    pipeline = Pipeline("p").step("a", run=returning(1), approval=True)
    run_id = run_pipeline(pipeline, store).run_id
    _put(store, Put(SCOPE, f"{run_id}/a", junk))
    assert resume(run_id, pipeline, store).status == "waiting"
    assert [it.step for it in approvals(run_id, store)] == ["a"]


async def test_what_is_asked_about_a_step_that_is_gone_is_taken_back() -> None:
    """Whoever answered would answer nobody: today's definition counts, and has no such step."""
    old = Pipeline("p").step("a", run=returning(1), approval=True).step("b", run=returning(2), depends_on=["a"])
    async with waiting_on(old) as (opened, run_id):
        new = Pipeline("p").step("b", run=returning(3))
        result = await resume_run(run_id, opened, TAgentConfig(), pipeline=new, definition="current")
        assert (result.status, result.final_output) == ("completed", 3)
        assert await opened.store.documents(DocumentQuery(SCOPE)) == []
        with pytest.raises(ApprovalNotOpenError):
            await answer_approval(run_id, "a", opened, is_approved=True)


@pytest.mark.parametrize("approval", ["output", True, None])
@pytest.mark.parametrize("parts", ["items", "rounds"])
async def test_what_parts_wrote_counts_with_them_however_their_step_is_approved(
    *, parts: str, approval: Literal["output"] | bool | None
) -> None:
    """What is asked about is their outputs put together, and what each wrote was committed as it ended."""

    async def note(context: StepContext, item: int = 0, round: int = 0) -> int:  # noqa: A002 - what it is called there
        number = item or round
        await context.memory.run.aput(f"key{number}", number)
        await context.messages.abroadcast("news", {"number": number})
        return number

    async def read(context: StepContext) -> list[object]:
        return [await context.memory.run.aget("key1"), await context.memory.run.aget("key2")]

    pipeline = Pipeline("p").step("numbers", run=returning([1, 2]))
    if parts == "items":
        pipeline.step("note", run=note, approval=approval, for_each="numbers")
    else:
        pipeline.step("note", run=note, approval=approval, max_times=2)
    pipeline.step("read", run=read, depends_on=["note"])
    with lasting(MemoryStore()) as opened:
        result = await PipelineExecutor(pipeline, services=opened).execute()
        if approval is not None:
            assert result.status == "waiting"
            await answer_approval("run-1", "note", opened, is_approved=True)
            result = await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline)
        assert result.final_output == [1, 2], result.explain()
        assert len(await opened.store.messages("topic/news")) == 2


def test_a_damaged_answer_is_none(store: dict[str, object]) -> None:
    """And a right one can still be given."""
    pipeline = Pipeline("p").step("a", run=returning(1), approval=True)
    run_id = run_pipeline(pipeline, store).run_id
    [asked] = approvals(run_id, store)
    whole = {name: getattr(asked, name) for name in type(asked).__slots__}  # type: ignore[attr-defined]  # a value has them
    _put(store, Put(SCOPE, f"{run_id}/a", json.dumps({**whole, "answer": {"is_approved": "true"}}).encode()))
    assert resume(run_id, pipeline, store).status == "waiting"
    approve(run_id, "a", store)
    assert resume(run_id, pipeline, store).success


def test_an_answer_to_another_question_does_not_count(store: dict[str, object]) -> None:
    """Somebody may have kept the document of an earlier one."""
    pipeline = Pipeline("p").step("a", run=returning(1), approval=True)
    run_id = run_pipeline(pipeline, store).run_id
    [asked] = approvals(run_id, store)
    whole = {name: getattr(asked, name) for name in type(asked).__slots__}  # type: ignore[attr-defined]  # a value has them
    yes = {"is_approved": True, "actor": "eve", "at": 1.0}
    _put(store, Put(SCOPE, f"{run_id}/a", json.dumps({**whole, "at": asked.at - 1, "answer": yes}).encode()))
    assert resume(run_id, pipeline, store).status == "waiting"


@pytest.mark.parametrize("answer", [None, {"is_approved": False, "actor": "eve", "at": 1.0}])
def test_whoever_answers_finds_the_question_of_the_run_and_not_an_earlier_one(
    store: dict[str, object], answer: object
) -> None:
    """The run would not listen to an answer in that document, and whoever gave it would not learn of it."""
    pipeline = Pipeline("p").step("a", run=returning(1), approval=True)
    run_id = run_pipeline(pipeline, store).run_id
    [asked] = approvals(run_id, store)
    whole = {name: getattr(asked, name) for name in type(asked).__slots__}  # type: ignore[attr-defined]  # a value has them
    old = {**whole, "at": asked.at - 1, "question": "An earlier one?", "answer": answer}
    _put(store, Put(SCOPE, f"{run_id}/a", json.dumps(old).encode()))
    approve(run_id, "a", store)
    assert resume(run_id, pipeline, store).success


def test_a_document_of_a_step_that_nobody_is_asked_about_is_no_question(store: dict[str, object]) -> None:
    """Anybody can write there."""
    pipeline = Pipeline("p").step("a", run=returning(1), approval=True).step("b", run=returning(2), depends_on=["a"])
    run_id = run_pipeline(pipeline, store).run_id
    [asked] = approvals(run_id, store)
    whole = {name: getattr(asked, name) for name in type(asked).__slots__}  # type: ignore[attr-defined]  # a value has them
    _put(store, Put(SCOPE, f"{run_id}/b", json.dumps({**whole, "step": "b", "answer": None}).encode()))
    with pytest.raises(ApprovalNotOpenError, match="It waits for one of 'a'"):
        approve(run_id, "b", store)


def test_settings_are_keywords_too(tmp_path: Path) -> None:
    """As to all that runs something; a misspelt one is told with the nearest."""
    where = f"file:///{tmp_path / 'runs'}"
    pipeline = Pipeline("p").step("a", run=returning(1), approval=True).step("b", run=returning(2), approval=True)
    run_id = run_pipeline(pipeline, store=where).run_id
    assert [it.step for it in approvals(store=where)] == ["a", "b"]
    assert approve(run_id, "a", store=where).is_approved
    assert resume(run_id, pipeline, store=where).status == "waiting"
    assert not reject(run_id, "b", store=where).is_approved
    assert tagent.state_at(run_id, store=where).statuses["a"] == "completed"
    new = tagent.fork(run_id, from_step="b", store=where)
    assert tagent.cancel(new.run_id, store=where).left == ("b",)
    with pytest.raises(ConfigurationError, match="Did you mean 'store'"):
        approvals(stor=where)  # type: ignore[call-arg]  # on purpose
    with pytest.raises(ConfigurationError, match=r"no dict\. Give settings by name: approvals\(config="):
        approvals({"store": where})  # type: ignore[arg-type]  # the run comes first, and here none is meant


async def test_an_answer_is_on_record_with_the_time_at_which_it_was_given() -> None:
    """Between that and the time at which the run took it up may lie days, and people ask who said what when."""
    pipeline = Pipeline("p").step("a", run=returning(1), approval=True).step("b", run=returning(2), approval="output")
    async with waiting_on(pipeline) as (opened, run_id):
        clock = opened.clock
        assert isinstance(clock, ManualClock)
        for step, of in (("a", 60.0), ("b", 480.0)):
            clock.advance(60.0)
            assert (await answer_approval(run_id, step, opened, is_approved=True, comment="Fine.")).at == of
            clock.advance(360.0)
            result = await resume_run(run_id, opened, TAgentConfig(), pipeline=pipeline)
            assert result.step_metadata[step]["approval"]["at"] == of
            with pytest.raises(ApprovalAnsweredError) as raised:
                await answer_approval(run_id, step, opened, is_approved=False)
            assert raised.value.at == of
        events = [it for it in await load_events(opened.store, run_id) if isinstance(it, ApprovalAnswered)]
        assert [(it.said_at, it.at) for it in events] == [(60.0, 420.0), (480.0, 840.0)]
        told = [it.detail for it in history(events) if it.step]
        assert told[0] == "approved: Fine.; said 1970-01-01T00:01:00+00:00"


async def test_the_time_of_a_step_is_that_of_its_work_however_it_is_approved() -> None:
    """What a person took says nothing about the step."""
    clock = ManualClock()

    async def work() -> str:
        clock.advance(7.0)
        return "done"

    for approval in (Approval(), Approval(of="output")):
        pipeline = Pipeline("p").step("a", run=work, approval=approval)
        async with waiting_on(pipeline, clock) as (opened, run_id):
            clock.advance(3600.0)
            await answer_approval(run_id, "a", opened, is_approved=True)
            result = await resume_run(run_id, opened, TAgentConfig(), pipeline=pipeline)
            assert result.step_metadata["a"]["execution_time"] == 7.0


async def test_who_waits_inside_a_step_is_named_by_its_path() -> None:
    """It is what `approve` takes, and the name alone may be that of many."""
    inner = Pipeline("inner").step("book", run=lambda city: city, approval=Approval(question="Book {city}?"))
    outer = Pipeline("outer").step("stays", pipeline=inner, inputs={"city": "item"}, for_each="cities")
    outer.step("trip", pipeline=Pipeline("middle").step("one", pipeline=inner, inputs={"city": "city"}))
    with lasting(MemoryStore()) as opened:
        inputs = {"cities": ["Lisbon", "Porto"], "city": "Faro"}
        result = await PipelineExecutor(outer, inputs=inputs, services=opened).execute()
        assert result.reason == "The step 'stays/0/book' and 2 more wait for an approval."
        assert result.explain().splitlines()[:4] == [
            f"The run of 'outer' waits [approval.waiting]: {result.reason}",
            "- 'stays/0/book' waits for approval: Book Lisbon?",
            "- 'stays/1/book' waits for approval: Book Porto?",
            "- 'trip/one/book' waits for approval: Book Faro?",
        ]
        paused = [it for it in await load_events(opened.store, result.run_id) if isinstance(it, RunPaused)]
        assert [it.reason for it in paused] == [result.reason]
        for path in ("stays/0/book", "stays/1/book"):
            await answer_approval(result.run_id, path, opened, is_approved=True)
        result = await resume_run(result.run_id, opened, TAgentConfig(), pipeline=outer)
        assert result.reason == "The step 'trip/one/book' waits for an approval."


def _put(store: dict[str, object], put: Put) -> None:
    """Write a document as anybody can."""

    async def write() -> None:
        async with tagent.runtime.open_services(TAgentConfig(**store)) as opened:
            await opened.store.write(Effects(puts=(put,)))

    asyncio.run(write())


async def test_a_run_in_memory_waits_in_its_process_and_is_answered_there() -> None:
    """Nobody else could go on with it."""
    pipeline = Pipeline("p").step("a", run=returning(1), approval=True).step("b", run=lambda a: a, approval="output")

    async def answer() -> None:
        for step, say in (("a", aapprove), ("b", areject)):
            while not (asked := await aapprovals(config={"store": "memory://"})):  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
            assert [it.step for it in asked] == [step]
            answered = await say(asked[0].run_id, step, {"store": "memory://"})
            assert answered.goes_on.by == "driver"

    async with asyncio.TaskGroup() as group:
        running = group.create_task(tagent.arun_pipeline(pipeline, {"store": "memory://"}))
        group.create_task(answer())
    assert steps_of(running.result()) == {"a": "completed", "b": "failed approval.rejected"}


def test_a_run_in_memory_is_answered_from_a_thread() -> None:
    """As a web application would."""
    seen: list[str] = []

    def approve_later(context: StepContext) -> str:
        while not (asked := approvals(context.run_id, {"store": "memory://"})):
            pass
        seen.append(asked[0].step)
        return approve(context.run_id, "a", {"store": "memory://"}).goes_on.by

    both = Pipeline("p", default_mode=CONCURRENT).step("a", run=returning(1), approval=True)
    both.step("ask", run=approve_later)
    result = run_pipeline(both, {"store": "memory://"})
    assert (result.step_outputs, seen) == ({"a": 1, "ask": "driver"}, ["a"])


@asynccontextmanager
async def waiting_on(pipeline: Pipeline, clock: ManualClock | None = None) -> AsyncIterator[tuple[Services, str]]:
    """Give services on a store that can be opened again, and a run of the pipeline that waits there."""
    with lasting(MemoryStore()) as lasting_services:
        opened = lasting_services if clock is None else replace(lasting_services, clock=clock)
        waiting = await PipelineExecutor(pipeline, services=opened).execute()
        assert waiting.status == "waiting"
        yield opened, waiting.run_id


async def test_a_default_counts_from_its_time_on_and_not_before() -> None:
    """Whoever resumes the run too early lets it wait on."""
    pipeline = Pipeline("p").step("a", run=returning(1), approval=Approval(timeout=3600, default="approve"))
    async with waiting_on(pipeline) as (opened, run_id):
        early = await resume_run(run_id, opened, TAgentConfig(), pipeline=pipeline)
        assert early.status == "waiting"
        opened.clock.advance(3600)  # type: ignore[attr-defined]  # a manual one
        late = await resume_run(run_id, opened, TAgentConfig(), pipeline=pipeline)
        assert late.success
        assert await opened.store.documents(DocumentQuery(SCOPE)) == []


async def test_a_driver_that_is_busy_lets_the_default_count_in_time() -> None:
    """It does not wait for its other work."""
    recorder = Recorder()

    async def slow() -> int:
        await opened.clock.sleep(100)
        return 2

    pipeline = Pipeline("p", default_mode=CONCURRENT).step("slow", run=slow)
    pipeline.step("a", run=returning(1), approval=Approval(timeout=10))
    with lasting(MemoryStore()) as opened:
        given = replace(opened, sinks=(recorder,))
        result = await PipelineExecutor(pipeline, services=given).execute()
    assert steps_of(result) == {"slow": "completed", "a": "failed approval.rejected"}
    assert result.step_metadata["a"]["reason"] == "Nobody answered in time."
    assert "ApprovalAnswered" in recorder.kinds("a")
    assert result.step_metadata["a"]["finished_at"] < 20


async def free_for_ten_seconds(opened: Services) -> None:
    """Have something to do, so that what is asked is asked long before the run pauses."""
    await opened.clock.sleep(10)


class LastMoment:
    """A store in which something happens after the driver's last look for answers, before it gives the run up.

    Args:
        store: What everything is passed on to.
        happens: What happens, the first time.
    """

    def __init__(self, store: Store, happens: Callable[[str], Awaitable[object]]) -> None:
        self._store = store
        self._happens: Callable[[str], Awaitable[object]] | None = happens

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def commit(self, batch: Batch) -> None:
        happens = self._happens
        if happens is not None and batch.summary is not None and batch.summary.status == "waiting":
            self._happens = None
            await happens(batch.run_id)
        await self._store.commit(batch)


@pytest.mark.parametrize("is_approved", [True, False])
async def test_an_answer_of_the_last_moment_is_heard_by_the_driver(*, is_approved: bool) -> None:
    """The pause counts only if nobody has answered: a run that has its answer is not given up."""
    answering: list[asyncio.Task[AnsweredApproval]] = []
    with lasting(MemoryStore()) as opened:

        async def answer(run_id: str) -> None:
            work = answer_approval(run_id, "a", opened, is_approved=is_approved)
            answering.append(asyncio.ensure_future(work))
            while not await opened.store.documents(DocumentQuery(SCOPE, words=(ANSWERED,))):  # noqa: ASYNC110
                await asyncio.sleep(0)

        pipeline = Pipeline("p", default_mode=CONCURRENT).step("other", run=lambda: free_for_ten_seconds(opened))
        pipeline.step("a", run=returning(1), approval=True)
        late = replace(opened, store=LastMoment(opened.store, answer))  # type: ignore[arg-type]  # passes all else on
        result = await PipelineExecutor(pipeline, services=late).execute()
        (answered,) = [await it for it in answering]
        assert (result.status, answered.goes_on.by) == ("completed" if is_approved else "partial", "driver")
        assert RunPaused not in map(type, await load_events(opened.store, result.run_id))


async def test_a_question_that_is_gone_at_the_last_moment_is_asked_again_with_the_pause() -> None:
    """Somebody clears up what he should not: the run waits for its answer all the same, and there is one to give."""
    with lasting(MemoryStore()) as opened:

        async def clear_up(run_id: str) -> None:
            await opened.store.write(Effects(puts=(Put(SCOPE, f"{run_id}/a", None),)))

        pipeline = Pipeline("p", default_mode=CONCURRENT).step("other", run=lambda: free_for_ten_seconds(opened))
        pipeline.step("a", run=returning(1), approval=True)
        late = replace(opened, store=LastMoment(opened.store, clear_up))  # type: ignore[arg-type]  # passes all else on
        waiting = await PipelineExecutor(pipeline, services=late).execute()
        assert waiting.status == "waiting"
        assert [it.step for it in await open_approvals(opened, waiting.run_id)] == ["a"]


async def test_a_store_that_is_away_for_a_moment_is_waited_for_before_a_pause() -> None:
    """As with commits: a server is restarted, and the run goes on waiting."""

    class Away:
        """A store that cannot be asked for documents three times."""

        def __init__(self, store: Store) -> None:
            self._store = store
            self.left = 3

        def __getattr__(self, name: str) -> object:
            return getattr(self._store, name)

        async def documents(self, query: DocumentQuery) -> object:
            if self.left and query.scope == SCOPE:
                self.left -= 1
                raise StoreUnavailableError("It is being restarted.")
            return await self._store.documents(query)

    with lasting(MemoryStore()) as opened:
        pipeline = Pipeline("p", default_mode=CONCURRENT).step("other", run=lambda: free_for_ten_seconds(opened))
        pipeline.step("a", run=returning(1), approval=True)
        away = Away(opened.store)
        services = replace(opened, store=away)  # type: ignore[arg-type]  # it passes everything else on
        result = await PipelineExecutor(pipeline, services=services).execute()
        assert (result.status, away.left) == ("waiting", 0)


async def test_an_answer_to_a_missing_question_is_heard_by_whoever_is_about_to_ask_it_again() -> None:
    """Of an imported run there is none. What is asked anew must not be put over the answer."""
    pipeline = Pipeline("p").step("a", run=returning(1), approval=True)
    async with waiting_on(pipeline) as (opened, run_id):
        await opened.store.write(Effects(puts=(Put(SCOPE, f"{run_id}/a", None),)))

        async def answer(run_id: str) -> None:
            await answer_approval(run_id, "a", opened, is_approved=True)

        late = replace(opened, store=LastMoment(opened.store, answer))  # type: ignore[arg-type]  # passes all else on
        assert (await resume_run(run_id, late, TAgentConfig(), pipeline=pipeline)).status == "completed"


@pytest.mark.parametrize("cache", ["run", "forever"])
async def test_a_question_inside_that_comes_with_a_kept_output_is_asked(cache: Literal["run", "forever"]) -> None:
    """Both are told in one commit of the outer run."""
    inner = Pipeline("inner").step("prepare", run=lambda n: n + 1, cache=cache)
    inner.step("gate", run=lambda prepare: prepare, approval=True)
    pipeline = Pipeline("p").step("outer", pipeline=inner)
    with lasting(MemoryStore()) as opened:
        waiting = await PipelineExecutor(pipeline, inputs={"n": 1}, services=opened).execute()
        assert [it.step for it in await open_approvals(opened, waiting.run_id)] == ["outer/gate"]
        await answer_approval(waiting.run_id, "outer/gate", opened, is_approved=True)
        done = await resume_run(waiting.run_id, opened, TAgentConfig(), pipeline=pipeline)
        assert (done.status, done.final_output) == ("completed", 2)
        assert len(await opened.store.documents(DocumentQuery(SCOPE))) == 0


async def test_a_cancel_that_comes_while_somebody_answers_wins_or_loses_as_a_whole() -> None:
    """An answer that was taken has a run that goes on; else whoever gave it is told."""
    pipeline = Pipeline("p").step("a", run=returning(1), approval=True)
    async with waiting_on(pipeline) as (opened, run_id):
        await cancel_run(run_id, opened)
        with pytest.raises(ApprovalNotOpenError, match="cancelled"):
            await answer_approval(run_id, "a", opened, is_approved=True)
        assert await opened.store.documents(DocumentQuery(SCOPE)) == []


async def test_a_path_leads_into_the_pipeline_inside_a_step() -> None:
    """In an item by its place; what is edited there is checked by the type there."""
    inner = Pipeline("inner").step("draft", run=lambda topic: f"about {topic}", approval="output", output_schema=str)
    outer = Pipeline("outer").step("topics", run=lambda: ["tea", "milk"])
    outer.step("texts", pipeline=inner, inputs={"topic": "item"}, for_each="topics")
    async with waiting_on(outer) as (opened, run_id):
        asked = [(it.step, it.output) for it in await open_approvals(opened)]
        assert asked == [("texts/0/draft", "about tea"), ("texts/1/draft", "about milk")]
        with pytest.raises(StepOutputError):
            await answer_approval(run_id, "texts/0/draft", opened, is_approved=True, output=[1], pipeline=outer)
        await answer_approval(run_id, "texts/0/draft", opened, is_approved=True, output="on tea", pipeline=outer)
        half = await resume_run(run_id, opened, TAgentConfig(), pipeline=outer)
        assert half.status == "waiting"
        await answer_approval(run_id, "texts/1/draft", opened, is_approved=True)
        done = await resume_run(run_id, opened, TAgentConfig(), pipeline=outer)
        assert done.final_output == ["on tea", "about milk"]


@pytest.mark.parametrize(
    "approval",
    ["later", 1, Approval(timeout=0), Approval(timeout=float("nan")), Approval(of="end"), Approval(default="maybe")],  # type: ignore[arg-type]
)
def test_what_is_no_approval_is_refused_before_anything_runs(approval: object) -> None:
    """A misspelt option must not mean that nobody is asked."""
    with pytest.raises(PipelineValidationError, match="approval"):
        run_pipeline(Pipeline("p").step("a", run=returning(1), approval=approval))  # type: ignore[arg-type]


def test_the_system_clock_is_what_a_time_limit_is_measured_by(store: dict[str, object]) -> None:
    """It is a time of day, as the process may be another one when it is over."""
    pipeline = Pipeline("p").step("a", run=returning(1), approval=Approval(timeout=100))
    before = SystemClock().now()
    run_id = run_pipeline(pipeline, store).run_id
    [asked] = approvals(run_id, store)
    assert asked.due_at is not None
    assert before + 100 <= asked.due_at <= SystemClock().now() + 100


def test_a_question_about_something_unknown_is_a_warning() -> None:
    """Whoever is asked would read a name in braces."""
    question = "Pay {ordr.amount} EUR for {output}?"
    pipeline = Pipeline("p").step("order", run=returning({"amount": 40}))
    pipeline.step("refund", run=lambda order: order, approval=Approval(question=question))
    assert [(it.code, it.severity) for it in validate(pipeline)] == [("unknown_placeholder", "warning")] * 2
    pipeline.steps[1].approval = Approval("output", question="Pay {order.amount} EUR for {output}?")
    assert validate(pipeline) == []


def test_what_the_question_reads_is_waited_for(tmp_path: Path) -> None:
    """A question with a gap in it helps nobody."""
    pipeline = (
        Pipeline("p")
        .step("pay", run=lambda: "paid", approval=Approval(question="Pay {order.amount}?"))
        .step("order", run=lambda: {"amount": 40})
    )
    config = {"store": f"sqlite:///{tmp_path}/runs.db"}
    waiting = run_pipeline(pipeline, config)
    assert waiting.step_metadata["order"]["status"] is StepStatus.COMPLETED
    assert [asked.question for asked in approvals(waiting.run_id, config)] == ["Pay 40?"]
