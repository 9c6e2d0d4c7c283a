"""Runs that begin together with something else, and runs that are asked to stop."""

import asyncio

import pytest

from builders import CONCURRENT, chain, returning, services
from tagent.config import TAgentConfig
from tagent.pipeline import Pipeline, PipelineExecutor
from tagent.pipeline.driving.stopping import StopSignal
from tagent.pipeline.exceptions import RunStoppedError
from tagent.pipeline.resuming import resume_run
from tagent.ports.effect_errors import CursorConflictError
from tagent.ports.effects import Effects
from tagent.ports.messages import NewMessage, Receipt


async def test_what_becomes_true_with_a_run_is_written_with_its_beginning() -> None:
    """Either both are there, or neither is."""
    opened = services()
    await opened.store.write(Effects(messages=(NewMessage("t", b"1"),)))
    read = Effects(receipts=(Receipt("me", "t", 0, 1),))
    assert (await PipelineExecutor(chain("a"), services=opened).execute(effects=read)).success
    with pytest.raises(CursorConflictError):
        await PipelineExecutor(chain("a"), services=opened).execute(effects=read)
    assert [run.run_id for run in await opened.store.runs()] == ["run-1"]
    assert not await opened.store.unread("me", ["t"])


async def test_a_run_that_is_asked_to_stop_ends_its_running_steps_and_begins_no_others() -> None:
    """What they have done is kept, and the run can be resumed."""
    stop = StopSignal()
    begun: list[str] = []

    async def first() -> str:
        begun.append("first")
        stop.give()
        return "first"

    async def beside() -> str:
        begun.append("beside")
        await asyncio.sleep(0)
        return "beside"

    pipeline = Pipeline("p", default_mode=CONCURRENT).step("first", run=first).step("beside", run=beside)
    pipeline.step("last", run=returning("last"), depends_on=["first"])
    opened = services()
    with pytest.raises(RunStoppedError, match="run-1"):
        await PipelineExecutor(pipeline, services=opened).execute(stop=stop)
    run = await opened.store.run("run-1")
    assert (run.owner, run.finished_at) == ("", None)
    result = await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline)
    assert result.step_outputs == {"first": "first", "beside": "beside", "last": "last"}
    assert begun == ["first", "beside"]


async def test_a_run_whose_last_step_ends_while_it_stops_is_finished() -> None:
    """Nobody need take it up only to write that it is done."""
    stop = StopSignal()

    async def only() -> str:
        stop.give()
        return "done"

    result = await PipelineExecutor(Pipeline("p").step("only", run=only), services=services()).execute(stop=stop)
    assert result.final_output == "done"
