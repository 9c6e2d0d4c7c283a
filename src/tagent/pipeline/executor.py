"""Drives a run: decide, journal, act. It is the one writer of the run's journal."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from tagent.config import TAgentConfig
from tagent.pipeline.events import (
    AgentProgressed,
    RunEvent,
    RunFinished,
    RunStarted,
    StepCompleted,
    StepFailed,
    StepSkipped,
    StepStarted,
)
from tagent.pipeline.inputs import check_inputs
from tagent.pipeline.models import Pipeline, PipelineResult, PipelineStep
from tagent.pipeline.outputs import OutputType, output_type
from tagent.pipeline.persistence import RunJournal
from tagent.pipeline.reading import RunReader
from tagent.pipeline.reports import result_of
from tagent.pipeline.retries import backoff_seconds
from tagent.pipeline.scheduler import (
    FinishRun,
    PipelineScheduler,
    SkipStep,
    StartStep,
    WaitUntil,
    next_commands,
)
from tagent.pipeline.state import PipelineState, apply
from tagent.pipeline.step_executor import AttemptFailed, AttemptOutcome, AttemptSucceeded, StepExecutor
from tagent.pipeline.validation import require_valid
from tagent.ports.services import Services, open_services
from tagent.task_agent.context import EnhancedContextManager
from tagent.task_agent.events import AgentEvent
from tagent.task_agent.models import Failure

logger = logging.getLogger("tagent")


class PipelineExecutor:
    """Executes a pipeline.

    Attributes:
        pipeline: The definition.
        base_config: The settings that steps start from.
        scheduler: The order of the steps and where each stands.
        results: Step name -> output as its declared type, filled when the run ends.
        shared_state: What the run knows: the shared context, then each completed step's output.

    Args:
        pipeline: The definition.
        base_config: Settings over those of file and environment; a mapping will do.
        inputs: What the run is given, by name, or an instance of the pipeline's input model.
        overrides: Settings over those of the pipeline.
        services: Clock, store, models and so on; the registered defaults when None.

    Raises:
        PipelineValidationError: If the definition has mistakes; it lists all of them.
        InputError: If the inputs do not fit.
        ConfigurationError: If a setting is unknown or wrong.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        base_config: TAgentConfig | Mapping[str, object] | None = None,
        *,
        inputs: Mapping[str, object] | BaseModel | None = None,
        overrides: TAgentConfig | None = None,
        services: Services | None = None,
    ) -> None:
        self.pipeline = pipeline
        base = TAgentConfig.load().merged(TAgentConfig.of(base_config))
        names = (type(inputs).model_fields if isinstance(inputs, BaseModel) else inputs) or {}
        for problem in require_valid(pipeline, inputs=tuple(names) if names else None, tools=base.tools):
            if problem.severity == "warning":
                logger.warning("%s: %s", pipeline.name, problem)
        self.base_config = base.merged(TAgentConfig.of(pipeline.config), overrides or TAgentConfig())
        self.scheduler = PipelineScheduler(pipeline)
        self.results: dict[str, object] = {}
        self.shared_state = EnhancedContextManager(pipeline.description, max_tokens=self.base_config.context_tokens)
        self._inputs = check_inputs(pipeline, inputs)
        self._output_types = {step.name: output_type(step) for step in pipeline.steps}
        self._services = services

    async def execute(self) -> PipelineResult:
        """Run the pipeline to its end and return what it came to; a failed step is in the result, not raised.

        Raises:
            ModelError: If a step needs a model and none can be had; nothing has run then.
            StoreError: If the journal cannot be written; nothing counts that was not committed.
        """
        if self._services is not None:
            return await self._execute(self._services)
        async with open_services(self.base_config) as services:
            return await self._execute(services)

    async def _execute(self, services: Services) -> PipelineResult:
        state = PipelineState(self.scheduler.graph)
        reader = RunReader(self.pipeline, state, self._output_types)
        steps = StepExecutor(self.pipeline, reader, self.base_config, services)
        await steps.check_models()
        self.scheduler.step_status = state.statuses
        run_id = services.new_id()
        journal = await RunJournal.create(services.store, run_id, pipeline=self.pipeline.name)
        shared = OutputType().dump(self.pipeline.shared_context, step="shared_context")
        for name, value in self.pipeline.shared_context.items():
            self.shared_state.add_fact(name, value)
        started = RunStarted(run_id, self.pipeline.name, self._inputs, shared, services.clock.now())  # type: ignore[arg-type]  # a dict stays one
        await _Drive(self.pipeline, state, steps, journal, services, self.shared_state).run(started)
        result = result_of(self.pipeline, state, output_of=reader.output_of)
        self.results = dict(result.step_outputs)
        return result


@dataclass(frozen=True, slots=True)
class _Progress:
    """An agent has come further, and waits until its event is committed."""

    event: AgentEvent
    committed: asyncio.Future[None]


