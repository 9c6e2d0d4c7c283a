"""Many agents at once in one process, half of them with a tool: errors, memory, time, connections."""

import argparse
import asyncio
import json
import resource
import threading
import time
from typing import TypedDict

from benchmarks.agents.endpoint import Figures
from benchmarks.agents.goals import crowd_goal, tools_for
from benchmarks.agents.measuring import KEY, MODEL, figures_of
from tagent import TAgentError, arun_agent

AGENTS = 200


class CrowdMeasurement(TypedDict):
    """What one process measured of one crowd; its only line of output.

    Attributes:
        agents: How many were at work at once.
        wall_seconds: From the first start to the last end; what is loaded on first use was loaded before.
        cpu_seconds: Of the process meanwhile.
        errors: Code of an error, or `wrong` for a wrong answer -> how many agents ended so.
        alone_megabytes: The most memory that the process used for one agent alone, before the crowd.
        peak_megabytes: The most memory that the process ever used.
        threads: The most threads that it had at once.
        figures: What the endpoint counted.
    """

    agents: int
    wall_seconds: float
    cpu_seconds: float
    errors: dict[str, int]
    alone_megabytes: float
    peak_megabytes: float
    threads: int
    figures: Figures


async def work_on(number: int, base_url: str) -> str:
    """Let one agent work and return how it ended: empty when its answer is right, else an error's code or `wrong`."""
    goal = crowd_goal(number)
    try:
        result = await arun_agent(
            goal.text, base_url=base_url, model=f"openai-chat:{MODEL}", api_key=KEY, tools=tools_for(goal)
        )
    except TAgentError as error:
        return error.code
    return "" if result.goal_achieved and result.output == goal.answer else "wrong"


async def run_crowd(agents: int, base_url: str) -> tuple[dict[str, int], int]:
    """Let all agents work at once; return how many ended in which error, and the most threads at once."""
    most_threads = threading.active_count()

    async def watched(number: int) -> str:
        nonlocal most_threads
        ending = await work_on(number, base_url)
        most_threads = max(most_threads, threading.active_count())
        return ending

    async with asyncio.TaskGroup() as group:
        works = [group.create_task(watched(number), name=f"agent:{number}") for number in range(agents)]
    errors: dict[str, int] = {}
    for ending in (work.result() for work in works):
        if ending:
            errors[ending] = errors.get(ending, 0) + 1
    return errors, most_threads


def peak_megabytes() -> float:
    """Return the most memory that this process ever had resident, in MB of 1,000,000 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # Linux counts in KiB


def main() -> None:
    """Measure the crowd that the command line names and print a `CrowdMeasurement` as JSON."""
    parser = argparse.ArgumentParser(description="Measure many agents at once.")
    parser.add_argument("--agents", type=int, default=AGENTS)
    parser.add_argument("--base-url", required=True)
    given = parser.parse_args()
    alone = asyncio.run(work_on(1, given.base_url))
    if alone:
        raise SystemExit(f"An agent alone ended in {alone}.")
    alone_megabytes = peak_megabytes()
    figures_of(given.base_url, method="DELETE")
    cpu_start, wall_start = time.process_time(), time.perf_counter()
    errors, threads = asyncio.run(run_crowd(given.agents, given.base_url))
    wall_end, cpu_end = time.perf_counter(), time.process_time()
    measurement = CrowdMeasurement(
        agents=given.agents,
        wall_seconds=wall_end - wall_start,
        cpu_seconds=cpu_end - cpu_start,
        errors=errors,
        alone_megabytes=alone_megabytes,
        peak_megabytes=peak_megabytes(),
        threads=threads,
        figures=figures_of(given.base_url),
    )
    print(json.dumps(measurement), flush=True)


if __name__ == "__main__":
    main()
