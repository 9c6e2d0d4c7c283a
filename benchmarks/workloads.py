"""The workloads as tagent pipelines. Run as a script, it measures them as a peer is measured.

Definitions are built once. A `PipelineExecutor` belongs to one run and is built before each repeat;
neither is timed, as a peer's graph is not.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

from benchmarks import harness
from tagent import TAgentConfig, aresume, arun_agent, run_pipeline
from tagent.pipeline import ExecutionMode, Pipeline, PipelineExecutor, PipelineResult
from tagent.ports.language_model import ModelReply, ModelRequest, TokenUsage
from tagent.ports.services import Services
from tagent.runtime import open_services
from tagent.task_agent.answers import Answer

IN_MEMORY = TAgentConfig(store="memory://")
"""The peers measured beside keep no journal; tagent does, in memory."""


class Following:
    """A step of a chain, which has its predecessor's name for a parameter and therefore reads its output.

    Args:
        source: The predecessor; None for the first step.
        sleep_seconds: How long it sleeps.
    """

    def __init__(self, source: str | None, sleep_seconds: float) -> None:
        self.__signature__ = signature_reading([source] if source else [])
        self._source = source
        self._sleep_seconds = sleep_seconds

    async def __call__(self, **outputs: Any) -> object:
        """Return the predecessor's count plus one."""
        if self._sleep_seconds:
            await asyncio.sleep(self._sleep_seconds)
        return {"n": outputs[self._source]["n"] + 1 if self._source else 1}


class Join:
    """The last step of a fan, which reads the outputs of all of `sources`."""

    def __init__(self, sources: Sequence[str]) -> None:
        self.__signature__ = signature_reading(sources)

    async def __call__(self, **outputs: Any) -> object:
        """Return the total of the values."""
        return {"total": sum(output["v"] for output in outputs.values())}


def signature_reading(sources: Sequence[str]) -> inspect.Signature:
    """Return the signature of a function with a parameter for each of `sources`."""
    return inspect.Signature([inspect.Parameter(source, inspect.Parameter.KEYWORD_ONLY) for source in sources])


