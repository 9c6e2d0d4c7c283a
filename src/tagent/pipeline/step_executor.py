"""One attempt at a step or at a part of it: do its work under its timeout, check the output.

Whatever goes wrong inside comes back as a value; only a cancellation passes through.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from traceback import format_exception
from typing import TypeVar

from tagent.circuit import CircuitPolicy
from tagent.circuits import CircuitOpenError, guarded
from tagent.config import TAgentConfig
from tagent.exceptions import TAgentError
from tagent.pipeline.context import StepContext
from tagent.pipeline.driving.accounts import step_budget
from tagent.pipeline.driving.attempts import AttemptFailed, AttemptOutcome, AttemptPaused, AttemptSucceeded
from tagent.pipeline.events import ASIDE, COMPENSATION
from tagent.pipeline.exceptions import StepFailedError, StepTimeoutError
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.work.agent_step import AgentStep
from tagent.pipeline.work.event_step import EventStep
from tagent.pipeline.work.reaching import RunReach
from tagent.pipeline.work.reading import RunReader
from tagent.pipeline.work.works import StepWork, Works
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

Value = TypeVar("Value")

_SAY_WHEN = (ModelRateLimitError, ForeignAgentError, CircuitOpenError)
"""The errors that say when to come back."""

_UNGUARDED = nullcontext()

logger = logging.getLogger("tagent")


class StepExecutor:
    """Runs attempts at the steps of one run, and at their parts."""

    def __init__(
        self, pipeline: Pipeline, reader: RunReader, reach: RunReach, config: TAgentConfig, services: Services
    ) -> None:
        self._pipeline = pipeline
        self._services = services
        self._reach = reach
        self._reader = reader
        self._definitions = {step.name: step for step in pipeline.steps}
        self._works = Works(pipeline, reader, config, services, mail=reach.services)
        self._steps: dict[tuple[str, str], StepWork] = {
            (step.name, ""): self._works.of(step) for step in pipeline.steps
        }

    async def check_models(self, names: Iterable[str]) -> None:
        """Open the model of each of these steps that has an agent, so that a run that cannot be asked does not begin.

        Raises:
            ModelError: If a step's model cannot be had.
        """
        for name in names:
            step = self._definitions[name]
            work = self._steps[name, ""]
            settings = work.config if isinstance(work, AgentStep) else self._works.settings_of_agents(step)
            if settings is not None:
                await self._services.models.model_for(settings)

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

    def forget(self, name: str, part: str) -> None:
        """Let go of what the work of a part needed, now that it has ended for good."""
        if part:
            self._steps.pop((name, part), None)

    async def run_attempt(self, name: str, part: str, attempt: Attempt) -> AttemptOutcome:
        """Return what became of one attempt at the step `name`, or at a part of it."""
        step = self._definitions[name]
        circuit = None if part in ASIDE else step.circuit  # it is about the step's own work
        try:
            limit = self._time_limit(step, attempt)
            with _UNGUARDED if circuit is None else self._guarded(name, circuit):
                work = self._work(step, part, attempt)
                returned, context = await (work if limit is None else self._within(*limit, work))
                return self._succeeded(step, part, attempt, returned, context)
        except BudgetPausedError as error:
            return AttemptPaused(Failure(error.code, scrubbed(str(error))))
        except TAgentError as error:
            failure = Failure(error.code, scrubbed(str(error)), error.is_retryable)
            wait = error.retry_after_seconds if isinstance(error, _SAY_WHEN) else None
            return AttemptFailed(failure, wait or 0.0, kinds_of(error))
        except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a failed step is data, whatever it raises
            logger.debug("The step %r raised.\n%s", name, scrubbed("".join(format_exception(error))))
            failed = StepFailedError(name, error)
            return AttemptFailed(
                Failure(failed.code, scrubbed(str(failed)), failed.is_retryable), kinds=kinds_of(error)
            )

    def _guarded(self, name: str, circuit: CircuitPolicy) -> AbstractContextManager[None]:
        return guarded(f"step:{self._pipeline.name}/{name}", circuit, now=self._services.clock.now)

    def _succeeded(
        self, step: PipelineStep, part: str, attempt: Attempt, returned: object, context: StepContext | None
    ) -> AttemptSucceeded:
        name = step.name
        output = self._works.output_type(step, part).dump(returned, step=name)
        facts = {} if context is None else _plain(context.facts, name)
        memories = {} if context is None else _plain(context.memories, name)
        remembered = {} if part else {name: output}
        memories |= self._reach.remember(name, attempt.effects, {**facts, **memories}, remembered)
        return AttemptSucceeded(output, facts, memories, attempt.effects if attempt.effects else None)

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
            spent = self._services.clock.now() - (attempt.work_began_at or attempt.began_at)
            over = BudgetExceeded("deadline_seconds", allowed, allowed, whose="step")
            limits.append((max(0.0, allowed - spent), BudgetExceededError(over, Spending())))
        return min(limits, key=lambda limit: limit[0], default=None)

    async def _work(self, step: PipelineStep, part: str, attempt: Attempt) -> tuple[object, StepContext | None]:
        await self._reader.load(step.name)
        if part == COMPENSATION:
            await self._reader.load_outputs(self._works.names_read(step))
        key = (step.name, part)
        if key not in self._steps:
            self._steps[key] = self._works.of(step, part)
        return await self._steps[key].run(attempt)

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


def _plain(values: Mapping[str, object], step: str) -> dict[str, object]:
    return {name: OutputType().dump(value, step=step) for name, value in values.items()}
