"""DBOS: rounds are a loop of steps, inner runs are child workflows; its SQLite file is as it makes it (FULL).

Its `recv` and forks wait by looking once a second, which would be all that is measured; it has no cache and no
workflows that change.
"""

from contextlib import contextmanager

from dbos import DBOS

from benchmarks import harness
from benchmarks.flow.work import INNER_RUNS, INNER_STEPS, ROUNDS, WORKLOADS
from benchmarks.peers.dbos import following, launched


@DBOS.workflow()
async def rounds() -> int:
    state = {"n": 0}
    while state["n"] < ROUNDS:
        state = await following(state)
    return state["n"]


@DBOS.workflow()
async def inside(state: dict) -> dict:
    for _ in range(INNER_STEPS):
        state = await following(state)
    return state


@DBOS.workflow()
async def outside() -> int:
    state = {"n": 0}
    for _ in range(INNER_RUNS):
        state = await inside(state)
    return state["n"]


@contextmanager
def durable_rounds():
    with launched(ROUNDS):
        yield rounds


@contextmanager
def durable_inner():
    with launched(INNER_RUNS * INNER_STEPS):
        yield outside


if __name__ == "__main__":
    harness.main(
        "dbos",
        {"durable_rounds": durable_rounds, "durable_inner": durable_inner},
        package="dbos",
        workloads=WORKLOADS,
    )
