"""Several who want the same work at once: one does it, whatever becomes of whom."""

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

from tagent.pipeline.caching.flights import Flight, Flights


async def test_one_does_the_work_and_the_others_are_given_it() -> None:
    """A model is asked once."""
    flights: Flights[str] = Flights()
    mine, is_mine = flights.board("a")
    others = [flights.board("a") for _ in range(5)]
    assert is_mine
    assert not any(is_others for _, is_others in others)
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(flight.landed()) for flight, _ in others]
        await asyncio.sleep(0)
        mine.land("done", at=1.0)
    assert [task.result() for task in waiting] == ["done"] * 5


async def test_after_one_that_gave_nothing_the_next_does_it() -> None:
    """The first failed or was cancelled: somebody else has to."""
    flights: Flights[str] = Flights()
    first, _ = flights.board("a")
    first.land(None, at=1.0)
    assert await first.landed() is None
    second, is_mine = flights.board("a")
    assert is_mine
    assert second is not first


async def test_what_was_given_is_known_as_long_as_somebody_holds_it() -> None:
    """Between the end of the work and its commit it is in no store."""
    flights: Flights[str] = Flights()
    first, _ = flights.board("a")
    first.land("done", at=1.0)
    assert await flights.board("a")[0].landed() == "done"
    del first
    gc.collect()
    assert flights.board("a")[1]


async def test_one_who_stops_waiting_leaves_the_others_waiting() -> None:
    """A run that is cancelled must not end the work of another one."""
    flights: Flights[str] = Flights()
    mine, _ = flights.board("a")
    impatient = asyncio.ensure_future(flights.board("a")[0].landed())
    patient = asyncio.ensure_future(flights.board("a")[0].landed())
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.sleep(0)
    mine.land("done", at=1.0)
    assert await patient == "done"
    assert impatient.cancelled()


def test_they_may_be_in_event_loops_of_several_threads() -> None:
    """Each run that a program starts in a thread has a loop of its own."""
    flights: Flights[int] = Flights()
    held: list[Flight[int]] = []
    done: list[int] = []
    together = threading.Barrier(8)

    async def work() -> int:
        await asyncio.to_thread(together.wait)
        flight, is_mine = flights.board("a")
        if not is_mine:
            return await flight.landed() or 0
        held.append(flight)
        await asyncio.sleep(0.01)
        done.append(7)
        flight.land(7, at=1.0)
        return 7

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: asyncio.run(work()), range(8))) == [7] * 8
    assert done == [7]


async def test_a_waiting_loop_that_has_closed_is_passed_over() -> None:
    """A run that was torn down must not disturb whoever did the work."""
    flights: Flights[str] = Flights()
    mine, _ = flights.board("a")

    async def give_up() -> None:
        waiting = asyncio.ensure_future(flights.board("a")[0].landed())
        await asyncio.sleep(0)
        waiting.cancel()

    await asyncio.to_thread(asyncio.run, give_up())
    mine.land("done", at=1.0)
    assert await mine.landed() == "done"
