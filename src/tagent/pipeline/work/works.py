"""Which work a step and each of its parts is: a function, a goal, an event to wait for, a merge, a condition."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from tagent.config import TAgentConfig
from tagent.pipeline import bindings, events
from tagent.pipeline.awaited import event_of
from tagent.pipeline.context import StepContext
from tagent.pipeline.models import Pipeline, PipelineStep, Work
from tagent.pipeline.outputs import OutputType, part_type
from tagent.pipeline.placeholders import placeholders
from tagent.pipeline.settings import inner_settings, step_settings
from tagent.pipeline.signatures import signature_of
from tagent.pipeline.work.agent_step import AgentStep
from tagent.pipeline.work.condition_step import ConditionStep, Judgement, question_of
from tagent.pipeline.work.event_step import EventStep
from tagent.pipeline.work.foreign_step import ForeignStep
from tagent.pipeline.work.function_step import FunctionStep
from tagent.pipeline.work.inner_step import InnerStep, OpenInnerRun, UndoInside
from tagent.pipeline.work.merge_step import MergeStep, outputs_to_merge
from tagent.pipeline.work.reading import RunReader
from tagent.pipeline.work.round_step import HandOver, RoundStep, round_scope
from tagent.pipeline.work.route_step import SwitchStep, WhenStep
from tagent.pipeline.work.scope import WHOLE, Scope
from tagent.pipeline.work.step_work import KeyedWork, StepWork
from tagent.ports.services import Services
from tagent.task_agent.attempt import Attempt
from tagent.threads import ThreadedCall


class Works:
    """Makes the works of one run.

    Args:
        pipeline: The definition.
        reader: The run.
        config: Settings below those of the steps.
        services: Models, threads and so on.
        mail: The same, with a store that is waited for.
        open_inner: Gives the runs inside its steps.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        reader: RunReader,
        config: TAgentConfig,
        services: Services,
        *,
        mail: Services,
        open_inner: OpenInnerRun,
    ) -> None:
        self._pipeline = pipeline
        self._reader = reader
        self._config = config
        self._services = services
        self._mail = mail
        self._open_inner = open_inner
        self._part_types: dict[tuple[str, str], OutputType] = {}

    def of(self, step: PipelineStep, part: str = "") -> StepWork:
        """Return the work of `step`, or of one of its parts.

        Raises:
            DataPathError: If it has no such item.
        """
        match part:
            case "":
                return self._whole(step)
            case events.CONDITION:
                return self._condition(step)
            case events.COMPENSATION if step.compensate is None:
                return UndoInside(step, self._open_inner)
            case events.COMPENSATION:
                # Whatever the step itself was told: what it gave is what is to be undone.
                return self._part(replace(step, read_data=()), step.compensate, Scope(part), OutputType())
            case _:
                return self._round(step, part) if bindings.is_repeated(step) else self._item(step, part)

    def output_type(self, step: PipelineStep, part: str) -> OutputType:
        """Return the type of what `step` gives, or one of its parts."""
        if not part:
            return self._reader.output_types[step.name]
        if part in events.ASIDE:
            return OutputType()
        if bindings.is_repeated(step):
            return self._reader.output_types[step.name]
        key = step.name, part if step.branches else "item"  # all items are of one type, which takes time to make ready
        if key not in self._part_types:
            self._part_types[key] = part_type(step, part)
        return self._part_types[key]

    def settings_of_agents(self, step: PipelineStep) -> Iterator[TAgentConfig]:
        """Yield the settings with which agents of ours work for `step`, also in the pipeline inside it."""
        yield from settings_of_agents(step, self._config)

    def names_read(self, step: PipelineStep) -> frozenset[str]:
        """Return what the compensation of `step` reads by name: steps, inputs."""
        work = step.compensate
        if callable(work):
            return frozenset({step.name, *(it.name for it in signature_of(work).parameters)})
        return frozenset({step.name, *(path.root for path in placeholders(work or ""))})

    def _whole(self, step: PipelineStep) -> StepWork:
        if step.wait_for is not None:
            event, name = event_of(step.wait_for), self._pipeline.name
            return EventStep(step.name, event, self._reader, self._mail, pipeline=name, timeout=step.timeout)
        if bindings.is_router(step):
            return self._router(step)
        if bindings.is_repeated(step):
            return HandOver(step, self._reader)
        if bindings.is_merge(step):
            return self._merge(step)
        return self._part(step, step.run or step.goal, WHOLE, self._reader.output_types[step.name])

    def _router(self, step: PipelineStep) -> StepWork:
        if step.when is not None:
            return WhenStep(step, step.when, self._reader, self._services.threads)
        return SwitchStep(step, step.switch_on or "", self._reader)

    def _round(self, step: PipelineStep, part: str) -> StepWork:
        output = self.output_type(step, part)
        scope = round_scope(step, part, self._reader, output)
        work = self._part(step, step.run or step.goal, scope, output)
        return RoundStep(step, work, scope, output=output, reader=self._reader, threads=self._services.threads)

    def _merge(self, step: PipelineStep) -> StepWork:
        if (goal := bindings.merge_goal(step)) is not None:
            return _MergeByModel(step, goal, self)
        return MergeStep(step, self._reader, self._services.threads)

    def merging_agent(self, step: PipelineStep, goal: str) -> StepWork:
        """Return the agent that makes one output of what the parts of `step` gave so far."""
        facts = {f"{step.name} {name}": output for name, output in outputs_to_merge(step, self._reader).items()}
        derived = replace(step, goal=goal, run=None, agent=None, read_data=())
        return self._agent(derived, Scope(facts=facts), self._reader.output_types[step.name])

    def _condition(self, step: PipelineStep) -> StepWork:
        agent: AgentStep | None = None
        if bindings.is_judged(step):
            agent = self._ours(question_of(step), Scope(events.CONDITION), OutputType(Judgement))
        return ConditionStep(step, self._reader, self._services.threads, agent=agent)

    def _item(self, step: PipelineStep, part: str) -> StepWork:
        if step.branches:
            work, scope = bindings.branches_of(step)[part], Scope(part)
        else:
            work = step.run or step.goal or ""
            scope = Scope(part, {"item": self._reader.item_of(step.name, part), "index": int(part)})
        return self._part(step, work, scope, self.output_type(step, part))

    def _part(self, step: PipelineStep, work: Work | None, scope: Scope, output: OutputType) -> KeyedWork:
        if step.pipeline is not None and scope.part != events.COMPENSATION:
            reader, threads = self._reader, self._services.threads
            return InnerStep(
                step, step.pipeline, reader, threads, open_run=self._open_inner, output=output, scope=scope
            )
        if callable(work):
            function: Callable[..., object] = work
            # What is undone changes nothing that is still to be done.
            may_plan = scope.part not in events.ASIDE
            return FunctionStep(
                step.name, function, self._reader, self._services.threads, scope=scope, may_plan=may_plan
            )
        derived = step if work == step.goal and not scope.part else replace(step, goal=work, run=None, branches=None)
        return self._agent(derived, scope, output)

    def _agent(self, step: PipelineStep, scope: Scope, output: OutputType) -> KeyedWork:
        if step.agent is None or scope.part == events.COMPENSATION:
            return self._ours(step, scope, output)
        return ForeignStep(step, self._pipeline, self._reader, self._config, self._services, output=output, scope=scope)

    def _ours(self, step: PipelineStep, scope: Scope, output: OutputType) -> AgentStep:
        return AgentStep(step, self._pipeline, self._reader, self._config, self._services, output=output, scope=scope)


def settings_of_agents(step: PipelineStep, config: TAgentConfig) -> Iterator[TAgentConfig]:
    """Yield the settings with which agents of ours work for `step`, and for those of the pipeline inside it.

    Args:
        step: The step.
        config: The settings of the run.
    """
    if bindings.has_agents(step):
        yield step_settings(step, config)
    if step.pipeline is not None:
        inside = inner_settings(step, step.pipeline, config=config)
        for inner in step.pipeline.steps:
            if inner.enabled is not False:
                yield from settings_of_agents(inner, inside)


class _MergeByModel:
    """Has a model make one output of several. The agent is made when they are all there."""

    def __init__(self, step: PipelineStep, goal: str, works: Works) -> None:
        self._step = step
        self._goal = goal
        self._works = works
        self.abandoned: list[ThreadedCall] = []

    async def run(self, attempt: Attempt) -> tuple[object, StepContext | None]:
        """Return what the model makes of them.

        Raises:
            TAgentError: As for the goal of any step.
        """
        agent = self._works.merging_agent(self._step, self._goal)
        try:
            return await agent.run(attempt)
        finally:
            self.abandoned += agent.abandoned
