"""Resuming: what is reused, which definition counts, when it is refused."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import AfterValidator, BaseModel

from builders import CONCURRENT, chain, raising, returning, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.pipeline import Pipeline, PipelineExecutor, PipelineResult, PipelineState, RunStatus, StepOutputError
from tagent.pipeline.answering.answering import answer_approval, open_approvals
from tagent.pipeline.course.timers import ATTEMPT
from tagent.pipeline.events import RunResumed, RunStarted, StepCompleted, StepFailed, StepStarted
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.journal.loading import first_definition, load_events
from tagent.pipeline.resuming import MAX_IDLE_RESUMES, CrashLoopError, Reuse, resume_run
from tagent.pipeline.state import apply
from tagent.pipeline.stored.definition import Definition, DefinitionMismatchError, Origin, bind
from tagent.pipeline.stored.origins import NoPipelineError
from tagent.pipeline.transfer.forking import fork_run
from tagent.pipeline.transfer.recording import load_recording
from tagent.ports import ModelRequest, Record, RunRecord, Services
from tagent.ports.store_errors import RunHeldError, UnknownRunError
from tagent.task_agent.tools.tool import Tool, ToolContext
from tagent.testing import ScriptedModel


async def crash(pipeline: Pipeline, store: MemoryStore, model: ScriptedModel | None = None) -> Services:
    """Run until the store crashes; return services of the process that comes after."""
    opened = services(store=store, model=model)
    with pytest.raises(Crash):
        await PipelineExecutor(pipeline, services=opened).execute()
    return everybody_is_gone(opened)


async def resume(
    opened: Services, pipeline: Pipeline, announce: Callable[[Reuse], None] = lambda reuse: None
) -> PipelineResult:
    return await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline, announce=announce)


async def has_begun(opened: Services) -> None:
    """Return once a run is in the store."""
    for _ in range(1000):
        if await opened.store.runs():
            return
        await asyncio.sleep(0)


def counting(pipeline: Pipeline) -> tuple[Pipeline, dict[str, int]]:
    """Return a copy of a pipeline of functions whose calls are counted."""
    calls: dict[str, int] = {step.name: 0 for step in pipeline.steps}
    copy = Pipeline(pipeline)

    def counted(name: str, function: Callable[[], object]) -> Callable[[], object]:
        async def call() -> object:
            calls[name] += 1
            return await function()  # type: ignore[misc]  # the builders' functions are async

        return call

    for step in copy.steps:
        assert step.run is not None
        step.run = counted(step.name, step.run)
    return copy, calls


@pytest.mark.parametrize("is_written", [True, False])
@pytest.mark.parametrize("at", range(1, 6))
async def test_a_run_that_dies_at_any_commit_goes_on_and_repeats_no_committed_step(at: int, is_written: bool) -> None:  # noqa: FBT001
    """Promise 3: at most the step in flight runs again."""
    pipeline, calls = counting(chain("a", "b", "c", "d"))
    store = CrashingStore().arm(at, is_written=is_written)
    opened = await crash(pipeline, store)
    if at == 1 and not is_written:
        assert (await store.runs(), sum(calls.values())) == ([], 0), "not even its beginning was written"
        return
    committed = [e.step for e in await load_events(store, "run-1") if isinstance(e, StepCompleted)]
    assert await_only(at, is_written) == len(committed)
    seen: list[Reuse] = []
    result = await resume(opened, pipeline, seen.append)
    assert result.success
    assert result.step_outputs == {name: name for name in "abcd"}
    if at < 5 or not is_written:
        assert seen[0].completed == tuple(committed)
    for name, count in calls.items():
        assert count == 1 or (count == 2 and name not in committed)
    assert sum(calls.values()) <= 5


def await_only(at: int, is_written: bool) -> int:  # noqa: FBT001
    """Return how many steps of a chain are committed when it dies at a commit."""
    return max(0, at - 1 if is_written else at - 2)


async def test_outputs_come_back_as_their_types() -> None:
    """A resumed step must not see a dict where the live one saw a model."""

    class Fact(BaseModel):
        n: int

    def find() -> Fact:
        return Fact(n=2)

    async def use(find: Fact) -> int:
        return find.n + 1

    pipeline = Pipeline("p").step("find", run=find).step("use", run=use)
    result = await resume(await crash(pipeline, CrashingStore().arm(2)), pipeline)
    assert (result.step_outputs["find"], result.final_output) == (Fact(n=2), 3)


def search(query: str) -> str:
    """Search."""
    SEARCHES.append(query)
    return f"found {query}"


SEARCHES: list[str] = []
PLAN = [{"tool_name": "search", "tool_args": {"query": q}} for q in ("tea", "{{tasks.0.output}}")]


@pytest.mark.parametrize("at", range(1, 9))
async def test_finished_calls_of_an_interrupted_agent_are_not_paid_for_again(at: int) -> None:
    """Wherever it dies, plan, searches and answer happen once if they were committed."""
    SEARCHES.clear()
    model = ScriptedModel(lambda request: PLAN if request.purpose == "plan" else "done")
    pipeline = Pipeline("p").step("a", "Find it", tools=[search])
    store = CrashingStore().arm(at)
    opened = await crash(pipeline, store, model)
    kinds = [type(getattr(e, "event", e)).__name__ for e in await load_events(store, "run-1")]
    paid_before = kinds.count("Planned") + kinds.count("Finalized")
    found_before = kinds.count("TaskCompleted")
    del model.requests[:]
    SEARCHES.clear()
    result = await resume(opened, pipeline)
    assert result.final_output == "done"
    assert len(model.requests) == 2 - paid_before
    assert len(SEARCHES) == 2 - found_before
    assert result.token_usage["a"].requests == 2, "what was paid before the crash is in the sum"
    assert result.step_metadata["a"]["attempts"] == 1, "the attempt goes on"


async def test_a_new_attempt_reuses_nothing() -> None:
    """A failed attempt's plan may have been what failed."""
    model = ScriptedModel(lambda request: PLAN if request.purpose == "plan" else {"n": 1})
    pipeline = Pipeline("p").step("a", "Find it", tools=[search], output_schema=int, max_retries=1)
    executor = PipelineExecutor(pipeline, services=services(model=model))
    await executor.execute()
    assert [request.purpose for request in model.requests].count("plan") == 2


