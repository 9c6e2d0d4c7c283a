"""Outputs that are used again: what is found, what is not, and that the same work is done once at a time."""

import asyncio
import gc
import itertools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from builders import CONCURRENT, Ran, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent import approve, reject, resume, run_pipeline
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.exceptions import StoreError
from tagent.names import CACHE, run_cache
from tagent.pipeline import CircuitPolicy, Pipeline, PipelineExecutor, StepContext, repeat, validate
from tagent.pipeline.caching import entries, step_cache
from tagent.pipeline.events import PartCompleted, StepCompleted
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.models import CacheUse, PipelineStep
from tagent.pipeline.resuming import resume_run
from tagent.ports import Batch, LanguageModel, ModelAuthenticationError, Store
from tagent.ports.documents import Document, DocumentQuery, Put, Quota
from tagent.ports.effects import Effects
from tagent.task_agent.tools.tool import Tool
from tagent.testing import ManualClock, ScriptedModel

calls: list[object] = []
"""What the functions of these tests were called with."""


@pytest.fixture(autouse=True)
def _forget_calls() -> Iterator[None]:
    calls.clear()
    yield
    calls.clear()


_ids = itertools.count(1)


async def run(
    pipeline: Pipeline,
    *,
    inputs: Mapping[str, object] | None = None,
    store: Store | None = None,
    clock: ManualClock | None = None,
) -> Ran:
    """Run `pipeline` to its end, in a store that may hold other runs."""
    store, clock = store or MemoryStore(), clock or ManualClock()
    opened = replace(services(clock=clock, store=store), new_id=lambda: f"run-{next(_ids)}")
    executor = PipelineExecutor(pipeline, inputs=inputs, services=opened)
    result = await executor.execute()
    return Ran(result, list(await load_events(store, result.run_id)), executor, clock)


def double(n: int) -> int:
    """Double a number."""
    calls.append(n)
    return n * 2


def cached(ran: Ran, step: str = "a") -> bool:
    """Return whether a step has used an output again."""
    return bool(ran.result.step_metadata[step]["cached"])


async def kept(store: Store, scope: str = CACHE) -> list[Document]:
    """Return what is kept to be used again."""
    return list(await store.documents(DocumentQuery(scope)))


async def test_an_output_is_used_again_in_the_next_run() -> None:
    """What costs minutes or money need not be done twice."""
    pipeline, store = Pipeline("p").step("a", run=double, cache="forever"), MemoryStore()
    ran = [await run(pipeline, inputs={"n": n}, store=store) for n in (3, 3, 4)]
    assert [it.result.final_output for it in ran] == [6, 6, 8]
    assert [cached(it) for it in ran] == [False, True, False]
    assert calls == [3, 4]
    completed = [event for event in ran[1].events if isinstance(event, StepCompleted)]
    assert [event.cached for event in completed] == [True]


async def test_within_a_run_it_is_used_again_in_that_run_only() -> None:
    """What holds today may not hold tomorrow; and it is deleted with the run."""
    store = MemoryStore()
    pipeline = Pipeline("p").step("a", run=double, cache="run").step("b", run=double, cache="run", depends_on=["a"])
    for number in (1, 2):
        ran = await run(pipeline, inputs={"n": 3}, store=store)
        assert [cached(ran, name) for name in "ab"] == [False, True]
        assert len(await kept(store, run_cache(ran.result.run_id))) == 1
        assert len(calls) == number
    assert await kept(store) == []


async def test_learned_facts_and_saved_memories_come_again() -> None:
    """Whoever reads them later must not see whether the step ran."""

    def look(n: int, context: StepContext) -> int:
        calls.append(n)
        context.learn("number", n)
        context.save("half", n / 2)
        return n

    def later(a: int, context: StepContext) -> object:
        return a, context.shared["half"]

    store = MemoryStore()
    pipeline = Pipeline("p").step("a", run=look, cache="forever").step("b", run=later)
    for _ in range(2):
        ran = await run(pipeline, inputs={"n": 3}, store=store)
        assert ran.result.final_output == [3, 1.5]
        assert ran.result.learned_facts == {"number": 3}
    assert calls == [3]


