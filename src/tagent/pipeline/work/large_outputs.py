"""The large outputs of a run that goes on: in memory while a step has yet to read them, else in the store only."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

from pydantic_core import from_json

from tagent.exceptions import StoreError
from tagent.pipeline.course.records import PartRecord, WorkRecord
from tagent.pipeline.events import InnerProgressed, PartCompleted, RunEvent
from tagent.pipeline.graph import Edge
from tagent.pipeline.journal.blobs import StoredOutput
from tagent.pipeline.journal.patience import patiently
from tagent.pipeline.kinds import DependencyType, StepStatus
from tagent.pipeline.state import PipelineState
from tagent.ports.services import Services
from tagent.ports.store_errors import MissingBlobError
from tagent.task_agent.events import AgentEvent, Finalized, TaskCompleted


class LostOutputError(StoreError):
    """A large output was given, and is not in the store any more.

    Attributes:
        run_id: The run.
        step: The step that gave it.
    """

    code = "store.lost_output"

    def __init__(self, run_id: str, step: str) -> None:
        self.run_id = run_id
        self.step = step
        super().__init__(
            f"The output of the step {step!r} of run {run_id} is not in the store.",
            hint="If the run was deleted, run the pipeline again; if it is still there, fork it from this step.",
        )


async def read_output(services: Services, stored: StoredOutput, *, run_id: str, step: str) -> object:
    """Return the output for which `stored` stands, as JSON values. A store that is away is waited for.

    Raises:
        LostOutputError: If it is not in the store.
    """
    try:
        return from_json(await patiently(partial(services.store.blob, stored.hash), clock=services.clock))
    except MissingBlobError as error:
        raise LostOutputError(run_id, step) from error


class LargeOutputs:
    """Puts the large outputs of one run into its state before they are read, and takes them out when nobody will.

    In a store that cannot be opened again, like one in memory, they would not be found later: there they stay.

    Args:
        state: The run's state.
        services: Where its outputs are.
        final: The step whose output is that of the run; it stays in memory.
    """

    def __init__(self, state: PipelineState, services: Services, *, final: str) -> None:
        self._state = state
        self._services = services
        self._is_releasing = bool(services.store_url)
        self._final = final
        self._stored = {n: r.output for n, r in state.steps.items() if isinstance(r.output, StoredOutput)}
        self._kept: frozenset[str] = frozenset()
        self._pinned: set[str] = set()
        self._readers: dict[str, set[str]] = {}
        """Step name -> the steps yet to end that depend on it, for each large output that is in memory."""

    async def prepare(self) -> None:
        """Load what deciding needs before the run goes on: outputs in which a path is looked up, an agent's results.

        Raises:
            LostOutputError: If something of that is not in the store.
        """
        for name, stored in self._stored.items():
            if any(
                self._is_looked_into(edge) and self._is_open(edge.target) for edge in self._state.graph.outgoing[name]
            ) or any(self._is_open(step) for step in self._stood_in_for(name)):
                await self._load(name, stored)
        for name, record in self._state.steps.items():
            if record.held is not None and isinstance(record.held.output, StoredOutput):
                output = await read_output(self._services, record.held.output, run_id=self._state.run_id, step=name)
                record.held = replace(record.held, output=output)
            if (record.agent_events or record.parts) and self._is_open(name):
                for work in (record, *record.parts.values()):
                    await self._take_up(name, work)

    def _is_looked_into(self, edge: Edge) -> bool:
        """Whether the source's output is looked at to decide on the target, before an attempt at it begins."""
        is_special = edge.target in self._state.graph.special or edge.type is DependencyType.VALIDATION
        return edge.path is not None or edge.routes is not None or is_special

    def _stood_in_for(self, name: str) -> set[str]:
        """Return the steps whose place `name` takes if they fail."""
        return {edge.source for edge in self._state.graph.incoming[name] if edge.is_fallback}

    async def _take_up(self, name: str, work: WorkRecord) -> None:
        """Load what open work has come to so far: what its agent did, and what the completed parts gave."""
        work.agent_events = [await self._whole(event, name) for event in work.agent_events]
        if isinstance(work, PartRecord) and isinstance(work.output, StoredOutput):
            work.output = await read_output(self._services, work.output, run_id=self._state.run_id, step=name)

    async def load(self, names: Iterable[str]) -> None:
        """Have the outputs of these steps in memory until the steps that depend on them have ended.

        Raises:
            LostOutputError: If one is not in the store.
        """
        for name in names:
            output = self._state.steps[name].output
            if isinstance(output, StoredOutput):
                await self._load(name, output)

    async def keep(self, names: Iterable[str]) -> None:
        """Have the outputs of these steps in memory until it is asked for others: for a compensation, behind all steps.

        Raises:
            LostOutputError: If one is not in the store.
        """
        before, self._kept = self._kept, frozenset(names)
        for name in before & self._readers.keys():
            self._release(name)
        await self.load(sorted(self._kept))

    async def load_for_change(self, names: Iterable[str]) -> None:
        """Have the outputs of these steps in memory until the next change of the steps counts.

        New steps may look into them then.

        Raises:
            LostOutputError: If one is not in the store.
        """
        large = [name for name in names if name in self._stored]
        self._pinned.update(large)
        await self.load(large)

    def learned(self) -> None:
        """Keep, now that the steps have changed, what those read that there are now."""
        pinned, self._pinned = self._pinned, set()
        for name in pinned & self._readers.keys():
            self._hold(name)

    async def load_for(self, step: str) -> None:
        """Have the outputs of the steps that `step` depends on in memory until those that depend on them have ended.

        Raises:
            LostOutputError: If one is not in the store.
        """
        if self._stored:
            await self.load(self._state.graph.dependencies(step))

    async def load_final(self, final: str) -> None:
        """Have the run's output in memory, that of the step `final`; empty if it has none.

        Raises:
            LostOutputError: If it is not in the store.
        """
        self._final = final
        await self.load([final] if final else [])

    def committed(self, stored: Mapping[str, StoredOutput]) -> None:
        """Learn which large outputs the store has now: step name -> what stands for it."""
        if self._is_releasing:
            for name, output in stored.items():
                self._stored[name] = output
                self._hold(name)

    def begun(self, step: str) -> None:
        """Forget what a step gave in an earlier life of the run, now that it begins again."""
        self._stored.pop(step, None)
        self._readers.pop(step, None)

    def ended(self, step: str) -> None:
        """Release what nobody has yet to read, now that `step` has its final status."""
        if not self._readers:
            return
        fallback = self._state.graph.rules(step).fallback
        for source in {e.source for e in self._state.graph.incoming[step]} | ({fallback.step} if fallback else set()):
            readers = self._readers.get(source)
            if readers is not None:
                readers.discard(step)
                self._release(source)

    def went_on(self, event: RunEvent) -> None:
        """Release what the steps inside a part gave that is done: nothing inside it is read or undone any more."""
        state: PipelineState | None = self._state if self._is_releasing else None
        while isinstance(event, InnerProgressed) and state is not None:
            state, event = state.inner_of(event.step, event.part), event.event
        if isinstance(event, PartCompleted) and state is not None:
            inner = state.inner_of(event.step, event.part)
            if inner is not None:
                _empty(inner)

    def shown(self, step: str, output: object) -> object:
        """Return what is to be shown of a step's output for as long as the run lasts: of a large one an excerpt."""
        return self._stored[step].excerpt if step in self._stored else output

    async def _load(self, name: str, stored: StoredOutput) -> None:
        run_id = self._state.run_id
        self._state.steps[name].output = await read_output(self._services, stored, run_id=run_id, step=name)
        self._hold(name)

    async def _whole(self, event: AgentEvent, step: str) -> AgentEvent:
        if not isinstance(event, TaskCompleted | Finalized) or not isinstance(event.output, StoredOutput):
            return event
        output = await read_output(self._services, event.output, run_id=self._state.run_id, step=step)
        return replace(event, output=output)

    def _hold(self, name: str) -> None:
        targets = {edge.target for edge in self._state.graph.outgoing[name]} | self._stood_in_for(name)
        self._readers[name] = {target for target in targets if self._is_open(target)}
        self._release(name)

    def _release(self, name: str) -> None:
        is_needed = name == self._final or name in self._kept or name in self._pinned
        if not self._readers[name] and not is_needed:
            del self._readers[name]
            self._state.steps[name].output = self._stored[name]

    def _is_open(self, name: str) -> bool:
        status = self._state.statuses[name]
        return not status.is_terminal or (self._state.is_finished and status is not StepStatus.COMPLETED)


def _empty(state: PipelineState) -> None:
    """Drop the outputs of a run that is done; how its steps went stays."""
    for record in state.steps.values():
        record.held = None
        for work in (record, *record.parts.values()):
            work.output = None
            if work.inner is not None:
                _empty(work.inner)
