"""Measurements -> the lines of the tables. Pure."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.agents.goals import GOALS
from benchmarks.agents.prompt_size import PromptSize

if TYPE_CHECKING:
    from benchmarks.agents.crowd import CrowdMeasurement
    from benchmarks.agents.measuring import GoalMeasurement

TAGENT = "tagent"


@dataclass(frozen=True, slots=True)
class GoalRow:
    """One package on one goal, all its processes pooled. Times in ms.

    Attributes:
        goal: The goal, by the table's name.
        system: The package.
        calls: Model calls.
        planning_cycles: Plans made.
        tokens: Of all prompts, the schemas sent along included.
        message_tokens: Of all prompts, without the schemas.
        median: Median of a goal's wall time in a process that has reached it before.
        best: The fastest of these.
        cpu: Median of the CPU time of the process for it.
        cold: Median of importing the package and reaching the first goal.
    """

    goal: str
    system: str
    calls: int
    planning_cycles: int
    tokens: int
    message_tokens: int
    median: float
    best: float
    cpu: float
    cold: float


def goal_rows(measurements: "Sequence[GoalMeasurement]") -> list[GoalRow]:
    """Return a row for each goal and package, the goals in their order and tagent first."""
    groups: dict[tuple[str, str], list[GoalMeasurement]] = {}
    for each in measurements:
        groups.setdefault((each["goal"], each["system"]), []).append(each)
    rows: list[GoalRow] = []
    for (goal, system), group in groups.items():
        size = PromptSize(group[0]["message_characters"], group[0]["schema_characters"])
        wall = [seconds * 1e3 for each in group for seconds in each["wall_seconds"]]
        rows.append(
            GoalRow(
                goal=goal,
                system=system,
                calls=group[0]["calls"],
                planning_cycles=group[0]["planning_cycles"],
                tokens=size.tokens,
                message_tokens=size.message_tokens,
                median=statistics.median(wall),
                best=min(wall),
                cpu=statistics.median(seconds * 1e3 for each in group for seconds in each["cpu_seconds"]),
                cold=statistics.median((each["import_seconds"] + each["first_seconds"]) * 1e3 for each in group),
            )
        )
    places = {goal: place for place, goal in enumerate(GOALS)}
    return sorted(rows, key=lambda row: (places[row.goal], row.system != TAGENT))


def goal_table(rows: Sequence[GoalRow]) -> Iterator[str]:
    """Yield the lines of the table of goals."""
    if not rows:
        return
    yield "| goal | package | model calls | prompt tokens | without schemas | median ms | best ms | CPU ms | first ms |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|"
    for row in rows:
        label = f"**{row.system}**" if row.system == TAGENT else row.system
        numbers = (row.calls, row.tokens, row.message_tokens, row.median, row.best, row.cpu, row.cold)
        yield f"| {row.goal} | {label} | {' | '.join(f'{number:,.0f}' for number in numbers)} |"


def ratio_table(rows: Sequence[GoalRow]) -> Iterator[str]:
    """Yield the lines of the table of ratios, tagent to the other package; nothing when there is no other."""
    ours = {row.goal: row for row in rows if row.system == TAGENT}
    others = [row for row in rows if row.system != TAGENT and row.goal in ours]
    if not others:
        return
    yield "| goal, ratio to | model calls | prompt tokens | without schemas | median time | CPU | first |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for other in others:
        row = ours[other.goal]
        pairs = (
            (row.calls, other.calls),
            (row.tokens, other.tokens),
            (row.message_tokens, other.message_tokens),
            (row.median, other.median),
            (row.cpu, other.cpu),
            (row.cold, other.cold),
        )
        cells = " | ".join(f"{own / theirs:.2f}" for own, theirs in pairs)
        yield f"| {row.goal}, {other.system} | {cells} |"


def crowd_table(crowds: "Sequence[CrowdMeasurement]") -> Iterator[str]:
    """Yield the lines of the table of crowds."""
    if not crowds:
        return
    yield "| agents at once | errors | wall s | CPU ms per agent | peak MB | one alone | model calls | connections |"
    yield "|---:|---:|---:|---:|---:|---:|---:|---:|"
    for each in crowds:
        cells = (
            f"{each['agents']:,}",
            str(sum(each["errors"].values())),
            f"{each['wall_seconds']:.2f}",
            f"{each['cpu_seconds'] * 1e3 / each['agents']:.1f}",
            f"{each['peak_megabytes']:,.0f}",
            f"{each['alone_megabytes']:,.0f}",
            f"{each['figures']['calls']:,}",
            f"{each['figures']['connections']:,}",
        )
        yield f"| {' | '.join(cells)} |"