async def test_a_hit_passes_the_name_and_the_policy_of_a_step_by() -> None:
    """How often something is tried, and what it is called, says nothing about what it gives."""
    store = MemoryStore()
    await run(
        Pipeline("p").step("a", run=double, cache="forever", timeout=5, max_retries=0), inputs={"n": 3}, store=store
    )
    other = Pipeline("q").step("b", run=double, cache=3600, max_retries=9, optional=True)
    assert cached(await run(other, inputs={"n": 3}, store=store), "b")


async def test_another_type_of_output_is_other_work() -> None:
    """The same function may be asked for something else."""
    store = MemoryStore()
    await run(Pipeline("p").step("a", run=double, cache="forever"), inputs={"n": 3}, store=store)
    wider = Pipeline("p").step("a", run=double, cache="forever", output_schema=float)
    assert not cached(await run(wider, inputs={"n": 3}, store=store))


# --- agents ---


def asking(model: ScriptedModel, goal: str = "Describe {city}", **options: Any) -> Pipeline:
    """Return a pipeline whose one step asks a model."""
    config = options.pop("config", {})
    return Pipeline("p", config={"model": model, **config}).step("a", goal, cache="forever", **options)


async def test_a_model_is_not_asked_again_and_a_hit_costs_nothing() -> None:
    """That is what it is for."""
    model, store = ScriptedModel(lambda _: "hills", cost_usd=0.5), MemoryStore()
    ran = [await run(asking(model), inputs={"city": "Lisbon"}, store=store) for _ in range(2)]
    assert [it.result.final_output for it in ran] == ["hills", "hills"]
    assert [it.result.total_cost for it in ran] == [0.5, 0.0]
    assert cached(ran[1])
    assert len(model.requests) == 1


def price(city: str) -> int:
    """Return a price."""
    return len(city)


def price_of_tea(city: str) -> int:
    """Return a price."""
    return len(city) + 1


