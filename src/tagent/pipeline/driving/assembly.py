"""What drives a run, put together: of a run by itself, and of one inside a step."""

from collections.abc import Mapping
from dataclasses import dataclass

from tagent.budget import Budget
from tagent.config import TAgentConfig
from tagent.pipeline.course.reports import final_step
from tagent.pipeline.driving.changing import LiveChanges
from tagent.pipeline.models import Pipeline
from tagent.pipeline.outputs import OutputType, output_type
from tagent.pipeline.state import PipelineState
from tagent.pipeline.step_executor import StepExecutor
from tagent.pipeline.stored.changed import with_changes
from tagent.pipeline.work.inner_step import OpenInnerRun
from tagent.pipeline.work.large_outputs import LargeOutputs
from tagent.pipeline.work.reaching import RunReach
from tagent.pipeline.work.reading import RunReader
from tagent.ports.services import Services


@dataclass(frozen=True, slots=True)
class RunSetup:
    """What all runs of a pipeline in the same place have in common.

    Attributes:
        pipeline: The definition.
        config: The settings of its steps.
        budget: What a run may spend.
        output_types: Step name -> the type of its output.
    """

    pipeline: Pipeline
    config: TAgentConfig
    budget: Budget
    output_types: Mapping[str, OutputType]


@dataclass(frozen=True, slots=True)
class Assembly:
    """The pieces that drive one run.

    Attributes:
        pipeline: The definition.
        state: The run's state.
        services: What it runs with.
        reader: Reads the state for steps.
        steps: Runs attempts at steps.
        large: Its large outputs.
        changes: What its steps change about it.
    """

    pipeline: Pipeline
    state: PipelineState
    services: Services
    reader: RunReader
    steps: StepExecutor
    large: LargeOutputs
    changes: LiveChanges

    @classmethod
    async def of(
        cls, setup: RunSetup, state: PipelineState, services: Services, *, open_inner: OpenInnerRun
    ) -> "Assembly":
        """Return them for a run that stands at `state`.

        Args:
            setup: The run's.
            state: Where it stands.
            services: What it runs with.
            open_inner: Gives the runs inside its steps.

        Raises:
            LostOutputError: If an output that is needed is not in the store.
            DefinitionMismatchError: If the code of a step that was added is not there any more.
        """
        pipeline = with_changes(setup.pipeline, state.changes)  # of its own: the run may change it
        changes = LiveChanges(setup.pipeline, pipeline, state, tools=setup.config.tools)
        large = LargeOutputs(state, services, final=final_step(pipeline, state.graph))
        await large.prepare()
        added = {step.name: output_type(step) for step in pipeline.steps if step.name not in setup.output_types}
        reader = RunReader(pipeline, state, {**setup.output_types, **added}, large, store_url=services.store_url)
        reach = RunReach(pipeline, state, services)
        steps = StepExecutor(pipeline, reader, reach, setup.config, services, open_inner=open_inner)
        return cls(pipeline, state, services, reader, steps, large, changes)
