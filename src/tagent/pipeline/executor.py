"""A pipeline with its settings and inputs, ready to run: as a new run, or as one that was interrupted."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import replace

from pydantic import BaseModel

from tagent.budget import Budget
from tagent.config import TAgentConfig
from tagent.pipeline.course.settling import may_run
from tagent.pipeline.course.showing import Audience
from tagent.pipeline.driving.assembly import Assembly, RunSetup
from tagent.pipeline.driving.beforehand import settle_beforehand
from tagent.pipeline.driving.cancelling import CancelledElsewhere, cancelled_elsewhere
from tagent.pipeline.driving.inner_runs import Around, InnerRuns
from tagent.pipeline.driving.run_limits import RunLimits
from tagent.pipeline.driving.run_loop import RunLoop
from tagent.pipeline.driving.stopping import StopSignal
from tagent.pipeline.events import RunEvent, RunResumed, RunStarted
from tagent.pipeline.inputs import check_inputs
from tagent.pipeline.journal.live_runs import reachable
from tagent.pipeline.labels import check_labels
from tagent.pipeline.models import Pipeline, PipelineResult
from tagent.pipeline.nesting import copied_whole
from tagent.pipeline.outputs import OutputType, output_type
from tagent.pipeline.persistence import RunJournal
from tagent.pipeline.scheduler import PipelineScheduler
from tagent.pipeline.selecting import Selection
from tagent.pipeline.settings import overridden, run_budget
from tagent.pipeline.state import PipelineState
from tagent.pipeline.stored.definition import Definition, Origin
from tagent.pipeline.validation import checked
from tagent.pipeline.work.event_step import listening
from tagent.pipeline.work.reading import result_of_state
from tagent.ports.effects import NO_EFFECTS, Effects
from tagent.ports.event_sink import EventSink
from tagent.ports.services import Services, open_services
from tagent.ports.store_errors import ConflictError
from tagent.task_agent.context import EnhancedContextManager

logger = logging.getLogger("tagent")


class PipelineExecutor:
    """Executes a pipeline.

    Attributes:
        pipeline: The definition.
        base_config: The settings that steps start from.
        scheduler: The order of the steps and where each stands.
        results: Step name -> output as its declared type, filled when the run ends.
        shared_state: What the run knows: the shared context, then each completed step's output; of a large one,
            when it is kept elsewhere, only the beginning.

    Args:
        pipeline: The definition.
        base_config: Settings, a mapping will do; over those of file and environment unless `services` are
            given, whose opener has read them.
        inputs: What the run is given, by name, or an instance of the pipeline's input model.
        overrides: Settings over those of the pipeline.
        origin: Where the pipeline came from, stored with the run.
        labels: Names and values to find the run by.
        definition: What is stored of the pipeline, when that is known already.
        selection: The part of the pipeline to run; None for all of it. Then it is `execute` that checks the inputs.
        services: Clock, store, models and so on; the registered defaults when None.

    Raises:
        PipelineValidationError: If the definition has mistakes; it lists all of them.
        InputError: If the inputs do not fit.
        ConfigurationError: If a setting is unknown or wrong, or a label cannot be used.

    Example:
        >>> import asyncio
        >>> pipeline = Pipeline("hello").step("greet", run=lambda name: f"Hello, {name}.")
        >>> executor = PipelineExecutor(pipeline, inputs={"name": "Ana"})
        >>> asyncio.run(executor.execute()).final_output
        'Hello, Ana.'
    """

    def __init__(
        self,
        pipeline: Pipeline,
        base_config: TAgentConfig | Mapping[str, object] | None = None,
        *,
        inputs: Mapping[str, object] | BaseModel | None = None,
        overrides: TAgentConfig | None = None,
        origin: Origin | None = None,
        labels: Mapping[str, str] | None = None,
        definition: Definition | None = None,
        selection: Selection | None = None,
        services: Services | None = None,
    ) -> None:
        self.pipeline = pipeline = copied_whole(pipeline)  # what is changed later is of another run
        surroundings = TAgentConfig.load() if services is None else TAgentConfig()
        base = surroundings.merged(TAgentConfig.of(base_config))
        own = TAgentConfig.of(pipeline.config)
        self.base_config = base.merged(own, overrides or TAgentConfig())
        names = (type(inputs).model_fields if isinstance(inputs, BaseModel) else inputs) or {}
        known = None if selection is not None else tuple(names) or None
        valid = checked(pipeline, inputs=known, tools=self.base_config.tools)
        for problem in valid.problems:
            if problem.severity == "warning":
                logger.warning("%s: %s", pipeline.name, problem)
        self.scheduler = PipelineScheduler(pipeline, valid.graph)
        self.results: Mapping[str, object] = {}
        self.shared_state = EnhancedContextManager(pipeline.description, max_tokens=self.base_config.context_tokens)
        self._selection = selection
        self._given = inputs
        self._inputs = check_inputs(pipeline, inputs) if selection is None else {}
        types = {step.name: output_type(step) for step in pipeline.steps}
        self._setup = RunSetup(
            pipeline, self.base_config, run_budget(pipeline, base, overrides or TAgentConfig()), types
        )
        self._shared_context = dict(pipeline.shared_context)
        # With the settings of this call: a run that is taken up again goes on with the model it began with.
        call = overrides or TAgentConfig()
        asked = copy(pipeline)
        asked.config, asked.budget = own.merged(call), overridden(Budget.of(pipeline.budget), call)
        self._definition = definition or Definition.of(asked, origin or Origin())
        self._services = services
        self._labels = check_labels(labels or {})

    async def execute(
        self, *, effects: Effects = NO_EFFECTS, stop: StopSignal | None = None, sinks: Sequence[EventSink] = ()
    ) -> PipelineResult:
        """Run the pipeline to its end and return what it came to; a failed step is in the result, not raised.

        Args:
            effects: What else becomes true with the run's beginning, like that the message is read which it is for.
            stop: Asks it to stop between two steps.
            sinks: Who is shown its events besides those of the services.

        Raises:
            SelectionError: If it is to do a part of the pipeline that cannot be done; nothing has run then.
            InputError: If the inputs do not fit that part; likewise.
            ModelError: If a step needs a model and none can be had; likewise.
            EffectRefusedError: If an effect cannot be had; likewise.
            StoreError: If the journal cannot be written; nothing counts that was not committed.
            RunStoppedError: If it was asked to stop.
            DeadlockError: If nothing could move any more; the run has failed.
        """
        given = nullcontext(self._services) if self._services is not None else open_services(self.base_config)
        async with given as services:
            shown = replace(services, sinks=(*services.sinks, *sinks)) if sinks else services
            return await self._execute(shown, effects, stop)

    async def go_on(
        self,
        state: PipelineState,
        journal: RunJournal,
        resumed: RunResumed,
        services: Services,
        *,
        stop: StopSignal | None = None,
    ) -> PipelineResult:
        """Drive a claimed run on from `state` and return what it came to.

        Raises:
            ModelError: If a step needs a model and none can be had; nothing has run then.
            StoreError: As for `execute`.
            RunStoppedError: If it was asked to stop.
        """
        if self._selection is not None:
            self._inputs = check_inputs(self.pipeline, self._given, steps=self._selection.only)
        return await self._drive(state, journal, [resumed], services, stop)

    async def _execute(self, services: Services, effects: Effects, stop: StopSignal | None) -> PipelineResult:
        graph, run_id = self.scheduler.graph, services.new_id()
        before = None
        if self._selection is not None:
            before = await settle_beforehand(
                self._selection, self.pipeline, graph, self._setup.output_types, services, inputs=self._given
            )
            self._inputs = before.inputs
        now = services.clock.now()
        settled = [] if before is None else before.events(graph, at=now)
        done = {event.step for event in settled}
        journal = RunJournal.begin(
            services,
            self._definition,
            run_id=run_id,
            lease_seconds=self.base_config.lease_seconds,
            labels=self._labels,
            effects=effects.plus(await listening(self.pipeline, run_id=run_id, store=services.store, done=done)),
        )
        shared = {name: OutputType().dump(value, step=name) for name, value in self._shared_context.items()}
        started = RunStarted(
            journal.run_id,
            self.pipeline.name,
            self._inputs,
            shared,
            now,
            labels=self._labels,
            actor=services.processes.user(),
        )
        return await self._drive(PipelineState(graph), journal, [started, *settled], services, stop)

    async def _drive(
        self,
        state: PipelineState,
        journal: RunJournal,
        first: Sequence[RunEvent],
        services: Services,
        stop: StopSignal | None,
    ) -> PipelineResult:
        audience = Audience(services.sinks, self.base_config.redact)
        stop = stop or StopSignal()
        around = Around(state, self.base_config, services, audience, stop)
        assembly = await Assembly.of(self._setup, state, services, open_inner=InnerRuns(around).open)
        # Before anything is written: a run whose model cannot be asked does not begin.
        settled = {getattr(event, "step", "") for event in first}
        await assembly.steps.check_models(name for name in may_run(state, self._inputs) if name not in settled)
        self.scheduler.step_status = state.statuses
        for name, value in self._shared_context.items():
            self.shared_state.add_fact(name, value)
        limits = RunLimits.of(self.pipeline, self._setup.budget, state, stop)
        loop = RunLoop(assembly, journal, limits=limits, audience=audience, shared_state=self.shared_state)
        try:
            async with reachable(journal.run_id, services):
                await loop.run(*first)
        except ConflictError:
            ended = await cancelled_elsewhere(journal, state.defined, services)
            if ended is None:
                raise
            result = await self._cancelled(ended, assembly, audience)
        else:
            result = await assembly.reader.result()
        self.results = result.step_outputs
        return result

    async def _cancelled(self, ended: CancelledElsewhere, assembly: Assembly, audience: Audience) -> PipelineResult:
        """Return what a run came to that somebody else has cancelled; its subscribers are told too."""
        for event in ended.events:
            audience.show(event)
        state = ended.state
        self.scheduler.step_status = state.statuses
        types = assembly.reader.output_types
        return await result_of_state(self.pipeline, state, types=types, services=assembly.services)
