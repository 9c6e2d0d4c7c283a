"""Places for requests at the same time: fair, across threads and loops, and never lost."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tagent.adapters.models.slots import Slot, Slots


async def turns(count: int = 20) -> None:
    """Let the others go on."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_first_come_first_served() -> None:
    """Nobody starves while others come and go."""
    slots = Slots()
    order: list[int] = []

    async def use(number: int) -> None:
        slot = await slots.take(2, seconds=60)
        order.append(number)
        await asyncio.sleep(0)
        slots.give_back(slot)

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(use(number))
    assert order == list(range(20))
    assert slots.taken == 0


async def test_who_is_cancelled_leaves_the_queue() -> None:
    """Waiting, or just given a place: it goes to the next one."""
    slots = Slots()
    first = await slots.take(1, seconds=60)
    waiting = [asyncio.ensure_future(slots.take(1, seconds=60)) for _ in range(3)]
    await turns()
    waiting[0].cancel()
    await turns()
    slots.give_back(first)  # given to the second, which does not know it yet
    waiting[1].cancel()
    slot = await waiting[2]
    assert slots.taken == 1
    slots.give_back(slot)
    assert slots.taken == 0


async def test_gives_up_after_the_time() -> None:
    """And leaves nothing behind in the queue."""
    slots = Slots()
    first = await slots.take(1, seconds=60)
    with pytest.raises(TimeoutError):
        await slots.take(1, seconds=0)
    slots.give_back(first)
    assert slots.taken == 0
    slots.give_back(await slots.take(1, seconds=60))


def test_is_shared_by_threads_with_loops_of_their_own() -> None:
    """Each sync call has a loop of its own; the provider sees all of them."""
    slots = Slots()
    most = 0
    inside = 0

    async def use() -> None:
        nonlocal most, inside
        slot = await slots.take(3, seconds=60)
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.001)
        inside -= 1
        slots.give_back(slot)

    async def use_often() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(use())

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: asyncio.run(use_often()), range(6)))
    assert 1 <= most <= 3
    assert slots.taken == 0


@pytest.fixture
def abandoned() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that is closed without its tasks coming to their end."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_a_loop_that_is_closed_by_force_loses_its_places(abandoned: asyncio.AbstractEventLoop) -> None:
    """Those who hold them and those who wait: nobody is there to give them back."""
    slots = Slots()

    async def hold() -> Slot:
        return await slots.take(1, seconds=60)

    abandoned.run_until_complete(hold())
    abandoned.close()

    async def use() -> None:
        slots.give_back(await slots.take(1, seconds=60))

    asyncio.run(use())
    assert slots.taken == 0
