"""Measures memory and messages on every durable store, between two processes, beside a raw commit to the same place.

The servers are those of `stores.py`. What one process sends another one handles; both look at the same clock,
which on one machine is the same for all processes.
"""

import asyncio
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.queues import Queue
from typing import TypeAlias

from benchmarks.stores import RAW_COMMITS, Place, measure_stores, parser_of
from tagent import TAgentConfig
from tagent.pipeline import Delivery, Pipeline, PipelineCommunicator, PipelineExecutor, PipelineMemory
from tagent.runtime import open_services

MESSAGES = 200
PAUSE_SECONDS = 0.05
"""Twenty messages a second: each is waited for, none waits for another."""

MANY_MESSAGES = 2_000
IN_FLIGHT = 50
WAIT_SECONDS = 10.0
WARM_UP_SECONDS = 2.0

Told: TypeAlias = "Queue[list[float]]"
"""What the other process tells: an empty list when it is ready, then its figures."""

_processes = multiprocessing.get_context("spawn")


def measured(place: Place) -> dict[str, float]:
    """Return the figures of one store, by name."""
    figures = {"raw commit, µs": statistics.median(_seconds(place.commit) for _ in range(RAW_COMMITS)) * 1e6}
    latencies = latencies_of(place.url)
    figures["send to handler, ms, median"] = statistics.median(latencies) * 1e3
    figures["send to handler, ms, p95"] = statistics.quantiles(latencies, n=20)[-1] * 1e3
    figures["request and reply, ms, median"] = request_seconds(place.url) * 1e3
    figures[f"sent by one sender, {IN_FLIGHT} in flight, per s"] = asyncio.run(sent_per_second(place.url))
    figures["handled by one listener, per s"] = handled_per_second(place.url)
    figures["read, compare and set, µs"] = compare_and_set_seconds(place.url) * 1e6
    figures["waiting for an event, % of a core"] = waiting_share(place.url) * 100
    return figures


def latencies_of(url: str) -> list[float]:
    """Return for each message how many seconds passed from before `send` until a handler elsewhere was called."""
    with other_process(_listen, url) as told, PipelineCommunicator("sender", store=url) as sender:
        for _ in range(MESSAGES):
            sender.broadcast("bench.latency", time.monotonic())
            time.sleep(PAUSE_SECONDS)
        return told.get(timeout=60)


def _listen(url: str, told: Told) -> None:
    latencies: list[float] = []

    async def handle(delivery: Delivery) -> None:
        latencies.append(time.monotonic() - delivery.message.data)
        if len(latencies) == MESSAGES:
            told.put(latencies)

    with PipelineCommunicator("listener", store=url) as listener:
        subscribed = listener.subscribe("bench.latency", handle, since="now")
        told.put([])
        subscribed.join()


def request_seconds(url: str) -> float:
    """Return the median of how long a request to another process takes."""
    with other_process(_answer, url), PipelineCommunicator("client", store=url) as client:
        return statistics.median(_seconds(lambda: client.request("server", 1, timeout=60)) for _ in range(MESSAGES))


def _answer(url: str, told: Told) -> None:
    async def handle(delivery: Delivery) -> None:
        delivery.reply(delivery.message.data)

    with PipelineCommunicator("server", store=url) as server:
        subscribed = server.subscribe("pipeline:server", handle)
        told.put([])
        subscribed.join()


async def sent_per_second(url: str) -> float:
    """Return how many messages one process sends; they stay in their topic."""
    async with open_services(TAgentConfig(store=url)) as services:
        sender = PipelineCommunicator("sender", services=services)

        async def send() -> None:
            for number in range(MANY_MESSAGES // IN_FLIGHT):
                await sender.abroadcast("bench.many", number)

        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(send())
        return MANY_MESSAGES / (time.perf_counter() - begun)


def handled_per_second(url: str) -> float:
    """Return how many messages that are there already one handler does, that writes a memory for each."""
    with other_process(_handle, url) as told:
        (seconds,) = told.get(timeout=120)
    return MANY_MESSAGES / seconds


def _handle(url: str, told: Told) -> None:
    handled = 0
    begun = 0.0

    async def handle(delivery: Delivery) -> None:
        nonlocal handled
        handled += 1
        delivery.memory.put("handled", handled)
        if handled == MANY_MESSAGES:
            told.put([time.perf_counter() - begun])

    with PipelineCommunicator("handler", store=url) as handler:
        told.put([])
        begun = time.perf_counter()
        handler.subscribe("bench.many", handle).join()


def compare_and_set_seconds(url: str) -> float:
    """Return the median of how long it takes to read a memory and write it if it is still the same."""
    with PipelineMemory("bench", store=url) as memory:
        memory.pipeline.put("count", 0)

        def count() -> None:
            if entry := memory.pipeline.entry("count"):
                memory.pipeline.put("count", entry.value + 1, expected_version=entry.version)

        return statistics.median(_seconds(count) for _ in range(MESSAGES))


def waiting_share(url: str) -> float:
    """Return which share of a core a process uses in which nothing happens but a step's waiting."""
    with other_process(_wait, url) as told:
        (share,) = told.get(timeout=60)
    return share


def _wait(url: str, told: Told) -> None:
    async def wait() -> float:
        pipeline = Pipeline("waiter").step("event", wait_for="bench.never", timeout=WARM_UP_SECONDS + WAIT_SECONDS)
        async with open_services(TAgentConfig(store=url)) as services, asyncio.TaskGroup() as group:
            group.create_task(PipelineExecutor(pipeline, services=services).execute())
            await asyncio.sleep(WARM_UP_SECONDS / 2)
            before = time.process_time()
            await asyncio.sleep(WAIT_SECONDS)
            return (time.process_time() - before) / WAIT_SECONDS

    told.put([])
    told.put([asyncio.run(wait())])


@contextmanager
def other_process(work: Callable[[str, Told], None], url: str) -> Iterator[Told]:
    """Let another process do `work`; yield what it tells, once it is ready, and end it."""
    told: Told = _processes.Queue()
    process = _processes.Process(target=work, args=(url, told), daemon=True)
    process.start()
    try:
        told.get(timeout=60)
        yield told
    finally:
        process.kill()
        process.join()


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> int:
    """Measure, print the table and keep the figures."""
    given = parser_of("Measure memory and messages on every durable store.").parse_args()
    measure_stores("messages", given, measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
