"""What the runners of both packages share: one goal in one process, timed, and counted at the endpoint.

Standard library alone: the older package's interpreter imports this file.
"""

import argparse
import gc
import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TypedDict, cast

from benchmarks.agents.endpoint import Figures
from benchmarks.agents.goals import GOALS, Goal

MODEL = "any"
KEY = "k"


class Reached(TypedDict):
    """What a package made of a goal.

    Attributes:
        achieved: Whether it says that the goal was achieved.
        output: Its output as text.
        planning_cycles: Plans it says it made.
    """

    achieved: bool
    output: str
    planning_cycles: int


class GoalMeasurement(TypedDict):
    """What one process measured of one goal; its only line of output.

    Attributes:
        system: Which package.
        version: Its version.
        goal: Which goal, by the table's name.
        import_seconds: What importing the package took.
        first_seconds: What the first goal took after that, with all that is loaded only then.
        wall_seconds: Seconds of each later repeat, in order.
        cpu_seconds: CPU seconds of the process in each later repeat, in order.
        calls: Model calls for one goal, the same in each repeat.
        message_characters: Of all prompts for one goal.
        schema_characters: Of all schemas sent along for one goal.
        planning_cycles: Plans made for one goal.
    """

    system: str
    version: str
    goal: str
    import_seconds: float
    first_seconds: float
    wall_seconds: list[float]
    cpu_seconds: list[float]
    calls: int
    message_characters: int
    schema_characters: int
    planning_cycles: int


class WrongOutcomeError(Exception):
    """A package did not do what the goal asks, or not the same every time: its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One time that a goal was worked on."""

    wall_seconds: float
    cpu_seconds: float
    figures: Figures
    planning_cycles: int


Reach = Callable[[Goal], Reached]
"""Works on a goal with the package that is measured."""


def figures_of(base_url: str, *, method: str = "GET") -> Figures:
    """Return what the endpoint counted; `DELETE` makes it forget that."""
    address = base_url.removesuffix("/v1") + "/figures"
    request = urllib.request.Request(address, method=method)  # noqa: S310 - 127.0.0.1
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - the same
        return cast("Figures", json.loads(response.read()))


def try_once(reach: Reach, goal: Goal, *, base_url: str) -> Trial:
    """Work on `goal` once and check what comes of it.

    Raises:
        WrongOutcomeError: If a reachable goal is not achieved, an unreachable one is, or the endpoint refused a call.
    """
    figures_of(base_url, method="DELETE")
    gc.collect()
    cpu_start, wall_start = time.process_time(), time.perf_counter()
    reached = reach(goal)
    wall_end, cpu_end = time.perf_counter(), time.process_time()
    figures = figures_of(base_url)
    if figures["refused"]:
        raise WrongOutcomeError(f"The endpoint refused {figures['refused']} of {figures['calls']} calls.")
    if reached["achieved"] is not (goal.answer is not None):
        raise WrongOutcomeError(f"{goal.text!r} ended as {reached!r:.200}.")
    if goal.answer is not None and goal.answer not in reached["output"]:
        raise WrongOutcomeError(f"{goal.text!r} got the output {reached['output']!r:.200}.")
    return Trial(wall_end - wall_start, cpu_end - cpu_start, figures, reached["planning_cycles"])


def main(system: str, load: Callable[[str], Reach]) -> None:
    """Measure the goal that the command line names and print a `GoalMeasurement` as JSON.

    Args:
        system: Which package is measured.
        load: The endpoint's base URL -> what works on a goal; imports the package.
    """
    parser = argparse.ArgumentParser(description=f"Measure {system} on one goal.")
    parser.add_argument("goal", choices=[*GOALS])
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--repeats", type=int, default=5, help="timed repeats behind the first one (%(default)s)")
    given = parser.parse_args()
    start = time.perf_counter()
    reach = load(given.base_url)
    import_seconds = time.perf_counter() - start
    trials = [try_once(reach, GOALS[given.goal], base_url=given.base_url) for _ in range(1 + given.repeats)]
    counts = {(each.figures["calls"], each.figures["message_characters"]) for each in trials}
    if len(counts) != 1:
        raise WrongOutcomeError(f"Not the same calls each time: {sorted(counts)}.")
    first, *later = trials
    measurement = GoalMeasurement(
        system=system,
        version=version("tagent"),
        goal=given.goal,
        import_seconds=import_seconds,
        first_seconds=first.wall_seconds,
        wall_seconds=[each.wall_seconds for each in later],
        cpu_seconds=[each.cpu_seconds for each in later],
        calls=first.figures["calls"],
        message_characters=first.figures["message_characters"],
        schema_characters=first.figures["schema_characters"],
        planning_cycles=first.planning_cycles,
    )
    print(json.dumps(measurement), flush=True)
