"""Memory in runs: what steps and agents remember, who sees it, and when it counts."""

import itertools
from collections.abc import Callable

import pytest

from builders import CONCURRENT, raising, run, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent import ToolContext
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.names import pipeline_scope, run_scope
from tagent.pipeline import Pipeline, PipelineExecutor, PipelineResult, StepContext, validate
from tagent.pipeline.memory import PipelineMemory
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.transfer.forking import fork_run
from tagent.ports import Services
from tagent.ports.documents import Document, DocumentQuery
from tagent.ports.store_errors import StoreUnavailableError
from tagent.task_agent.tools.memory import recall, remember
from tagent.testing import ScriptedModel


async def runs_of(pipeline: Pipeline, opened: Services, *, times: int) -> list[PipelineResult]:
    """Run `pipeline` several times on one store, one run after the other."""
    return [await PipelineExecutor(pipeline, services=opened).execute() for _ in range(times)]


def putting(key: str, value: object, **options: object) -> Callable[[StepContext], None]:
    """Return a step function that puts `value` into the memory of its run."""

    def function(context: StepContext) -> None:
        context.memory.run.put(key, value, **options)  # type: ignore[arg-type]  # the options of put

    return function


def added(there: object, mine: object) -> object:
    assert isinstance(there, int)
    assert isinstance(mine, int)
    return there + mine


async def test_each_scope_lives_as_long_as_what_it_belongs_to() -> None:
    """A step sees its own, its run's and its pipeline's."""

    def write(context: StepContext) -> None:
        for scope in (context.memory.step, context.memory.run, context.memory.pipeline):
            scope.put("k", scope.get("k", 0) + 1)

    async def read(context: StepContext) -> list[object]:
        return [await it.aget("k") for it in (context.memory.step, context.memory.run, context.memory.pipeline)]

    pipeline = Pipeline("p").step("write", run=write).step("again", run=write).step("read", run=read)
    first, second = await runs_of(pipeline, services(), times=2)
    assert first.step_outputs["read"] == [None, 2, 2]
    assert second.step_outputs["read"] == [None, 2, 4]
    assert (first.saved_memories, second.saved_memories) == ({"k": 2}, {"k": 4})


async def test_what_a_failed_attempt_has_remembered_is_forgotten() -> None:
    """Memory and outcome are one."""
    fail_once = raising(ValueError("no"), times=1)

    async def function(context: StepContext) -> object:
        found = await context.memory.run.aget("k")
        await context.memory.run.aput("k", "written")
        await fail_once()  # type: ignore[misc]  # it is async
        return found

    store = MemoryStore()
    ran = await run(Pipeline("p").step("a", run=function), store=store)
    assert (ran.result.step_outputs["a"], ran.result.step_metadata["a"]["attempts"]) == (None, 2)
    assert (ran.result.saved_memories, len(await store.scopes())) == ({"k": "written"}, 1)


async def test_concurrent_steps_that_expect_the_same_version_conflict_and_try_again() -> None:
    """The one who comes too late decides anew, on what the other has written."""

    async def count(context: StepContext) -> int:
        entry = await context.memory.run.aentry("n")
        version, value = (entry.version, entry.value) if entry else (0, 0)
        context.memory.run.put("n", value + 1, expected_version=version)
        return context.attempt

    pipeline = Pipeline("p")
    for name in "abcd":
        pipeline.step(name, run=count, execution_mode=CONCURRENT, max_retries=9)
    ran = await run(pipeline)
    assert ran.result.success, ran.result.step_metadata
    assert ran.result.saved_memories == {"n": 4}
    assert sorted(ran.result.step_outputs.values()) > [1, 1, 1, 1]


