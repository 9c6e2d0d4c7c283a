"""The work that every system is given, and the timing that all of them share.

Only the standard library is imported here: the interpreter of every peer imports this file.
"""

import argparse
import asyncio
import gc
import json
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TypedDict

CHAIN_STEPS = 200
FANOUT_STEPS = 500
FANOUT_SLEEP_SECONDS = 0.01
MANY_RUNS = 100
MANY_STEPS = 10
MANY_SLEEP_SECONDS = 0.05
OVERHEAD_RUNS = 100
OVERHEAD_TOKENS = {"input": 10, "output": 5}

Prepare = Callable[[], Coroutine[object, object, object]]
"""Called before each repeat, untimed; what it returns is awaited under the clock."""

Build = Callable[[], Prepare]
"""Builds a workload's definition, once and untimed."""


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
}
"""Workload name -> what it is. `overhead` counts a run as a step; peers leave it out."""


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


def main(system: str, builds: Mapping[str, Build], *, package: str = "") -> None:
    """Measure the workloads that the command line names, or all of `builds`, printing a JSON line for each.

    Args:
        system: Who does the work.
        builds: `workload` or `workload:variant` -> what builds it.
        package: The distribution whose version is told.
    """
    parser = argparse.ArgumentParser(description=f"Measure {system}.")
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)}; all by default")
    parser.add_argument("--repeats", type=int, default=5, help="timed repeats behind one warm-up (%(default)s)")
    given = parser.parse_args()
    for key, build in builds.items():
        name, _, variant = key.partition(":")
        if name not in (given.workloads or WORKLOADS):
            continue
        wall, cpu = asyncio.run(time_repeats(WORKLOADS[name], build(), repeats=given.repeats))
        measurement = Measurement(
            system=system,
            variant=variant,
            version=_version(package),
            workload=name,
            steps=WORKLOADS[name].steps,
            ideal_seconds=WORKLOADS[name].ideal_seconds,
            wall_seconds=wall,
            cpu_seconds=cpu,
            result=WORKLOADS[name].expected,
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
        work = prepare()
        gc.collect()
        cpu_start, wall_start = time.process_time(), time.perf_counter()
        result = await work
        wall_end, cpu_end = time.perf_counter(), time.process_time()
        if result != workload.expected:
            raise WrongResultError(f"Expected {workload.expected!r:.80}, got {result!r:.80}.")
        wall.append(wall_end - wall_start)
        cpu.append(cpu_end - cpu_start)
    return wall[1:], cpu[1:]


def _version(package: str) -> str:
    try:
        return version(package) if package else ""
    except PackageNotFoundError:
        return ""
