"""The loop of one run: decide, journal, act. It is the one writer of the run's journal."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from tagent.exceptions import StoreError, ungrouped
from tagent.payloads import PayloadError
from tagent.pipeline.blobs import StoredOutput
from tagent.pipeline.events import (
    AgentNoticed,
    AgentProgressed,
    RunEvent,
    RunFinished,
    RunForked,
    RunResumed,
    RunStarted,
    StepCompleted,
    StepFailed,
    StepSkipped,
    StepStarted,
)
from tagent.pipeline.exceptions import StepFailedError
from tagent.pipeline.large_outputs import LargeOutputs
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.patience import PatientStore
from tagent.pipeline.persistence import RunJournal
from tagent.pipeline.reports import summary_of
from tagent.pipeline.scheduler import FinishRun, SkipStep, StartStep, WaitUntil, next_commands
from tagent.pipeline.showing import Audience
from tagent.pipeline.state import PipelineState, apply
from tagent.pipeline.step_executor import AttemptFailed, AttemptOutcome, AttemptSucceeded, StepExecutor
from tagent.pipeline.stopping import RunStoppedError, StopSignal
from tagent.ports.effect_errors import EffectRefusedError
from tagent.ports.effects import Effects
from tagent.ports.records import RunSummary
from tagent.ports.services import Services
from tagent.ports.store_errors import ConflictError
from tagent.retries import backoff_seconds
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.context import EnhancedContextManager
from tagent.task_agent.events import AgentEvent, AgentNotice
from tagent.task_agent.models import Failure

LONGEST_WAIT_SECONDS = 3600.0
"""A provider that asks to wait longer than this has failed the step."""


@dataclass(frozen=True, slots=True)
class _Progress:
    """An agent has come further, and waits until its event is committed."""

    event: AgentEvent
    committed: asyncio.Future[None]


class RunLoop:
    """Drives one run. Attempts report to its inbox; whatever waits there is committed together."""

    def __init__(
        self,
        pipeline: Pipeline,
        state: PipelineState,
        steps: StepExecutor,
        journal: RunJournal,
        services: Services,
        shared_state: EnhancedContextManager,
        large: LargeOutputs,
        stop: StopSignal,
        audience: Audience,
    ) -> None:
        self._definitions: dict[str, PipelineStep] = {step.name: step for step in pipeline.steps}
        self._state = state
        self._steps = steps
        self._journal = journal
        self._services = services
        self._shared_state = shared_state
        self._large = large
        self._stop = stop
        self._audience = audience
        self._inbox: deque[tuple[StepStarted, AttemptOutcome | _Progress]] = deque()
        self._reported: asyncio.Future[None] | None = None
        self._wake_at: float | None = None
        self._lost: StoreError | None = None
        self._is_stopping = False

    async def run(self, *first: RunEvent) -> None:
        """Commit the `first` events, drive the run to its end, and give the claim up.

        Raises:
            ConflictError: If another process took the run over; this one has stopped its steps.
            StoreError: If the journal could not be written; the run can be resumed.
            RunStoppedError: If it was asked to stop.
        """
        loop = asyncio.get_running_loop()

        def on_lost(error: ConflictError) -> None:
            loop.call_soon_threadsafe(self._lose, error)

        self._journal.hold(on_lost=on_lost)
        try:
            with ungrouped():
                async with asyncio.TaskGroup() as group:
                    try:
                        with self._stop.watched(self._wake):
                            await self._loop(group, list(first))
                    finally:
                        self._is_stopping = True
        finally:
            await self._journal.release()

    def _lose(self, error: StoreError) -> None:
        """Stop as soon as the loop looks: somebody else drives the run now."""
        self._lost = error
        self._wake()

    async def _loop(self, group: asyncio.TaskGroup, events: list[RunEvent]) -> None:
        for event in events:
            apply(self._state, event)
        committed: list[asyncio.Future[None]] = []
        while True:
            starts = [] if self._stop.is_given and self._state.unfinished else self._decide(events)
            if events:
                self._large.committed(await self._journal.commit(events, self._summary(events)))
            self._tell(events, committed)
            for start in starts:
                group.create_task(self._attempt(start), name=f"step:{start.step}")
            if self._state.is_finished:
                return
            if self._stop.is_given and all(map(self._steps.only_waits, self._state.running)):
                raise RunStoppedError(self._state.run_id)
            await self._wait_for_reports()
            if self._lost is not None:
                raise self._lost
            events, committed = await self._take_effects() or self._take_reports()

    def _tell(self, events: list[RunEvent], committed: list[asyncio.Future[None]]) -> None:
        """Tell everybody who is to know what is committed now."""
        for event in events:
            self._show(event)
        for future in committed:
            if not future.done():
                future.set_result(None)

    def _summary(self, events: list[RunEvent]) -> RunSummary | None:
        """Return what lists are to show, when the events changed it: at beginnings and ends, not for each step."""
        if isinstance(events[0], RunStarted | RunResumed | RunForked) or self._state.is_finished:
            return summary_of(self._state)
        return None

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
            self._shared_state.add_fact(event.step, self._large.shown(event.step, event.output))
        if isinstance(event, StepCompleted | StepFailed | StepSkipped):
            self._large.ended(event.step)
        self._audience.show(event)

    async def _wait_for_reports(self) -> None:
        """Return when the inbox holds something, or a retry is due."""
        await asyncio.sleep(0)  # what does not wait has reported by then, one turn of the loop earlier than by a future
        if self._inbox or self._lost is not None:
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

    async def _take_effects(self) -> tuple[list[RunEvent], list[asyncio.Future[None]]] | None:
        """Commit a success that waits first in the inbox with its effects, before anything is decided on it.

        Effects may be refused, and what is decided cannot be undone; so it takes a commit of its own.

        Returns:
            What is still to be committed: nothing, or the failure that a refusal is. None if no such success waits.
        """
        if not self._inbox:
            return None
        start, outcome = self._inbox[0]
        if not isinstance(outcome, AttemptSucceeded) or (effects := outcome.effects) is None:
            return None
        self._inbox.popleft()
        now = self._services.clock.now()
        event = self._outcome_event(start, outcome, now)
        try:
            patient = PatientStore(self._services.store, self._services.clock)
            stored = await effects.write(patient, partial(self._commit_effects, event))
        except (EffectRefusedError, PayloadError) as error:
            return self._refused(start, Failure(error.code, str(error), error.is_retryable), now)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - a merge of the user's
            failed = StepFailedError(start.step, error)
            return self._refused(start, Failure(failed.code, str(failed), failed.is_retryable), now)
        apply(self._state, event)
        self._large.committed(stored)
        self._show(event)
        return [], []

    async def _commit_effects(self, event: RunEvent, effects: Effects) -> Mapping[str, StoredOutput]:
        return await self._journal.commit([event], effects=effects)

    def _refused(
        self, start: StepStarted, failure: Failure, now: float
    ) -> tuple[list[RunEvent], list[asyncio.Future[None]]]:
        event = self._outcome_event(start, AttemptFailed(failure), now)
        apply(self._state, event)
        return [event], []

    def _take_reports(self) -> tuple[list[RunEvent], list[asyncio.Future[None]]]:
        """Turn all that waits in the inbox into events, applied in order; and whom to tell once they are committed."""
        events: list[RunEvent] = []
        committed: list[asyncio.Future[None]] = []
        now = self._services.clock.now()
        while self._inbox and getattr(self._inbox[0][1], "effects", None) is None:
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
        failures = attempt - self._state.steps[name].attempts_before
        if not failure.is_retryable or failures > step.max_retries or wait_seconds > LONGEST_WAIT_SECONDS:
            return None
        backoff = backoff_seconds(step.retry, failures, jitter=self._services.random())
        return now + max(wait_seconds, backoff)

    async def _attempt(self, start: StepStarted) -> None:
        """Run one attempt and report its outcome; a cancellation of the run passes through."""

        async def record(event: AgentEvent) -> None:
            committed = asyncio.get_running_loop().create_future()
            self._report(start, _Progress(event, committed))
            await committed

        try:
            known = self._state.steps[start.step]
            history = tuple(known.agent_events)
            attempt = Attempt(
                start.attempt,
                start.idempotency_key,
                record,
                history,
                known.attempt_began_at,
                reach=self._steps.reach_of(start.step),
                on_event=partial(self._notice, start),
                spent=known.spent_before,
            )
            outcome = await self._steps.run_attempt(start.step, attempt)
        except asyncio.CancelledError:
            if self._is_stopping:
                raise
            reason = f"The step {start.step!r} cancelled itself."
            outcome = AttemptFailed(Failure("step.cancelled", reason))
        self._report(start, outcome)

    def _notice(self, start: StepStarted, event: AgentEvent | AgentNotice) -> None:
        """Show what an agent does right now; its events are shown when they are committed."""
        if isinstance(event, AgentNotice):
            now = self._services.clock.now()
            self._audience.show(AgentNoticed(start.step, start.attempt, event, now))

    def _report(self, start: StepStarted, report: AttemptOutcome | _Progress) -> None:
        self._inbox.append((start, report))
        self._wake()

    def _wake(self) -> None:
        if self._reported is not None and not self._reported.done():
            self._reported.set_result(None)
