"""LangGraph: rounds are a cycle, an inner run a compiled subgraph, an approval `interrupt` and `Command(resume=...)`.

Durable runs share an `AsyncSqliteSaver` with `durability="sync"`, which a subgraph inherits; the cache is a
`SqliteCache` in a file of its own, both in WAL with FULL. Answers that come at once are given in one `Command`, so it
has no way to keep an answer before it goes on. A part is the run taken up at the checkpoint before its last step.
"""

import operator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, TypedDict

from langgraph.cache.sqlite import SqliteCache
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import CachePolicy, Command, Send, interrupt

from benchmarks import harness
from benchmarks.flow.work import APPROVALS, INNER_RUNS, INNER_STEPS, ITEMS, PART_STEPS, ROUNDS, WORKLOADS
from benchmarks.peers.langgraph import Count, chain_of

CONFIG = {"recursion_limit": 2 * ROUNDS, "configurable": {"thread_id": "run"}}


class Fan(TypedDict, total=False):
    i: int
    values: Annotated[list[int], operator.add]


@asynccontextmanager
async def opened(table, rows):
    with harness.durable_file(table, steps=rows) as file:
        async with AsyncSqliteSaver.from_conn_string(str(file)) as saver:
            await saver.setup()
            yield saver


async def following(state: Count):
    return {"n": state["n"] + 1}


def rounds(checkpointer=None):
    graph = StateGraph(Count)
    graph.add_node("again", following)
    graph.add_edge(START, "again")
    graph.add_conditional_edges("again", lambda state: "again" if state["n"] < ROUNDS else END, ["again", END])
    return graph.compile(checkpointer=checkpointer)


def inner_runs(checkpointer=None):
    inside = chain_of(INNER_STEPS)
    graph = StateGraph(Count)
    for number in range(INNER_RUNS):
        graph.add_node(f"s{number}", inside)
        graph.add_edge(f"s{number - 1}" if number else START, f"s{number}")
    graph.add_edge(f"s{INNER_RUNS - 1}", END)
    return graph.compile(checkpointer=checkpointer)


def in_memory(graph_of):
    app = graph_of()

    async def run():
        return (await app.ainvoke({"n": 0}, CONFIG))["n"]

    return lambda: run()


def durable(graph_of, rows):
    @asynccontextmanager
    async def prepare():
        async with opened("checkpoints", rows) as saver:
            app = graph_of(saver)

            async def run():
                return (await app.ainvoke({"n": 0}, CONFIG, durability="sync"))["n"]

            yield run()

    return prepare


def approved_at_once(checkpointer):
    async def approved(state):
        return {"values": [int(interrupt("Go on?"))]}

    graph = StateGraph(Fan)
    graph.add_node("approved", approved)
    graph.add_conditional_edges(START, lambda _: [Send("approved", {"i": i}) for i in range(APPROVALS)], ["approved"])
    graph.add_edge("approved", END)
    return graph.compile(checkpointer=checkpointer)


async def ask(app):
    return (await app.ainvoke({}, CONFIG, durability="sync"))["__interrupt__"]


async def asked(app):
    return len(await ask(app))


async def go_on(app, waiting):
    answers = Command(resume={each.id: True for each in waiting})
    return sum((await app.ainvoke(answers, CONFIG, durability="sync"))["values"])


async def at_once(app):
    return await go_on(app, await ask(app))


def approvals_at_once():
    @asynccontextmanager
    async def prepare():
        async with opened("writes", APPROVALS) as saver:
            yield at_once(approved_at_once(saver))

    return prepare


def asking():
    @asynccontextmanager
    async def prepare():
        async with opened("writes", APPROVALS) as saver:
            yield asked(approved_at_once(saver))

    return prepare


def going_on():
    @asynccontextmanager
    async def prepare():
        async with opened("writes", APPROVALS) as saver:
            app = approved_at_once(saver)
            yield go_on(app, await ask(app))

    return prepare


def approvals_in_turn():
    async def approved(state: Count):
        return {"n": state["n"] + int(interrupt("Go on?"))}

    def graph_of(saver):
        graph = StateGraph(Count)
        for number in range(APPROVALS):
            graph.add_node(f"s{number}", approved)
            graph.add_edge(f"s{number - 1}" if number else START, f"s{number}")
        return graph.compile(checkpointer=saver)

    async def run(app):
        await app.ainvoke({"n": 0}, CONFIG, durability="sync")
        for _ in range(APPROVALS):
            result = await app.ainvoke(Command(resume=True), CONFIG, durability="sync")
        return result["n"]

    @asynccontextmanager
    async def prepare():
        async with opened("checkpoints", APPROVALS) as saver:
            yield run(graph_of(saver))

    return prepare


class Doubling:
    def __init__(self, cache, saver):
        self.calls = 0
        graph = StateGraph(Fan)
        graph.add_node("double", self.double, cache_policy=CachePolicy())
        graph.add_conditional_edges(START, lambda _: [Send("double", {"i": i}) for i in range(ITEMS)], ["double"])
        graph.add_edge("double", END)
        self.app = graph.compile(checkpointer=saver, cache=cache)

    async def double(self, state):
        self.calls += 1
        return {"values": [2 * state["i"]]}

    async def run(self, thread, calls):
        config = {"configurable": {"thread_id": thread}}
        before = self.calls
        result = sum((await self.app.ainvoke({}, config, durability="sync"))["values"])
        if self.calls - before != calls:
            raise harness.WrongResultError("The cache has not done what it was to do.")
        return result


def cached(are_hits):
    @asynccontextmanager
    async def prepare():
        with harness.durable_file("cache", steps=ITEMS) as file:
            async with opened("writes", ITEMS) as saver:
                work = Doubling(SqliteCache(path=str(file)), saver)
                if are_hits:
                    await work.run("before", ITEMS)
                yield work.run("run", 0 if are_hits else ITEMS)

    return lambda: prepare


@contextmanager
def last_alone():
    with harness.durable_file("checkpoints", steps=PART_STEPS) as file:

        async def run(app):
            history = [each async for each in app.aget_state_history(CONFIG, filter={"step": PART_STEPS - 1}, limit=1)]
            config = {**CONFIG, **history[0].config}
            return (await app.ainvoke(None, config, durability="sync"))["n"]

        is_filled = False

        @asynccontextmanager
        async def prepare():
            nonlocal is_filled
            async with AsyncSqliteSaver.from_conn_string(str(file)) as saver:
                await saver.setup()
                app = chain_of(PART_STEPS, checkpointer=saver)
                if not is_filled:
                    await app.ainvoke({"n": 0}, CONFIG, durability="sync")
                    is_filled = True
                yield run(app)

        yield prepare


if __name__ == "__main__":
    harness.main(
        "langgraph",
        {
            "rounds": lambda: in_memory(rounds),
            "durable_rounds": lambda: durable(rounds, ROUNDS),
            "inner": lambda: in_memory(inner_runs),
            "durable_inner": lambda: durable(inner_runs, INNER_RUNS * INNER_STEPS),
            "at_once": approvals_at_once,
            "ask": asking,
            "go_on": going_on,
            "in_turn": approvals_in_turn,
            "misses": cached(are_hits=False),
            "hits": cached(are_hits=True),
            "part": last_alone,
        },
        package="langgraph",
        workloads=WORKLOADS,
    )