OTHERS: dict[str, Callable[[ScriptedModel], Pipeline]] = {
    "its goal": lambda model: asking(model, "Tell of {city}"),
    "a rule": lambda model: asking(model, constraints=["Be brief"]),
    "the temperature": lambda model: asking(model, config={"temperature": 1}),
    "a rule of all": lambda model: Pipeline(asking(model), global_constraints=["Be brief"]),
    "the purpose of the pipeline": lambda model: Pipeline(asking(model), "For tourists"),
    "what is shared": lambda model: Pipeline(asking(model), shared_context={"tone": "friendly"}),
    "a tool": lambda model: asking(model, tools=[price]),
    "its type": lambda model: asking(model, output_schema=list[str]),
    "guidance": lambda model: asking(model, config={"instructions": ("Write dates as 2026-11-30.",)}),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
async def test_what_an_agent_is_told_counts(other: Callable[[ScriptedModel], Pipeline]) -> None:
    """Another prompt has another answer."""
    model, store = ScriptedModel(lambda request: [] if "list" in str(request.output_type) else "x"), MemoryStore()
    await run(asking(model), inputs={"city": "Lisbon"}, store=store)
    model = ScriptedModel(
        lambda request: [] if request.purpose == "plan" or "list" in str(request.output_type) else "x"
    )
    first = await run(other(model), inputs={"city": "Lisbon"}, store=store)
    assert not cached(first)
    assert cached(await run(other(model), inputs={"city": "Lisbon"}, store=store)) or not first.result.success


async def test_another_model_is_another_answer() -> None:
    """Whoever changes the model wants to see what the new one says."""
    store = MemoryStore()
    for name, is_cached in (("small", False), ("small", True), ("large", False)):
        ran = await run(asking(ScriptedModel(lambda _: "x", name=name)), inputs={"city": "Faro"}, store=store)
        assert cached(ran) is is_cached


async def test_the_code_and_the_schema_of_its_tools_count() -> None:
    """An answer rests on what its tools gave."""

    def script(request: Any) -> object:
        return [{"tool_name": "price", "tool_args": {"city": "Faro"}}] if request.purpose == "plan" else "cheap"

    store = MemoryStore()
    tools = [price, Tool.of(price), Tool.of(price_of_tea, name="price"), Tool.of(price, description="Another")]
    found = []
    for tool in tools:
        pipeline = asking(ScriptedModel(script), "Find the price", tools=[tool])
        found.append(cached(await run(pipeline, store=store)))
    assert found == [False, True, False, False]


async def test_the_same_item_at_another_place_is_the_same() -> None:
    """A list that somebody has added to in front must not be paid for anew."""
    model, store = ScriptedModel(lambda _: "x"), MemoryStore()

    def describing(goal: str, *cities: str) -> Pipeline:
        pipeline = Pipeline("p", config={"model": model}).step("cities", run=lambda found: found)
        return pipeline.step("a", goal, for_each="cities", cache="forever")

    for goal, asked in (("Describe {item}", 1), ("Describe {item}, which is number {index}", 3)):
        model.requests.clear()
        await run(describing(goal), inputs={"found": ["Faro", "Porto"]}, store=store)
        model.requests.clear()
        ran = await run(describing(goal), inputs={"found": ["Lisbon", "Faro", "Porto"]}, store=store)
        assert len(model.requests) == asked
        parts = [event for event in ran.events if isinstance(event, PartCompleted)]
        assert sum(event.cached for event in parts) == 3 - asked


async def test_an_agent_of_ones_own_is_looked_at_if_it_is_a_function() -> None:
    """Of an agent of a library nobody knows what it would do."""
    model = ScriptedModel()

    async def poet(prompt: str) -> str:
        calls.append(prompt)
        return "a poem"

    store = MemoryStore()
    for _ in range(2):
        await run(asking(model, agent=poet), inputs={"city": "Faro"}, store=store)
    assert len(calls) == 1


# --- what is not kept ---


def reads(context: StepContext) -> object:
    """Read memory."""
    calls.append("reads")
    return context.memory.pipeline.get("n", 0)


def writes(context: StepContext) -> int:
    """Write memory."""
    calls.append("writes")
    context.memory.run.put("n", 1)
    return 1


def sends(context: StepContext) -> int:
    """Send a message with its success."""
    calls.append("sends")
    context.messages.send("other", 1)
    return 1


def sends_now(context: StepContext) -> int:
    """Send a message at once."""
    calls.append("sends now")
    context.messages.send("other", 1, now=True)
    return 1


@pytest.mark.parametrize("work", [reads, writes, sends, sends_now])
async def test_work_that_reaches_for_memory_or_mail_is_done_each_time(
    work: Callable[..., object], caplog: pytest.LogCaptureFixture
) -> None:
    """Used again, it would give what was remembered then, and send nothing."""
    store = MemoryStore()
    for _ in range(2):
        ran = await run(Pipeline("p").step("a", run=work, cache="forever"), store=store)
        assert ran.result.success
        assert not cached(ran)
    assert len(calls) == 2
    assert "'a' is not kept to be used again: it reads or writes memory or messages" in caplog.text


async def test_a_function_that_cannot_be_looked_at_runs_each_time_and_a_warning_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A guess might hand over what a client for another address gave; silence would cost money."""
    client, store = memoryview(b"a client"), MemoryStore()

    def work() -> int:
        calls.append(1)
        return client.nbytes

    for _ in range(2):
        assert (await run(Pipeline("p").step("a", run=work, cache="forever"), store=store)).result.success
    assert len(calls) == 2
    assert caplog.text.count("its function is bound to an object of the class memoryview") == 2


class Counter:
    """Has a state that its method changes."""

    def __init__(self) -> None:
        self.count = 0

    def work(self) -> int:
        """Count."""
        self.count += 1
        return self.count


async def test_what_changes_what_it_is_made_of_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    """Its output depends on how often it ran."""
    counter, store = Counter(), MemoryStore()
    for _ in range(2):
        await run(Pipeline("p").step("a", run=counter.work, cache="forever"), store=store)
    assert counter.count == 2
    assert await kept(store) == []
    assert "what its function is bound to changes while it works" in caplog.text


async def test_an_output_that_is_too_large_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    """A cache is no store for films; the step has succeeded all the same."""

    def work() -> str:
        calls.append(1)
        return "x" * 2_000_000

    store = MemoryStore()
    for _ in range(2):
        ran = await run(Pipeline("p").step("a", run=work, cache="forever"), store=store)
        assert len(ran.result.final_output) == 2_000_000
    assert len(calls) == 2
    assert "at most 1048576 are allowed" in caplog.text


async def test_a_full_cache_fails_nobody(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is there to spare work, not to cost it."""
    monkeypatch.setattr(entries, "CACHE_QUOTA", Quota(documents=1, bytes=10_000))
    store = MemoryStore()
    for n in (1, 2, 1, 2):
        ran = await run(Pipeline("p").step("a", run=double, cache="forever"), inputs={"n": n}, store=store)
        assert ran.result.final_output == 2 * n
    assert calls == [1, 2, 2]
    assert "An output is not kept to be used again" in caplog.text


@pytest.mark.parametrize("room", [1000, 3])
async def test_what_many_steps_give_at_once_is_kept_in_few_commits(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when there is no room for it: nothing else of that commit is lost."""
    monkeypatch.setattr(entries, "CACHE_QUOTA", Quota(documents=room, bytes=100_000))
    commits: list[int] = []

    class Counting(MemoryStore):
        async def commit(self, batch: Batch) -> None:
            await super().commit(batch)
            commits.append(len(batch.records))

    async def square(item: int) -> int:
        calls.append(item)
        await asyncio.sleep(0)
        return item * item

    pipeline = Pipeline("p").step("n", run=lambda: list(range(50)))
    pipeline.step("squares", run=square, for_each="n", cache="forever", max_concurrency=50)
    store = Counting()
    for _ in range(2):
        ran = await run(pipeline, store=store)
        assert ran.result.final_output == [n * n for n in range(50)]
    is_kept = room > 50
    assert (len(calls), len(await kept(store))) == (50 if is_kept else 100, 50 if is_kept else 0)
    assert len(commits) < 30


async def test_what_a_function_opens_while_it_works_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """It could be looked at before, and cannot any more: so it is not kept, and a warning says so."""
    opened: list[object] = []
    client: object = None

    def ask(n: int) -> int:
        nonlocal client
        client = client or memoryview(b"connection")
        opened.append(client)
        return n

    ran = await run(Pipeline("p").step("a", run=ask, cache="forever"), inputs={"n": 1})
    assert (ran.result.final_output, len(opened)) == (1, 1)
    bound = Bound()
    ran = await run(Pipeline("p").step("a", run=bound.ask, cache="forever"), inputs={"n": 1})
    assert ran.result.final_output == 1
    assert "bound to an object of the class memoryview" in caplog.text


class Bound:
    """Opens something when it is asked first."""

    def __init__(self) -> None:
        self.client: object = None

    def ask(self, n: int) -> int:
        self.client = self.client or memoryview(b"connection")
        return n


async def test_what_is_no_more_in_the_store_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is committed, the store alone says what there is: this process remembers nothing beside it."""
    monkeypatch.setattr(step_cache._flights, "_flights", {})  # as if the collector never came
    pipeline, store = Pipeline("p").step("a", run=double, cache="forever"), MemoryStore()
    for expected in (1, 2):
        assert not cached(await run(pipeline, inputs={"n": 1}, store=store))
        assert len(calls) == expected
        (document,) = await kept(store)
        await store.write(Effects((Put(CACHE, document.key, None),)))


async def test_a_store_that_cannot_be_asked_fails_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The run goes on as if there were no cache."""

    class Forgetful(MemoryStore):
        async def document(self, scope: str, key: str) -> Document | None:
            raise StoreError("away")

    ran = await run(Pipeline("p").step("a", run=double, cache="forever"), inputs={"n": 1}, store=Forgetful())
    assert ran.result.final_output == 2
    assert "the store failed" in caplog.text


# --- age and damage ---


async def test_it_is_used_again_for_as_long_as_is_asked_for() -> None:
    """Each pipeline says for itself how old an output may be."""
    now = [1000.0]
    store = MemoryStore(now=lambda: now[0])

    async def hit(cache: Any) -> bool:
        pipeline = Pipeline("p").step("a", run=double, cache=cache)
        return cached(await run(pipeline, inputs={"n": 1}, store=store, clock=ManualClock(now[0])))

    assert not await hit(timedelta(minutes=1))
    now[0] += 30
    assert await hit(60)
    assert not await hit(20)
    now[0] += 40
    assert not await hit("forever"), "what took its place was to live as long as that, and no longer"
    now[0] += 1e6
    assert await hit("forever")
    assert not await hit(60)
    now[0] += 1e6
    assert await hit("forever"), "what took its place lives for ever, too"
    assert len(calls) == 4


async def test_what_has_expired_is_swept() -> None:
    """Nobody wants to keep for ever what was to be kept for a minute."""
    now = [1000.0]
    store = MemoryStore(now=lambda: now[0])
    await run(Pipeline("p").step("a", run=double, cache=60), inputs={"n": 1}, store=store)
    now[0] += 61
    assert (await store.sweep(messages_older_than_seconds=1e9)).documents == 1


async def test_a_damaged_entry_or_one_that_does_not_fit_any_more_is_none() -> None:
    """Then the work is done again, and what it gives takes the place."""
    store = MemoryStore()
    pipeline = Pipeline("p").step("a", run=double, cache="forever")
    await run(pipeline, inputs={"n": 3}, store=store)
    (entry,) = await kept(store)
    for damaged in (b"{", b'{"v":1,"data":{"output":"no number","facts":{},"memories":{}}}'):
        await store.write(Effects((Put(CACHE, entry.key, damaged),)))
        ran = await run(pipeline, inputs={"n": 3}, store=store)
        assert (ran.result.final_output, cached(ran)) == (6, False)
        assert cached(await run(pipeline, inputs={"n": 3}, store=store))


# --- the same at once ---


async def test_equal_items_are_worked_on_once() -> None:
    """A list often holds the same twice."""

    async def work(item: int) -> int:
        calls.append(item)
        await asyncio.sleep(0)
        return item * 2

    pipeline = Pipeline("p").step("found", run=lambda: [1, 1, 2, 1, 2] * 20)
    ran = await run(pipeline.step("a", run=work, for_each="found", cache="run", max_concurrency=7))
    assert ran.result.final_output == [2, 2, 4, 2, 4] * 20
    assert sorted(calls, key=str) == [1, 2]


async def test_runs_of_several_threads_do_it_once(tmp_path: Path) -> None:
    """A web server starts runs in its threads, and each has an event loop of its own."""

    async def work(n: int) -> int:
        calls.append(n)
        await asyncio.sleep(0.05)
        return n * 2

    pipeline = Pipeline("p").step("a", run=work, cache="forever")
    store = f"sqlite:///{tmp_path / 'runs.db'}"

    def one(_: int) -> object:
        return run_pipeline(pipeline, inputs={"n": 3}, store=store).final_output

    def all_at_once() -> list[object]:
        with ThreadPoolExecutor(6) as threads:
            return list(threads.map(one, range(6)))

    assert await asyncio.to_thread(all_at_once) == [6] * 6
    assert calls == [3]


async def test_if_the_first_fails_the_next_does_it() -> None:
    """Waiting for somebody must not mean to fail with him."""

    async def work() -> int:
        calls.append(1)
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise ConnectionError("away")
        return 7

    pipeline = Pipeline("p")
    for name in "abc":
        pipeline.step(name, run=work, cache="run", execution_mode=CONCURRENT, max_retries=0)
    ran = await run(pipeline)
    assert sorted(ran.statuses.values()) == ["completed", "completed", "failed"]
    assert len(calls) == 2


async def test_if_the_first_is_cut_off_the_next_does_it(tmp_path: Path) -> None:
    """A run that is cancelled, or a step whose time is over, must not hold up another one for ever."""
    started = asyncio.Event()

    async def work() -> int:
        calls.append(1)
        started.set()
        await asyncio.sleep(0 if len(calls) > 1 else 3600)
        return 7

    store, clock = MemoryStore(), ManualClock()
    pipeline = Pipeline("p").step("a", run=work, cache="forever")
    opened = services(store=store, clock=clock)
    first = asyncio.ensure_future(PipelineExecutor(pipeline, services=opened).execute())
    await started.wait()
    second = asyncio.ensure_future(
        PipelineExecutor(pipeline, services=replace(opened, new_id=lambda: "second")).execute()
    )
    for _ in range(50):
        await asyncio.sleep(0)
    assert calls == [1]
    first.cancel()
    assert (await second).final_output == 7
    assert len(calls) == 2


async def test_waiting_for_somebody_ends_with_the_timeout() -> None:
    """A step that may take a second must not wait an hour for one that may take a day."""
    release = asyncio.Event()

    async def work() -> int:
        calls.append(1)
        await release.wait()
        return 7

    async def let_go() -> None:
        release.set()

    pipeline = Pipeline("p").step("slow", run=work, cache="run", execution_mode=CONCURRENT)
    pipeline.step("hasty", run=work, cache="run", timeout=1, max_retries=0, optional=True, execution_mode=CONCURRENT)
    pipeline.step("end", run=let_go, depends_on=["hasty"], execution_mode=CONCURRENT)
    ran = await run(pipeline)
    assert ran.statuses == {"slow": "completed", "hasty": "failed", "end": "completed"}
    assert ran.result.step_metadata["hasty"]["code"] == "step.timeout"
    assert calls == [1]


async def test_work_that_runs_itself_inside_does_not_wait_for_itself() -> None:
    """A function may run a pipeline in which it stands again."""
    store = MemoryStore()

    async def work(n: int) -> int:
        calls.append(n)
        if len(calls) > 1:
            return n
        inner = PipelineExecutor(
            pipeline, inputs={"n": n}, services=replace(services(store=store), new_id=lambda: "in")
        )
        return int(str((await inner.execute()).final_output)) + 1

    pipeline = Pipeline("p").step("a", run=work, cache="forever")
    async with asyncio.timeout(30):
        ran = await run(pipeline, inputs={"n": 3}, store=store)
    assert ran.result.final_output == 4
    assert len(calls) == 2


def test_work_whose_event_loop_stands_still_is_not_waited_for(tmp_path: Path) -> None:
    """A step that calls `run_pipeline` stops the loop of the one who does the same work."""
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    began = asyncio.Event()

    async def work(n: int) -> int:
        calls.append(n)
        if len(calls) == 1:
            began.set()
            await asyncio.sleep(0.05)
        return n * 2

    inner = Pipeline("inner").step("a", run=work, cache="forever")

    async def blocking() -> object:
        await began.wait()
        return run_pipeline(inner, inputs={"n": 3}, store=store).final_output

    pipeline = Pipeline("outer").step("a", run=work, cache="forever", execution_mode=CONCURRENT)
    pipeline.step("b", run=blocking, execution_mode=CONCURRENT)
    result = run_pipeline(pipeline, inputs={"n": 3}, store=store)
    assert (result.success, len(calls)) == (True, 2)


async def test_between_the_end_of_the_work_and_its_commit_it_is_not_done_again() -> None:
    """A store may be slow, and what it does not hold yet nobody can read there."""
    is_writing, may_write = asyncio.Event(), asyncio.Event()

    class Slow(MemoryStore):
        async def commit(self, batch: Batch) -> None:
            if any(put.scope == CACHE for put in batch.effects.puts):
                is_writing.set()
                await may_write.wait()
            await super().commit(batch)

    pipeline, store = Pipeline("p").step("a", run=double, cache="forever"), Slow()
    first = asyncio.ensure_future(run(pipeline, inputs={"n": 3}, store=store))
    await is_writing.wait()
    async with asyncio.timeout(30):
        assert cached(await run(pipeline, inputs={"n": 3}, store=store))
    may_write.set()
    assert not cached(await first)
    assert calls == [3]


# --- with the rest ---


async def test_rounds_are_used_again_each_by_itself() -> None:
    """The second run of a loop takes no step of it again, and ends where the first one ended."""

    def grow(previous: int | None) -> int:
        calls.append(previous)
        return (previous or 0) + 1

    store = MemoryStore()
    step = PipelineStep(name="a", run=grow, cache="forever")
    for limit, done in ((3, 3), (3, 3), (4, 7)):
        pipeline = Pipeline("p").add_step(repeat(step, until=f"output >= {limit}", max_times=9))
        assert (await run(pipeline, store=store)).result.final_output == limit
        assert len(calls) == done


async def test_a_pipeline_inside_a_step_is_used_again_as_a_whole() -> None:
    """None of its steps runs, and its code and inputs count."""

    def inner(factor: int) -> Pipeline:
        inside = Pipeline("inner").step("twice", run=double)
        return inside.step("last", run=lambda twice: twice * factor)

    store = MemoryStore()
    for factor, n, done in ((1, 3, 1), (1, 3, 1), (1, 4, 2), (2, 4, 3)):
        pipeline = Pipeline("p").step("a", pipeline=inner(factor), inputs={"n": "n"}, cache="forever")
        ran = await run(pipeline, inputs={"n": n}, store=store)
        assert ran.result.final_output == n * 2 * factor
        assert len(calls) == done


class NoModels:
    """Has no model, as without a key."""

    async def model_for(self, config: TAgentConfig) -> LanguageModel:
        """Refuse, for whichever settings."""
        raise ModelAuthenticationError(str(config.model), "It needs a key.")


@pytest.mark.parametrize("cache", [None, "run"])
async def test_no_model_is_asked_for_where_somebody_elses_agent_works_inside(cache: CacheUse | None) -> None:
    """Whether an output is kept must not say whether the step can be done at all."""

    async def hers(goal: str) -> str:
        return "hi"

    inner = Pipeline("inner").step("greet", "Say hi", agent=hers)
    pipeline = Pipeline("p").step("a", pipeline=inner, cache=cache, max_retries=0)
    opened = replace(services(), models=NoModels())
    result = await PipelineExecutor(pipeline, TAgentConfig(model="openai:gpt-4.1"), services=opened).execute()
    assert result.final_output == "hi"


async def test_a_pipeline_inside_that_writes_memory_is_run_each_time() -> None:
    """What its steps wrote would be missing."""
    store = MemoryStore()
    pipeline = Pipeline("p").step("a", pipeline=Pipeline("inner").step("w", run=writes), cache="forever")
    for _ in range(2):
        assert (await run(pipeline, store=store)).result.success
    assert len(calls) == 2


async def test_what_a_pipeline_remembers_is_remembered_with_a_hit_too() -> None:
    """Whoever looks into its memory must not see whether the step ran."""
    store = MemoryStore()
    pipeline = Pipeline("p", memory="pipeline").step("a", run=double, cache="forever")
    for _ in range(2):
        await run(pipeline, inputs={"n": 3}, store=store)
        assert [document.key for document in await store.documents(DocumentQuery("pipeline/p"))] == ["a"]
        await store.forget("pipeline/p")
    assert calls == [3]


async def test_a_hit_needs_no_circuit_to_be_closed() -> None:
    """Nobody calls the service that is down."""
    store = MemoryStore()

    def fetch(n: int) -> int:
        if n < 0:
            raise ConnectionError("down")
        return n

    policy = CircuitPolicy(failures=1, open_seconds=60)
    pipeline = Pipeline("fetching").step("a", run=fetch, cache="forever", circuit=policy, max_retries=0)
    found = [await run(pipeline, inputs={"n": n}, store=store) for n in (1, -1, 1, 2)]
    assert [it.result.step_metadata["a"]["code"] for it in found] == ["", "step.failed", "", "circuit.open"]


def test_an_output_that_waits_for_approval_is_kept_once_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody refused must not come again by another door; and each run asks anew."""
    monkeypatch.setattr(step_cache._flights, "_flights", {})  # as if the collector never came
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    pipeline = Pipeline("p").step("a", run=double, cache="forever", approval="output")
    found = []
    for answer in (reject, approve, approve):
        run_id = run_pipeline(pipeline, inputs={"n": 3}, store=store).run_id
        answer(run_id, "a", {"store": store})
        result = resume(run_id, pipeline, {"store": store})
        found.append((result.final_output, result.step_metadata["a"]["cached"], len(calls)))
    assert found == [(None, False, 1), (6, False, 2), (6, True, 2)]


@pytest.mark.parametrize("cache", ["forever", 3600])
@pytest.mark.parametrize("is_inner", [False, True])
def test_an_output_that_a_reviewer_has_replaced_is_not_kept(tmp_path: Path, cache: CacheUse, *, is_inner: bool) -> None:
    """Nobody has approved it, so no other step may be given it."""
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    work: dict[str, Any] = {"pipeline": Pipeline("in").step("d", run=double)} if is_inner else {"run": double}
    asking = Pipeline("p").step("a", **work, cache=cache, approval="output")
    waiting = run_pipeline(asking, inputs={"n": 3}, store=store)
    approve(waiting.run_id, "a", {"store": store}, output=7, pipeline=asking)
    assert resume(waiting.run_id, asking, {"store": store}).final_output == 7
    other = run_pipeline(Pipeline("p").step("a", **work, cache=cache), inputs={"n": 3}, store=store)
    assert (other.final_output, other.step_metadata["a"]["cached"], calls) == (6, False, [3, 3])


@pytest.mark.parametrize("at", range(1, 6))
@pytest.mark.parametrize("is_written", [True, False])
async def test_a_crash_anywhere_leaves_no_wrong_entry(at: int, *, is_written: bool) -> None:
    """An entry is there exactly if the step's success is: both are one commit."""
    store = CrashingStore().arm(at, is_written=is_written)
    pipeline = Pipeline("p").step("n", run=lambda: 3).step("a", run=double, cache="forever")
    opened = services(store=store)
    with suppress(Crash):
        await PipelineExecutor(pipeline, services=opened).execute()
    gc.collect()  # a process that is gone holds nothing in its hands, not even what its last attempt was about to give
    store.arm(0)
    ran_before = len(calls)
    if await store.runs():
        events = await load_events(store, "run-1")
        is_done = any(isinstance(event, StepCompleted) and event.step == "a" for event in events)
        assert len(await kept(store)) == is_done
        resumed = await resume_run("run-1", everybody_is_gone(opened), TAgentConfig(), pipeline=pipeline)
        assert (resumed.success, len(calls)) == (True, ran_before + (not is_done))
        assert cached(await run(pipeline, store=store))


def test_validation_says_what_cannot_be_used_again() -> None:
    """Whoever asks for it must not find out by the bill."""

    def problems(**options: Any) -> list[str]:
        step = PipelineStep(**{"name": "a", "cache": "forever", **options})
        return [it.code for it in validate(Pipeline("p").add_step(step)) if it.code.startswith(("bad_cache", "cached"))]

    for wrong in (0, -1, True, float("nan"), float("inf"), 10**400, timedelta.max, "day", timedelta(0), [1]):
        assert problems(run=len, cache=wrong) == ["bad_cache"], wrong
    for right in ("run", "forever", 1, 0.5, timedelta(seconds=1), None):
        assert problems(run=len, cache=right) == []
    assert problems(wait_for="orders.new") == ["bad_cache"]
    assert problems(when="true") == ["bad_cache"]
    assert problems(run=list, compensate=list) == ["bad_cache"]
    assert problems(pipeline=Pipeline("i").step("x", run=list, approval=True)) == ["bad_cache"]
    assert problems(goal="Do it", tools=[Tool.of(price, side_effect=True)]) == ["cached_effects"]
    assert problems(goal="Do it", memory="pipeline") == ["cached_memory"]


def test_what_the_context_says_of_the_step_counts() -> None:
    """Two steps of one function that look at who they are give two things."""

    def name(context: StepContext) -> str:
        return context.step

    pipeline = Pipeline("p").step("a", run=name, cache="run").step("b", run=name, cache="run")
    assert dict(run_pipeline(pipeline).step_outputs) == {"a": "a", "b": "b"}
