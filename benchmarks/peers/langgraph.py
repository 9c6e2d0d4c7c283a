"""LangGraph: a compiled `StateGraph` without checkpointer, in memory; the fan is `Send` with a list reducer."""

import asyncio
import operator
from typing import Annotated, TypedDict

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


def chain_of(steps, sleep_seconds=0.0):
    async def following(state: Count):
        if sleep_seconds:
            await asyncio.sleep(sleep_seconds)
        return {"n": state["n"] + 1}

    graph = StateGraph(Count)
    for position in range(steps):
        graph.add_node(f"s{position}", following)
        graph.add_edge(f"s{position - 1}" if position else START, f"s{position}")
    graph.add_edge(f"s{steps - 1}", END)
    return graph.compile()


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


if __name__ == "__main__":
    harness.main(
        "langgraph",
        {"chain": chain, "chain:functional": functional_chain, "fanout": fanout, "many": many},
        package="langgraph",
    )
