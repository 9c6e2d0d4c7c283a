"""One attempt at a step or at a part of it: do its work under its timeout, check the output.

Whatever goes wrong inside comes back as a value; only a cancellation passes through.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from traceback import format_exception
from typing import TypeVar

from tagent.circuit import CircuitPolicy
from tagent.circuits import CircuitOpenError, guarded
from tagent.config import TAgentConfig
from tagent.exceptions import TAgentError
from tagent.pipeline.attempts import AttemptFailed, AttemptOutcome, AttemptPaused, AttemptSucceeded
from tagent.pipeline.caching.entries import WorkResult
from tagent.pipeline.caching.step_cache import CachedWork, StepCache, note_effects
from tagent.pipeline.context import StepContext
from tagent.pipeline.events import ASIDE, COMPENSATION, ApprovalRequested
from tagent.pipeline.exceptions import RunStoppedError, StepFailedError, StepTimeoutError
from tagent.pipeline.models import CacheUse, Pipeline, PipelineStep
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.plan import Plan
from tagent.pipeline.routing import required_route
from tagent.pipeline.settings import step_budget
from tagent.pipeline.work.adding import listening_to, settings_of_added, sources_of
from tagent.pipeline.work.event_step import EventStep
from tagent.pipeline.work.inner_step import InnerPausedError, OpenInnerRun
from tagent.pipeline.work.reaching import RunReach
from tagent.pipeline.work.reading import RunReader
from tagent.pipeline.work.round_step import RoundDone
from tagent.pipeline.work.step_work import KeyedWork, StepWork
from tagent.pipeline.work.works import Works
from tagent.ports.model_errors import ModelRateLimitError
from tagent.ports.services import Services
from tagent.retries import kinds_of
from tagent.secrets import scrubbed
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.budgets import BudgetExceededError, BudgetPausedError
from tagent.task_agent.events import BudgetExceeded
from tagent.task_agent.foreign import ForeignAgentError
from tagent.task_agent.models import Failure, Spending
from tagent.task_agent.tools.reach import OpenReach
from tagent.threads import ThreadedCall

Value = TypeVar("Value")

_SAY_WHEN = (ModelRateLimitError, ForeignAgentError, CircuitOpenError)
"""The errors that say when to come back."""

_UNGUARDED = nullcontext()

logger = logging.getLogger("tagent")


class StepExecutor:
    """Runs attempts at the steps of one run, and at their parts."""

    def __init__(
        self,
        pipeline: Pipeline,
        reader: RunReader,
        reach: RunReach,
        config: TAgentConfig,
        services: Services,
        *,
        open_inner: OpenInnerRun,
    ) -> None:
        self._pipeline = pipeline
        self._services = services
        self._reach = reach
        self._reader = reader
        self._definitions = {step.name: step for step in pipeline.steps}
        self._works = Works(pipeline, reader, config, services, mail=reach.services, open_inner=open_inner)
        self._steps: dict[tuple[str, str], StepWork] = {
            (step.name, ""): self._works.of(step) for step in pipeline.steps
        }
        self._cache = StepCache(config, services)

    async def check_models(self, names: Iterable[str]) -> None:
        """Open the model of each of these steps that has an agent, so that a run that cannot be asked does not begin.

        Raises:
            ModelError: If a step's model cannot be had.
        """
        for name in names:
            for settings in self._works.settings_of_agents(self._definitions[name]):
                await self._services.models.model_for(settings)

    def learn(self, steps: Sequence[PipelineStep]) -> None:
        """Be ready for steps that are new in the run, or other ones than before."""
        self._definitions.update((step.name, step) for step in steps)
        self._reader.learn(steps)
        self._reach.learn(steps)
        self._steps.update(((step.name, ""), self._works.of(step)) for step in steps)

    @property
    def definitions(self) -> Mapping[str, PipelineStep]:
        """Step name -> the step, also those that are added while the run goes on."""
        return self._definitions

    @property
    def output_types(self) -> Mapping[str, OutputType]:
        """Step name -> the type of its output."""
        return self._reader.output_types

    async def context(self, name: str, part: str, attempt: Attempt) -> StepContext:
        """Return the run as an attempt sees it."""
        await self._reader.load(name)
        return self._reader.context(name, attempt, part)

    def only_waits(self, name: str) -> bool:
        """Return whether the step does nothing but wait for an event."""
        return isinstance(self._steps[name, ""], EventStep)

    def reach_of(self, name: str) -> OpenReach:
        """Return what opens the way out of the step `name`."""
        return partial(self._reach.of, name)

    def is_abandoned(self, name: str, part: str) -> bool:
        """Return whether a blocking call of the work goes on although its attempt was given up."""
        work = self._steps.get((name, part))
        return work is not None and any(not call.has_ended for call in work.abandoned)

    @property
    def abandoned(self) -> list[ThreadedCall]:
        """The blocking calls of all works that were given up and may still run."""
        return [call for work in self._steps.values() for call in work.abandoned]

    def forget(self, name: str, part: str) -> None:
        """Let go of what the work of a part needed, now that it has ended for good."""
        if part:
            self._steps.pop((name, part), None)

    async def run_attempt(self, name: str, part: str, attempt: Attempt) -> AttemptOutcome:
        """Return what became of one attempt at the step `name`, or at a part of it."""
        step = self._definitions[name]
        try:
            if not part and (held := self._reader.held(name, attempt.number)) is not None:
                return self._approved(step, attempt, held)
            work = await self._ready(step, part)
            if step.cache is None or part in ASIDE or not isinstance(work, KeyedWork):
                return await self._work(step, part, attempt, work)
            return await self._reused(step, step.cache, part, attempt, work)
        except (BudgetPausedError, InnerPausedError, RunStoppedError) as error:
            return AttemptPaused(Failure(error.code, scrubbed(str(error))))
        except TAgentError as error:
            failure = Failure(error.code, scrubbed(str(error)), error.is_retryable)
            wait = error.retry_after_seconds if isinstance(error, _SAY_WHEN) else None
            return AttemptFailed(failure, wait or 0.0, kinds_of(error))
        except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a failed step is data, whatever it raises
            return failed_by(name, error)

    def _approved(self, step: PipelineStep, attempt: Attempt, held: ApprovalRequested) -> AttemptSucceeded:
        """Return what an attempt gave that was approved meanwhile; a reviewer may have changed its output."""
        if held.effects is not None:
            attempt.effects.absorb(held.effects)
        checked = self._checked(step, "", self._works.output_type(step, "").load(held.output, step=step.name), None)
        result = WorkResult(checked.output, held.facts, held.memories)
        return replace(self._succeeded(step, "", attempt, result, cached=held.cached), change=held.change)

    async def _reused(
        self, step: PipelineStep, use: CacheUse, part: str, attempt: Attempt, work: KeyedWork
    ) -> AttemptSucceeded:
        """Return what the work gave before; else do it, and have that be used again.

        Waiting for somebody who does it right now ends with the timeout of the attempt; doing it has a whole one.
        """
        cached_work = self._cache.work(step, use, work, attempt, self._works.output_type(step, part))
        try:
            limit, look = self._time_limit(step, attempt), cached_work.look()
            kept = await (look if limit is None else self._within(*limit, look))
            if kept is not None:
                if not part:
                    required_route(step, kept.output)
                return self._succeeded(step, part, attempt, kept, cached=True)
            async with cached_work.working():
                return await self._work(step, part, attempt, work, cached_work)
        finally:
            await cached_work.leave()

    async def _work(
        self, step: PipelineStep, part: str, attempt: Attempt, work: StepWork, cached_work: CachedWork | None = None
    ) -> AttemptSucceeded:
        """Do the work within its time, and check what it gives."""
        circuit = None if part in ASIDE else step.circuit  # it is about the step's own work
        limit = self._time_limit(step, attempt)
        try:
            with _UNGUARDED if circuit is None else self._guarded(step.name, circuit):
                running = work.run(attempt)
                returned, context = await (running if limit is None else self._within(*limit, running))
                result = self._checked(step, part, returned, context)
        finally:
            note_effects(attempt.effects)
        if context is not None and context.planned:  # what changes the steps is not used again
            await self._prepare(context.planned, attempt)
            return replace(self._succeeded(step, part, attempt, result), plan=context.planned)
        if cached_work is not None:
            await cached_work.keep(result)
        done = self._succeeded(step, part, attempt, result)
        if cached_work is not None and cached_work.write_with(attempt.effects):
            done = replace(done, effects=attempt.effects)
        return done

    async def _prepare(self, plan: Plan, attempt: Attempt) -> None:
        """Have everything at hand that the steps need which an attempt is about to add or to change.

        Raises:
            ModelError: If the model of a new step cannot be had.
            LostOutputError: If a large output that one may look into is not in the store.
        """
        for settings in settings_of_added(plan, self._works):
            await self._services.models.model_for(settings)
        store, run_id = self._reach.services.store, self._reader.run_id
        attempt.effects.absorb(await listening_to(plan, self._pipeline, run_id=run_id, store=store))
        await self._reader.load_for_change(sources_of(plan, self._pipeline))

    def _guarded(self, name: str, circuit: CircuitPolicy) -> AbstractContextManager[None]:
        return guarded(f"step:{self._pipeline.name}/{name}", circuit, now=self._services.clock.now)

    def _checked(self, step: PipelineStep, part: str, returned: object, context: StepContext | None) -> WorkResult:
        """Return what the work gave, checked and as JSON values."""
        name = step.name
        is_last = isinstance(returned, RoundDone) and returned.is_last
        given = returned.output if isinstance(returned, RoundDone) else returned
        output = self._works.output_type(step, part).dump(given, step=name)
        if not part:
            required_route(step, output)
        facts = {} if context is None else _plain(context.facts, name)
        memories = {} if context is None else _plain(context.memories, name)
        return WorkResult(output, facts, memories, is_last)

    def _succeeded(
        self, step: PipelineStep, part: str, attempt: Attempt, result: WorkResult, *, cached: bool = False
    ) -> AttemptSucceeded:
        remembered = {} if part else {step.name: result.output}
        known = {**result.facts, **result.memories}
        memories = {**result.memories, **self._reach.remember(step.name, attempt.effects, known, remembered)}
        effects = attempt.effects if attempt.effects else None
        return AttemptSucceeded(result.output, result.facts, memories, effects, cached=cached, is_last=result.is_last)

    def _time_limit(self, step: PipelineStep, attempt: Attempt) -> tuple[float, TAgentError] | None:
        """Return how long the attempt may take at most, and what is wrong once it has; None for no limit.

        An agent looks after the deadline of its step itself: it knows what to put on record then.
        """
        if step.timeout is None and step.budget is None and step.config is None:
            return None
        limits: list[tuple[float, TAgentError]] = []
        if step.timeout is not None and step.wait_for is None:
            limits.append((step.timeout, StepTimeoutError(step.name, seconds=step.timeout)))
        allowed = step_budget(step).deadline_seconds
        if allowed is not None and step.goal is None:
            began_at = attempt.began_at if attempt.work_began_at is None else attempt.work_began_at
            spent = self._services.clock.now() - began_at
            over = BudgetExceeded("deadline_seconds", allowed, allowed, whose="step")
            limits.append((max(0.0, allowed - spent), BudgetExceededError(over, Spending())))
        return min(limits, key=lambda limit: limit[0], default=None)

    async def _ready(self, step: PipelineStep, part: str) -> StepWork:
        """Return the work of a step or of a part of it, with what it may read at hand."""
        await self._reader.load(step.name)
        if part == COMPENSATION:
            await self._reader.load_outputs(self._works.names_read(step))
        key = (step.name, part)
        if key not in self._steps:
            self._steps[key] = self._works.of(step, part)
        return self._steps[key]

    async def _within(self, seconds: float, too_late: TAgentError, work: Coroutine[object, object, Value]) -> Value:
        try:
            async with self._services.clock.timeout(seconds) as limit:
                done = await work
        except TimeoutError as error:
            if limit.expired():
                raise too_late from error
            raise  # the step's own, from deeper down
        if limit.expired():  # it caught the cancellation and went on
            raise too_late
        return done


def failed_by(name: str, error: BaseException) -> AttemptFailed:
    """Return how an attempt at the step `name` ended that has raised an error of the user's."""
    logger.debug("The step %r raised.\n%s", name, scrubbed("".join(format_exception(error))))
    failed = StepFailedError(name, error)
    return AttemptFailed(Failure(failed.code, scrubbed(str(failed)), failed.is_retryable), kinds=kinds_of(error))


def _plain(values: Mapping[str, object], step: str) -> dict[str, object]:
    return {name: OutputType().dump(value, step=step) for name, value in values.items()}
