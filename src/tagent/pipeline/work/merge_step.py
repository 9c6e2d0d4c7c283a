"""A step that merges: what its items or branches gave, or else the steps it depends on."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial

from tagent.pipeline.bindings import MERGES
from tagent.pipeline.models import PipelineStep
from tagent.pipeline.outputs import part_type
from tagent.pipeline.work.reading import RunReader
from tagent.task_agent.attempt import Attempt
from tagent.threads import DaemonThreads, ThreadedCall


class MergeStep:
    """Makes one output of several, without a model.

    Attributes:
        abandoned: Blocking calls of the merging function that were given up and may still run.
    """

    def __init__(self, step: PipelineStep, reader: RunReader, threads: DaemonThreads) -> None:
        self._step = step
        self._reader = reader
        self._threads = threads
        self.abandoned: list[ThreadedCall] = []

    async def run(self, attempt: Attempt) -> tuple[object, None]:  # noqa: ARG002 - like every work
        """Return the merged output."""
        merge = self._step.merge
        outputs = self._typed() if callable(merge) else outputs_to_merge(self._step, self._reader)
        merged = list(outputs.values()) if gives_list(self._step) else outputs
        if not callable(merge):
            return merged, None
        called: Callable[[object], object] = merge
        if inspect.iscoroutinefunction(called):
            return await called(merged), None
        value = await self._threads.run(partial(called, merged), on_abandon=self.abandoned.append)
        return (await value if inspect.isawaitable(value) else value), None

    def _typed(self) -> Mapping[str, object]:
        """Return what is to be merged as its types."""
        step = self._step
        if step.for_each is None and not step.branches:
            return self._reader.outputs_before(step.name)
        outputs = outputs_to_merge(step, self._reader)
        return {
            part: part_type(step, part).load(output, step=f"{step.name}[{part}]") for part, output in outputs.items()
        }


def outputs_to_merge(step: PipelineStep, reader: RunReader) -> dict[str, object]:
    """Return what a step merges, by part or by step, as JSON values."""
    if step.for_each is None and not step.branches:
        return reader.plain_outputs_before(step.name)
    return reader.part_outputs(step.name)


def gives_list(step: PipelineStep) -> bool:
    """Return whether a merge sees its outputs as a list rather than by name."""
    if step.merge in MERGES:
        return step.merge == "list"
    return step.for_each is not None or (bool(step.branches) and not isinstance(step.branches, Mapping))
