"""Small builders that the tests share: pipelines, services, and one way to run them."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tagent.adapters.processes import MachineProcesses
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.pipeline import ExecutionMode, Pipeline, PipelineExecutor, PipelineResult
from tagent.pipeline.events import RunEvent
from tagent.pipeline.journal.loading import load_events
from tagent.ports import Clock, EventSink, LanguageModel, Services, Store
from tagent.testing import ManualClock, ScriptedModel
from tagent.threads import DaemonThreads

CONCURRENT = ExecutionMode.CONCURRENT
THREADS = DaemonThreads()


@dataclass
class GivenModels:
    """Hands out the model that the settings hold, else one for all."""

    default: LanguageModel = field(default_factory=ScriptedModel)

    async def model_for(self, config: TAgentConfig) -> LanguageModel:
        """Return it."""
        model: LanguageModel = config.model or self.default
        return model


@dataclass
class Recorder:
    """A sink that keeps what it is shown."""

    events: list[RunEvent] = field(default_factory=list)

    def emit(self, event: object) -> None:
        """Keep the event."""
        self.events.append(event)  # type: ignore[arg-type]  # sinks are shown run events

    def kinds(self, step: str = "") -> list[str]:
        """Return the names of the events, of one step if it is named."""
        return [type(e).__name__ for e in self.events if not step or getattr(e, "step", "") == step]


def services(
    *,
    clock: Clock | None = None,
    store: Store | None = None,
    model: LanguageModel | None = None,
    sinks: tuple[EventSink, ...] = (),
) -> Services:
    """Return services that need no time, no key and no network."""
    ids = itertools.count(1)
    return Services(
        clock or ManualClock(),
        store or MemoryStore(),
        GivenModels(model or ScriptedModel()),
        MachineProcesses(),
        THREADS,
        lambda: 1.0,
        lambda: f"run-{next(ids)}",
        sinks,
    )


@dataclass
class Ran:
    """A finished run and what was seen of it."""

    result: PipelineResult
    events: list[RunEvent]
    executor: PipelineExecutor
    clock: Clock

    @property
    def statuses(self) -> dict[str, str]:
        """Step name -> its final status."""
        return {name: str(meta["status"]) for name, meta in self.result.step_metadata.items()}


async def run(
    pipeline: Pipeline,
    *,
    inputs: Mapping[str, object] | None = None,
    model: LanguageModel | None = None,
    clock: Clock | None = None,
    store: Store | None = None,
    sinks: tuple[EventSink, ...] = (),
) -> Ran:
    """Run `pipeline` to its end; return the result with its journal."""
    store = store or MemoryStore()
    clock = clock or ManualClock()
    opened = services(clock=clock, store=store, model=model, sinks=sinks)
    executor = PipelineExecutor(pipeline, inputs=inputs, services=opened)
    result = await executor.execute()
    return Ran(result, list(await load_events(store, result.run_id)), executor, clock)


def returning(value: object) -> Callable[[], object]:
    """Return an async step function that gives `value`."""

    async def function() -> object:
        return value

    return function


def raising(error: Exception, *, times: int = 10**9, then: object = "mended") -> Callable[[], object]:
    """Return an async step function that raises at its first `times` calls, then gives `then`."""
    calls = itertools.count(1)

    async def function() -> object:
        if next(calls) <= times:
            raise error
        return then

    return function


def chain(*names: str) -> Pipeline:
    """Return a pipeline in which each step depends on the one before and gives its own name."""
    pipeline = Pipeline("chain")
    for before, name in zip((None, *names), names, strict=False):
        pipeline.step(name, run=returning(name), depends_on=[before] if before else [])
    return pipeline


def diamond() -> Pipeline:
    """Return a -> (b, c) -> d, with b and c CONCURRENT."""
    return (
        Pipeline("diamond")
        .step("a", run=returning("a"))
        .step("b", run=returning("b"), depends_on=["a"], execution_mode=CONCURRENT)
        .step("c", run=returning("c"), depends_on=["a"], execution_mode=CONCURRENT)
        .step("d", run=returning("d"), depends_on=["b", "c"])
    )
