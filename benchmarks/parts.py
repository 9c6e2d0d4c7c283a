"""What an item of `for_each` costs beside a step of a fan-out, in memory and on disk, and whether it stays the same.

An item and a step both do nothing. Both come back as one list: from `for_each`, and from a last step that reads them
all. Each figure is the best of several processes; the time is CPU time, as the disk's would hide it.
"""

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import harness
from benchmarks.workloads import IN_MEMORY, fan_of, open_store
from tagent.pipeline import ExecutionMode, Pipeline, PipelineExecutor

ROOT = Path(__file__).resolve().parent.parent
SIZES = (1_000, 10_000)
REPEATS = 3


def items_of(count: int) -> Pipeline:
    """Return a pipeline of one step that goes through a list of `count` items."""

    async def doubled(item: int) -> int:
        return 2 * item

    def numbers() -> list[int]:
        return list(range(count))

    pipeline = Pipeline("items").step("numbers", run=numbers)
    return pipeline.step("all", run=doubled, for_each="numbers", execution_mode=ExecutionMode.PARALLEL_MERGE)


def steps_of(count: int) -> Pipeline:
    """Return a pipeline of `count` steps at once, between one step and one that reads them all."""
    return fan_of(count, sleep_seconds=0.0)


SHAPES: Mapping[str, Callable[[int], Pipeline]] = {"for_each": items_of, "fan-out": steps_of}
PLACES = ("memory", "sqlite")


async def cpu_seconds(shape: str, place: str, count: int) -> float:
    """Return the CPU seconds of one run, building it not included."""
    pipeline = SHAPES[shape](count)
    if place == "memory":
        return await _timed(PipelineExecutor(pipeline, IN_MEMORY), count)
    async with open_store("?synchronous=normal", steps=count) as services:
        return await _timed(PipelineExecutor(pipeline, services=services), count)


async def _timed(executor: PipelineExecutor, count: int) -> float:
    gc.collect()
    start = time.process_time()
    result = await executor.execute()
    seconds = time.process_time() - start
    done = len(result.final_output) if isinstance(result.final_output, list) else len(result.step_outputs) - 2
    if done != count:
        raise harness.WrongResultError(f"{done} of {count} were done.")
    return seconds


async def least_seconds(shape: str, place: str, count: int) -> float:
    """Return the least of some runs behind a warm-up."""
    await cpu_seconds(shape, place, 100)
    return min([await cpu_seconds(shape, place, count) for _ in range(REPEATS)])


def best_of(shape: str, place: str, count: int, *, passes: int) -> float:
    """Return the least CPU seconds over several fresh processes."""
    command = [sys.executable, "-m", "benchmarks.parts", "--one", shape, place, str(count)]
    told = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True) for _ in range(passes)]
    return min(float(json.loads(each.stdout)) for each in told)


def table_of(places: Sequence[str], *, passes: int) -> Iterator[str]:
    """Yield the lines of the table: µs of CPU for each item or step, and ratios."""
    yield f"| where | work | {' | '.join(f'{count:,}' for count in SIZES)} | 10,000 / 1,000 | / fan-out at 1,000 |"
    yield f"|---|---|{'---:|' * (len(SIZES) + 2)}"
    for place in places:
        each = {
            shape: [best_of(shape, place, count, passes=passes) * 1e6 / count for count in SIZES] for shape in SHAPES
        }
        for shape, micros in each.items():
            cells = " | ".join(f"{value:.1f}" for value in micros)
            beside = micros[0] / each["fan-out"][0]
            yield f"| {place} | {shape} | {cells} | {micros[1] / micros[0]:.2f} | {beside:.2f} |"


def main() -> int:
    """Print the table, or as `--one SHAPE PLACE COUNT` what one process measures."""
    parser = argparse.ArgumentParser(description="Measure the parts of a step beside steps.")
    parser.add_argument("places", nargs="*", metavar="PLACE", help=f"of {', '.join(PLACES)}; all by default")
    parser.add_argument("--passes", type=int, default=3, help="processes for each figure (%(default)s)")
    parser.add_argument("--one", nargs=3, metavar=("SHAPE", "PLACE", "COUNT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        shape, place, count = given.one
        print(json.dumps(asyncio.run(least_seconds(shape, place, int(count)))))
        return 0
    if unknown := sorted(set(given.places) - set(PLACES)):
        parser.error(f"unknown: {', '.join(unknown)}")
    for line in table_of(given.places or PLACES, passes=given.passes):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
