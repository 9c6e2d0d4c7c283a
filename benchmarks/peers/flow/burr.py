"""Burr: rounds are a cycle of one action, with its persister where they are durable (rollback journal, FULL).

An approval is an input of an action: the application halts before it, and another one is built from what was kept,
which is given the answer. That answer is not kept before it goes on.
"""

from contextlib import asynccontextmanager

from burr.core import ApplicationBuilder, GraphBuilder, State, action, default, expr

from benchmarks import harness
from benchmarks.flow.work import APPROVALS, ROUNDS, WORKLOADS
from benchmarks.peers.burr import opened


@action(reads=["n"], writes=["n"])
async def again(state: State) -> State:
    return state.update(n=state["n"] + 1)


@action(reads=["n"], writes=[])
async def done(state: State) -> State:
    return state


GRAPH = (
    GraphBuilder()
    .with_actions(again=again, done=done)
    .with_transitions(("again", "again", expr(f"n < {ROUNDS}")), ("again", "done", default))
    .build()
)


async def run(persister=None):
    builder = ApplicationBuilder().with_graph(GRAPH)
    if persister is not None:
        builder = builder.with_state_persister(persister).with_identifiers(app_id="run")
    app = await builder.with_state(n=0).with_entrypoint("again").abuild()
    _, _, state = await app.arun(halt_after=["done"])
    return state["n"]


@asynccontextmanager
async def durably():
    async with opened(ROUNDS) as persister:
        yield run(persister)


def approved_in_turn():
    def made():
        @action(reads=["n"], writes=["n"])
        async def approved(state: State, answer: bool) -> State:
            return state.update(n=state["n"] + int(answer))

        return approved

    names = [f"s{number}" for number in range(APPROVALS)]
    transitions = list(zip(names, names[1:]))
    graph = GraphBuilder().with_actions(**{name: made() for name in names}).with_transitions(*transitions).build()

    async def work(persister):
        for name in names:
            builder = ApplicationBuilder().with_graph(graph).with_identifiers(app_id="run")
            builder = builder.initialize_from(
                persister, resume_at_next_action=True, default_state={"n": 0}, default_entrypoint="s0"
            )
            app = await builder.with_state_persister(persister).abuild()
            _, _, state = await app.arun(halt_after=[name], inputs={"answer": True})
        return state["n"]

    @asynccontextmanager
    async def prepare():
        async with opened(APPROVALS) as persister:
            yield work(persister)

    return prepare


if __name__ == "__main__":
    harness.main(
        "burr",
        {"rounds": lambda: run, "durable_rounds": lambda: durably, "in_turn": approved_in_turn},
        package="apache-burr",
        workloads=WORKLOADS,
    )