async def test_a_conflict_fails_the_step_when_no_attempt_is_left() -> None:
    """Never reported as written."""
    pipeline = Pipeline("p")
    for name in "ab":
        pipeline.step(name, run=putting("n", name, expected_version=0), execution_mode=CONCURRENT, max_retries=0)
    ran = await run(pipeline)
    assert sorted(ran.statuses.values()) == ["completed", "failed"]
    (failed,) = [meta for meta in ran.result.step_metadata.values() if meta["status"] == "failed"]
    assert failed["code"] == "store.document_conflict"
    assert len(ran.result.saved_memories) == 1


async def test_concurrent_steps_that_merge_lose_nothing() -> None:
    """The declared merge is done with what is there at the commit."""
    pipeline = Pipeline("p")
    for number in range(20):
        pipeline.step(f"s{number}", run=putting("n", 1, merge=added), execution_mode=CONCURRENT, max_retries=0)
    store = MemoryStore()
    ran = await run(pipeline, store=store)
    assert ran.result.success, ran.result.step_metadata
    document = await store.document(run_scope(ran.result.run_id), "n")
    assert document is not None
    assert document.value == b'{"v":1,"data":20}'


async def test_a_merge_that_raises_fails_its_step() -> None:
    """A mistake of the user's is a failure with a cause."""
    pipeline = (
        Pipeline("p").step("a", run=putting("n", "text", merge=added)).step("b", run=putting("n", 1, merge=added))
    )
    ran = await run(pipeline)
    assert ran.statuses == {"a": "completed", "b": "failed"}
    assert "AssertionError" in str(ran.result.step_metadata["b"]["reason"])


async def test_the_last_one_who_writes_wins_unless_told_otherwise() -> None:
    """The simple case stays simple."""
    pipeline = Pipeline("p").step("a", run=putting("n", 1)).step("b", run=putting("n", 2))
    assert (await run(pipeline)).result.saved_memories == {"n": 2}


async def test_what_is_too_large_fails_its_step() -> None:
    """It is told where it was written."""
    ran = await run(Pipeline("p").step("a", run=putting("n", "x" * 2_000_000)))
    assert ran.result.step_metadata["a"]["code"] == "payload.too_large"


async def test_a_pipeline_reaches_no_space_that_it_does_not_share() -> None:
    """And nothing leads into the private memory of another one."""

    def write(context: StepContext) -> None:
        context.memory.space("prices").put("tea", 3)
        context.memory.share_with_pipeline("q", "tea", {"price": 3})

    async def read(context: StepContext) -> list[object]:
        memory = context.memory
        return [
            await memory.space("prices").aget("tea"),
            await memory.shared.aget("tea"),
            await memory.pipeline.aget("tea"),
        ]

    opened = services()
    (refused,) = await runs_of(Pipeline("o").step("write", run=write), opened, times=1)
    assert refused.step_metadata["write"]["code"] == "memory.not_allowed"
    assert "spaces=['prices']" in refused.step_metadata["write"]["reason"]
    (wrote,) = await runs_of(Pipeline("p", spaces=["prices"]).step("write", run=write), opened, times=1)
    assert wrote.success, wrote.step_metadata
    (result,) = await runs_of(Pipeline("q", spaces=["prices"]).step("read", run=read), opened, times=1)
    assert result.step_outputs["read"] == [3, {"price": 3}, None]


@pytest.mark.parametrize(
    ("pipeline", "code"),
    [
        (Pipeline("p", memory="for ever").step("a", run=lambda: 1), "bad_memory"),  # type: ignore[arg-type]
        (Pipeline("p").step("a", run=lambda: 1, memory="for ever"), "bad_memory"),  # type: ignore[arg-type]
        (Pipeline("p", spaces=[""]).step("a", run=lambda: 1), "bad_space"),
    ],
)
def test_a_definition_that_cannot_be_is_told(pipeline: Pipeline, code: str) -> None:
    """Before anything runs."""
    assert [problem.code for problem in validate(pipeline)] == [code]


