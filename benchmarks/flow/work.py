"""What is measured of flows. Only the standard library is imported here: the interpreter of every peer reads this."""

from collections.abc import Mapping

from benchmarks.harness import Workload

ROUNDS = 1_000
INNER_RUNS = 100
INNER_STEPS = 3
APPROVALS = 100
ITEMS = 2_000
CHANGES = 100
PART_STEPS = 1_000

PLAIN = "plain steps"
"""The variant of a workload in which tagent does without the feature."""

ROUNDS_DONE = Workload(ROUNDS, 0.0, ROUNDS)
INNER_DONE = Workload(INNER_RUNS, 0.0, INNER_RUNS * INNER_STEPS)
APPROVED = Workload(APPROVALS, 0.0, APPROVALS)
DOUBLED = Workload(ITEMS, 0.0, sum(2 * item for item in range(ITEMS)))
GROWN = Workload(CHANGES, 0.0, CHANGES + 1)

WORKLOADS: Mapping[str, Workload] = {
    "rounds": ROUNDS_DONE,
    "durable_rounds": ROUNDS_DONE,
    "inner": INNER_DONE,
    "durable_inner": INNER_DONE,
    "at_once": APPROVED,
    "ask": APPROVED,
    "answer": APPROVED,
    "go_on": APPROVED,
    "in_turn": APPROVED,
    "misses": DOUBLED,
    "hits": DOUBLED,
    "changes": GROWN,
    "durable_changes": GROWN,
    "part": Workload(1, 0.0, PART_STEPS),
}
"""Workload -> what it is. Its steps are the rounds, inner runs, approvals, items or changes whose cost is told."""
