"""Measures tagent on every durable store, each beside a raw commit to the same place, and prints one table.

The servers are real ones, started here: PostgreSQL with `fsync`, Redis with `appendfsync always`. Everything
of one store is measured in one go, so that its ratios are of the same minutes.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import harness, workloads
from tagent import TAgentConfig, arun_pipeline
from tagent.pipeline import PipelineExecutor
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.transfer.forking import fork_run
from tagent.ports.records import NewRun, Record, RunQuery, RunSummary
from tagent.ports.services import Services
from tagent.runtime import open_services
from tagent.search import words_of

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # where the servers are

RAW_COMMITS = 300
LOADED_STEPS = 1_000
FORKED_STEPS = 500
"""Two events a step: about a thousand."""

SEARCHED_RUNS = 10_000
PAYLOAD = b"x" * 200


@dataclass(frozen=True, slots=True)
class Place:
    """A store to measure.

    Attributes:
        name: What the table calls it.
        url: Its URL.
        commit: Makes one raw, durable commit of `PAYLOAD` to the same place.
        size: How many bytes it takes.
    """

    name: str
    url: str
    commit: Callable[[], object]
    size: Callable[[], int]


@contextlib.contextmanager
def sqlite_place(folder: Path) -> Iterator[Place]:
    """Open a SQLite file, and a second one for the raw commits."""
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (p BLOB)")

    def commit() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t VALUES (?)", (PAYLOAD,))
        connection.execute("COMMIT")

    def size() -> int:
        with contextlib.closing(sqlite3.connect(folder / "runs.db")) as reader:
            reader.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return _bytes_of(folder, "runs.db*")

    yield Place("sqlite", f"sqlite:///{folder}/runs.db", commit, size)
    connection.close()


@contextlib.contextmanager
def file_place(folder: Path) -> Iterator[Place]:
    """Open a directory, and a file for the raw commits."""
    log = os.open(folder / "raw", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def commit() -> None:
        os.write(log, PAYLOAD)
        os.fdatasync(log)

    yield Place("file", f"file:///{folder}/runs", commit, lambda: _bytes_of(folder / "runs", "**/*"))
    os.close(log)


@contextlib.contextmanager
def postgresql_place(folder: Path) -> Iterator[Place]:
    """Start a server that waits for its disk."""
    del folder  # the server has one of its own
    from postgres import PostgresServer

    server = PostgresServer(is_durable=True)
    url = server.new_database("runs")
    connection = server.connect()
    connection.autocommit = True
    connection.execute("CREATE TABLE t (p BYTEA)")

    def size() -> int:
        ((found,),) = server.execute("SELECT pg_database_size('runs')")
        return int(str(found))

    yield Place("postgresql", url, lambda: connection.execute("INSERT INTO t VALUES (%s)", (PAYLOAD,)), size)
    connection.close()
    server.remove()


@contextlib.contextmanager
def redis_place(folder: Path) -> Iterator[Place]:
    """Start a server that syncs its append-only file with every command."""
    import redis

    from redis_server import RedisServer

    del folder  # the server has one of its own
    server = RedisServer()
    client = redis.Redis.from_url(server.url())

    def size() -> int:
        memory: Any = client.info("memory")
        return int(memory["used_memory"])

    yield Place("redis", server.url("bench"), lambda: client.xadd("raw", {"p": PAYLOAD}), size)
    client.close()
    server.remove()


PLACES = {"sqlite": sqlite_place, "file": file_place, "postgresql": postgresql_place, "redis": redis_place}


async def measured(place: Place, *, repeats: int) -> dict[str, float]:
    """Return the figures of one store, by name."""
    figures: dict[str, float] = {}
    async with open_services(TAgentConfig(store=place.url)) as services:
        chain, raw, many = list[float](), list[float](), list[float]()
        for _ in range(repeats):
            raw.append(_raw_seconds(place) / RAW_COMMITS)
            chain.append(await _seconds(_chain(services)) / harness.CHAIN_STEPS)
            many.append(await _seconds(_many(services)) / (harness.MANY_RUNS * harness.MANY_STEPS))
        figures["raw commit, µs"] = statistics.median(raw) * 1e6
        figures["chain, µs per step"] = statistics.median(chain) * 1e6
        figures["chain / raw"] = figures["chain, µs per step"] / figures["raw commit, µs"]
        figures["100 runs at once, µs per step"] = statistics.median(many) * 1e6
        figures["100 runs at once, steps/s"] = 1 / statistics.median(many)

        pipeline = workloads.chain_of(LOADED_STEPS)
        before = place.size()
        run_id = (await PipelineExecutor(pipeline, services=services).execute()).run_id
        figures["kB per 1,000 steps, first"] = (place.size() - before) / 1e3
        before = place.size()
        for _ in range(4):
            await PipelineExecutor(pipeline, services=services).execute()
        figures["kB per 1,000 steps, next 4,000"] = (place.size() - before) / 4e3
        config = TAgentConfig(store=place.url)
        opens = [await _seconds(_open_and_close(config)) for _ in range(repeats)]
        figures["open the store, ms"] = statistics.median(opens) * 1e3
        loads = [await _seconds(resume_run(run_id, services, config, pipeline=pipeline)) for _ in range(repeats)]
        figures["load 1,000 results, ms"] = statistics.median(loads) * 1e3
        forked = (await arun_pipeline(workloads.chain_of(FORKED_STEPS), config)).run_id
        forks = [await _seconds(fork_run(forked, services, from_step=f"s{FORKED_STEPS - 1}")) for _ in range(repeats)]
        figures["fork 1,000 events, ms"] = statistics.median(forks) * 1e3

        await _fill(services)
        query = RunQuery(words=words_of("needle 77"), limit=20)
        searches = [await _seconds(services.store.runs(query)) for _ in range(repeats)]
        figures[f"search {SEARCHED_RUNS:,} runs, ms"] = statistics.median(searches) * 1e3
    return figures


def _chain(services: Services) -> Awaitable[object]:
    return workloads.final_value(PipelineExecutor(workloads.chain_of(harness.CHAIN_STEPS), services=services), "n")


def _many(services: Services) -> Awaitable[object]:
    pipeline = workloads.chain_of(harness.MANY_STEPS)
    executors = [PipelineExecutor(pipeline, services=services) for _ in range(harness.MANY_RUNS)]
    return workloads.all_values(executors, "n")


async def _open_and_close(config: TAgentConfig) -> None:
    async with open_services(config):
        pass


async def _fill(services: Services) -> None:
    """Store as many short runs as are to be searched."""

    def short(number: int) -> NewRun:
        text = f"report on topic {number} " + "and a lot of other words that somebody wrote " * 20
        text += "needle 77" if number == SEARCHED_RUNS // 2 else ""
        summary = RunSummary("completed", 1.0, is_finished=True, text=text)
        return NewRun(f"n{number}", "p", b"{}", "h", "me", 1.0, float(number), (Record(1, "k", 1.0, PAYLOAD),), summary)

    for first in range(0, SEARCHED_RUNS, 500):
        async with asyncio.TaskGroup() as group:
            for number in range(first, first + 500):
                group.create_task(services.store.create_run(short(number)))


async def _seconds(work: Awaitable[object]) -> float:
    begun = time.perf_counter()
    await work
    return time.perf_counter() - begun


def _raw_seconds(place: Place) -> float:
    begun = time.perf_counter()
    for _ in range(RAW_COMMITS):
        place.commit()
    return time.perf_counter() - begun


def _bytes_of(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.glob(pattern) if path.is_file())


def measure_stores(name: str, given: argparse.Namespace, measure: Callable[[Place], dict[str, float]]) -> None:
    """Measure the stores that are asked for, print the table and keep the figures."""
    harness.RESULTS.mkdir(exist_ok=True)
    found: dict[str, dict[str, float]] = {}
    for store in given.stores or PLACES:
        folder = Path(tempfile.mkdtemp(dir=harness.RESULTS))
        try:
            with PLACES[store](folder) as place:
                found[store] = measure(place)
        finally:
            shutil.rmtree(folder)
    print(f"| figure | {' | '.join(found)} |")
    print(f"|---|{'---:|' * len(found)}")
    for figure in next(iter(found.values())):
        cells = (f"{figures[figure]:,.1f}" for figures in found.values())
        print(f"| {figure} | {' | '.join(cells)} |")
    results = harness.RESULTS / f"{name}-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}.json"
    results.write_text(json.dumps(found, indent=1), encoding="utf-8")


def parser_of(description: str) -> argparse.ArgumentParser:
    """Return a parser that is told which stores to measure."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("stores", nargs="*", choices=[*PLACES, []], help="all by default")
    return parser


def main() -> int:
    """Measure, print the table and keep the figures."""
    parser = parser_of("Measure tagent on every durable store.")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is measured (%(default)s)")
    given = parser.parse_args()
    measure_stores("stores", given, lambda place: asyncio.run(measured(place, repeats=given.repeats)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
