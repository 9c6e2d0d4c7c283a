"""Measures tagent and the peers that are installed, and prints one table.

Every figure comes from a fresh process. The systems take turns over several passes, so that whatever
else the machine does falls on all of them.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.harness import Measurement

HERE = Path(__file__).resolve().parent
TAGENT, FLOOR = "tagent", "floor"
IN_MEMORY = ("chain", "fanout", "many")
DURABLE = ("durable_chain", "durable_many")
PEER_WORKLOADS = {"agno": IN_MEMORY, "dbos": DURABLE, "pydantic_graph": IN_MEMORY}
"""Peer -> what it can do; one that is not named can do both."""

TITLES = {
    "chain": "chain, µs per step",
    "fanout": "fan-out, ms (ideal 10)",
    "many": "many runs, ms (ideal 500)",
    "overhead": "one goal, µs per run",
    "durable_chain": "durable chain, µs per step",
    "durable_many": "durable many, µs per step",
    "resume": "resume 10,000 steps, ms",
    "length": "chain by length, µs per step",
}
"""Workload -> how the table names it. The order is that of the table."""

MILLISECONDS = frozenset({"fanout", "many", "resume"})
"""The workloads whose time is told as a whole."""

FLOORS = {"durable_chain": "FULL, thread hop", "durable_many": "FULL, group commit"}
"""Workload -> the variant of the floor that ratios are to, when there are several."""

MOST_REPEATS = {"durable_chain": 3, "durable_many": 2, "resume": 1}
"""Workload -> how often a process does it at most: these take long, with some peers."""


@dataclass(frozen=True, slots=True)
class Contest:
    """Works that systems are compared in.

    Attributes:
        titles: Workload -> how the table names it, in the order of the table.
        milliseconds: The workloads whose time is told as a whole.
        floors: Workload -> the variant of the floor that ratios are to, when there are several.
        most_repeats: Workload -> how often a process does it at most.
    """

    titles: Mapping[str, str]
    milliseconds: frozenset[str]
    floors: Mapping[str, str]
    most_repeats: Mapping[str, int]


CONTEST = Contest(TITLES, MILLISECONDS, FLOORS, MOST_REPEATS)

STARTUP = "startup"
STARTUP_REPEATS = 3
PROCESS_TIMEOUT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class System:
    """What can be measured.

    Attributes:
        name: Its name.
        interpreter: The Python that has it.
        module: The module to run there.
        workloads: What it is measured on.
    """

    name: str
    interpreter: str
    module: str
    workloads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. Times are in the unit of the workload's title, CPU always in µs per step.

    `steps_per_second` is None where the steps sleep.
    """

    workload: str
    system: str
    variant: str
    median: float
    best: float
    cpu: float
    steps_per_second: float | None

    @property
    def label(self) -> str:
        """The system as the table names it."""
        return f"{self.system}, {self.variant}" if self.variant else self.system

    @property
    def is_peer(self) -> bool:
        """Whether this is another engine, neither tagent nor the floor."""
        return self.system not in {TAGENT, FLOOR}


def installed_systems() -> tuple[list[System], list[str]]:
    """Return what can be measured, tagent first, and the peers that are not installed."""
    systems = [System(TAGENT, sys.executable, "benchmarks.workloads", tuple(TITLES))]
    missing: list[str] = []
    for file in sorted((HERE / "peers").glob("[!_]*.py")):
        interpreter = sys.executable if file.stem == FLOOR else str(HERE / "venvs" / file.stem / "bin" / "python")
        if Path(interpreter).exists():
            workloads = PEER_WORKLOADS.get(file.stem, (*IN_MEMORY, *DURABLE))
            systems.append(System(file.stem, interpreter, f"benchmarks.peers.{file.stem}", workloads))
        else:
            missing.append(file.stem)
    return systems, missing


class MeasuringError(Exception):
    """A process that was to measure has failed."""

    def __init__(self, system: System, workload: str, reason: str) -> None:
        super().__init__(f"{system.name} failed on {workload}: {reason}")