async def test_a_failed_run_is_taken_up_and_retries_what_did_not_complete() -> None:
    """The usual case: mend what was wrong, resume, pay for nothing twice."""
    broken = chain("a", "b", "c")
    broken.steps[1].run = raising(TypeError("no"), times=1, then="b")
    pipeline, calls = counting(broken)
    opened = services()
    first = await PipelineExecutor(pipeline, services=opened).execute()
    assert first.status is RunStatus.FAILED
    result = await resume(opened, pipeline)
    assert result.success
    assert calls == {"a": 1, "b": 2, "c": 1}
    assert result.step_metadata["b"]["attempts"] == 2
    kinds = [type(event).__name__ for event in await load_events(opened.store, "run-1")]
    assert kinds.count("RunFinished") == 2
    assert (await opened.store.run("run-1")).status == "completed"


async def test_a_completed_run_is_returned_as_it_is() -> None:
    """Resuming twice is harmless."""
    pipeline, calls = counting(chain("a"))
    opened = services()
    first = await PipelineExecutor(pipeline, services=opened).execute()
    assert await resume(opened, pipeline) == first
    assert calls == {"a": 1}


async def test_a_stored_output_that_todays_type_refuses_is_an_error_that_names_its_step() -> None:
    """Its schema is the same, what it allows is not: only reading the output shows it."""

    def of(largest: int) -> Pipeline:
        def check(n: int) -> int:
            if n > largest:
                raise ValueError("too large")
            return n

        return Pipeline("p").step("count", run=returning(3), output_schema=Annotated[int, AfterValidator(check)])

    opened = services()
    assert (await PipelineExecutor(of(5), services=opened).execute()).success
    with pytest.raises(StepOutputError, match="stored output of the step 'count' does not fit .* too large"):
        await resume(opened, of(2))
    assert (await opened.store.run("run-1")).owner == ""


async def test_a_run_that_a_live_process_drives_is_refused() -> None:
    """Exactly one may drive it; and it is free again when that one has finished."""
    release = asyncio.Event()

    async def wait() -> None:
        await release.wait()

    pipeline = Pipeline("p").step("a", run=wait)
    opened = services()
    driving = asyncio.ensure_future(PipelineExecutor(pipeline, services=opened).execute())
    await has_begun(opened)
    with pytest.raises(RunHeldError, match="held by another process"):
        await resume(opened, pipeline)
    release.set()
    assert (await driving).success
    assert (await resume(opened, pipeline)).success


