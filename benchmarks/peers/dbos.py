"""DBOS: async workflows of async steps. It is always durable, so it does the durable work only.

Its database is SQLite with its defaults (rollback journal, FULL). It can be launched once in a process, so all
repeats share a file.
"""

import asyncio
from contextlib import contextmanager

from dbos import DBOS

from benchmarks import harness


@DBOS.step()
async def following(state: dict) -> dict:
    return {"n": state["n"] + 1}


@DBOS.workflow()
async def chain(steps: int) -> int:
    state = {"n": 0}
    for _ in range(steps):
        state = await following(state)
    return state["n"]


@contextmanager
def launched(steps):
    with harness.durable_file("operation_outputs", steps=steps) as file:
        settings = {"name": "bench", "system_database_url": f"sqlite:///{file}", "log_level": "ERROR"}
        DBOS(config={**settings, "run_admin_server": False})
        DBOS.launch()
        try:
            yield
        finally:
            DBOS.destroy()


@contextmanager
def durable_chain():
    with launched(harness.CHAIN_STEPS):
        yield lambda: chain(harness.CHAIN_STEPS)


@contextmanager
def durable_many():
    async def all_at_once():
        return list(await asyncio.gather(*[chain(harness.MANY_STEPS) for _ in range(harness.MANY_RUNS)]))

    with launched(harness.MANY_RUNS * harness.MANY_STEPS):
        yield all_at_once


if __name__ == "__main__":
    harness.main("dbos", {"durable_chain": durable_chain, "durable_many": durable_many}, package="dbos")
