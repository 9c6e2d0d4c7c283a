"""A run that nobody else can reach waits in its process: who may answer it, and what its clocks do meanwhile."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from builders import CONCURRENT, returning, services
from tagent import approvals, approve, run_pipeline
from tagent.pipeline import Pipeline, PipelineExecutor, PipelineResult
from tagent.pipeline.answering.answering import answer_approval, open_approvals
from tagent.pipeline.journal.live_runs import LiveRun, reachable
from tagent.ports import Services
from tagent.ports.store_errors import UnknownRunError
from tagent.testing import ManualClock


def test_the_last_answer_ends_the_run_and_is_told_all_the_same() -> None:
    """Whoever gave it in another thread asks the loop of the run who goes on, while that comes to its end."""
    pipeline = Pipeline("p").step("a", run=returning(1), approval=True)
    told: list[str] = []

    def answer() -> None:
        while not (asked := approvals(config={"store": "memory://"})):
            pass
        told.append(approve(asked[0].run_id, "a", {"store": "memory://"}).goes_on.by)

    for _ in range(10):
        thread = threading.Thread(target=answer)
        thread.start()
        assert run_pipeline(pipeline, {"store": "memory://"}).success
        thread.join()
    assert told == ["driver"] * 10


async def test_whoever_asks_before_a_run_ends_is_answered_before_it_does() -> None:
    """From the loop of another thread."""
    opened = services()
    order: list[str] = []
    begun, may_end = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def slow(_: Services) -> str:
        begun.set()
        loop.call_soon(may_end.set)
        for _turn in range(50):
            await asyncio.sleep(0)
        order.append("answered")
        return "yes"

    async with asyncio.TaskGroup() as group:
        async with reachable("1f2e", opened):
            asking = group.create_task(asyncio.to_thread(_ask_elsewhere, "1f2e", slow))
            await may_end.wait()
        order.append("ended")
    assert (order, asking.result()) == (["answered", "ended"], "yes")


def _ask_elsewhere(run_id: str, work: Callable[[Services], Awaitable[str]]) -> str:
    from tagent.pipeline.journal.live_runs import live_run

    async def ask() -> str:
        live = live_run(run_id)
        assert live is not None
        return await live.ask(work)

    return asyncio.run(ask())


async def test_whoever_asks_a_run_that_has_ended_is_told_so() -> None:
    """Its store has gone with it, and nobody would ever answer."""
    live = LiveRun("1f2e", services(), asyncio.get_running_loop())
    await live.say_farewell()

    async def never(_: Services) -> None:
        raise AssertionError

    def ask() -> None:
        asyncio.run(live.ask(never))

    with pytest.raises(UnknownRunError, match="has ended"):
        await asyncio.to_thread(ask)


async def _answered_late(
    pipeline: Pipeline, *, opened: Services | None = None, deadline_seconds: float
) -> PipelineResult:
    """Return what a run in memory comes to whose question is answered after a day."""
    opened = opened or services(clock=ManualClock())
    limits = {"deadline_seconds": deadline_seconds}

    async def answer() -> None:
        while not (asked := await open_approvals(opened)):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        for _ in range(100):  # until nothing else is under way
            await asyncio.sleep(0)
        opened.clock.advance(86_400)  # type: ignore[attr-defined]  # a manual one
        await answer_approval(asked[0].run_id, asked[0].step, opened, is_approved=True)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(PipelineExecutor(Pipeline(pipeline, budget=limits), services=opened).execute())
        group.create_task(answer())
    return running.result()


@pytest.mark.parametrize("of", ["start", "output"])
async def test_no_deadline_counts_the_time_of_people_alone(of: str) -> None:
    """As in a store that lasts, where such a run pauses."""
    pipeline = Pipeline("p").step("a", run=returning(1), approval=of)  # type: ignore[arg-type]  # one of both
    result = await _answered_late(pipeline, deadline_seconds=60)
    assert (result.status, result.code) == ("completed", "")


async def test_the_deadline_of_a_step_does_not_count_it_either() -> None:
    """Whose pipeline waits inside."""

    async def slow(ask: int) -> int:
        await opened.clock.sleep(10)
        return ask

    opened = services(clock=ManualClock())
    inner = Pipeline("inner", budget={"deadline_seconds": 60}).step("ask", run=returning(1), approval=True)
    pipeline = Pipeline("p").step("a", pipeline=inner.step("slow", run=slow), budget={"deadline_seconds": 60})
    result = await _answered_late(pipeline, opened=opened, deadline_seconds=60)
    assert (result.status, result.step_outputs) == ("completed", {"a": 1})


async def test_a_deadline_counts_on_once_the_answer_is_there() -> None:
    """And what it says is what was allowed."""

    async def slow(a: int) -> None:
        await opened.clock.sleep(100)

    opened = services(clock=ManualClock())
    pipeline = Pipeline("p", budget={"deadline_seconds": 60}).step("a", run=returning(1), approval=True)
    result = await _answered_late(pipeline.step("slow", run=slow), opened=opened, deadline_seconds=60)
    assert (result.code, result.reason) == ("run.deadline", "The run was not done within 60 s.")


async def test_a_deadline_is_kept_while_something_else_is_under_way() -> None:
    """An open question stops no clock by itself."""

    async def slow() -> None:
        await opened.clock.sleep(100)

    opened = services(clock=ManualClock())
    pipeline = Pipeline("p", default_mode=CONCURRENT, budget={"deadline_seconds": 60})
    pipeline.step("a", run=returning(1), approval=True).step("slow", run=slow)
    result = await PipelineExecutor(pipeline, services=opened).execute()
    assert (result.status, result.code) == ("failed", "run.deadline")