async def test_whoever_lost_the_run_writes_nothing_more_and_stops_its_steps() -> None:
    """Promise 5: a stale executor is fenced."""
    was_cancelled, release = asyncio.Event(), asyncio.Event()
    stale: list[str] = []

    async def first() -> None:
        await release.wait()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            was_cancelled.set()

    pipeline = Pipeline("p", default_mode=CONCURRENT).step("a", run=first).step("b", run=wait)
    opened = services()
    driving = asyncio.ensure_future(PipelineExecutor(pipeline, services=opened).execute())
    await has_begun(opened)
    other = Pipeline("p", default_mode=CONCURRENT).step("a", run=returning(None)).step("b", run=returning(None))
    assert (await resume(everybody_is_gone(opened), other)).success
    before = await load_events(opened.store, "run-1")
    release.set()
    with pytest.raises(Exception, match="nothing was written"):
        await driving
    assert was_cancelled.is_set()
    assert await load_events(opened.store, "run-1") == before
    assert not stale


async def test_a_run_that_never_gets_any_further_is_given_up_as_a_crash_loop() -> None:
    """Promise 9: it does not spin for ever; once it is mended it may be resumed again."""
    is_mended = False
    store = CrashingStore()

    async def kill() -> str:
        if not is_mended:
            store.arm(1, is_written=False)
        return "alive"

    pipeline = Pipeline("p").step("a", run=returning(1)).step("kill", run=kill, depends_on=["a"])
    opened = everybody_is_gone(services(store=store))
    with pytest.raises(Crash):
        await PipelineExecutor(pipeline, services=opened).execute()
    for _ in range(MAX_IDLE_RESUMES):
        with pytest.raises(Crash):
            await resume(opened, pipeline)
    with pytest.raises(CrashLoopError, match=f"resumed {MAX_IDLE_RESUMES} times .* 'kill' was running"):
        await resume(opened, pipeline)
    assert (await opened.store.run("run-1")).status == "failed"
    is_mended = True
    assert (await resume(opened, pipeline)).final_output == "alive"


@pytest.mark.parametrize("depth", [1, 2])
async def test_a_step_inside_that_kills_its_process_each_time_is_a_crash_loop_too(depth: int) -> None:
    """That a pipeline inside is taken up again, and starts its step once more, gets the run no further."""
    store = CrashingStore()

    async def kill() -> None:
        store.arm(1, is_written=False)

    pipeline = Pipeline("deepest").step("a", run=returning(1)).step("kill", run=kill, depends_on=["a"])
    for _ in range(depth):
        pipeline = Pipeline("around").step("inner", pipeline=pipeline)
    opened = everybody_is_gone(services(store=store))
    with pytest.raises(Crash):
        await PipelineExecutor(pipeline, services=opened).execute()
    for _ in range(MAX_IDLE_RESUMES):
        with pytest.raises(Crash):
            await resume(opened, pipeline)
    with pytest.raises(CrashLoopError, match=f"resumed {MAX_IDLE_RESUMES} times .* 'inner' was running"):
        await resume(opened, pipeline)


async def test_a_crash_loop_names_all_that_was_under_way() -> None:
    """Any of them may be the one."""
    store = CrashingStore()

    async def kill() -> None:
        store.arm(1, is_written=False)

    pipeline = Pipeline("p").step("n", run=returning([1, 2])).step("cases", run=kill, for_each="n")
    pipeline.step("other", run=kill, depends_on=["n"], execution_mode=CONCURRENT)
    opened = everybody_is_gone(services(store=store))
    with pytest.raises(Crash):
        await PipelineExecutor(pipeline, services=opened).execute()
    for _ in range(MAX_IDLE_RESUMES):
        with pytest.raises(Crash):
            await resume(opened, pipeline)
    with pytest.raises(CrashLoopError, match="; 'cases/0', 'cases/1', 'other' were running each time."):
        await resume(opened, pipeline)


def test_of_much_that_was_under_way_a_crash_loop_names_the_first() -> None:
    """A thousand names are no message."""
    told = str(CrashLoopError("1f2e", resumes=5, running=tuple(f"cases/{n}" for n in range(30))))
    assert "'cases/9' and 20 more were running each time." in told


