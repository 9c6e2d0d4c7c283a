"""Burr: one shared graph of actions; an `Application` is one run, so it is built under the clock.

The fan is a `MapStates`: each item is an application of its own, that is Burr's model. Durable runs share an
`AsyncSQLitePersister`: a commit per action, with its defaults (rollback journal, FULL).
"""

import asyncio
import os
from contextlib import asynccontextmanager

os.environ["BURR_DISABLE_TELEMETRY"] = "1"

from burr.core import ApplicationBuilder, GraphBuilder, State, action
from burr.core.parallelism import MapStates
from burr.integrations.persisters.b_aiosqlite import AsyncSQLitePersister

from benchmarks import harness


def chain_of(steps, sleep_seconds=0.0):
    def made():
        @action(reads=["n"], writes=["n"])
        async def following(state: State) -> State:
            if sleep_seconds:
                await asyncio.sleep(sleep_seconds)
            return state.update(n=state["n"] + 1)

        return following

    transitions = [(f"s{i}", f"s{i + 1}") for i in range(steps - 1)]
    actions = {f"s{i}": made() for i in range(steps)}
    return GraphBuilder().with_actions(**actions).with_transitions(*transitions).build()


async def run_chain(graph, steps, persister=None, app_id=None):
    builder = ApplicationBuilder().with_graph(graph)
    if persister is not None:
        builder = builder.with_state_persister(persister).with_identifiers(app_id=app_id)
    app = await builder.with_state(n=0).with_entrypoint("s0").abuild()
    _, _, state = await app.arun(halt_after=[f"s{steps - 1}"])
    return state["n"]


def chain():
    graph = chain_of(harness.CHAIN_STEPS)
    return lambda: run_chain(graph, harness.CHAIN_STEPS)


@action(reads=[], writes=["items"])
async def source(state: State) -> State:
    return state.update(items=list(range(harness.FANOUT_STEPS)))


@action(reads=["item"], writes=["v"])
async def value(state: State) -> State:
    await asyncio.sleep(harness.FANOUT_SLEEP_SECONDS)
    return state.update(v=state["item"])


class Fan(MapStates):
    def is_async(self):
        return True

    def action(self, state, inputs):
        return value

    async def states(self, state, context, inputs):
        for item in state["items"]:
            yield state.update(item=item)

    async def reduce(self, state, states):
        return state.update(results=[{"v": each["v"]} async for each in states])

    @property
    def reads(self):
        return ["items"]

    @property
    def writes(self):
        return ["results"]


@action(reads=["results"], writes=["total"])
async def join(state: State) -> State:
    return state.update(total=sum(each["v"] for each in state["results"]))


def fanout():
    graph = (
        GraphBuilder()
        .with_actions(source=source, fan=Fan(), join=join)
        .with_transitions(("source", "fan"), ("fan", "join"))
        .build()
    )

    async def run():
        app = await ApplicationBuilder().with_graph(graph).with_entrypoint("source").abuild()
        return (await app.arun(halt_after=["join"]))[2]["total"]

    return run


def many():
    graph = chain_of(harness.MANY_STEPS, harness.MANY_SLEEP_SECONDS)

    async def all_at_once():
        return list(
            await asyncio.gather(*[run_chain(graph, harness.MANY_STEPS) for _ in range(harness.MANY_RUNS)])
        )

    return all_at_once


@asynccontextmanager
async def opened(steps):
    with harness.durable_file("burr_state", steps=steps) as file:
        persister = await AsyncSQLitePersister.from_values(db_path=str(file))
        try:
            await persister.initialize()
            yield persister
        finally:
            await persister.cleanup()


def durable_chain():
    graph = chain_of(harness.CHAIN_STEPS)

    @asynccontextmanager
    async def prepare():
        async with opened(harness.CHAIN_STEPS) as persister:
            yield run_chain(graph, harness.CHAIN_STEPS, persister, "run")

    return prepare


def durable_many():
    graph = chain_of(harness.MANY_STEPS)

    async def all_at_once(persister):
        runs = [run_chain(graph, harness.MANY_STEPS, persister, f"run{i}") for i in range(harness.MANY_RUNS)]
        return list(await asyncio.gather(*runs))

    @asynccontextmanager
    async def prepare():
        async with opened(harness.MANY_RUNS * harness.MANY_STEPS) as persister:
            yield all_at_once(persister)

    return prepare


if __name__ == "__main__":
    harness.main(
        "burr",
        {
            "chain": chain,
            "fanout": fanout,
            "many": many,
            "durable_chain": durable_chain,
            "durable_many": durable_many,
        },
        package="apache-burr",
    )
