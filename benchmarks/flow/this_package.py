"""The works as tagent pipelines, each beside *plain steps*: what tagent does without the feature, as near as can be.

Run as a script, it measures them as a peer is measured. Durable runs share an open store with whoever answers.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

from benchmarks import harness
from benchmarks.flow import steps
from benchmarks.flow.work import (
    APPROVALS,
    CHANGES,
    INNER_RUNS,
    INNER_STEPS,
    ITEMS,
    PART_STEPS,
    PLAIN,
    ROUNDS,
    WORKLOADS,
)
from benchmarks.workloads import IN_MEMORY, Join, chain_of, final_value, open_store
from tagent import TAgentConfig, run_pipeline
from tagent.pipeline import ExecutionMode, Pipeline, PipelineExecutor, Selection
from tagent.pipeline.answering.answering import answer_approval, open_approvals
from tagent.pipeline.resuming import resume_run
from tagent.ports.services import Services
from tagent.runtime import open_services

SETTINGS = TAgentConfig()
LAST = f"s{PART_STEPS - 1}"


def rounds() -> Pipeline:
    """Return a pipeline of one step that is done round by round."""
    return Pipeline("rounds").step("all", run=steps.one_more, until=f"output.n >= {ROUNDS}", max_times=ROUNDS)


def inner_runs() -> Pipeline:
    """Return a chain of steps that run a pipeline each, and read the count of the one before."""
    inside = Pipeline("inside").step("first", run=steps.first).step("second", run=steps.second)
    inside.step("third", run=steps.third)
    pipeline = Pipeline("outside").step("s0", pipeline=inside, inputs={"n": "start"})
    for number in range(1, INNER_RUNS):
        pipeline.step(f"s{number}", pipeline=inside, inputs={"n": f"s{number - 1}.n"})
    return pipeline


def approved_at_once(*, approval: bool = True) -> Pipeline:
    """Return a pipeline of steps that wait for their approval all at once, and one that adds them up."""
    pipeline = Pipeline("at_once", default_mode=ExecutionMode.CONCURRENT)
    names = [f"a{number}" for number in range(APPROVALS)]
    for name in names:
        pipeline.step(name, run=steps.one, approval=approval)
    return pipeline.step("total", run=Join(names))


def approved_in_turn() -> Pipeline:
    """Return a chain of steps, each of which waits for its approval."""
    pipeline = chain_of(APPROVALS)
    for step in pipeline.steps:
        step.approval = True
    return pipeline


def items(*, is_cached: bool) -> Pipeline:
    """Return a pipeline of one step that goes through a list."""
    return (
        Pipeline("items")
        .step("numbers", run=steps.numbers)
        .step(
            "all",
            run=steps.doubled,
            for_each="numbers",
            execution_mode=ExecutionMode.PARALLEL_MERGE,
            cache="forever" if is_cached else None,
        )
    )


def growing() -> Pipeline:
    """Return a pipeline of one step, which adds a step that adds the next one, and so on."""
    return Pipeline("growing").step("s0", run=steps.grown)


def in_memory(pipeline: Pipeline, *, start: int | None = None) -> harness.Prepare:
    """Prepare a run in memory, which is given `start` as an input."""
    return lambda: final_value(PipelineExecutor(pipeline, IN_MEMORY, inputs=_inputs(start)), "n")


def durable(pipeline: Pipeline, *, rows: int, key: str = "n", start: int | None = None) -> harness.Prepare:
    """Prepare a run in a store on disk, in which it leaves `rows` events at least."""

    @asynccontextmanager
    async def prepare() -> AsyncIterator[harness.Work]:
        async with open_store("", steps=rows) as services:
            yield final_value(PipelineExecutor(pipeline, services=services, inputs=_inputs(start)), key)

    return prepare


async def ask(pipeline: Pipeline, services: Services) -> str:
    """Run until all is asked that can be; return the run's id."""
    return (await PipelineExecutor(pipeline, services=services).execute()).run_id


async def asked(pipeline: Pipeline, services: Services) -> int:
    """Run until all is asked that can be; return how much that is."""
    return len(await open_approvals(services, await ask(pipeline, services)))


async def answer(run_id: str, services: Services) -> int:
    """Say yes to all that is asked; return how often."""
    waiting = await open_approvals(services, run_id)
    for approval in waiting:
        await answer_approval(run_id, approval.step, services, is_approved=True)
    return len(waiting)


async def go_on(run_id: str, pipeline: Pipeline, services: Services) -> object:
    """Take up the run, and return the total in its final output."""
    return (await resume_run(run_id, services, SETTINGS, pipeline=pipeline)).final_output["total"]


def approvals_at_once() -> harness.Prepare:
    """Prepare a run that asks all at once; somebody answers it all, and it goes on to its end."""
    pipeline = approved_at_once()

    async def work(services: Services) -> object:
        run_id = await ask(pipeline, services)
        await answer(run_id, services)
        return await go_on(run_id, pipeline, services)

    @asynccontextmanager
    async def prepare() -> AsyncIterator[harness.Work]:
        async with open_store("", steps=4 * APPROVALS) as services:
            yield work(services)

    return prepare


def asking() -> harness.Prepare:
    """Prepare the first third of the same: asking."""
    pipeline = approved_at_once()

    @asynccontextmanager
    async def prepare() -> AsyncIterator[harness.Work]:
        async with open_store("", steps=APPROVALS) as services:
            yield asked(pipeline, services)

    return prepare