async def test_steps_inside_that_end_between_crashes_are_no_crash_loop() -> None:
    """However often the process dies: each time one more of them is done."""
    store = CrashingStore()

    def killing(number: int) -> Callable[[], Awaitable[int]]:
        async def step() -> int:
            store.arm(1)  # at the commit of its end, which is written
            return number

        return step

    count = 2 * MAX_IDLE_RESUMES
    inner = Pipeline("inner")
    for number in range(count):
        inner.step(f"s{number}", run=killing(number), depends_on=[f"s{number - 1}"] if number else [])
    pipeline = Pipeline("outer").step("inner", pipeline=inner)
    opened = everybody_is_gone(services(store=store))
    with suppress(Crash):
        await PipelineExecutor(pipeline, services=opened).execute()
    for _ in range(2 * count):
        with suppress(Crash):
            assert (await resume(opened, pipeline)).final_output == count - 1
            return
    pytest.fail("It never ended.")


async def test_a_run_of_a_file_is_loaded_from_there_and_one_of_code_says_so(tmp_path: Path) -> None:
    """The command line has nothing but the id."""
    file = tmp_path / "pipe.py"
    file.write_text("from tagent.pipeline import Pipeline\nmade = Pipeline('made').step('a', run=lambda: 1)\n")
    from tagent.pipeline.stored.loading import load_pipeline

    opened = services(store=CrashingStore().arm(2, is_written=False))
    origin = Origin(str(file), "made")
    with pytest.raises(Crash):
        await PipelineExecutor(load_pipeline(file, "made"), origin=origin, services=opened).execute()
    result = await resume_run("run-1", everybody_is_gone(opened), TAgentConfig())
    assert result.final_output == 1
    await PipelineExecutor(chain("a"), services=opened).execute()
    with pytest.raises(NoPipelineError, match="was built in code"):
        await resume_run("run-2", opened, TAgentConfig())
    with pytest.raises(UnknownRunError, match="Did you mean 'run-2'?"):
        await resume_run("run-22", opened, TAgentConfig())


class Old(BaseModel):
    n: int


class New(BaseModel):
    n: str


def stored(pipeline: Pipeline) -> Definition:
    return Definition.of(pipeline, Origin())


def test_the_stored_definition_counts_and_code_is_bound_by_name() -> None:
    """Promise 10: goals and structure as they were, functions as they are."""
    then = Pipeline("p", "Then", config={"max_planning_cycles": 2})
    then.step("a", run=returning(1)).step("b", "Say {a}", timeout=5, output_schema=Old, read_data=["a"])
    function = returning(2)
    now = Pipeline("p", "Now").step("new", "Do more").step("b", "Shout {a}", output_schema=Old).step("a", run=function)
    bound = bind(stored(then), now)
    assert bound.description == "Then"
    assert [(s.id, s.name, s.goal, s.timeout) for s in bound.steps] == [
        ("step_1", "a", None, None),
        ("step_2", "b", "Say {a}", 5),
    ]
    assert bound.steps[0].run is function
    assert bound.steps[1].output_schema is Old
    assert TAgentConfig.of(bound.config).max_planning_cycles == 2
    assert stored(bound).hash == stored(then).hash


def test_keys_and_tools_are_never_stored() -> None:
    """A journal may be looked at by many."""
    pipeline = Pipeline("p", config={"api_key": "secret-key", "tools": (search,), "temperature": 1}).step("a", "Do a")
    assert b"secret" not in stored(pipeline).payload
    assert stored(pipeline).spec["config"] == {"temperature": 1.0}


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (Pipeline("p").step("b", "Do b", output_schema=Old), "no step 'a' any more. Did you mean 'b'?|no step 'a'"),
        (Pipeline("p").step("a", "Do a", output_schema=New), "another type of output"),
        (
            Pipeline("p").step("a", run=returning(1), output_schema=Old),
            "was a goal when the run was started, and is a function today",
        ),
        (Pipeline("p", inputs=Old).step("a", "Do a", output_schema=Old), "input model of the pipeline 'p' has changed"),
    ],
)
def test_code_that_does_not_fit_is_an_error_and_never_a_guess(now: Pipeline, message: str) -> None:
    """It would read old outputs as what they are not."""
    with pytest.raises(DefinitionMismatchError, match=message):
        bind(stored(Pipeline("p").step("a", "Do a", output_schema=Old)), now)


