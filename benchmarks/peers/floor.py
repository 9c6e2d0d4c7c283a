"""The floor: what asyncio itself takes for the work, without an engine. A task per step, as any engine needs."""

import asyncio

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


if __name__ == "__main__":
    harness.main(
        "floor",
        {
            "chain": lambda: lambda: in_tasks(harness.CHAIN_STEPS),
            "chain:no tasks": lambda: lambda: in_a_loop(harness.CHAIN_STEPS),
            "fanout": lambda: fan,
            "many": lambda: all_at_once,
        },
    )
