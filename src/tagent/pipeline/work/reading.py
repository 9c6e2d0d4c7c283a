"""Typed reads of a run's state: what steps are given of the run. Every reader gets a copy of its own."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any

from tagent.exceptions import DataPathError
from tagent.pipeline.context import StepContext
from tagent.pipeline.course.reports import final_step, report_of, result_of
from tagent.pipeline.course.sinks import final_of
from tagent.pipeline.events import COMPENSATION, ApprovalRequested
from tagent.pipeline.inputs import typed_inputs
from tagent.pipeline.journal.blobs import StoredOutput
from tagent.pipeline.kinds import ExecutionMode, StepStatus
from tagent.pipeline.models import Pipeline, PipelineResult, PipelineStep
from tagent.pipeline.outputs import OutputType, copy_of, output_type
from tagent.pipeline.scheduler import items_of
from tagent.pipeline.state import PipelineState
from tagent.pipeline.work.large_outputs import LargeOutputs
from tagent.pipeline.work.scope import WHOLE, Scope
from tagent.pipeline.work.step_outputs import StepOutputs
from tagent.ports.services import Services
from tagent.task_agent.attempt import Attempt


class LateMapping(Mapping[str, object]):
    """A mapping that is made when somebody looks: most steps never do, and a copy takes as long as it is large.

    Args:
        make: Makes it, once.
    """

    def __init__(self, make: Callable[[], Mapping[str, object]]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> Mapping[str, object]:
        return self._make()

    def __getitem__(self, key: str) -> object:
        return self._made[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)

    def __repr__(self) -> str:
        return repr(dict(self._made))


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
        self.output_types = dict(output_types)

    def learn(self, steps: Iterable[PipelineStep]) -> None:
        """Know the types of what these steps give."""
        self.output_types.update((step.name, output_type(step)) for step in steps)

    @property
    def run_id(self) -> str:
        """The run."""
        return self._state.run_id

    @property
    def default_mode(self) -> ExecutionMode:
        """The execution mode of steps that do not say theirs."""
        return self._pipeline.default_mode

    async def load(self, step: str) -> None:
        """Make ready what `step` may read: outputs of the steps before it that are not in memory.

        Raises:
            LostOutputError: If one is not in the store.
        """
        await self._large.load_for(step)

    async def load_for_change(self, names: Iterable[str]) -> None:
        """Make ready the outputs of these steps until the steps of the run have changed.

        Raises:
            LostOutputError: If one is not in the store.
        """
        await self._large.load_for_change(name for name in names if name in self._state.steps)

    async def load_outputs(self, names: Iterable[str]) -> None:
        """Make ready the outputs of these steps, as far as they have any, until others are asked for.

        Raises:
            LostOutputError: If one is not in the store.
        """
        await self._large.keep(name for name in names if name in self._state.steps)

    async def result(self) -> PipelineResult:
        """Return what the run came to.

        Raises:
            LostOutputError: If the run's output is not in the store.
            StepOutputError: If an output does not fit its type any more.
        """
        await self._large.load_final(final_of(self._pipeline, self._state))
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

    def readable(self, step: str, part: str = "") -> tuple[str, ...]:
        """Return the steps whose outputs `step` may read: of those it depends on the completed ones.

        Its compensation may read whatever the run came to, its own output too.
        """
        if part != COMPENSATION:
            return self._state.visible(step)
        ended_well = {StepStatus.COMPLETED, StepStatus.COMPENSATED}
        return tuple(name for name, status in self._state.statuses.items() if status in ended_well)

    def may_read(self, step: str, source: str, part: str = "") -> bool:
        """Return whether `step` may read the output of the step `source`, which it names and so depends on."""
        if part == COMPENSATION:
            return source in self.readable(step, part)
        return source in self._state.statuses and self._state.sees(step, source)

    def outputs_before(self, step: str, part: str = "") -> dict[str, object]:
        """Return the outputs of the steps that `step` may read, by name."""
        return {source: self.output_of(source) for source in self.readable(step, part)}

    def plain_outputs_before(
        self, step: str, part: str = "", *, only: Collection[str] | None = None
    ) -> dict[str, object]:
        """Return the outputs of the steps that `step` may read as JSON values, by name: as texts and paths see them.

        Args:
            step: The step.
            part: The part of it that reads; empty for the step itself.
            only: The steps whose outputs are wanted; None for all.
        """
        names = (name for name in self.readable(step, part) if only is None or name in only)
        return {name: copy_of(self._state.steps[name].output) for name in names}

    def known(self, step: str, scope: Scope = WHOLE, *, names: Collection[str] | None = None) -> dict[str, object]:
        """Return what a work may read by name, as JSON values: what its scope says, else an output, else an input.

        Args:
            step: The step.
            scope: Which piece of its work it is.
            names: What is wanted; None for all. No more is copied: each of thousands of items reads anew.
        """
        known = {name: scope.given[name] for name in (scope.given if names is None else names) if name in scope.given}

        def is_missing(name: str) -> bool:
            return name not in known and (names is None or name in names)

        sources = {name for name in self.readable(step, scope.part) if is_missing(name)}
        known |= self.plain_outputs_before(step, scope.part, only=sources)
        known |= {name: copy_of(value) for name, value in self._state.inputs.items() if is_missing(name)}
        return known

    def left_out_before(self, step: str) -> tuple[str, ...]:
        """Return the steps on which `step` depends and whose outputs it does not see."""
        seen = frozenset(self.readable(step))
        return tuple(source for source in self._state.graph.dependencies(step) if source not in seen)

    def values_for(self, step: str) -> dict[str, object]:
        """Return what conditions of `step` are judged by: `steps` and `inputs`, as JSON values."""
        return {"steps": self.plain_outputs_before(step), "inputs": self.plain_inputs()}

    def part_outputs(self, step: str) -> dict[str, object]:
        """Return what the completed items or branches of `step` gave, by part in their order, as JSON values."""
        record, expansion = self._state.steps[step], self._state.graph.rules(step).expansion
        names = () if expansion is None else expansion.names(record.count or 0)
        parts = {name: record.parts[name] for name in names if name in record.parts}
        return {name: it.output for name, it in parts.items() if it.status is StepStatus.COMPLETED}

    def round_output(self, step: str, part: str) -> object:
        """Return what a round of `step` gave, as JSON values; None if there is no such round."""
        record = self._state.steps[step].parts.get(part)
        return None if record is None else copy_of(record.output)

    def is_reached(self, step: str) -> bool:
        """Return whether a round of `step` was the last one because what the step is repeated for is reached."""
        return any(part.is_last for part in self._state.steps[step].parts.values())

    def item_of(self, step: str, part: str) -> object:
        """Return the item for which a part of `step` runs, as JSON values.

        Raises:
            DataPathError: If there is none.
        """
        expansion = self._state.graph.rules(step).expansion
        items = None if expansion is None else items_of(self._state, expansion)
        if items is None or int(part) >= len(items):
            raise DataPathError(part, f"The step {step!r} has no item {part}.")
        return copy_of(items[int(part)])

    def plain_inputs(self) -> Mapping[str, object]:
        """Return the run's inputs by name as JSON values."""
        return copy_of(self._state.inputs) if self._state.inputs else {}

    def inputs(self) -> Mapping[str, object]:
        """Return the run's inputs by name, as the types of the pipeline's input model."""
        return typed_inputs(self._pipeline, self._state.inputs) if self._state.inputs else {}

    def shared(self, step: str, part: str = "") -> Mapping[str, object]:
        """Return the run's shared memory by key, as it was when the attempt at `step` began; now, for a part of it."""
        state = self._state
        seen = len(state.shared_writes) if part else state.steps[step].shared_seen
        return LateMapping(partial(self._shared_after, seen))

    def _shared_after(self, seen: int) -> Mapping[str, object]:
        """Return the shared memory as so many writes have left it."""
        state = self._state
        if seen == len(state.shared_writes):
            return copy_of(state.shared) if state.shared else {}
        then = dict(state.shared_before)
        for writes in state.shared_writes[:seen]:
            then.update(writes)
        kept: Mapping[str, object] = copy_of(then)
        return kept

    def held(self, step: str, attempt: int) -> ApprovalRequested | None:
        """Return what an attempt at `step` gave and has been approved since; None if it is still to give something."""
        held = self._state.steps[step].held
        return held if held is not None and held.attempt == attempt else None

    def context(self, step: str, attempt: Attempt, part: str = "") -> StepContext:
        """Return the run as one attempt at `step`, or at a part of it, sees it."""
        reports = {name: report_of(self._state, name) for name in self._state.graph.dependencies(step)}
        return StepContext(
            run_id=self._state.run_id,
            step=step,
            part=part,
            attempt=attempt.number,
            idempotency_key=attempt.idempotency_key,
            inputs=self.inputs(),
            steps=reports,
            shared=self.shared(step, part),
            approval=self._state.steps[step].answer,
            reach=attempt.reach and attempt.reach(attempt.idempotency_key, attempt.effects),
        )


async def result_of_state(
    pipeline: Pipeline, state: PipelineState, *, types: Mapping[str, OutputType], services: Services
) -> PipelineResult:
    """Return what a run came to that nobody drives.

    Args:
        pipeline: The definition.
        state: Where the run stands.
        types: Step name -> the type of its output.
        services: Where large outputs are.

    Raises:
        LostOutputError: If the run's output is not in the store.
        StepOutputError: If an output does not fit its type any more.
    """
    large = LargeOutputs(state, services, final=final_step(pipeline, state.graph))
    return await RunReader(pipeline, state, types, large, store_url=services.store_url).result()
