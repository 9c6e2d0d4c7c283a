"""Generated pipelines whose outputs all leave the memory: nothing but the memory may tell the difference."""

import asyncio
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import returning, run
from crashes import Crash, CrashingStore, everybody_is_gone
from lasting import lasting
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.pipeline import Dependency, DependencyType, ExecutionMode, Pipeline, PipelineExecutor, PipelineResult
from tagent.pipeline.resuming import resume_run
from tagent.ports import Services

OUTPUTS = st.sampled_from(["a word", ["a", "list"], {"found": {"n": 12345}}, {"found": None}, None])


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """Draw steps that give something, or pass on what earlier ones gave, if it holds what they need."""
    pipeline = Pipeline("generated")
    for place in range(draw(st.integers(1, 8))):
        before = draw(st.sets(st.integers(0, place - 1), max_size=3)) if place else set()
        kinds = [DependencyType.HARD, DependencyType.DATA]
        types = {n: draw(st.sampled_from(kinds)) for n in sorted(before)}
        paths = st.sampled_from(["", "found.n"])
        needs = [
            Dependency(f"s{n}", kind, path=draw(paths) if kind is DependencyType.DATA else "")
            for n, kind in types.items()
        ]
        gives_anew = not before or draw(st.booleans())
        work = returning(draw(OUTPUTS)) if gives_anew else passing_on
        mode = draw(st.sampled_from([ExecutionMode.SERIAL, ExecutionMode.CONCURRENT]))
        pipeline.step(f"s{place}", run=work, depends_on=needs, execution_mode=mode)
    return pipeline


async def passing_on(**outputs: object) -> object:
    """Return all that the steps before gave."""
    return outputs


def seen(result: PipelineResult) -> tuple[object, ...]:
    """Return all of a result that does not depend on clocks."""
    kept = {name: (meta["status"], meta["code"], meta["reason"]) for name, meta in result.step_metadata.items()}
    return dict(result.step_outputs), result.final_output, result.status, kept


@settings(max_examples=150, deadline=None)
@given(pipelines(), st.lists(st.tuples(st.integers(1, 10), st.booleans()), max_size=3))
def test_releasing_every_output_changes_no_result(pipeline: Pipeline, crashes: list[tuple[int, bool]]) -> None:
    """Live, after crashes anywhere, and read from the store once the run is over."""

    async def disturbed(opened: Services, store: CrashingStore) -> PipelineResult | None:
        for number, (at, is_written) in enumerate([*crashes, (10**9, True)]):
            store.arm(at, is_written=is_written)
            try:
                if number == 0:
                    return await PipelineExecutor(pipeline, services=opened).execute()
                return await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline)
            except Crash:
                if not await store.runs() or (await store.records("run-1"))[-1].kind == "RunFinished":
                    return None  # it did not begin, or was at its end: resuming that is another matter
        raise AssertionError("the last round does not crash")

    store, calm = CrashingStore(), MemoryStore()
    undisturbed = asyncio.run(run(pipeline, store=calm)).result
    with lasting(store) as opened, patch("tagent.pipeline.journal.blobs.LARGEST_INLINE", 4):
        result = asyncio.run(disturbed(everybody_is_gone(opened), store))
        if result is not None:
            assert seen(result) == seen(undisturbed)
            assert result.step_outputs == undisturbed.step_outputs
            assert store._journals["run-1"].text == calm._journals["run-1"].text, "it is found by the same words"