async def test_with_the_current_definition_todays_code_finishes_the_run() -> None:
    """A better goal for what is still to be done, what is done stays."""
    asked: list[str] = []

    def answer(request: ModelRequest) -> str:
        asked.append(request.messages[-1].content.splitlines()[0])
        return "said"

    model = ScriptedModel(answer)
    then = Pipeline("p").step("a", run=returning(1)).step("b", "Say {a}")
    opened = await crash(then, CrashingStore().arm(2), model)
    now = (
        Pipeline("p").step("a", run=returning(2)).step("b", "Shout {a}").step("c", run=returning("c"), depends_on=["b"])
    )
    result = await resume_run("run-1", opened, TAgentConfig(), pipeline=now, definition="current")
    assert result.step_outputs == {"a": 1, "b": "said", "c": "c"}
    assert asked[-1] == 'Goal: Shout <data name="a">1</data>'
    counts = (await load_recording(opened.store, "run-1")).counts
    assert [step["name"] for step in counts.spec["steps"]] == ["a", "b", "c"], "and it counts from now on"


class Watched(MemoryStore):
    """Counts how often a whole journal is read, and lets somebody be quicker before its first claim."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.before_claim: Callable[[], Awaitable[object]] | None = None

    async def records(self, run_id: str, *, after_seq: int = 0) -> Sequence[Record]:
        self.reads += 1
        return await super().records(run_id, after_seq=after_seq)

    async def claim(
        self, run_id: str, *, owner: str, lease_seconds: float, is_gone: Callable[[str], bool]
    ) -> RunRecord:
        before, self.before_claim = self.before_claim, None
        if before is not None:
            await before()
        return await super().claim(run_id, owner=owner, lease_seconds=lease_seconds, is_gone=is_gone)


async def test_what_another_process_did_just_before_the_claim_counts() -> None:
    """It may have finished the run, and with another definition."""
    then, now = chain("a", "b"), chain("a", "b").step("c", run=returning("c"), depends_on=["b"])
    opened = services(store=Watched())
    then.steps[1].run = raising(TypeError("no"))
    await PipelineExecutor(then, services=opened).execute()
    assert isinstance(opened.store, Watched)
    opened.store.before_claim = lambda: resume_run("run-1", opened, TAgentConfig(), pipeline=now, definition="current")
    result = await resume(opened, now)
    assert (result.success, list(result.step_outputs)) == (True, ["a", "b", "c"])


async def test_the_journal_is_read_once_to_resume_or_fork_a_run() -> None:
    """Whoever resumes a long run waits for it."""
    opened = services(store=Watched())
    await PipelineExecutor(chain("a"), services=opened).execute()
    assert isinstance(opened.store, Watched)
    await resume(opened, chain("a"))
    assert opened.store.reads == 1
    await fork_run("run-1", opened, from_step="a")
    assert opened.store.reads == 2


async def test_the_trail_says_who_resumed() -> None:
    """For whoever looks at the run later."""
    pipeline = chain("a", "b")
    opened = await crash(pipeline, CrashingStore().arm(2))
    await resume(opened, pipeline)
    events = await load_events(opened.store, "run-1")
    resumed = next(event for event in events if isinstance(event, RunResumed))
    assert (resumed.epoch, resumed.actor) == (2, "somebody@after")
    assert [e.attempt for e in events if isinstance(e, StepStarted) and e.step == "b"] == [1, 1]


async def test_the_key_of_a_call_is_the_same_in_every_attempt() -> None:
    """Promise 6: a service that takes a key does the thing once, however often it is asked."""
    keys: list[str] = []

    def order(item: str, call: ToolContext) -> str:
        """Order it."""
        keys.append(call.idempotency_key)
        return item

    plan = [{"tool_name": "order", "tool_args": {"item": item}} for item in ("tea", "tea", "milk")]
    misfits = iter([1, 1, 1])  # the first attempt's answer never fits

    def answer(request: ModelRequest) -> object:
        return plan if request.purpose == "plan" else {"n": "x"} if next(misfits, None) else {"n": 1}

    pipeline = Pipeline("p").step("buy", "Buy it", tools=[order], output_schema=Old, max_retries=1)
    result = await PipelineExecutor(pipeline, services=services(model=ScriptedModel(answer))).execute()
    assert result.step_metadata["buy"]["attempts"] == 2
    assert sorted(keys[:3]) == sorted(keys[3:])
    assert len(set(keys)) == 3, "two calls that are alike are two calls"
    assert all(key.startswith("run-1/buy/order/") for key in keys)


async def test_a_call_with_side_effects_that_may_have_happened_is_not_made_again() -> None:
    """Promise 6: paying twice is worse than asking a person."""
    paid: list[str] = []

    def pay(to: str) -> str:
        """Pay somebody."""
        paid.append(to)
        return "paid"

    model = ScriptedModel(
        lambda request: [{"tool_name": "pay", "tool_args": {"to": "me"}}] if request.purpose == "plan" else "done"
    )
    pipeline = Pipeline("p").step("a", "Pay me", tools=[Tool.of(pay, side_effect=True)])
    store = CrashingStore().arm(5, is_written=False)  # the outcome of the call is lost
    opened = replace(await crash(pipeline, store, model), store_url="kept://")
    assert paid == ["me"]
    waiting = await resume(opened, pipeline)
    assert (paid, waiting.code, waiting.status) == (["me"], "approval.waiting", RunStatus.WAITING)
    [asked] = await open_approvals(opened)
    assert asked.of == "call"
    assert "it may have happened" in asked.question
    await answer_approval("run-1", "a", opened, is_approved=True, actor="me", comment="The bank knows of nothing.")
    store.arm(4, is_written=False)  # and the outcome of the second call is lost too
    with pytest.raises(Crash):
        await resume(opened, pipeline)
    opened = everybody_is_gone(opened)
    assert paid == ["me", "me"]
    assert (await resume(opened, pipeline)).status is RunStatus.WAITING, "who said yes said it of one call"
    await answer_approval("run-1", "a", opened, is_approved=False, actor="me", comment="It is paid.")
    rejected = await resume(opened, pipeline)
    assert (paid, rejected.step_metadata["a"]["code"]) == (["me", "me"], "approval.rejected")


async def test_a_doubt_outlives_the_attempt_and_a_no() -> None:
    """Promise 6: another try, or another resume, must not do unasked what this one may have done."""
    paid: list[str] = []

    def pay(to: str) -> str:
        """Pay somebody."""
        paid.append(to)
        return "paid"

    def reply(request: ModelRequest) -> object:
        calls = [{"tool_name": "pay", "tool_args": {"to": to}} for to in ("me", "you")]
        return calls if request.purpose == "plan" else "done"

    pipeline = Pipeline("p").step("a", "Pay us", tools=[Tool.of(pay, side_effect=True)])
    store = CrashingStore().arm(5, is_written=False)  # the outcomes of the calls are lost
    opened = replace(await crash(pipeline, store, ScriptedModel(reply)), store_url="kept://")
    assert sorted(paid) == ["me", "you"]
    waiting = await resume(opened, pipeline)
    [asked] = await open_approvals(opened)
    assert (waiting.status, asked.question.count("'pay'")) == (RunStatus.WAITING, 2), "one question about both"
    await answer_approval("run-1", "a", opened, is_approved=False, actor="me", comment="")
    assert (await resume(opened, pipeline)).step_metadata["a"]["code"] == "approval.rejected"
    assert (await resume(opened, pipeline)).status is RunStatus.WAITING, "it is open again, and in doubt as before"
    assert len(paid) == 2
    await answer_approval("run-1", "a", opened, is_approved=True, actor="me", comment="")
    assert ((await resume(opened, pipeline)).final_output, len(paid)) == ("done", 4)


def test_a_clock_that_is_behind_makes_nobody_wait_longer() -> None:
    """Another process, another clock: what was left to wait is all that is waited."""
    state = PipelineState(ExecutionGraph.build(chain("a")))
    for event in (
        RunStarted("r", "p", {}, {}, 1000.0),
        StepStarted("a", 1, "k", 1000.0),
        StepFailed("a", 1, "step.failed", "It broke.", 1010.0, 1001.0),
        RunResumed(2, "another", "", 500.0),
    ):
        apply(state, event)
    assert state.timers.of("a", ATTEMPT) == 509.0
    assert state.last_at == 1001.0


async def test_a_run_goes_on_with_the_settings_of_the_call_that_began_it() -> None:
    """Whoever resumes it knows the id, and not with which model it was started."""
    pipeline = Pipeline("p", config={"temperature": 1}).step("a", run=returning(1)).step("b", run=returning(2))
    opened = services(store=CrashingStore().arm(2))
    call = TAgentConfig(model="provider:name", api_key="sk-secret")
    with pytest.raises(Crash):
        await PipelineExecutor(pipeline, overrides=call, services=opened).execute()
    stored = await first_definition(opened.store, "run-1")
    assert stored.spec["config"] == {"model": "provider:name", "temperature": 1.0}
    bound = bind(stored, pipeline)
    assert TAgentConfig.of(bound.config).model == "provider:name"
