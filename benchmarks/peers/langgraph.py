"""LangGraph: a compiled `StateGraph` without checkpointer, in memory; the fan is `Send` with a list reducer.

Durable runs share an `AsyncSqliteSaver` (it sets WAL; synchronous stays FULL). With `durability="sync"` a step's
checkpoint is written before the next step starts; `async`, the default, does not wait for it.
"""

import asyncio
import operator
from contextlib import asynccontextmanager
from typing import Annotated, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from benchmarks import harness


class Count(TypedDict):
    n: int


class Fan(TypedDict, total=False):
    items: list[int]
    results: Annotated[list[dict], operator.add]
    total: int


def chain_of(steps, sleep_seconds=0.0, checkpointer=None):
    async def following(state: Count):
        if sleep_seconds:
            await asyncio.sleep(sleep_seconds)
        return {"n": state["n"] + 1}

    graph = StateGraph(Count)
    for position in range(steps):
        graph.add_node(f"s{position}", following)
        graph.add_edge(f"s{position - 1}" if position else START, f"s{position}")
    graph.add_edge(f"s{steps - 1}", END)
    return graph.compile(checkpointer=checkpointer)


async def run_chain(app):
    return (await app.ainvoke({"n": 0}, {"recursion_limit": 1000}))["n"]


def chain():
    app = chain_of(harness.CHAIN_STEPS)
    return lambda: run_chain(app)


def functional_chain():
    @task
    async def following(state):
        return {"n": state["n"] + 1}

    @entrypoint()
    async def flow(state):
        for _ in range(harness.CHAIN_STEPS):
            state = await following(state)
        return state

    return lambda: run_chain(flow)


def fanout():
    async def source(state):
        return {"items": list(range(harness.FANOUT_STEPS))}

    async def value(state):
        await asyncio.sleep(harness.FANOUT_SLEEP_SECONDS)
        return {"results": [{"v": state["i"]}]}

    async def join(state):
        return {"total": sum(each["v"] for each in state["results"])}

    def spread(state):
        return [Send("value", {"i": i}) for i in state["items"]]

    graph = StateGraph(Fan)
    graph.add_node("source", source)
    graph.add_node("value", value)
    graph.add_node("join", join)
    graph.add_edge(START, "source")
    graph.add_conditional_edges("source", spread, ["value"])
    graph.add_edge("value", "join")
    graph.add_edge("join", END)
    app = graph.compile()

    async def run():
        return (await app.ainvoke({}))["total"]

    return run


def many():
    app = chain_of(harness.MANY_STEPS, harness.MANY_SLEEP_SECONDS)

    async def all_at_once():
        return list(await asyncio.gather(*[run_chain(app) for _ in range(harness.MANY_RUNS)]))

    return all_at_once


@asynccontextmanager
async def opened(steps):
    with harness.durable_file("checkpoints", steps=steps) as file:
        async with AsyncSqliteSaver.from_conn_string(str(file)) as saver:
            await saver.setup()
            yield saver


async def run_durably(app, thread_id, durability):
    config = {"recursion_limit": 1000, "configurable": {"thread_id": thread_id}}
    return (await app.ainvoke({"n": 0}, config, durability=durability))["n"]


def durable_chain(durability):
    @asynccontextmanager
    async def prepare():
        async with opened(harness.CHAIN_STEPS) as saver:
            app = chain_of(harness.CHAIN_STEPS, checkpointer=saver)
            yield run_durably(app, "run", durability)

    return lambda: prepare


def durable_many():
    async def all_at_once(app):
        runs = [run_durably(app, f"run{number}", "sync") for number in range(harness.MANY_RUNS)]
        return list(await asyncio.gather(*runs))

    @asynccontextmanager
    async def prepare():
        async with opened(harness.MANY_RUNS * harness.MANY_STEPS) as saver:
            yield all_at_once(chain_of(harness.MANY_STEPS, checkpointer=saver))

    return prepare


if __name__ == "__main__":
    harness.main(
        "langgraph",
        {
            "chain": chain,
            "chain:functional": functional_chain,
            "fanout": fanout,
            "many": many,
            "durable_chain:sync": durable_chain("sync"),
            "durable_chain:async": durable_chain("async"),
            "durable_many:sync": durable_many,
        },
        package="langgraph",
    )
