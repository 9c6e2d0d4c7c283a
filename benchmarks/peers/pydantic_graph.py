"""pydantic-graph: a `GraphBuilder` graph of step nodes; the fan is a `map` with a joining reducer."""

import asyncio

from pydantic_graph import GraphBuilder, StepContext, reduce_list_append

from benchmarks import harness


def chain_of(steps, sleep_seconds=0.0):
    async def following(context: StepContext[None, None, dict]) -> dict:
        if sleep_seconds:
            await asyncio.sleep(sleep_seconds)
        return {"n": context.inputs["n"] + 1}

    builder = GraphBuilder(input_type=dict, output_type=dict)
    nodes = [builder.start_node]
    nodes += [builder.step(following, node_id=f"s{i}") for i in range(steps)]
    nodes.append(builder.end_node)
    builder.add(
        *[builder.edge_from(before).to(after) for before, after in zip(nodes, nodes[1:], strict=False)]
    )
    return builder.build()


async def run_chain(graph):
    return (await graph.run(inputs={"n": 0}))["n"]


def chain():
    graph = chain_of(harness.CHAIN_STEPS)
    return lambda: run_chain(graph)


def fanout():
    builder = GraphBuilder(output_type=int)

    @builder.step
    async def source(context: StepContext[None, None, None]) -> list[int]:
        return list(range(harness.FANOUT_STEPS))

    @builder.step
    async def value(context: StepContext[None, None, int]) -> dict:
        await asyncio.sleep(harness.FANOUT_SLEEP_SECONDS)
        return {"v": context.inputs}

    @builder.step
    async def join(context: StepContext[None, None, list[dict]]) -> int:
        return sum(each["v"] for each in context.inputs)

    collected = builder.join(reduce_list_append, initial_factory=list[dict])
    builder.add(
        builder.edge_from(builder.start_node).to(source),
        builder.edge_from(source).map().to(value),
        builder.edge_from(value).to(collected),
        builder.edge_from(collected).to(join),
        builder.edge_from(join).to(builder.end_node),
    )
    graph = builder.build()

    async def run():
        return await graph.run()

    return run


def many():
    graph = chain_of(harness.MANY_STEPS, harness.MANY_SLEEP_SECONDS)

    async def all_at_once():
        return list(await asyncio.gather(*[run_chain(graph) for _ in range(harness.MANY_RUNS)]))

    return all_at_once


if __name__ == "__main__":
    harness.main("pydantic_graph", {"chain": chain, "fanout": fanout, "many": many}, package="pydantic-graph")
