"""`Crew`: the runs that a worker drives, each in a task of its own."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

from tagent.config import TAgentConfig
from tagent.exceptions import TAgentError, text_of
from tagent.pipeline.driving.stopping import StopSignal
from tagent.pipeline.exceptions import RunStoppedError
from tagent.pipeline.executor import PipelineExecutor
from tagent.pipeline.models import Pipeline, PipelineResult, RunStatus
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.stored.definition import Origin
from tagent.ports.effects import Effects
from tagent.ports.services import Services
from tagent.worker.status import logger, note
from tagent.worker.watching import RunWatch


class RunCrashedError(TAgentError):
    """A run could not begin or go on because something raised that should not: a validator of its inputs, or tagent.

    Attributes:
        pipeline: The name of the pipeline.
    """

    code = "worker.run_crashed"

    def __init__(self, pipeline: str, cause: Exception) -> None:
        self.pipeline = pipeline
        super().__init__(f"A run of {pipeline!r} raised {type(cause).__name__}: {text_of(cause)}")


class Crew:
    """Starts runs and takes runs up, at most so many at once; those that only wait for an event do not count.

    Args:
        group: Owns the tasks.
        services: Where the runs are, and all else.
        config: Settings below the pipelines' own.
        concurrency: The most runs at once.
        on_room: Called when a run has ended, or begins to wait.

    Attributes:
        started: How many runs it has started.
        resumed: How many it has taken up.
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        services: Services,
        config: TAgentConfig,
        *,
        concurrency: int,
        on_room: Callable[[], None],
    ) -> None:
        self._group = group
        self._services = services
        self._config = config
        self._concurrency = concurrency
        self._on_room = on_room
        self._stop = StopSignal()
        self._driven: dict[asyncio.Task[None], RunWatch] = {}
        self.started = 0
        self.resumed = 0

    def __len__(self) -> int:
        """Return how many runs are driven now."""
        return len(self._driven)

    @property
    def has_room(self) -> bool:
        """Whether another run may begin."""
        return sum(not watch.only_waits for watch in self._driven.values()) < self._concurrency

    def run_ids(self) -> set[str]:
        """Return the runs that are driven here."""
        return {watch.run_id for watch in self._driven.values()}

    async def start(
        self,
        pipeline: Pipeline,
        inputs: Mapping[str, object] | None,
        *,
        origin: Origin,
        cause: str,
        effects: Effects,
    ) -> None:
        """Start a run and return when it has begun; it goes on by itself.

        Args:
            pipeline: The definition.
            inputs: What it is given.
            origin: Where the pipeline's code is.
            cause: What it is started for; its label `trigger`.
            effects: What becomes true with its beginning.

        Raises:
            PipelineValidationError: If the inputs and the pipeline do not go together; nothing was written.
            InputError: If the inputs do not fit; likewise.
            ModelError: If a step needs a model and none can be had; likewise.
            EffectRefusedError: If an effect cannot be had; likewise.
            StoreError: If nothing could be written, or nobody knows whether it was.
            RunCrashedError: If something else kept it from beginning.
        """

        def begun(watch: RunWatch) -> None:
            self.started += 1
            note(
                "run_started",
                f"Started {watch.pipeline} {watch.run_id} for {cause}",
                run_id=watch.run_id,
                pipeline=watch.pipeline,
                trigger=cause,
            )

        async def work() -> PipelineResult:
            executor = PipelineExecutor(
                pipeline,
                self._config,
                inputs=inputs,
                origin=origin,
                labels={"trigger": cause},
                services=services,
            )
            return await executor.execute(effects=effects, stop=self._stop)

        watch = RunWatch(pipeline, on_begun=begun, on_wait=self._on_room)
        services = self._shown_to(watch)
        await self._begin(watch, work)

    async def resume(self, run_id: str, pipeline: Pipeline) -> None:
        """Take a run up and return when that is written; it goes on by itself.

        Raises:
            TAgentError: As for `resume_run`; whatever it was, the run is as before.
        """

        def begun(watch: RunWatch) -> None:
            self.resumed += 1
            note(
                "run_resumed",
                f"Resumed {watch.pipeline} {watch.run_id}",
                run_id=watch.run_id,
                pipeline=watch.pipeline,
            )

        watch = RunWatch(pipeline, run_id=run_id, on_begun=begun, on_wait=self._on_room)
        services = self._shown_to(watch)
        work = partial(resume_run, run_id, services, self._config, pipeline=pipeline, stop=self._stop)
        await self._begin(watch, work)

    async def finish(self, grace_seconds: float) -> None:
        """Let the steps that run go on for so long, then cut them off; return when all claims are given up."""
        self._stop.give()
        tasks = tuple(self._driven)
        if not tasks:
            return
        try:
            async with self._services.clock.timeout(grace_seconds) as limit:
                await asyncio.wait(tasks)
        except TimeoutError:
            if not limit.expired():
                raise
            self.cut_off()
            await asyncio.wait(tasks)

    def cut_off(self) -> None:
        """Cancel every run; each gives its claim up."""
        for task, watch in self._driven.items():
            if not task.cancelling():  # a second time would cut off the giving up
                note("run_cut_off", f"Cut off {watch.pipeline} {watch.run_id}", run_id=watch.run_id)
                task.cancel()

    def _shown_to(self, watch: RunWatch) -> Services:
        return replace(self._services, sinks=(*self._services.sinks, watch))

    async def _begin(self, watch: RunWatch, work: Callable[[], Awaitable[PipelineResult]]) -> None:
        task = self._group.create_task(self._drive(watch, work), name=f"run:{watch.pipeline}")
        self._driven[task] = watch
        task.add_done_callback(self._ended)
        await watch.begun

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._driven.pop(task).begun.cancel()
        self._on_room()

    async def _drive(self, watch: RunWatch, work: Callable[[], Awaitable[PipelineResult]]) -> None:
        try:
            result = await work()
        except RunStoppedError as error:
            note("run_stopped", error.message, run_id=watch.run_id, pipeline=watch.pipeline)
        except TAgentError as error:
            self._left(watch, error)
        except Exception as error:  # noqa: BLE001 - one run must not end the others
            logger.debug("A run of %r raised.", watch.pipeline, exc_info=error)
            self._left(watch, RunCrashedError(watch.pipeline, error))
        else:
            watch.settle()
            if result.status is RunStatus.WAITING:
                self._given_up(watch, result)
                return
            note(
                "run_ended",
                f"Ended {watch.pipeline} {result.run_id}: {result.status} after {result.execution_time:.1f} s, "
                f"${result.total_cost:.4f}",
                run_id=result.run_id,
                pipeline=watch.pipeline,
                status=result.status.value,
                cost_usd=result.total_cost,
            )

    def _given_up(self, watch: RunWatch, result: PipelineResult) -> None:
        """Say for what a run waits that nobody need drive meanwhile."""
        note(
            "run_waits",
            f"Waiting {watch.pipeline} {result.run_id}: {result.reason}",
            run_id=result.run_id,
            pipeline=watch.pipeline,
            code=result.code,
        )

    def _left(self, watch: RunWatch, error: TAgentError) -> None:
        """Say why a run goes on no more here: to whoever waits for its beginning, else in the log."""
        if not watch.settle(error) and not watch.begun.cancelled():  # then nobody waits: it never began
            note(
                "run_left",
                f"Left {watch.pipeline} {watch.run_id}: {error}",
                level=logging.WARNING,
                run_id=watch.run_id,
                pipeline=watch.pipeline,
                code=error.code,
            )
