"""One attempt at a step: run its function or agent under its timeout, check the output.

Whatever goes wrong inside comes back as a value; only a cancellation passes through.
"""

import logging
from collections.abc import Coroutine, Mapping
from dataclasses import field
from functools import partial
from traceback import format_exception
from typing import TypeVar

from tagent.config import TAgentConfig
from tagent.effects import EffectBuffer
from tagent.exceptions import TAgentError
from tagent.pipeline.agent_step import AgentStep
from tagent.pipeline.awaited import event_of
from tagent.pipeline.context import StepContext
from tagent.pipeline.event_step import EventStep
from tagent.pipeline.exceptions import StepFailedError, StepTimeoutError
from tagent.pipeline.foreign_step import ForeignStep
from tagent.pipeline.function_step import FunctionStep
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.reaching import RunReach
from tagent.pipeline.reading import RunReader
from tagent.ports.model_errors import ModelRateLimitError
from tagent.ports.services import Services
from tagent.secrets import scrubbed
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.foreign import ForeignAgentError
from tagent.task_agent.models import Failure
from tagent.task_agent.tools.reach import OpenReach
from tagent.values import value

Value = TypeVar("Value")

logger = logging.getLogger("tagent")


@value
class AttemptSucceeded:
    """The attempt gave an output. All values are JSON values; `effects` are None when there are none."""

    output: object
    facts: Mapping[str, object] = field(default_factory=dict)
    memories: Mapping[str, object] = field(default_factory=dict)
    effects: EffectBuffer | None = None


@value
class AttemptFailed:
    """The attempt gave none. `retry_after_seconds` is what the provider asks to wait; 0 if nothing."""

    failure: Failure
    retry_after_seconds: float = 0.0


AttemptOutcome = AttemptSucceeded | AttemptFailed


class StepExecutor:
    """Runs attempts at the steps of one run."""

    def __init__(
        self, pipeline: Pipeline, reader: RunReader, reach: RunReach, config: TAgentConfig, services: Services
    ) -> None:
        self._services = services
        self._reach = reach
        self._reader = reader
        self._timeouts = {step.name: step.timeout for step in pipeline.steps if step.wait_for is None}
        self._steps = {
            step.name: _work_of(step, pipeline, reader, config, services, mail=reach.services)
            for step in pipeline.steps
        }

    async def check_models(self) -> None:
        """Open the model of every agent step, so that a run that cannot be asked does not begin.

        Raises:
            ModelError: If a step's model cannot be had.
        """
        for step in self._steps.values():
            if isinstance(step, AgentStep):
                await self._services.models.model_for(step.config)

    def only_waits(self, name: str) -> bool:
        """Return whether the step does nothing but wait for an event."""
        return isinstance(self._steps[name], EventStep)

    def reach_of(self, name: str) -> OpenReach:
        """Return what opens the way out of the step `name`."""
        return partial(self._reach.of, name)

    def is_abandoned(self, name: str) -> bool:
        """Return whether a blocking call of the step goes on although its attempt was given up."""
        return any(not call.has_ended for call in self._steps[name].abandoned)

    async def run_attempt(self, name: str, attempt: Attempt) -> AttemptOutcome:
        """Return what became of one attempt at the step `name`."""
        work = self._work(name, attempt)
        timeout = self._timeouts.get(name)
        try:
            returned, context = await (work if timeout is None else self._within(timeout, work, step=name))
            output = self._reader.output_types[name].dump(returned, step=name)
            facts = {} if context is None else _plain(context.facts, name)
            memories = {} if context is None else _plain(context.memories, name)
            memories |= self._reach.remember(name, attempt.effects, {**facts, **memories}, output)
            return AttemptSucceeded(output, facts, memories, attempt.effects if attempt.effects else None)
        except TAgentError as error:
            failure = Failure(error.code, scrubbed(str(error)), error.is_retryable)
            wait = error.retry_after_seconds if isinstance(error, ModelRateLimitError | ForeignAgentError) else None
            return AttemptFailed(failure, wait or 0.0)
        except (Exception, SystemExit, BaseExceptionGroup) as error:  # noqa: BLE001 - a failed step is data
            logger.debug("The step %r raised.\n%s", name, scrubbed("".join(format_exception(error))))
            failed = StepFailedError(name, error)
            return AttemptFailed(Failure(failed.code, scrubbed(str(failed)), failed.is_retryable))

    async def _work(self, name: str, attempt: Attempt) -> tuple[object, StepContext | None]:
        await self._reader.load(name)
        return await self._steps[name].run(attempt)

    async def _within(self, seconds: float, work: Coroutine[object, object, Value], *, step: str) -> Value:
        try:
            async with self._services.clock.timeout(seconds) as limit:
                done = await work
        except TimeoutError as error:
            if limit.expired():
                raise StepTimeoutError(step, seconds=seconds) from error
            raise  # the step's own, from deeper down
        if limit.expired():  # it caught the cancellation and went on
            raise StepTimeoutError(step, seconds=seconds)
        return done


def _work_of(
    step: PipelineStep,
    pipeline: Pipeline,
    reader: RunReader,
    config: TAgentConfig,
    services: Services,
    *,
    mail: Services,
) -> FunctionStep | AgentStep | ForeignStep | EventStep:
    if step.wait_for is not None:
        event = event_of(step.wait_for)
        return EventStep(step.name, event, reader, mail, pipeline=pipeline.name, timeout=step.timeout)
    if step.run is not None:
        return FunctionStep(step.name, step.run, reader, services.threads)
    kind = AgentStep if step.agent is None else ForeignStep
    return kind(step, pipeline, reader, config, services)


def _plain(values: Mapping[str, object], step: str) -> dict[str, object]:
    return {name: OutputType().dump(value, step=step) for name, value in values.items()}
