"""Reading a run from its store: its events, its definition, and both with the state that they come to."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic_core import from_json

from tagent.pipeline.events import (
    AgentProgressed,
    ApprovalAnswered,
    ApprovalRequested,
    InnerProgressed,
    PartCompleted,
    RunEvent,
    RunResumed,
    RunStarted,
    StepCompleted,
    StepGiven,
    StepSubstituted,
)
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.journal.blobs import StoredOutput, stored_output
from tagent.pipeline.journal.serialization import JournalFormatError, event_of
from tagent.pipeline.state import PipelineState, fold
from tagent.pipeline.stored.definition import Definition, outline
from tagent.ports.records import Record
from tagent.ports.store import Store
from tagent.task_agent.events import Finalized, TaskCompleted

_OutputsOfRun = StepCompleted | StepSubstituted | StepGiven | PartCompleted | ApprovalRequested | ApprovalAnswered
_Outputs = _OutputsOfRun | TaskCompleted | Finalized


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as its store has it.

    Attributes:
        definition: The definition with which it goes on.
        events: What happened, in order.
    """

    definition: Definition
    events: tuple[RunEvent, ...]

    def state(self, *, after: int | None = None) -> PipelineState:
        """Return the state of the run after its first `after` events; None means all of them."""
        return fold(ExecutionGraph.build(outline(self.definition)), self.events[:after])


async def stored_run(store: Store, run_id: str, *, is_whole: bool = False) -> StoredRun:
    """Return a run as it is stored.

    Args:
        store: Where it is.
        run_id: The run.
        is_whole: Whether to load the large outputs too; without, a `StoredOutput` stands for each.

    Raises:
        UnknownRunError: If no run has this id.
        JournalFormatError: If a record cannot be read, or the run's beginning is missing.
        MissingBlobError: If a large output is not in the store.
        StoreError: If the definition is missing.
    """
    events = await load_events(store, run_id, is_whole=is_whole)
    return StoredRun(latest_definition(await first_definition(store, run_id), events), events)


async def load_events(store: Store, run_id: str, *, is_whole: bool = True) -> tuple[RunEvent, ...]:
    """Return the events of a run, in order.

    Args:
        store: Where the run is.
        run_id: The run.
        is_whole: Whether to load the large outputs too; without, a `StoredOutput` stands for each.

    Raises:
        UnknownRunError: If no run has this id.
        JournalFormatError: If a record cannot be read, or the run's beginning is missing.
        MissingBlobError: If a large output is not in the store.
    """
    events = events_in(await store.records(run_id), run_id=run_id)
    return await _with_outputs(store, events) if is_whole else events


def events_in(records: Sequence[Record], *, run_id: str) -> tuple[RunEvent, ...]:
    """Return the events of a run's journal, read from its beginning; a `StoredOutput` stands for each large output.

    Raises:
        JournalFormatError: If a record cannot be read, or the run's beginning is missing.
    """
    events = tuple([_event_in(record) for record in records])
    if not events or not isinstance(events[0], RunStarted):
        raise JournalFormatError(f"The journal of run {run_id} does not begin with the run's start.")
    return events


async def events_behind(store: Store, run_id: str, *, after_seq: int) -> tuple[RunEvent, ...]:
    """Return the events of a run behind the place `after_seq`; a `StoredOutput` stands for each large output.

    Raises:
        UnknownRunError: If no run has this id.
        JournalFormatError: If a record cannot be read.
    """
    return tuple([_event_in(record) for record in await store.records(run_id, after_seq=after_seq)])


def _event_in(record: Record) -> RunEvent:
    event, stored = event_of(record), stored_output(record)
    return event if stored is None else _with_output(event, stored)


async def _with_outputs(store: Store, events: tuple[RunEvent, ...]) -> tuple[RunEvent, ...]:
    """Return the events with their large outputs in them, each blob loaded once."""
    named = {place: output for place, event in enumerate(events) if (output := _stored_in(event)) is not None}
    if not named:
        return events
    async with asyncio.TaskGroup() as group:
        loads = {blob: group.create_task(store.blob(blob)) for blob in {stored.hash for stored in named.values()}}
    return tuple(
        [
            _with_output(event, from_json(loads[named[place].hash].result())) if place in named else event
            for place, event in enumerate(events)
        ]
    )


def _stored_in(event: RunEvent) -> StoredOutput | None:
    holder: object = event
    while isinstance(holder, AgentProgressed | InnerProgressed):
        holder = holder.event
    if isinstance(holder, _Outputs) and isinstance(holder.output, StoredOutput):
        return holder.output
    return None


def _with_output(event: RunEvent, output: object) -> RunEvent:
    """Return the event with another output, if it has one."""
    match event:
        case (
            StepCompleted()
            | StepSubstituted()
            | StepGiven()
            | PartCompleted()
            | ApprovalRequested()
            | ApprovalAnswered()
        ):
            return replace(event, output=output)
        case InnerProgressed(event=inside):
            return replace(event, event=_with_output(inside, output))
        case AgentProgressed(event=TaskCompleted() | Finalized() as inner):
            return replace(event, event=replace(inner, output=output))
        case _:
            return event


async def first_definition(store: Store, run_id: str) -> Definition:
    """Return the definition that a run was started with.

    Raises:
        UnknownRunError: If no run has this id.
        StoreError: If the definition is missing.
    """
    run = await store.run(run_id)
    return Definition.read(await store.definition(run.definition_hash))


def latest_definition(first: Definition, events: Sequence[RunEvent]) -> Definition:
    """Return the definition with which a run goes on: that of the last resume that brought another, else the first."""
    for event in reversed(events):
        if isinstance(event, RunResumed) and event.definition:
            return Definition.read(event.definition.encode())
    return first