async def test_the_next_run_of_a_pipeline_recalls_what_fits_its_goal() -> None:
    """What was learned once need not be found out again."""

    def learn(context: StepContext) -> str:
        context.learn("harvest", "The harvest of Darjeeling begins in March.")
        context.save("coffee", "Coffee grows in Ethiopia.")
        return "done"

    model = ScriptedModel(lambda request: "Late in spring.")
    pipeline = Pipeline("p", memory="pipeline").step("learn", run=learn)
    pipeline.step("answer", "When does the harvest of Darjeeling begin?", depends_on=["learn"], read_data=["learn"])
    opened = services(model=model)
    first, _ = await runs_of(pipeline, opened, times=2)
    assert first.success, first.step_metadata
    prompts = ["\n".join(message.content for message in request.messages) for request in model.requests]
    assert "begins in March" in prompts[0], "what the run itself has just learned"
    assert "Late in spring" not in prompts[0]
    assert '<data name="remembered: harvest">The harvest of Darjeeling begins in March.</data>' in prompts[1]
    assert "Ethiopia" not in prompts[1]
    documents = await opened.store.documents(DocumentQuery(pipeline_scope("p")))
    assert [document.key for document in documents] == ["answer", "coffee", "harvest", "learn"]


async def test_agents_remember_and_recall() -> None:
    """What one agent has remembered, the next one finds."""
    model = ScriptedModel(
        [
            {
                "tasks": [
                    {"description": "keep", "tool_name": "remember", "tool_args": {"key": "tea", "text": "Green tea"}}
                ]
            },
            "kept",
            {"tasks": [{"description": "look", "tool_name": "recall", "tool_args": {"about": "which tea is it"}}]},
            "found",
        ]
    )
    pipeline = Pipeline("p").step("a", "Keep it", tools=[remember]).step("b", "Find it", tools=[recall])
    ran = await run(pipeline, model=model)
    assert ran.result.success, ran.result.step_metadata
    assert ran.result.saved_memories == {"tea": "Green tea"}
    assert "Green tea" in "\n".join(message.content for message in model.requests[-1].messages)


async def test_what_a_tool_has_remembered_before_a_crash_counts_although_it_is_not_called_again() -> None:
    """Its call is finished, and so is what it did."""
    calls = itertools.count(1)

    def note(context: ToolContext) -> str:
        context.memory.run.put("noted", next(calls))
        return "noted"

    plan = {"tasks": [{"description": "note", "tool_name": "note", "tool_args": {}}]}
    pipeline = Pipeline("p").step("a", "Note it", tools=[note])
    store = CrashingStore().arm(6, is_written=False)
    opened = services(store=store, model=ScriptedModel([plan, "done", "done"]))
    with pytest.raises(Crash):
        await PipelineExecutor(pipeline, services=opened).execute()
    assert list(await store.scopes()) == []
    result = await resume_run("run-1", everybody_is_gone(opened), TAgentConfig(), pipeline=pipeline)
    assert result.success, result.step_metadata
    assert (result.saved_memories, next(calls)) == ({"noted": 1}, 2)


async def test_what_a_failed_tool_has_remembered_does_not_count() -> None:
    """It says that it did not do its work."""

    def note(context: ToolContext) -> str:
        context.memory.run.put("noted", 1)
        raise ValueError("no")

    plan = {"tasks": [{"description": "note", "tool_name": "note", "tool_args": {}}]}
    model = ScriptedModel([plan, {"tasks": []}, "done without"])
    ran = await run(Pipeline("p").step("a", "Note it", tools=[note]), model=model)
    assert ran.result.success, ran.result.step_metadata
    assert ran.result.saved_memories == {}


async def test_outside_a_pipeline_there_is_no_memory() -> None:
    """A tool is told what to do, and never given one that is lost."""

    def note(context: ToolContext) -> None:
        context.memory.run.put("noted", 1)

    with pytest.raises(Exception, match="PipelineMemory"):
        note(ToolContext())


