"""Measures agents: the same goals with tagent and with the older package, then crowds in one process.

Every figure comes from a fresh process, beside one endpoint in a process of its own; the packages take turns over
several passes.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.agents.goals import GOALS
from benchmarks.agents.tables import TAGENT, crowd_table, goal_rows, goal_table, ratio_table
from benchmarks.run import keep

if TYPE_CHECKING:
    from benchmarks.agents.crowd import CrowdMeasurement
    from benchmarks.agents.measuring import GoalMeasurement

BENCHMARKS = Path(__file__).resolve().parent.parent
OLDER = "tagent_old"
CROWDS = (200, 1_000)
MOST_MEGABYTES = {200: 400}
"""Agents at once -> the memory that the process must stay below, in MB."""

PROCESS_TIMEOUT_SECONDS = 300
SETTINGS = ("OPENAI_", "TAGENT_", "LITELLM_", "PYTHONPATH")
"""Variables that begin so are kept from all processes: settings of the packages, and which of the two is imported."""


@dataclass(frozen=True, slots=True)
class Package:
    """What can be measured: the Python that has it, and the module to run there."""

    name: str
    interpreter: str
    module: str


class MeasuringError(Exception):
    """A process that was to measure has failed."""


def installed_packages() -> tuple[list[Package], list[str]]:
    """Return the packages that can be measured, and notes on what is left out."""
    packages = [Package(TAGENT, sys.executable, "benchmarks.agents.this_package")]
    interpreter = BENCHMARKS / "venvs" / OLDER / "bin" / "python"
    if not interpreter.exists():
        return packages, [f"{OLDER} is not installed and left out: `make bench-peers`."]
    return [*packages, Package(OLDER, str(interpreter), "benchmarks.agents.older_package")], []


def environment() -> dict[str, str]:
    """Return the environment of all processes: no setting of either package, no proxy on the way to the endpoint."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    return kept | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


@contextmanager
def endpoint_process(think_seconds: float) -> Iterator[str]:
    """Run the endpoint in a process of its own and yield its base URL."""
    command = [sys.executable, "-m", "benchmarks.agents.endpoint", "--think-seconds", str(think_seconds)]
    with subprocess.Popen(
        command, cwd=BENCHMARKS.parent, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - pipes, as asked for
        try:
            yield json.loads(process.stdout.readline())["base_url"]
        finally:
            process.stdin.close()  # it ends then


def measured(interpreter: str, module: str, *arguments: str) -> Any:
    """Return what a fresh process of `module` prints, as JSON values.

    Raises:
        MeasuringError: If it fails or takes too long.
    """
    command = [interpreter, "-m", module, *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=BENCHMARKS.parent,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=PROCESS_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise MeasuringError(f"{module} {' '.join(arguments)}: no end after {error.timeout} seconds") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise MeasuringError(f"{module} {' '.join(arguments)}: {reason}")
    return json.loads(done.stdout.splitlines()[-1])


def measure_goals(
    packages: Sequence[Package], base_url: str, *, passes: int, repeats: int
) -> "tuple[list[GoalMeasurement], dict[tuple[str, str], str]]":
    """Return all measurements, and (package, goal) -> why it failed; what has failed is not tried again."""
    measurements: list[GoalMeasurement] = []
    failures: dict[tuple[str, str], str] = {}
    for number in range(passes):
        print(f"pass {number + 1} of {passes}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
        for goal in GOALS:
            for package in packages if number % 2 == 0 else packages[::-1]:
                if (package.name, goal) in failures:
                    continue
                arguments = (goal, "--base-url", base_url, "--repeats", str(repeats))
                try:
                    measurements.append(measured(package.interpreter, package.module, *arguments))
                except MeasuringError as error:
                    failures[package.name, goal] = str(error)
    return measurements, failures


def measure_crowds(sizes: Sequence[int], base_url: str) -> "tuple[list[CrowdMeasurement], list[str]]":
    """Return what each crowd takes, and what went wrong: processes that failed, agents in error, too much memory."""
    crowds: list[CrowdMeasurement] = []
    wrong: list[str] = []
    for agents in sizes:
        print(f"{agents:,} agents at once, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
        arguments = ("--agents", str(agents), "--base-url", base_url)
        try:
            crowd: CrowdMeasurement = measured(sys.executable, "benchmarks.agents.crowd", *arguments)
        except MeasuringError as error:
            wrong.append(str(error))
            continue
        crowds.append(crowd)
        if crowd["errors"]:
            wrong.append(f"{agents:,} agents at once: {json.dumps(crowd['errors'])}.")
        if crowd["peak_megabytes"] >= MOST_MEGABYTES.get(agents, float("inf")):
            wrong.append(f"{agents:,} agents at once: {crowd['peak_megabytes']:.0f} MB are too much.")
    return crowds, wrong


def notes_on(measurements: "Sequence[GoalMeasurement]", *, think_seconds: float) -> Iterator[str]:
    """Yield what the tables do not say."""
    versions = sorted({f"{each['system']} (version {each['version']})" for each in measurements})
    yield f"Python {platform.python_version()}; {', '.join(versions)}; each answer takes {think_seconds * 1e3:.0f} ms."
    cycles: Mapping[tuple[str, str], int] = {
        (each["goal"], each["system"]): each["planning_cycles"] for each in measurements
    }
    for (goal, system), number in cycles.items():
        if GOALS[goal].answer is None:
            yield f"{goal}: {system} makes {number} plans, its default, before it gives up."


def main() -> int:
    """Measure, print the tables and keep the figures; return 1 if tagent itself failed."""
    parser = argparse.ArgumentParser(description="Measure agents, beside the older package where it is installed.")
    parser.add_argument("--passes", type=int, default=3, help="processes for each package and goal (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="timed repeats in each process (%(default)s)")
    parser.add_argument("--think-seconds", type=float, default=0.02, help="what each answer takes (%(default)s)")
    parser.add_argument("--crowds", type=int, nargs="*", default=CROWDS, help="agents at once")
    given = parser.parse_args()
    started_at = datetime.now(UTC)
    packages, missing = installed_packages()
    with endpoint_process(given.think_seconds) as base_url:
        measurements, failures = measure_goals(packages, base_url, passes=given.passes, repeats=given.repeats)
        crowds, wrong = measure_crowds(given.crowds, base_url)
    rows = goal_rows(measurements)
    notes = [*notes_on(measurements, think_seconds=given.think_seconds), *missing, *failures.values(), *wrong]
    tables = (goal_table(rows), ratio_table(rows), crowd_table(crowds), (f"- {note}" for note in notes))
    print("\n\n".join(text for lines in tables if (text := "\n".join(lines))))
    keep(
        "agents-",
        started_at,
        passes=given.passes,
        repeats=given.repeats,
        think_seconds=given.think_seconds,
        notes=notes,
        goals=measurements,
        crowds=crowds,
    )
    return int(bool(wrong) or any(name == TAGENT for name, _ in failures))


if __name__ == "__main__":
    sys.exit(main())
