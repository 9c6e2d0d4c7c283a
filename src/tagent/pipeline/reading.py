"""Typed reads of a run's state: what steps are given of the run. Every reader gets a copy of its own."""

from collections.abc import Mapping
from typing import Any

from tagent.pipeline.blobs import StoredOutput
from tagent.pipeline.context import StepContext
from tagent.pipeline.inputs import typed_inputs
from tagent.pipeline.large_outputs import LargeOutputs
from tagent.pipeline.models import Pipeline, PipelineResult, StepStatus
from tagent.pipeline.outputs import OutputType, copy_of
from tagent.pipeline.reports import report_of, result_of
from tagent.pipeline.state import PipelineState
from tagent.pipeline.step_outputs import StepOutputs
from tagent.task_agent.attempt import Attempt


class RunReader:
    """The state of one run as its steps may read it.

    Args:
        pipeline: The definition.
        state: The run's state.
        output_types: Step name -> the type of its output.
        large: Loads outputs that are not in memory.
        store_url: The URL of the store that has them.

    Attributes:
        output_types: Step name -> the type of its output.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        state: PipelineState,
        output_types: Mapping[str, OutputType],
        large: LargeOutputs,
        *,
        store_url: str,
    ) -> None:
        self._pipeline = pipeline
        self._state = state
        self._large = large
        self._store_url = store_url
        self.output_types = output_types

    async def load(self, step: str) -> None:
        """Make ready what `step` may read: outputs of the steps before it that are not in memory.

        Raises:
            LostOutputError: If one is not in the store.
        """
        await self._large.load_for(step)

    async def result(self) -> PipelineResult:
        """Return what the run came to.

        Raises:
            LostOutputError: If the run's output is not in the store.
            StepOutputError: If an output does not fit its type any more.
        """
        await self._large.load_final()
        outputs = {
            name: record.output if isinstance(record.output, StoredOutput) else self.output_of(name)
            for name, record in self._state.steps.items()
            if self._state.statuses[name] is StepStatus.COMPLETED
        }
        shown: Mapping[str, Any] = outputs
        if any(isinstance(output, StoredOutput) for output in outputs.values()):
            shown = StepOutputs(outputs, self.output_types, run_id=self._state.run_id, store_url=self._store_url)
        return result_of(self._pipeline, self._state, shown)

    def output_of(self, name: str) -> object:
        """Return the output of a completed step as its declared type.

        Raises:
            StepOutputError: If it does not fit the type any more.
        """
        return self.output_types[name].load(self._state.steps[name].output, step=name)

    def outputs_before(self, name: str) -> dict[str, object]:
        """Return the outputs of the completed steps that the step `name` depends on, by name."""
        return {
            source: self.output_of(source)
            for source in self._state.graph.dependencies(name)
            if self._state.statuses[source] is StepStatus.COMPLETED
        }

    def plain_outputs_before(self, name: str) -> dict[str, object]:
        """Return the same as JSON values, as texts and paths see them."""
        return {
            source: copy_of(self._state.steps[source].output)
            for source in self._state.graph.dependencies(name)
            if self._state.statuses[source] is StepStatus.COMPLETED
        }

    def plain_inputs(self) -> Mapping[str, object]:
        """Return the run's inputs by name as JSON values."""
        return copy_of(self._state.inputs) if self._state.inputs else {}

    def inputs(self) -> Mapping[str, object]:
        """Return the run's inputs by name, as the types of the pipeline's input model."""
        return typed_inputs(self._pipeline, self._state.inputs) if self._state.inputs else {}

    def shared(self) -> Mapping[str, object]:
        """Return the run's shared memory by key."""
        return copy_of(self._state.shared) if self._state.shared else {}

    def context(self, step: str, attempt: Attempt) -> StepContext:
        """Return the run as one attempt at `step` sees it."""
        reports = {name: report_of(self._state, name) for name in self._state.graph.dependencies(step)}
        return StepContext(
            run_id=self._state.run_id,
            step=step,
            attempt=attempt.number,
            idempotency_key=attempt.idempotency_key,
            inputs=self.inputs(),
            steps=reports,
            shared=self.shared(),
            reach=attempt.reach and attempt.reach(attempt.idempotency_key, attempt.effects),
        )
