"""Who closes a coroutine, and who only raises what closing it would."""

import asyncio
from collections.abc import Coroutine, Iterator

import pytest

from builders import services
from tagent.pipeline import Pipeline, PipelineExecutor
from tagent.pipeline.closing import is_at_work

told: list[bool] = []
"""Whether the task of `waiting` was found to be at work when a `GeneratorExit` reached it."""


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    told.clear()
    yield
    told.clear()


async def waiting(work: Coroutine[object, object, object]) -> None:
    """Wait for some work, and note what is said of the task if that raises."""
    task = asyncio.current_task()
    try:
        await work
    except GeneratorExit:
        told.append(is_at_work(task))
        raise


async def leave() -> None:
    raise GeneratorExit


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_task_that_calls_what_raises_is_at_work() -> None:
    """That is a failure like any other."""
    with pytest.raises(GeneratorExit):
        await waiting(leave())
    assert told == [True]


async def test_a_coroutine_that_another_task_closes_is_not_at_work() -> None:
    """As the collector of garbage does, whoever it comes to."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_closed(waiting(forever()), group))
    assert told == [False]


async def _closed(coroutine: Coroutine[object, object, None], group: asyncio.TaskGroup) -> None:
    task = group.create_task(_left(coroutine))
    await asyncio.sleep(0)
    coroutine.close()
    task.cancel()


async def _left(coroutine: Coroutine[object, object, None]) -> None:
    with pytest.raises(RuntimeError):  # it ended behind the back of whoever waits for it
        await coroutine


def test_a_coroutine_that_is_closed_after_its_loop_is_not_at_work() -> None:
    """As what is left of a loop is when the program ends."""
    loop = asyncio.new_event_loop()
    coroutine = waiting(forever())
    task = loop.create_task(coroutine)
    loop.run_until_complete(asyncio.sleep(0))
    coroutine.close()
    assert told == [False]
    task.cancel()
    with pytest.raises(RuntimeError):
        loop.run_until_complete(task)
    loop.close()


async def test_an_attempt_that_is_closed_where_it_waits_only_ends() -> None:
    """A coroutine that waits for something else instead is a mistake that Python reports from nowhere."""
    attempts: asyncio.Queue[asyncio.Task[object] | None] = asyncio.Queue()

    async def watch(*told: object) -> None:
        pass

    async def wait() -> None:
        attempts.put_nowait(asyncio.current_task())
        await forever()

    pipeline = Pipeline("p", after_step=[watch]).step("a", run=wait)
    running = asyncio.ensure_future(PipelineExecutor(pipeline, services=services()).execute())
    attempt = await attempts.get()
    assert attempt is not None
    coroutine = attempt.get_coro()
    assert isinstance(coroutine, Coroutine)
    coroutine.close()
    running.cancel()
    with pytest.raises(RuntimeError, match="cannot reuse"):
        await running
