"""The floor: the works by hand, with a task per step, round or item. Durable, a `sqlite3` commit for each, in a thread.

An approval is three commits: asked, answered, done. The cache is a table in the same file: an item is looked up, and
what is new is kept with what it gave, 16 items at once, which share a commit. The part reads the rows of the earlier
run and copies them in one commit, so that it can be told without it.
"""

import asyncio
import json
from contextlib import asynccontextmanager, contextmanager
from functools import partial

from benchmarks import harness
from benchmarks.flow.work import APPROVALS, CHANGES, INNER_RUNS, INNER_STEPS, ITEMS, PART_STEPS, ROUNDS, WORKLOADS
from benchmarks.peers.floor import following, in_tasks, opened, put

FULL = "FULL"
AT_ONCE = 16


async def nested():
    async def inside(state):
        for _ in range(INNER_STEPS):
            state = await asyncio.create_task(following(state))
        return state

    state = {"n": 0}
    for _ in range(INNER_RUNS):
        state = await asyncio.create_task(inside(state))
    return state["n"]


async def committed(steps, connection):
    state = {"n": 0}
    for seq in range(steps):
        state = await asyncio.create_task(following(state))
        await asyncio.to_thread(put, connection, "r", seq, state)
    return state["n"]


async def approved(connection):
    state = {"n": 0}
    for seq in range(APPROVALS):
        await asyncio.to_thread(put, connection, "asked", seq, None)
        await asyncio.to_thread(put, connection, "answered", seq, True)
        state = await asyncio.create_task(following(state))
        await asyncio.to_thread(put, connection, "done", seq, state)
    return state["n"]


async def answered(connection):
    for seq in range(APPROVALS):
        await asyncio.to_thread(put, connection, "answered", seq, True)
    return APPROVALS


async def double(item):
    return 2 * item


async def through_cache(connection):
    def look(keys):
        marks = ",".join("?" * len(keys))
        found = connection.execute(f"SELECT key, value FROM cache WHERE key IN ({marks})", keys)
        return {key: json.loads(value) for key, value in found}

    def keep(rows):
        connection.execute("BEGIN IMMEDIATE")
        for item, value, is_new in rows:
            if is_new:
                connection.execute("INSERT INTO cache VALUES (?, ?)", (f"double {item}", json.dumps(value)))
            put(connection, "r", item, value)
        connection.execute("COMMIT")

    total = 0
    for start in range(0, ITEMS, AT_ONCE):
        wave = range(start, min(start + AT_ONCE, ITEMS))
        found = await asyncio.to_thread(look, [f"double {item}" for item in wave])
        new = [item for item in wave if f"double {item}" not in found]
        tasks = {item: asyncio.create_task(double(item)) for item in new}
        given = {item: await tasks[item] if item in tasks else found[f"double {item}"] for item in wave}
        await asyncio.to_thread(keep, [(item, value, item in tasks) for item, value in given.items()])
        total += sum(given.values())
    return total


def durable(work, rows):
    return lambda: partial(opened, work, FULL, rows)


def misses():
    @asynccontextmanager
    async def prepare():
        async with opened(lambda connection: connection, FULL, ITEMS) as connection:
            connection.execute("CREATE TABLE cache (key TEXT PRIMARY KEY, value TEXT)")
            yield through_cache(connection)

    return prepare


def hits():
    @asynccontextmanager
    async def prepare():
        async with opened(lambda connection: connection, FULL, ITEMS) as connection:
            connection.execute("CREATE TABLE cache (key TEXT PRIMARY KEY, value TEXT)")
            await through_cache(connection)
            yield through_cache(connection)

    return prepare


async def last_step(connection):
    def taken_over():
        rows = connection.execute("SELECT seq, output FROM step WHERE run = 'r' AND seq < ?", (PART_STEPS - 1,))
        outputs = {seq: json.loads(output) for seq, output in rows}
        connection.execute("BEGIN IMMEDIATE")
        for seq, output in outputs.items():
            put(connection, "again", seq, output)
        connection.execute("COMMIT")
        return outputs

    outputs = await asyncio.to_thread(taken_over)
    state = await asyncio.create_task(following(outputs[PART_STEPS - 2]))
    await asyncio.to_thread(put, connection, "again", PART_STEPS - 1, state)
    return state["n"]


def part():
    @asynccontextmanager
    async def prepare():
        async with opened(lambda connection: connection, FULL, PART_STEPS) as connection:
            await committed(PART_STEPS, connection)
            yield last_step(connection)

    return prepare


if __name__ == "__main__":
    harness.main(
        "floor",
        {
            "rounds": lambda: partial(in_tasks, ROUNDS),
            "durable_rounds": durable(partial(committed, ROUNDS), ROUNDS),
            "inner": lambda: nested,
            "durable_inner": durable(partial(committed, INNER_RUNS * INNER_STEPS), INNER_RUNS * INNER_STEPS),
            "at_once": durable(approved, 3 * APPROVALS),
            "ask": durable(partial(committed, APPROVALS), APPROVALS),
            "answer": durable(answered, APPROVALS),
            "go_on": durable(partial(committed, APPROVALS), APPROVALS),
            "in_turn": durable(approved, 3 * APPROVALS),
            "misses": misses,
            "hits": hits,
            "changes": lambda: partial(in_tasks, CHANGES + 1),
            "durable_changes": durable(partial(committed, CHANGES + 1), CHANGES + 1),
            "part": part,
        },
        workloads=WORKLOADS,
    )
