"""Measures flows: tagent, the floor and the peers that are installed in turns, and prints two tables.

The first one is that of `run.py`. The second one says what tagent costs the CPU, beside its own plain steps and the
peer that costs least.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from benchmarks.flow.work import PLAIN
from benchmarks.run import (
    TAGENT,
    Contest,
    Row,
    System,
    asked_for,
    installed_systems,
    keep,
    measure_in_turns,
    notes_on,
    rows_of,
    table_of,
)

TITLES = {
    "rounds": "1,000 rounds, µs each",
    "durable_rounds": "1,000 durable rounds, µs each",
    "inner": "100 inner runs of 3 steps, µs each",
    "durable_inner": "100 durable inner runs, µs each",
    "at_once": "100 approvals at once, µs each",
    "ask": "of these: asking",
    "answer": "of these: answering",
    "go_on": "of these: going on",
    "in_turn": "100 approvals in turn, µs each",
    "misses": "2,000 cache misses, µs each",
    "hits": "2,000 cache hits, µs each",
    "changes": "100 changes, µs each",
    "durable_changes": "100 durable changes, µs each",
    "part": "the last of 1,000 steps alone, ms",
}
"""Workload -> how the table names it. The order is that of the table."""

CONTEST = Contest(
    TITLES,
    milliseconds=frozenset({"part"}),
    floors={},
    most_repeats={"durable_rounds": 2, "durable_inner": 2, "in_turn": 2, "misses": 2, "hits": 3},
)
PEER_WORKLOADS = {
    "burr": ("rounds", "durable_rounds", "in_turn"),
    "dbos": ("durable_rounds", "durable_inner"),
    "langgraph": tuple(name for name in TITLES if name not in {"answer", "changes", "durable_changes"}),
}
"""Peer -> what it has. One that is not named is left out."""


def systems_of_flow() -> tuple[list[System], list[str]]:
    """Return what can be measured, tagent first, and the peers that are not installed."""
    installed, missing = installed_systems()
    systems = [
        replace(
            system,
            module="benchmarks.flow.this_package" if system.name == TAGENT else f"benchmarks.peers.flow.{system.name}",
            workloads=PEER_WORKLOADS.get(system.name, tuple(TITLES)),
        )
        for system in installed
        if not system.module.startswith("benchmarks.peers.") or system.name in {"floor", *PEER_WORKLOADS}
    ]
    return systems, [peer for peer in missing if peer in PEER_WORKLOADS]


def cost_table_of(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of a table of CPU times beside others, which tells more than the clock on a busy machine."""
    yield "| work | CPU | plain steps | / plain steps | best peer | / best peer |"
    yield "|---|---:|---:|---:|---:|---:|"
    for row in rows:
        if row.system == TAGENT and not row.variant:
            same = [other for other in rows if other.workload == row.workload]
            plain = [other.cpu for other in same if other.system == TAGENT and other.variant == PLAIN]
            peers = [other.cpu for other in same if other.is_peer]
            scale = 1e3 if row.workload in CONTEST.milliseconds else 1.0
            cells = [TITLES[row.workload], f"{row.cpu / scale:,.0f}"]
            for others in (plain, peers):
                cells += [f"{min(others) / scale:,.0f}", f"{row.cpu / min(others):.2f}"] if others else ["", ""]
            yield f"| {' | '.join(cells)} |"


def main() -> int:
    """Measure, print the tables and keep the figures; return 1 if tagent itself failed."""
    given = asked_for("Measure flows beside the peers that are installed.", tuple(TITLES), repeats=3)
    started_at = datetime.now(UTC)
    systems, missing = systems_of_flow()
    measurements, _, failures = measure_in_turns(
        systems, given.workloads, passes=given.passes, repeats=given.repeats, contest=CONTEST
    )
    rows = rows_of(measurements, CONTEST)
    notes = [*notes_on(measurements, {}, missing), *failures]
    print("\n".join([*table_of(rows, CONTEST), "", *cost_table_of(rows), "", *(f"- {note}" for note in notes)]))
    keep("flow-", started_at, passes=given.passes, repeats=given.repeats, notes=notes, measurements=measurements)
    return int(any(failure.startswith(f"{TAGENT} ") for failure in failures))


if __name__ == "__main__":
    sys.exit(main())