class _Drive:
    """The loop of one run. Attempts report to its inbox; whatever waits there is committed together."""

    def __init__(
        self,
        pipeline: Pipeline,
        state: PipelineState,
        steps: StepExecutor,
        journal: RunJournal,
        services: Services,
        shared_state: EnhancedContextManager,
    ) -> None:
        self._definitions: dict[str, PipelineStep] = {step.name: step for step in pipeline.steps}
        self._state = state
        self._steps = steps
        self._journal = journal
        self._services = services
        self._shared_state = shared_state
        self._inbox: deque[tuple[StepStarted, AttemptOutcome | _Progress]] = deque()
        self._reported: asyncio.Future[None] | None = None
        self._wake_at: float | None = None

    async def run(self, started: RunStarted) -> None:
        """Return when the run has its final status."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._loop(group, started)
        except BaseExceptionGroup as raised:
            raise raised.exceptions[0] from raised.exceptions[0].__cause__

    async def _loop(self, group: asyncio.TaskGroup, started: RunStarted) -> None:
        apply(self._state, started)
        events: list[RunEvent] = [started]
        committed: list[asyncio.Future[None]] = []
        while True:
            starts = self._decide(events)
            await self._journal.commit(events)
            for event in events:
                self._show(event)
            for future in committed:
                if not future.done():
                    future.set_result(None)
            for start in starts:
                group.create_task(self._attempt(start), name=f"step:{start.step}")
            if self._state.is_finished:
                return
            await self._wait_for_reports()
            events, committed = self._take_reports()

    def _decide(self, events: list[RunEvent]) -> list[StepStarted]:
        """Carry the scheduler's commands out on the state, append what they mean to `events`, return the starts."""
        starts: list[StepStarted] = []
        self._wake_at = None
        while True:
            now = self._services.clock.now()
            changed = False
            for command in next_commands(self._state, now):
                if isinstance(command, WaitUntil):
                    self._wake_at = command.at
                    continue
                event = self._event_of(command, now)
                apply(self._state, event)
                events.append(event)
                if isinstance(event, StepStarted):
                    starts.append(event)
                else:
                    changed = not isinstance(event, RunFinished)
            if not changed:
                return starts

    def _event_of(self, command: StartStep | SkipStep | FinishRun, now: float) -> RunEvent:
        match command:
            case StartStep(step, attempt):
                if attempt > 1 and self._steps.is_abandoned(step):
                    return self._given_up(step, attempt - 1, now)
                return StepStarted(step, attempt, f"{self._state.run_id}/{step}", now)
            case SkipStep(step, code, reason):
                return StepSkipped(step, code, reason, now)
            case FinishRun(status):
                return RunFinished(status, now)

    def _given_up(self, step: str, attempt: int, now: float) -> StepFailed:
        """Return the end of a step whose last attempt was abandoned and still runs: twice at once could do harm."""
        record = self._state.steps[step]
        reason = f"{record.reason} Its function still runs, so it is not started again."
        return StepFailed(step, attempt, record.code, reason, None, now)

    def _show(self, event: RunEvent) -> None:
        if isinstance(event, StepCompleted):
            self._shared_state.add_fact(event.step, event.output)
        for sink in self._services.sinks:
            try:
                sink.emit(event)
            except Exception:
                logger.exception("A sink failed on %s; the run goes on.", type(event).__name__)

    async def _wait_for_reports(self) -> None:
        """Return when the inbox holds something, or a retry is due."""
        await asyncio.sleep(0)  # what does not wait has reported by then, one turn of the loop earlier than by a future
        if self._inbox:
            return
        self._reported = asyncio.get_running_loop().create_future()
        try:
            if self._wake_at is None:
                await self._reported
                return
            async with self._services.clock.timeout(max(0.0, self._wake_at - self._services.clock.now())) as limit:
                await self._reported
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            self._reported = None

    def _take_reports(self) -> tuple[list[RunEvent], list[asyncio.Future[None]]]:
        """Turn all that waits in the inbox into events, applied in order; and whom to tell once they are committed."""
        events: list[RunEvent] = []
        committed: list[asyncio.Future[None]] = []
        now = self._services.clock.now()
        while self._inbox:
            start, report = self._inbox.popleft()
            if isinstance(report, _Progress):
                event: RunEvent = AgentProgressed(start.step, start.attempt, report.event, now)
                committed.append(report.committed)
            else:
                event = self._outcome_event(start, report, now)
            apply(self._state, event)
            events.append(event)
        return events, committed

    def _outcome_event(self, start: StepStarted, outcome: AttemptOutcome, now: float) -> StepCompleted | StepFailed:
        match outcome:
            case AttemptSucceeded(output, facts, memories):
                return StepCompleted(start.step, start.attempt, output, now, facts, memories)
            case AttemptFailed(failure, wait_seconds):
                retry_at = self._retry_at(start.step, start.attempt, failure, wait_seconds, now)
                return StepFailed(start.step, start.attempt, failure.code, failure.reason, retry_at, now)

    def _retry_at(self, name: str, attempt: int, failure: Failure, wait_seconds: float, now: float) -> float | None:
        step = self._definitions[name]
        if not failure.is_retryable or attempt > step.max_retries:
            return None
        backoff = backoff_seconds(step.retry, attempt, jitter=self._services.random())
        return now + max(wait_seconds, backoff)

    async def _attempt(self, start: StepStarted) -> None:
        """Run one attempt and report its outcome; a cancellation of the run passes through."""

        async def record(event: AgentEvent) -> None:
            committed = asyncio.get_running_loop().create_future()
            self._report(start, _Progress(event, committed))
            await committed

        try:
            outcome = await self._steps.run_attempt(start.step, start.attempt, key=start.idempotency_key, record=record)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            reason = f"The step {start.step!r} cancelled itself."
            outcome = AttemptFailed(Failure("step.cancelled", reason))
        self._report(start, outcome)

    def _report(self, start: StepStarted, report: AttemptOutcome | _Progress) -> None:
        self._inbox.append((start, report))
        if self._reported is not None and not self._reported.done():
            self._reported.set_result(None)