def measure(system: System, workload: str, *, repeats: int, contest: Contest = CONTEST) -> "list[Measurement]":
    """Return what a fresh process measures of one workload, once for each variant.

    Raises:
        MeasuringError: If the process fails or takes too long.
    """
    repeats = min(repeats, contest.most_repeats.get(workload, repeats))
    command = [system.interpreter, "-m", system.module, workload, "--repeats", str(repeats)]
    try:
        done = subprocess.run(
            command, cwd=HERE.parent, capture_output=True, text=True, check=False, timeout=PROCESS_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise MeasuringError(system, workload, f"no end after {error.timeout} seconds") from error
    if done.returncode:
        raise MeasuringError(system, workload, (done.stderr.strip().splitlines() or ["no word"])[-1])
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def measure_in_turns(
    systems: Sequence[System], workloads: Sequence[str], *, passes: int, repeats: int, contest: Contest = CONTEST
) -> "tuple[list[Measurement], dict[str, list[float]], list[str]]":
    """Return all measurements, the seconds of each start-up command, and notes on what failed.

    What has failed is not tried again.
    """
    measurements: list[Measurement] = []
    commands = startup_commands() if STARTUP in workloads else {}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    failed: dict[tuple[str, str], str] = {}
    for number in range(passes):
        print(f"pass {number + 1} of {passes}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
        for system, workload in turns(systems, workloads, first=number):
            if (system.name, workload) in failed:
                continue
            try:
                measurements += measure(system, workload, repeats=repeats, contest=contest)
            except MeasuringError as error:
                failed[system.name, workload] = str(error)
        for name, command in commands.items():
            seconds[name] += startup_seconds(command)
    return measurements, seconds, list(failed.values())


def turns(systems: Sequence[System], workloads: Sequence[str], *, first: int) -> Iterator[tuple[System, str]]:
    """Yield who is measured on what: workload by workload, beginning with another system in each pass."""
    start = first % len(systems)
    for workload in (name for name in workloads if name != STARTUP):
        for system in (*systems[start:], *systems[:start]):
            if workload in system.workloads:
                yield system, workload


def startup_commands() -> dict[str, list[str]]:
    """Return what is measured of starting up, by the name that the table gives it."""
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import tagent": [sys.executable, "-c", "import tagent"],
        "tagent --help": [str(Path(sys.executable).with_name("tagent")), "--help"],
    }


def startup_seconds(command: Sequence[str]) -> list[float]:
    """Return the seconds of a few fresh processes; nothing if the command does not work."""
    seconds: list[float] = []
    for _ in range(STARTUP_REPEATS):
        start = time.perf_counter()
        try:
            subprocess.run(command, cwd=HERE.parent, capture_output=True, check=True, timeout=PROCESS_TIMEOUT_SECONDS)
        except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return []
        seconds.append(time.perf_counter() - start)
    return seconds


def rows_of(measurements: "Sequence[Measurement]", contest: Contest = CONTEST) -> list[Row]:
    """Return a row for each system and variant of each workload, the fastest first."""
    groups: dict[tuple[str, str, str], list[Measurement]] = {}
    for each in measurements:
        groups.setdefault((each["workload"], each["system"], each["variant"]), []).append(each)
    rows: list[Row] = []
    for (workload, system, variant), group in groups.items():
        steps = group[0]["steps"]
        scale = 1e3 if workload in contest.milliseconds else 1e6 / steps
        wall = [seconds for each in group for seconds in each["wall_seconds"]]
        cpu = statistics.median(seconds for each in group for seconds in each["cpu_seconds"])
        median = statistics.median(wall)
        rate = None if group[0]["ideal_seconds"] else steps / median
        rows.append(Row(workload, system, variant, median * scale, min(wall) * scale, cpu * 1e6 / steps, rate))
    places = {workload: place for place, workload in enumerate(contest.titles)}
    return sorted(rows, key=lambda row: (places[row.workload], row.median))


def table_of(rows: Sequence[Row], contest: Contest = CONTEST) -> Iterator[str]:
    """Yield the lines of the table. Ratios are of medians; a missing one has nothing to be compared with."""
    yield "| work | system | median | best | CPU µs per step | steps/s | / floor | / best peer |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    for row in rows:
        same = [other for other in rows if other.workload == row.workload]
        of_floor = contest.floors.get(row.workload, "")
        floor = next((other.median for other in same if other.system == FLOOR and other.variant == of_floor), None)
        best_peer = min((other.median for other in same if other.is_peer), default=None)
        label = f"**{row.label}**" if row.system == TAGENT else row.label
        cells = [contest.titles[row.workload], label, _number(row.median), _number(row.best), _number(row.cpu)]
        cells.append("" if row.steps_per_second is None else f"{row.steps_per_second:,.0f}")
        cells += [f"{row.median / other:.2f}" if other else "" for other in (floor, best_peer)]
        yield f"| {' | '.join(cells)} |"


def startup_table_of(seconds: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """Yield the lines of the table of start-up times; what does not work is left out."""
    if not seconds:
        return
    yield "| fresh process | median ms | best ms |"
    yield "|---|---:|---:|"
    for name, values in seconds.items():
        if values:
            yield f"| `{name}` | {statistics.median(values) * 1e3:.0f} | {min(values) * 1e3:.0f} |"


def notes_on(
    measurements: "Sequence[Measurement]", seconds: Mapping[str, Sequence[float]], missing: Sequence[str]
) -> Iterator[str]:
    """Yield what the tables do not say: versions, what one goal costs, and what is left out."""
    versions = sorted({f"{each['system']} {each['version']}" for each in measurements if each["version"]})
    yield f"Python {platform.python_version()}, {', '.join(versions)}."
    for each in {each["variant"]: each for each in measurements if each["workload"] == "overhead"}.values():
        yield f"{each['steps']} times {each['variant']}: {json.dumps(each['result'])}."
    for peer in missing:
        yield f"{peer} is not installed and left out: `make bench-peers`."
    for name, values in seconds.items():
        if not values:
            yield f"`{name}` does not run and is left out."


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def asked_for(description: str, choices: Sequence[str], *, repeats: int) -> argparse.Namespace:
    """Return what the command line asks for: `workloads`, in the order of `choices`, `passes` and `repeats`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(choices)}; all by default")
    parser.add_argument("--passes", type=int, default=3, help="how often every system takes its turn (%(default)s)")
    parser.add_argument("--repeats", type=int, default=repeats, help="timed repeats in each process (%(default)s)")
    given = parser.parse_args()
    if unknown := sorted(set(given.workloads) - set(choices)):
        parser.error(f"unknown: {', '.join(unknown)}")
    given.workloads = [name for name in choices if name in (given.workloads or choices)]
    return given


def keep(name: str, started_at: datetime, **figures: object) -> None:
    """Keep the figures of a run as JSON; `name` is what its file's name begins with."""
    kept = {"started_at": started_at.isoformat(), "cpus": os.cpu_count(), **figures}
    results = HERE / "results" / f"{name}{started_at:%Y-%m-%dT%H-%M-%SZ}.json"
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps(kept, indent=1), encoding="utf-8")


def main() -> int:
    """Measure, print the tables and keep the figures; return 1 if tagent itself failed."""
    given = asked_for("Measure tagent beside the peers that are installed.", (*TITLES, STARTUP), repeats=5)
    started_at = datetime.now(UTC)
    systems, missing = installed_systems()
    measurements, seconds, failures = measure_in_turns(
        systems, given.workloads, passes=given.passes, repeats=given.repeats
    )
    notes = [*notes_on(measurements, seconds, missing), *failures]
    lines = [*table_of(rows_of(measurements)), "", *startup_table_of(seconds), "", *(f"- {note}" for note in notes)]
    print("\n".join(lines))
    keep(
        "",
        started_at,
        passes=given.passes,
        repeats=given.repeats,
        notes=notes,
        measurements=measurements,
        startup_seconds=seconds,
    )
    return int(any(failure.startswith(f"{TAGENT} ") for failure in failures))


if __name__ == "__main__":
    sys.exit(main())
