"""Large outputs of a run in a store that lasts: when they leave the memory, and how they are read again."""

import asyncio
import gc
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_json

from builders import CONCURRENT, raising, returning, services
from crashes import Crash, CrashingStore, everybody_is_gone
from lasting import lasting
from tagent.config import TAgentConfig
from tagent.pipeline import (
    Dependency,
    DependencyType,
    Pipeline,
    PipelineExecutor,
    PipelineResult,
    RunStatus,
    StepContext,
    StepOutputError,
    StepStatus,
)
from tagent.pipeline.course.records import StepRecord
from tagent.pipeline.driving.stopping import StopSignal
from tagent.pipeline.exceptions import RunStoppedError
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.state import fold
from tagent.pipeline.transfer.forking import fork_run, state_at
from tagent.pipeline.work.large_outputs import LostOutputError
from tagent.ports import Services
from tagent.ports.records import RunQuery
from tagent.search import words_of
from tagent.testing import ScriptedModel

LARGE = "x" * 20_000


class WatchedStore(CrashingStore):
    """Tells which blobs were read, and can lose them."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    async def blob(self, blob_hash: str) -> bytes:
        """Return the content, and remember who begins it."""
        content = await super().blob(blob_hash)
        self.read.append(content[1:7].decode())
        return content

    def lose_blobs(self) -> None:
        """Forget every content."""
        self._blobs.clear()


@pytest.fixture
def store() -> WatchedStore:
    """Return a store that lasts as long as the test."""
    return WatchedStore()


@pytest.fixture
def opened(store: WatchedStore) -> Iterator[Services]:
    """Give services on it."""
    with lasting(store) as given:
        yield given


def large(name: str) -> str:
    """Return a large output that begins with `name`."""
    return name.ljust(6, "_") + LARGE


def steps(*names: str, **after: str) -> Pipeline:
    """Return SERIAL steps that give something large, some `after` another: step name -> the one it depends on."""
    pipeline = Pipeline("p")
    for name in names:
        before = [after[name]] if name in after else []
        pipeline.step(name, run=returning(large(name)), depends_on=before)
    return pipeline


async def execute(pipeline: Pipeline, opened: Services) -> PipelineResult:
    return await PipelineExecutor(pipeline, services=opened).execute()


async def resume(pipeline: Pipeline, opened: Services) -> PipelineResult:
    return await resume_run("run-1", everybody_is_gone(opened), TAgentConfig(), pipeline=pipeline)


async def test_a_large_output_leaves_the_memory_when_nobody_has_yet_to_read_it(
    opened: Services, store: WatchedStore
) -> None:
    """While somebody has, it stays: nothing is read twice."""
    lengths: list[int] = []

    async def measure(a: str) -> str:
        lengths.append(len(a))
        return large("m")

    pipeline = Pipeline("p").step("a", run=returning(large("a"))).step("b", run=measure).step("c", run=measure)
    pipeline.step("small", run=returning("s")).step("end", run=returning(large("end")))
    executor = PipelineExecutor(pipeline, services=opened)
    result = await executor.execute()
    assert lengths == [len(large("a"))] * 2
    assert store.read == []
    kept = {"small": "s", "end": large("end")}
    gone = "<in the store>"
    assert repr(result.step_outputs) == repr({"a": 0, "b": 0, "c": 0, **kept}).replace("0", gone)
    assert result.final_output == large("end")
    assert executor.shared_state.facts["a"] == large("a")[:2000], "the agent's context is cut anyway"
    assert executor.results == result.step_outputs


@pytest.mark.parametrize("is_deeper", [True, False])
async def test_what_steps_inside_a_part_gave_leaves_the_memory_with_the_end_of_the_part(
    opened: Services, *, is_deeper: bool
) -> None:
    """Thousands of items may have a pipeline each; how their steps went is told all the same."""
    kept: list[str] = []

    async def look(each: list[int]) -> list[int]:
        gc.collect()
        texts = [it.output for it in gc.get_objects() if isinstance(it, StepRecord) and isinstance(it.output, str)]
        kept.extend(text[:6] for text in texts if text.startswith("inside"))
        return each

    async def measure(a: str) -> int:
        return len(a)

    inner = Pipeline("inner").step("a", run=returning(large("inside"))).step("b", run=measure)
    around = Pipeline("around").step("each", pipeline=inner, for_each="items").step("look", run=look)
    pipeline = Pipeline("outer").step("around", pipeline=around) if is_deeper else around
    result = await PipelineExecutor(pipeline, inputs={"items": [1, 2]}, services=opened).execute()
    assert (result.final_output, kept) == ([len(large("inside"))] * 2, [])
    facts = result.step_metadata["around"]["steps"]["each"] if is_deeper else result.step_metadata["each"]
    assert [str(it["steps"]["a"]["status"]) for it in facts["parts"].values()] == ["completed"] * 2


async def test_a_store_that_cannot_be_opened_again_keeps_everything_in_memory() -> None:
    """There would be nowhere to read it."""
    store = WatchedStore()
    result = await execute(steps("a", "b"), services(store=store))
    assert repr(result.step_outputs) == repr({"a": large("a"), "b": large("b")})
    assert store.read == []


def test_released_outputs_are_read_like_those_of_a_dict(opened: Services, store: WatchedStore) -> None:
    """After the run, without an event loop."""
    outputs = asyncio.run(execute(steps("a", "b", "c", b="a"), opened)).step_outputs
    expected = {name: large(name) for name in "abc"}
    assert store.read == []
    assert outputs["a"] == large("a")
    assert store.read == ["a_____"]
    assert (outputs.get("a"), outputs.get("z"), len(outputs)) == (large("a"), None, 3)
    assert ("a" in outputs, "z" in outputs, list(outputs)) == (True, False, ["a", "b", "c"])
    assert outputs == expected
    assert expected == outputs
    assert dict(outputs) == expected == {**outputs}
    assert dict(outputs.items()) == expected
    assert list(outputs.values()) == list(expected.values())
    others: list[object] = [{**expected, "c": 1}, {"a": large("a")}, ["a", "b", "c"]]
    assert all(outputs != other for other in others)
    with pytest.raises(KeyError):
        outputs["z"]
    with pytest.raises(TypeError):
        outputs["a"] = 1  # type: ignore[index]  # nobody can change it
    with pytest.raises(TypeError):
        hash(outputs)


async def test_released_outputs_are_read_inside_an_event_loop(opened: Services) -> None:
    """A notebook always has one."""
    result = await execute(steps("a", "b"), opened)
    assert result.step_outputs["a"] == large("a")


def test_a_result_is_written_as_json_with_everything_in_it(opened: Services) -> None:
    """Wherever its outputs are."""
    result = asyncio.run(execute(steps("a", "b"), opened))
    expected = {"a": large("a"), "b": large("b")}
    assert json.loads(to_json(result))["step_outputs"] == expected
    adapter = TypeAdapter(PipelineResult)
    assert adapter.validate_json(adapter.dump_json(result)).step_outputs == expected


class Found(BaseModel):
    """An output with a type."""

    text: str


class Other(BaseModel):
    """A later type."""

    words: list[str]


def typed(of: type[BaseModel]) -> Pipeline:
    """Return a pipeline whose first step has a type."""

    async def find() -> object:
        return {"text": LARGE}

    find.__annotations__["return"] = of
    return Pipeline("p").step("find", run=find).step("end", run=returning(1))


async def test_a_released_output_comes_back_as_its_type(opened: Services) -> None:
    """As one does that stayed."""
    result = await execute(typed(Found), opened)
    assert result.step_outputs["find"] == Found(text=LARGE)
    again = await resume_run("run-1", opened, TAgentConfig(), pipeline=typed(Other), definition="current")
    with pytest.raises(StepOutputError, match="does not fit Other any more"):
        again.step_outputs["find"]


async def test_a_resume_reads_only_what_is_still_needed(opened: Services, store: WatchedStore) -> None:
    """Not the outputs of a thousand steps for the sake of the last one."""
    pipeline = steps("a", "b", "c", "d", "e", b="a", c="b", d="c", e="d")
    store.arm(5)
    with pytest.raises(Crash):
        await execute(pipeline, opened)
    store.arm(10**9)
    result = await resume(pipeline, opened)
    assert store.read == ["d_____"]
    assert result.final_output == large("e")
    assert result.step_outputs == {name: large(name) for name in "abcde"}
    del store.read[:]
    result = await resume(pipeline, opened)
    assert store.read == ["e_____"], "the result of the run"
    assert result.final_output == large("e")


def looking_up(path: str, then: Callable[..., object]) -> Pipeline:
    """Return a step with a large output, one `then`, and one that needs both and that the first output has `path`."""
    needs = [Dependency("a", DependencyType.DATA, path=path), Dependency("then")]
    pipeline = Pipeline("p").step("a", run=returning({"found": {"n": LARGE}})).step("then", run=then, max_retries=0)
    return pipeline.step("b", run=returning("b"), depends_on=needs)


@pytest.mark.parametrize(("path", "code"), [("found.n", ""), ("found.m", "dependency_unmet")])
async def test_a_run_that_is_taken_up_again_looks_into_released_outputs(
    opened: Services, store: WatchedStore, path: str, code: str
) -> None:
    """What is needed of an output decides who runs, also when what had failed is tried again."""
    pipeline = looking_up(path, raising(RuntimeError("flaky"), times=1, then=1))
    assert (await execute(pipeline, opened)).status is RunStatus.FAILED
    result = await resume(pipeline, opened)
    assert store.read == ['"found']
    assert result.step_metadata["then"]["status"] is StepStatus.COMPLETED
    assert result.step_metadata["b"]["code"] == code


@pytest.mark.parametrize(
    "dependency",
    [Dependency("found", DependencyType.VALIDATION), Dependency("found", DependencyType.DATA, path="missing")],
    ids=["validation", "data"],
)
async def test_a_run_that_has_only_rested_looks_into_released_outputs(
    opened: Services, store: WatchedStore, dependency: Dependency
) -> None:
    """Nothing was cut off when it was stopped, and still its outputs say who runs."""
    stop = StopSignal()

    async def found() -> dict[str, object]:
        stop.give()
        return {"valid": False, "text": LARGE}

    pipeline = Pipeline("p").step("found", run=found)
    pipeline.step("then", run=raising(AssertionError("it must not run")), depends_on=[dependency])
    with pytest.raises(RunStoppedError):
        await PipelineExecutor(pipeline, services=opened).execute(stop=stop)
    result = await resume(pipeline, opened)
    assert result.step_metadata["then"]["code"] == "dependency_unmet"


async def test_events_without_their_large_outputs_give_the_same_statuses(opened: Services, store: WatchedStore) -> None:
    """Who only looks need not load them."""
    pipeline = looking_up("found.n", returning(1))
    await execute(pipeline, opened)
    folded = [
        fold(ExecutionGraph.build(pipeline), await load_events(store, "run-1", is_whole=is_whole))
        for is_whole in (True, False)
    ]
    assert folded[0].statuses == folded[1].statuses
    assert folded[0].doomed == folded[1].doomed == {}


async def test_an_interrupted_agent_goes_on_with_the_large_results_of_its_tools(
    opened: Services, store: WatchedStore
) -> None:
    """They are not fetched again, and the model is told the same."""
    calls: list[str] = []

    def fetch() -> str:
        """Fetch it."""
        calls.append("fetch")
        return large("page")

    told: list[str] = []

    def answer(request: Any) -> object:
        if request.purpose == "plan":
            return [{"tool_name": "fetch", "tool_args": {}}]
        told.append(str(request.messages))
        return "done"

    model = ScriptedModel(answer)
    pipeline = Pipeline("p", config={"model": model}).step("a", "Fetch it", tools=[fetch])
    store.arm(5)
    with pytest.raises(Crash):
        await execute(pipeline, opened)
    told.clear()
    store.arm(10**9)
    assert (await resume(pipeline, opened)).final_output == "done"
    assert calls == ["fetch"]
    assert store.read == ["page__"]
    assert any("page__xxxx" in text for text in told)


async def test_a_step_fails_when_what_it_reads_is_lost(opened: Services, store: WatchedStore) -> None:
    """Clearly, and without running on something else."""
    pipeline = steps("a", "b", b="a")
    store.arm(2)
    with pytest.raises(Crash):
        await execute(pipeline, opened)
    store.arm(10**9)
    store.lose_blobs()
    result = await resume(pipeline, opened)
    assert (result.status, result.step_metadata["b"]["code"]) == (RunStatus.FAILED, "store.lost_output")
    assert "The output of the step 'a' of run run-1 is not in the store." in result.step_metadata["b"]["reason"]


def test_reading_an_output_that_is_lost_says_so(opened: Services, store: WatchedStore) -> None:
    """A run may be deleted while somebody holds its result."""
    result = asyncio.run(execute(steps("a", "b"), opened))
    asyncio.run(store.delete("run-1"))
    with pytest.raises(LostOutputError, match="step 'a' of run run-1") as caught:
        result.step_outputs["a"]
    assert (caught.value.run_id, caught.value.step) == ("run-1", "a")
    assert result.final_output == large("b"), "this is always there"
    assert "a" in result.step_outputs


async def test_the_output_of_a_finished_run_can_be_lost_too(opened: Services, store: WatchedStore) -> None:
    """Taking it up again needs it."""
    pipeline = steps("a", "b")
    await execute(pipeline, opened)
    store.lose_blobs()
    with pytest.raises(LostOutputError, match="step 'b'"):
        await resume(pipeline, opened)


async def test_a_run_is_found_by_words_of_outputs_that_were_released(opened: Services, store: WatchedStore) -> None:
    """Live, after a resume that loads nothing of it, and in a fork."""
    pipeline = Pipeline("p").step("a", run=returning("Needle " + LARGE)).step("b", run=returning("hay"))
    store.arm(2)
    with pytest.raises(Crash):
        await execute(pipeline, opened)
    store.arm(10**9)
    await resume(pipeline, opened)
    assert store.read == []
    fork = await fork_run("run-1", opened, from_step="b")
    found = await store.runs(RunQuery(words=words_of("needle")))
    assert {run.run_id for run in found} == {"run-1", fork.run_id}


async def test_a_fork_reuses_released_outputs(opened: Services, store: WatchedStore) -> None:
    """What it reuses it need not read; what looks at states sees everything."""
    pipeline = steps("a", "b", "c", b="a", c="b")
    await execute(pipeline, opened)
    fork = await fork_run("run-1", opened, from_step="c")
    result = await resume_run(fork.run_id, opened, TAgentConfig(), pipeline=pipeline)
    assert store.read == ["b_____"]
    assert result.step_outputs == {name: large(name) for name in "abc"}
    assert (await state_at(store, fork.run_id)).steps["a"].output == large("a")


async def test_of_outputs_that_a_skipped_step_would_have_read_nothing_stays(opened: Services) -> None:
    """A failure must not fill the memory with what nobody will read any more."""

    async def fail() -> None:
        raise TypeError("broken")

    async def join(**outputs: object) -> int:
        return len(outputs)

    pipeline = Pipeline("p").step("broken", run=fail, execution_mode=CONCURRENT)
    for name in ("a", "b", "c"):
        pipeline.step(name, run=returning(large(name)))
    pipeline.step("join", run=join, depends_on=["broken", "a", "b", "c"]).step("end", run=returning(1))
    result = await execute(pipeline, opened)
    assert result.status is RunStatus.PARTIAL
    assert repr(result.step_outputs).count("<in the store>") == 3


async def test_an_output_that_is_committed_with_effects_is_released_too(opened: Services) -> None:
    """It comes another way to the journal."""

    async def note(run: StepContext) -> str:
        run.memory.run.put("note", 1)
        return large("note")

    result = await execute(Pipeline("p").step("note", run=note).step("end", run=returning(1)), opened)
    assert repr(result.step_outputs) == "{'note': <in the store>, 'end': 1}"
    assert result.step_outputs["note"] == large("note")
