"""A crash anywhere in conditions, items and merges that ask a model: no call that was committed is made again."""

import pytest

from builders import returning, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent.config import TAgentConfig
from tagent.pipeline import ExecutionMode, Pipeline, PipelineExecutor, PipelineResult
from tagent.pipeline.resuming import resume_run
from tagent.ports import ModelRequest
from tagent.testing import ScriptedModel


def trip() -> Pipeline:
    """Return a pipeline in which a model judges, works for parts, merges, and takes the place of a step."""
    pipeline = Pipeline("trip").step("cities", run=returning(["Lisbon", "Porto"]))
    pipeline.step(
        "describe",
        "Describe {item}",
        for_each="cities",
        merge="Put them together",
        execution_mode=ExecutionMode.PARALLEL_MERGE,
    )
    pipeline.step("weigh", branches={"for": "Say what is good", "against": "Say what is bad"}, depends_on=["describe"])
    pipeline.step("rate", run=_broken, max_retries=0, on_error="guess", depends_on=["weigh"])
    pipeline.step("guess", "Guess a rating")
    return pipeline.step(
        "book",
        "Book it, at {rate}",
        depends_on=["weigh", "rate"],
        execution_mode=ExecutionMode.CONDITIONAL,
        constraints=["Only if there is more good than bad"],
    )


async def _broken() -> str:
    raise TypeError("broken")


def answer(request: ModelRequest) -> object:
    """Answer a question by what it asks."""
    asked = request.messages[-1].content
    if "Decide whether the step" in asked:
        return {"reason": "More is good.", "holds": True}
    return f"Answer to {asked.splitlines()[0][:60]}"


def questions(model: ScriptedModel) -> list[str]:
    """Return the first lines of what a model was asked."""
    return [request.messages[-1].content.splitlines()[0] for request in model.requests]


@pytest.mark.parametrize("is_written", [True, False])
@pytest.mark.parametrize("at", range(1, 31))
async def test_no_committed_call_is_made_again(at: int, is_written: bool) -> None:  # noqa: FBT001 - a parameter
    """Whatever was paid for and is on record stays paid for, whichever part of a step it was for."""
    undisturbed = ScriptedModel(answer)
    expected = await PipelineExecutor(trip(), services=services(model=undisturbed)).execute()
    assert expected.success
    assert len(undisturbed.requests) == 8
    model = ScriptedModel(answer)
    store = CrashingStore().arm(at, is_written=is_written)
    opened = everybody_is_gone(services(store=store, model=model))
    result: PipelineResult
    try:
        result = await PipelineExecutor(trip(), services=opened).execute()
    except Crash:
        if not await store.runs() or (await store.records("run-1"))[-1].kind == "RunFinished":
            return
        committed = sum(
            b'"kind":"Finalized"' in record.payload or b'"kind":"Evaluated"' in record.payload
            for record in await store.records("run-1")
        )
        asked_before = len(model.requests)
        store.arm(10**9)
        result = await resume_run("run-1", opened, TAgentConfig(), pipeline=trip())
        assert len(model.requests) - asked_before == 8 - committed
    assert result.step_outputs == expected.step_outputs
    assert result.status is expected.status
    usage = sum(each.requests for each in result.token_usage.values())
    assert usage == 8
    assert sorted(set(questions(model))) == sorted(set(questions(undisturbed)))
