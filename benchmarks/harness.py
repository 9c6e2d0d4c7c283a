"""The work that every system is given, and the timing that all of them share.

Only the standard library is imported here: the interpreter of every peer imports this file.
"""

import argparse
import asyncio
import gc
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

RESULTS = Path(__file__).resolve().parent / "results"
"""Where figures go, and stores while they are measured: not a temporary folder of the system, which may be memory."""

CHAIN_STEPS = 200
FANOUT_STEPS = 500
FANOUT_SLEEP_SECONDS = 0.01
MANY_RUNS = 100
MANY_STEPS = 10
MANY_SLEEP_SECONDS = 0.05
OVERHEAD_RUNS = 100
OVERHEAD_TOKENS = {"input": 10, "output": 5}
RESUME_STEPS = 10_000
LENGTHS = (100, 1_000, 5_000)

Work = Coroutine[object, object, object]

Prepare = Callable[[], Work | AbstractAsyncContextManager[Work]]
"""Called before each repeat, untimed; the work is awaited under the clock. A context manager opens something
around it, untimed too."""

Build = Callable[[], Prepare | AbstractContextManager[Prepare]]
"""Builds a workload's definition, once and untimed. A context manager holds something for all repeats."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A piece of work.

    Attributes:
        steps: How many steps it has, over all its runs.
        ideal_seconds: What it takes when nothing but the sleeping costs time.
        expected: What it must return.
    """

    steps: int
    ideal_seconds: float
    expected: object


WORKLOADS: Mapping[str, Workload] = {
    "chain": Workload(CHAIN_STEPS, 0.0, CHAIN_STEPS),
    "fanout": Workload(FANOUT_STEPS + 2, FANOUT_SLEEP_SECONDS, sum(range(FANOUT_STEPS))),
    "many": Workload(MANY_RUNS * MANY_STEPS, MANY_STEPS * MANY_SLEEP_SECONDS, [MANY_STEPS] * MANY_RUNS),
    "overhead": Workload(
        OVERHEAD_RUNS,
        0.0,
        {"model_calls": OVERHEAD_RUNS, "tokens": OVERHEAD_RUNS * sum(OVERHEAD_TOKENS.values())},
    ),
    "durable_chain": Workload(CHAIN_STEPS, 0.0, CHAIN_STEPS),
    "durable_many": Workload(MANY_RUNS * MANY_STEPS, 0.0, [MANY_STEPS] * MANY_RUNS),
    "resume": Workload(RESUME_STEPS, 0.0, RESUME_STEPS),
    **{f"length:{steps:,} steps": Workload(steps, 0.0, steps) for steps in LENGTHS},
}
"""Workload name, or `workload:variant` -> what it is. `overhead` counts a run as a step. The durable ones do not sleep.

`overhead`, `resume` and `length` are tagent's own; peers leave them out.
"""


class Measurement(TypedDict):
    """What one process measured of one workload; a line of its output.

    Attributes:
        system: Who did the work.
        variant: In which way, when there is more than one; else empty.
        version: The version of the system; empty when it is not a package.
        workload: Which work.
        steps: How many steps the workload has.
        ideal_seconds: What it takes when nothing but the sleeping costs time.
        wall_seconds: Seconds of each repeat, in order.
        cpu_seconds: CPU seconds of the process in each repeat, in order.
        result: What the work returned, every time.
    """

    system: str
    variant: str
    version: str
    workload: str
    steps: int
    ideal_seconds: float
    wall_seconds: list[float]
    cpu_seconds: list[float]
    result: object


class WrongResultError(Exception):
    """A system did not do the work, so its time means nothing."""


def main(
    system: str, builds: Mapping[str, Build], *, package: str = "", workloads: Mapping[str, Workload] = WORKLOADS
) -> None:
    """Measure the workloads that the command line names, or all of `builds`, printing a JSON line for each.

    Args:
        system: Who does the work.
        builds: `workload` or `workload:variant` -> what builds it.
        package: The distribution whose version is told.
        workloads: `workload` or `workload:variant` -> what it is.
    """
    names = tuple(dict.fromkeys(key.partition(":")[0] for key in workloads))
    parser = argparse.ArgumentParser(description=f"Measure {system}.")
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(names)}; all by default")
    parser.add_argument("--repeats", type=int, default=5, help="timed repeats behind one warm-up (%(default)s)")
    given = parser.parse_args()
    for key, build in builds.items():
        name, _, variant = key.partition(":")
        if name not in (given.workloads or names):
            continue
        workload = workloads[key if key in workloads else name]
        built = build()
        with built if isinstance(built, AbstractContextManager) else nullcontext(built) as prepare:
            wall, cpu = asyncio.run(time_repeats(workload, prepare, repeats=given.repeats))
        measurement = Measurement(
            system=system,
            variant=variant,
            version=_version(package),
            workload=name,
            steps=workload.steps,
            ideal_seconds=workload.ideal_seconds,
            wall_seconds=wall,
            cpu_seconds=cpu,
            result=workload.expected,
        )
        print(json.dumps(measurement), flush=True)


async def time_repeats(workload: Workload, prepare: Prepare, *, repeats: int) -> tuple[list[float], list[float]]:
    """Return wall and CPU seconds of each repeat; one more goes ahead as a warm-up and is not counted.

    Garbage is collected before each repeat, so that none pays for the one before.

    Raises:
        WrongResultError: If a repeat returns something else than the workload expects.
    """
    wall: list[float] = []
    cpu: list[float] = []
    for _ in range(1 + repeats):
        prepared = prepare()
        async with prepared if isinstance(prepared, AbstractAsyncContextManager) else nullcontext(prepared) as work:
            gc.collect()
            cpu_start, wall_start = time.process_time(), time.perf_counter()
            result = await work
            wall_end, cpu_end = time.perf_counter(), time.process_time()
        if result != workload.expected:
            raise WrongResultError(f"Expected {workload.expected!r:.80}, got {result!r:.80}.")
        wall.append(wall_end - wall_start)
        cpu.append(cpu_end - cpu_start)
    return wall[1:], cpu[1:]


@contextmanager
def durable_file(table: str, *, steps: int) -> Iterator[Path]:
    """Yield the path of a file on disk that is not there yet; at the end it must hold a SQLite database.

    Args:
        table: The table in which every step leaves a row at least.
        steps: How many steps are to be found in it.

    Raises:
        WrongResultError: If there are fewer rows: then the steps were not durable.
    """
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="store-", dir=RESULTS) as folder:
        file = Path(folder) / "store.db"
        yield file
        with closing(sqlite3.connect(file)) as connection:
            (rows,) = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()  # noqa: S608 - a name of ours
        if rows < steps:
            raise WrongResultError(f"{steps} steps left {rows} rows in {table!r}.")


def _version(package: str) -> str:
    try:
        return version(package) if package else ""
    except PackageNotFoundError:
        return ""