class InstantModel:
    """A language model that answers at once, always the same, and counts how often it was asked.

    Attributes:
        name: Its name.
        context_tokens: It sets no limit.
        calls: How often it was asked.
    """

    def __init__(self) -> None:
        self.name = "instant"
        self.context_tokens: int | None = None
        self.calls = 0
        self._usage = TokenUsage(harness.OVERHEAD_TOKENS["input"], harness.OVERHEAD_TOKENS["output"], 1)

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return an answer without looking at the question."""
        self.calls += 1
        kind = request.output_type
        if not (isinstance(kind, type) and issubclass(kind, Answer)):
            raise TypeError(f"Without tools there is nothing to ask for but an answer, yet {kind!r} was.")
        return ModelReply(kind(output="Done."), self.name, self._usage, 0.0)


def chain_of(steps: int, *, sleep_seconds: float = 0.0) -> Pipeline:
    """Return a pipeline of `steps` steps, each reading the output of the one before it."""
    pipeline = Pipeline("chain")
    for position in range(steps):
        source = f"s{position - 1}" if position else None
        pipeline.step(f"s{position}", run=Following(source, sleep_seconds))
    return pipeline


def fan_of(steps: int, *, sleep_seconds: float) -> Pipeline:
    """Return a pipeline of one step, `steps` CONCURRENT ones that wait for it, and one that reads them all."""

    async def source() -> object:
        return {"items": steps}

    def valued(position: int) -> Callable[[], Coroutine[object, object, object]]:
        async def value() -> object:
            await asyncio.sleep(sleep_seconds)
            return {"v": position}

        return value

    pipeline = Pipeline("fanout", default_mode=ExecutionMode.CONCURRENT).step("source", run=source)
    names = [f"w{position}" for position in range(steps)]
    for position, name in enumerate(names):
        pipeline.step(name, run=valued(position), depends_on=["source"])
    return pipeline.step("join", run=Join(names))


def chain() -> harness.Prepare:
    """Prepare one run of a long chain."""
    return chain_of_length(harness.CHAIN_STEPS)


def fanout() -> harness.Prepare:
    """Prepare one run of a wide fan."""
    pipeline = fan_of(harness.FANOUT_STEPS, sleep_seconds=harness.FANOUT_SLEEP_SECONDS)
    return lambda: final_value(PipelineExecutor(pipeline, IN_MEMORY), "total")


def many() -> harness.Prepare:
    """Prepare many runs of a short chain, at once."""
    pipeline = chain_of(harness.MANY_STEPS, sleep_seconds=harness.MANY_SLEEP_SECONDS)
    return lambda: all_values([PipelineExecutor(pipeline, IN_MEMORY) for _ in range(harness.MANY_RUNS)], "n")


async def final_value(executor: PipelineExecutor, key: str) -> object:
    """Run to the end and return the value that the final output holds under `key`."""
    return (await executor.execute()).final_output[key]


async def all_values(executors: Sequence[PipelineExecutor], key: str) -> list[object]:
    """Run all of them at once and return the value that each final output holds under `key`."""
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(final_value(executor, key)) for executor in executors]
    return [run.result() for run in runs]


def overhead_of_goals() -> harness.Prepare:
    """Prepare goals, one agent behind the other."""

    async def run_all(model: InstantModel) -> dict[str, int]:
        results = [await arun_agent("Say done", IN_MEMORY, model=model) for _ in range(harness.OVERHEAD_RUNS)]
        return {"model_calls": model.calls, "tokens": sum(result.token_usage.total_tokens for result in results)}

    return lambda: run_all(InstantModel())


def overhead_of_pipelines() -> harness.Prepare:
    """Prepare runs of a pipeline with the same goal as its only step, one behind the other."""
    pipeline = Pipeline("one").step("only", "Say done")

    def prepare() -> Coroutine[Any, Any, dict[str, int]]:
        model = InstantModel()
        settings = IN_MEMORY.merged(TAgentConfig(model=model))
        return run_all(model, [PipelineExecutor(pipeline, settings) for _ in range(harness.OVERHEAD_RUNS)])

    async def run_all(model: InstantModel, executors: Sequence[PipelineExecutor]) -> dict[str, int]:
        return calls_and_tokens(model, [await executor.execute() for executor in executors])

    return prepare


def overhead_with_building() -> harness.Prepare:
    """Prepare the same runs through `arun_agent`, which builds the executor under the clock, as it does for a goal."""
    pipeline = Pipeline("one").step("only", "Say done")

    async def run_all(model: InstantModel) -> dict[str, int]:
        runs = [await arun_agent(pipeline, IN_MEMORY, model=model) for _ in range(harness.OVERHEAD_RUNS)]
        return calls_and_tokens(model, runs)

    return lambda: run_all(InstantModel())


@asynccontextmanager
async def open_store(options: str, *, steps: int) -> AsyncIterator[Services]:
    """Open services with a store in a fresh SQLite file, and close them at the end.

    Args:
        options: What follows the path in the store's URL.
        steps: How many steps are to be found in the file in the end.
    """
    with harness.durable_file("event", steps=steps) as file:
        async with open_services(TAgentConfig(store=f"sqlite:///{file}{options}")) as services:
            yield services


def durable_chain(options: str = "") -> harness.Prepare:
    """Prepare one run of a long chain, kept on disk."""
    pipeline = chain_of(harness.CHAIN_STEPS)

    @asynccontextmanager
    async def prepare() -> AsyncIterator[harness.Work]:
        async with open_store(options, steps=harness.CHAIN_STEPS) as services:
            yield final_value(PipelineExecutor(pipeline, services=services), "n")

    return prepare


def durable_many(options: str = "") -> harness.Prepare:
    """Prepare many runs of a short chain at once, kept on disk in one store."""
    pipeline = chain_of(harness.MANY_STEPS)

    @asynccontextmanager
    async def prepare() -> AsyncIterator[harness.Work]:
        async with open_store(options, steps=harness.MANY_RUNS * harness.MANY_STEPS) as services:
            yield all_values([PipelineExecutor(pipeline, services=services) for _ in range(harness.MANY_RUNS)], "n")

    return prepare


@contextmanager
def resuming() -> Iterator[harness.Prepare]:
    """Run a very long chain once; prepare resuming it, which reads its journal and has nothing left to run."""
    pipeline = chain_of(harness.RESUME_STEPS)
    with harness.durable_file("event", steps=harness.RESUME_STEPS) as file:
        url = f"sqlite:///{file}"
        run_id = run_pipeline(pipeline, store=f"{url}?synchronous=normal").run_id

        async def resume() -> object:
            return (await aresume(run_id, pipeline, {"store": url})).final_output["n"]

        yield resume


def chain_of_length(steps: int) -> harness.Prepare:
    """Prepare one run of a chain of `steps` steps."""
    pipeline = chain_of(steps)
    return lambda: final_value(PipelineExecutor(pipeline, IN_MEMORY), "n")


def calls_and_tokens(model: InstantModel, results: Sequence[PipelineResult]) -> dict[str, int]:
    """Return what was asked of the model, and the tokens that the results tell of."""
    usages = [usage for result in results for usage in result.token_usage.values()]
    return {"model_calls": model.calls, "tokens": sum(usage.total_tokens for usage in usages)}


if __name__ == "__main__":
    harness.main(
        "tagent",
        {
            "chain": chain,
            "fanout": fanout,
            "many": many,
            "overhead:run_agent(goal)": overhead_of_goals,
            "overhead:one-step pipeline": overhead_of_pipelines,
            "overhead:run_agent(one-step pipeline)": overhead_with_building,
            "durable_chain": durable_chain,
            "durable_chain:NORMAL": partial(durable_chain, "?synchronous=normal"),
            "durable_many": durable_many,
            "durable_many:NORMAL": partial(durable_many, "?synchronous=normal"),
            "resume": resuming,
            **{f"length:{steps:,} steps": partial(chain_of_length, steps) for steps in harness.LENGTHS},
        },
        package="tagent",
    )