def test_a_pipelines_memory_is_used_alone() -> None:
    """The specification's class, in any program."""
    with PipelineMemory("report", store="memory://") as memory:
        memory.save_step_result("search", {"hits": 3})
        assert memory.get_step_result("search") == {"hits": 3}
        assert memory.get_step_result("search", schema=dict[str, float]) == {"hits": 3.0}
        assert memory.get_step_result("nothing") is None
        saved = memory.step_memory["search"]
        assert (saved["data"], saved["step_id"], saved["timestamp"].tzinfo is not None) == ({"hits": 3}, "search", True)
        assert (list(memory.step_memory), "nothing" in memory.step_memory) == (["search"], False)
        memory.share_with_pipeline("report", "from", "me")
        assert dict(memory.shared_memory) == {"from": "me"}
        memory.save_result("run-1", [1])
        assert dict(memory.pipeline_results) == {"run-1": [1]}
        assert memory.space("s").get("k") is None
        assert memory.run("r").get("k") is memory.step("r", "s").get("k") is None


async def test_a_pipelines_memory_is_that_of_its_runs() -> None:
    """What a run has left can be read while others go on."""
    opened = services()
    await runs_of(Pipeline("p").step("a", run=_putting_seven), opened, times=1)
    memory = PipelineMemory("p", services=opened)
    assert await memory.pipeline.aget("k") == 7
    await memory.asave_step_result("a", 1)
    assert await memory.aget_step_result("a") == 1
    await memory.ashare_with_pipeline("q", "k", 1)
    await memory.asave_result("r", 1)
    assert [usage.scope for usage in await opened.store.scopes()] == ["pipeline/p", "results/p", "shared/q", "steps/p"]


def _putting_seven(context: StepContext) -> None:
    context.memory.pipeline.put("k", 7)


def test_a_mapping_goes_through_more_than_a_page() -> None:
    """A thousand results are read as a dict would be."""
    with PipelineMemory("p", store="memory://") as memory:
        for number in range(250):
            memory.save_result(f"r{number:03}", number)
        assert len(memory.pipeline_results) == 250
        assert dict(memory.pipeline_results)["r249"] == 249


class Restarting(MemoryStore):
    """Is away for some of its reads."""

    away = 0

    async def document(self, scope: str, key: str) -> Document | None:
        if self.away:
            self.away -= 1
            raise StoreUnavailableError("It is being restarted.")
        return await super().document(scope, key)


async def test_a_step_waits_for_a_store_that_is_away() -> None:
    """A restart of the server costs time, and no attempt."""
    store = Restarting()

    async def read(context: StepContext) -> object:
        store.away = 5
        found = await context.memory.run.aget("k", "nothing")
        context.memory.run.put("k", 1, merge=added)
        store.away = 5
        return found

    ran = await run(Pipeline("p").step("a", run=read), store=store)
    assert (ran.result.step_outputs["a"], ran.result.step_metadata["a"]["attempts"]) == ("nothing", 1)
    assert ran.result.saved_memories == {"k": 1}


async def test_a_fork_remembers_what_its_reused_steps_have_remembered() -> None:
    """And not what the steps that run again had made of it."""

    def count(context: StepContext) -> int:
        context.memory.run.put("n", context.memory.run.get("n", 0) + 1)
        return context.memory.run.get("n")  # type: ignore[no-any-return]  # what was put

    pipeline = Pipeline("p").step("a", run=count).step("b", run=count).step("c", run=count)
    opened = services()
    (first,) = await runs_of(pipeline, opened, times=1)
    fork = await fork_run(first.run_id, opened, from_step="c", pipeline=pipeline)
    result = await resume_run(fork.run_id, opened, TAgentConfig(), pipeline=pipeline)
    assert result.step_outputs == first.step_outputs == {"a": 1, "b": 2, "c": 3}
    document = await opened.store.document(run_scope(first.run_id), "n")
    assert document is not None
    assert document.version == 3, "the parent is untouched"