def answering() -> harness.Prepare:
    """Prepare the second third: answering, with the run at rest."""
    pipeline = approved_at_once()

    @asynccontextmanager
    async def prepare() -> AsyncIterator[harness.Work]:
        async with open_store("", steps=APPROVALS) as services:
            yield answer(await ask(pipeline, services), services)

    return prepare


def going_on() -> harness.Prepare:
    """Prepare the last third: going on with all that is answered."""
    pipeline = approved_at_once()

    @asynccontextmanager
    async def prepare() -> AsyncIterator[harness.Work]:
        async with open_store("", steps=4 * APPROVALS) as services:
            run_id = await ask(pipeline, services)
            await answer(run_id, services)
            yield go_on(run_id, pipeline, services)

    return prepare


def approvals_in_turn() -> harness.Prepare:
    """Prepare a run that asks, rests, is answered and taken up for each of its steps."""
    pipeline = approved_in_turn()

    async def work(services: Services) -> object:
        run_id = await ask(pipeline, services)
        for _ in range(APPROVALS):
            await answer(run_id, services)
            result = await resume_run(run_id, services, SETTINGS, pipeline=pipeline)
        return result.final_output["n"]

    @asynccontextmanager
    async def prepare() -> AsyncIterator[harness.Work]:
        async with open_store("", steps=4 * APPROVALS) as services:
            yield work(services)

    return prepare


async def doubled(pipeline: Pipeline, services: Services, *, are_hits: bool) -> object:
    """Run, and return the sum of what the items gave.

    Raises:
        WrongResultError: If they were worked out although they were to be used again, or the other way round.
    """
    result = await PipelineExecutor(pipeline, services=services).execute()
    parts = result.step_metadata["all"]["parts"]
    if sum(bool(part["cached"]) for part in parts.values()) != are_hits * ITEMS:
        raise harness.WrongResultError("The cache has not done what it was to do.")
    return sum(result.final_output)


def misses(*, is_cached: bool = True) -> harness.Prepare:
    """Prepare a run whose items are worked out, and kept."""
    pipeline = items(is_cached=is_cached)

    @asynccontextmanager
    async def prepare() -> AsyncIterator[harness.Work]:
        async with open_store("", steps=ITEMS) as services:
            yield doubled(pipeline, services, are_hits=False)

    return prepare


@contextmanager
def hits() -> Iterator[harness.Prepare]:
    """Fill a cache once; prepare runs whose items are all there."""
    pipeline = items(is_cached=True)
    with harness.durable_file("event", steps=ITEMS) as file:
        store = f"sqlite:///{file}"
        run_pipeline(pipeline, store=f"{store}?synchronous=normal")

        @asynccontextmanager
        async def prepare() -> AsyncIterator[harness.Work]:
            async with open_services(TAgentConfig(store=store)) as services:
                yield doubled(pipeline, services, are_hits=True)

        yield prepare


@contextmanager
def last_alone() -> Iterator[harness.Prepare]:
    """Run a long chain once; prepare doing its last step anew with what the others gave."""
    pipeline = chain_of(PART_STEPS)
    with harness.durable_file("event", steps=PART_STEPS) as file:
        store = f"sqlite:///{file}"
        run_id = run_pipeline(pipeline, store=f"{store}?synchronous=normal").run_id
        part = Selection(only=(LAST,), from_run=run_id)

        @asynccontextmanager
        async def prepare() -> AsyncIterator[harness.Work]:
            async with open_services(TAgentConfig(store=store)) as services:
                yield final_value(PipelineExecutor(pipeline, services=services, selection=part), "n")

        yield prepare


def _inputs(start: int | None) -> dict[str, int] | None:
    return None if start is None else {"start": start}


def plain(name: str, build: Callable[[], harness.Prepare]) -> dict[str, harness.Build]:
    """Return what builds a workload without the feature, by its key."""
    return {f"{name}:{PLAIN}": build}


if __name__ == "__main__":
    harness.main(
        "tagent",
        {
            "rounds": lambda: in_memory(rounds()),
            **plain("rounds", lambda: in_memory(chain_of(ROUNDS))),
            "durable_rounds": lambda: durable(rounds(), rows=ROUNDS),
            **plain("durable_rounds", lambda: durable(chain_of(ROUNDS), rows=ROUNDS)),
            "inner": lambda: in_memory(inner_runs(), start=0),
            **plain("inner", lambda: in_memory(chain_of(INNER_RUNS * INNER_STEPS))),
            "durable_inner": lambda: durable(inner_runs(), rows=INNER_RUNS * INNER_STEPS, start=0),
            **plain(
                "durable_inner", lambda: durable(chain_of(INNER_RUNS * INNER_STEPS), rows=INNER_RUNS * INNER_STEPS)
            ),
            "at_once": approvals_at_once,
            **plain("at_once", lambda: durable(approved_at_once(approval=False), rows=APPROVALS, key="total")),
            "ask": asking,
            "answer": answering,
            "go_on": going_on,
            "in_turn": approvals_in_turn,
            **plain("in_turn", lambda: durable(chain_of(APPROVALS), rows=APPROVALS)),
            "misses": misses,
            **plain("misses", partial(misses, is_cached=False)),
            "hits": hits,
            **plain("hits", partial(misses, is_cached=False)),
            "changes": lambda: in_memory(growing()),
            **plain("changes", lambda: in_memory(chain_of(CHANGES + 1))),
            "durable_changes": lambda: durable(growing(), rows=CHANGES),
            **plain("durable_changes", lambda: durable(chain_of(CHANGES + 1), rows=CHANGES)),
            "part": last_alone,
            **plain("part", lambda: durable(chain_of(PART_STEPS), rows=PART_STEPS)),
        },
        package="tagent",
        workloads=WORKLOADS,
    )
