"""One attempt at a step: gather what it reads, run its function or agent under its timeout, check the output.

Whatever goes wrong inside comes back as a value; only a cancellation passes through.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from tagent.config import TAgentConfig
from tagent.exceptions import DataPathError, ModelRateLimitError, TAgentError
from tagent.paths import DataPath
from tagent.pipeline import bindings
from tagent.pipeline.context import StepContext
from tagent.pipeline.exceptions import StepFailedError, StepInputError, StepTimeoutError
from tagent.pipeline.inputs import typed_inputs
from tagent.pipeline.models import Pipeline, PipelineStep, StepStatus
from tagent.pipeline.outputs import OutputType, output_type
from tagent.pipeline.reports import report_of
from tagent.pipeline.state import PipelineState
from tagent.ports.services import Services
from tagent.task_agent.context import EnhancedContextManager
from tagent.task_agent.events import AgentEvent
from tagent.task_agent.models import Failure
from tagent.task_agent.run import run_task_based_agent
from tagent.task_agent.tools import Tool, tools_by_name
from tagent.threads import ThreadedCall

RecordEvent = Callable[[AgentEvent], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class AttemptSucceeded:
    """The attempt gave an output. All values are JSON values."""

    output: object
    facts: Mapping[str, object] = field(default_factory=dict)
    memories: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """The attempt gave none. `retry_after_seconds` is what the provider asks to wait; 0 if nothing."""

    failure: Failure
    retry_after_seconds: float = 0.0


AttemptOutcome = AttemptSucceeded | AttemptFailed


class StepExecutor:
    """Runs attempts at the steps of one run.

    Attributes:
        abandoned: Step name -> its blocking call that was given up and may still be running.
    """

    def __init__(self, pipeline: Pipeline, state: PipelineState, config: TAgentConfig, services: Services) -> None:
        self._pipeline = pipeline
        self._state = state
        self._config = config
        self._services = services
        self._steps = {step.name: step for step in pipeline.steps}
        self._types = {step.name: output_type(step) for step in pipeline.steps}
        self.abandoned: dict[str, ThreadedCall] = {}

    async def check_models(self) -> None:
        """Open the model of every agent step, so that a run that cannot be asked does not begin.

        Raises:
            ModelError: If a step's model cannot be had.
        """
        for step in self._pipeline.steps:
            if step.run is None:
                await self._services.models.model_for(self._config_of(step))

    def output_of(self, name: str) -> object:
        """Return the output of a completed step as its declared type, a copy of its own."""
        return self._types[name].load(self._state.steps[name].output)

    def is_abandoned(self, name: str) -> bool:
        """Return whether a blocking call of the step goes on although its attempt was given up."""
        call = self.abandoned.get(name)
        return call is not None and not call.has_ended

    async def run_attempt(self, name: str, attempt: int, *, key: str, record: RecordEvent) -> AttemptOutcome:
        """Return what became of one attempt.

        Args:
            name: The step.
            attempt: Which try this is, from 1.
            key: The idempotency key for the step's context.
            record: Commits an event of the step's agent; returns once it is durable.
        """
        step = self._steps[name]
        try:
            context = self._context(step, attempt, key)
            try:
                async with self._services.clock.timeout(step.timeout) as limit:
                    value = await self._work(step, context, record)
            except TimeoutError as error:
                if limit.expired():
                    raise StepTimeoutError(name, seconds=step.timeout or 0) from error
                raise StepFailedError(name, error) from error
            finally:
                context.cancelled = True
            return AttemptSucceeded(
                self._types[name].dump(value, step=name),
                {fact: OutputType().dump(known, step=name) for fact, known in context.facts.items()},
                {key: OutputType().dump(saved, step=name) for key, saved in context.memories.items()},
            )
        except TAgentError as error:
            failure = Failure(error.code, str(error), error.is_retryable)
            wait = error.retry_after_seconds if isinstance(error, ModelRateLimitError) else None
            return AttemptFailed(failure, wait or 0.0)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a failed step is data, never a crash
            failed = StepFailedError(name, error)
            return AttemptFailed(Failure(failed.code, str(failed), failed.is_retryable))

    def _context(self, step: PipelineStep, attempt: int, key: str) -> StepContext:
        state = self._state
        return StepContext(
            run_id=state.run_id,
            step=step.name,
            attempt=attempt,
            idempotency_key=key,
            inputs=typed_inputs(self._pipeline, state.inputs),
            steps={name: report_of(state, name) for name in state.graph.dependencies(step.name)},
            shared=OutputType().load(state.shared),
        )

    async def _work(self, step: PipelineStep, context: StepContext, record: RecordEvent) -> object:
        if step.run is None:
            return await self._run_agent(step, context, record)
        return await self._run_function(step, step.run, context)

    async def _run_function(
        self, step: PipelineStep, function: Callable[..., object], context: StepContext
    ) -> object:
        arguments: dict[str, object] = {}
        for parameter in bindings.signature_of(function).parameters:
            name = parameter.name
            if parameter.is_context:
                arguments[name] = context
            elif name in self._steps and name != step.name:
                arguments[name] = self.output_of(name)
            elif name in context.inputs:
                arguments[name] = context.inputs[name]
        if is_async(function):
            return await function(**arguments)  # type: ignore[misc]  # just checked
        value = await self._services.threads.run(
            partial(function, **arguments), on_abandon=partial(self.abandoned.__setitem__, step.name)
        )
        return await value if inspect.isawaitable(value) else value

    async def _run_agent(self, step: PipelineStep, context: StepContext, record: RecordEvent) -> object:
        state, config = self._state, self._config_of(step)
        known: dict[str, object] = dict(context.inputs)
        known.update({name: self.output_of(name) for name in context.steps if state.statuses[name] is StepStatus.COMPLETED})
        rules = [*self._pipeline.global_constraints, *step.constraints]
        try:
            goal = bindings.fill(step.goal or "", known)
            constraints = tuple(bindings.fill(rule, known) for rule in rules)
            told = self._told(step, context, known)
        except DataPathError as error:
            raise StepInputError(step.name, f"The step {step.name!r} asks for what is not there: {error}") from error
        result = await run_task_based_agent(
            goal,
            config,
            output_format=self._types[step.name].declared,
            tools=tuple(self._tools_of(step, config).values()),
            constraints=constraints,
            context=told,
            services=self._services,
            record=record,
        )
        return result.required_output()

    def _config_of(self, step: PipelineStep) -> TAgentConfig:
        own = TAgentConfig.of(step.config)
        return self._config.merged(own, *([TAgentConfig(model=step.model)] if step.model is not None else []))

    def _tools_of(self, step: PipelineStep, config: TAgentConfig) -> dict[str, Tool]:
        available = tools_by_name([*config.tools, *step.tools])
        if step.tools_filter is None:
            return available
        return {name: available[name] for name in step.tools_filter if name in available}

    def _told(
        self, step: PipelineStep, context: StepContext, known: Mapping[str, object]
    ) -> EnhancedContextManager:
        """Return what the agent is told besides its goal.

        That is the paths of `read_data` if there are any; else the shared memory, the inputs and the
        outputs of the dependencies, without what a placeholder already inserted whole.
        """
        told = EnhancedContextManager(self._pipeline.description, max_tokens=self._config_of(step).context_tokens)
        if step.read_data:
            for written in step.read_data:
                told.add_fact(written, DataPath.parse(written).look_up(known))
            return told
        inserted = {
            path.root
            for text in bindings.texts(step, self._pipeline.global_constraints)
            for path in bindings.placeholders(text)
            if not path.parts
        }
        for name, value in {**context.shared, **known}.items():
            if name not in inserted:
                told.add_fact(name, value)
        return told


def is_async(function: Callable[..., object]) -> bool:
    """Return whether calling `function` gives a coroutine."""
    if inspect.iscoroutinefunction(function):
        return True
    if isinstance(function, partial):
        return is_async(function.func)
    return not inspect.isroutine(function) and inspect.iscoroutinefunction(getattr(type(function), "__call__", None))
