"""The floor: what asyncio itself takes for the work, without an engine. A task per step, as any engine needs.

The durable floor is a `sqlite3` insert and commit per step, in WAL. Group commit is what 100 runs at once could do
best: whatever came while the last commit was on its way shares the next one; no step counts before its commit.
"""

import asyncio
import json
import sqlite3
import time
from contextlib import asynccontextmanager, closing
from functools import partial

from benchmarks import harness


async def following(state, sleep_seconds=0.0):
    if sleep_seconds:
        await asyncio.sleep(sleep_seconds)
    return {"n": state["n"] + 1}


async def in_tasks(steps, sleep_seconds=0.0):
    state = {"n": 0}
    for _ in range(steps):
        state = await asyncio.create_task(following(state, sleep_seconds))
    return state["n"]


async def in_a_loop(steps):
    state = {"n": 0}
    for _ in range(steps):
        state = await following(state)
    return state["n"]


async def value(position):
    await asyncio.sleep(harness.FANOUT_SLEEP_SECONDS)
    return {"v": position}


async def fan():
    values = await asyncio.gather(*[value(position) for position in range(harness.FANOUT_STEPS)])
    return sum(each["v"] for each in values)


async def all_at_once():
    runs = [in_tasks(harness.MANY_STEPS, harness.MANY_SLEEP_SECONDS) for _ in range(harness.MANY_RUNS)]
    return list(await asyncio.gather(*runs))


@asynccontextmanager
async def opened(work, synchronous, steps):
    with harness.durable_file("step", steps=steps) as file:
        with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute("CREATE TABLE step (run TEXT, seq INT, name TEXT, status TEXT, output TEXT, at REAL)")
            yield work(connection)


def put(connection, run, seq, state):
    connection.execute(
        "INSERT INTO step VALUES (?, ?, ?, ?, ?, ?)", (run, seq, f"s{seq}", "done", json.dumps(state), time.time())
    )


async def committed_here(connection):
    state = {"n": 0}
    for seq in range(harness.CHAIN_STEPS):
        state = await following(state)
        put(connection, "r", seq, state)
    return state["n"]


async def committed_in_a_thread(connection):
    state = {"n": 0}
    for seq in range(harness.CHAIN_STEPS):
        state = await following(state)
        await asyncio.to_thread(put, connection, "r", seq, state)
    return state["n"]


class Group:
    def __init__(self, connection):
        self.connection = connection
        self.waiting = []
        self.has_work = asyncio.Event()

    def put(self, *row):
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((row, future))
        self.has_work.set()
        return future

    async def serve(self):
        while True:
            await self.has_work.wait()
            self.has_work.clear()
            group, self.waiting = self.waiting, []
            await asyncio.to_thread(self.commit, [row for row, _ in group])
            for _, future in group:
                future.set_result(None)

    def commit(self, rows):
        self.connection.execute("BEGIN IMMEDIATE")
        for row in rows:
            put(self.connection, *row)
        self.connection.execute("COMMIT")


async def committed_in_groups(connection):
    group = Group(connection)
    server = asyncio.create_task(group.serve())

    async def run(number):
        state = {"n": 0}
        for seq in range(harness.MANY_STEPS):
            state = await following(state)
            await group.put(f"r{number}", seq, state)
        return state["n"]

    results = list(await asyncio.gather(*[run(number) for number in range(harness.MANY_RUNS)]))
    server.cancel()
    return results


def durable(work, synchronous, steps):
    return lambda: partial(opened, work, synchronous, steps)


DURABLE = {
    f"durable_{name}:{synchronous}, {how}": durable(work, synchronous, steps)
    for synchronous in ("FULL", "NORMAL")
    for name, how, work, steps in (
        ("chain", "no hop", committed_here, harness.CHAIN_STEPS),
        ("chain", "thread hop", committed_in_a_thread, harness.CHAIN_STEPS),
        ("many", "group commit", committed_in_groups, harness.MANY_RUNS * harness.MANY_STEPS),
    )
}

if __name__ == "__main__":
    harness.main(
        "floor",
        {
            "chain": lambda: lambda: in_tasks(harness.CHAIN_STEPS),
            "chain:no tasks": lambda: lambda: in_a_loop(harness.CHAIN_STEPS),
            "fanout": lambda: fan,
            "many": lambda: all_at_once,
            **DURABLE,
        },
    )
