"""Forks and time travel: a run's past under a new id, with edits, from which it goes another way."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tagent.exceptions import nearest
from tagent.names import run_scope
from tagent.payloads import encoded
from tagent.pipeline.course.reports import parts_done, summary_of
from tagent.pipeline.events import RunEvent, RunForked, RunStarted, StepCompleted, StepStarted
from tagent.pipeline.inputs import check_inputs
from tagent.pipeline.journal.blobs import blob_of
from tagent.pipeline.journal.loading import StoredRun, events_in, first_definition, latest_definition, stored_run
from tagent.pipeline.journal.serialization import record_of
from tagent.pipeline.models import Pipeline, StepStatus
from tagent.pipeline.nesting import runs_inside
from tagent.pipeline.outputs import output_type
from tagent.pipeline.persistence import journalled
from tagent.pipeline.state import PipelineState
from tagent.pipeline.stored.definition import Definition, outline
from tagent.pipeline.stored.origins import code_of
from tagent.pipeline.stored.steps import outlined_step
from tagent.pipeline.transfer.edits import Edits, ForkError
from tagent.pipeline.transfer.inheriting import in_own_name, inherited, not_inherited, with_dependents
from tagent.pipeline.work.event_step import listening
from tagent.ports.documents import DocumentQuery, Put
from tagent.ports.effects import Effects
from tagent.ports.records import Blob, NewRun, Record
from tagent.ports.services import Services
from tagent.ports.store import Store
from tagent.search import searchable


@dataclass(frozen=True, slots=True)
class Fork:
    """A new run, ready to be resumed.

    Attributes:
        run_id: Its id.
        parent: The run that it was forked from.
        pipeline: Its pipeline's name.
        reused: The steps that are completed in it, in definition order.
        again: The others, which resuming it runs; those that were left out stay so.
        parts: Step that runs again -> how many of its items or branches are completed in it.
    """

    run_id: str
    parent: str
    pipeline: str
    reused: tuple[str, ...]
    again: tuple[str, ...]
    parts: Mapping[str, int] = field(default_factory=dict)


async def fork_run(
    run_id: str,
    services: Services,
    *,
    from_step: str | None = None,
    at_event: int | None = None,
    overrides: Mapping[str, object] | None = None,
    pipeline: Pipeline | None = None,
) -> Fork:
    """Make a new run of what happened in an old one, which stays as it is.

    What ran before the fork point is not run again, and costs nothing. Resuming the new run does the rest.

    Args:
        run_id: The run to fork.
        services: Where it is kept, and all else.
        from_step: This step and all that depend on it run again; everything else that completed is reused.
        at_event: The run as it was after so many events, from 1; the number is that of `tagent runs logs`.
        overrides: What is different; see `Edits.of`. A step with a new goal or model runs again, and so do the
            steps that depend on one with a new output.
        pipeline: The code to check new inputs and outputs with; None loads it from where the run came from.

    Raises:
        UnknownRunError: If no run has this id.
        ForkError: If the step or event is unknown, or an edit does not fit.
        InputError: If new inputs do not fit the pipeline.
        NoPipelineError: If inputs or outputs are edited, the pipeline was built in code, and none is given.
    """
    records = await services.store.records(run_id)
    events = events_in(records, run_id=run_id)
    stored = StoredRun(latest_definition(await first_definition(services.store, run_id), events), events)
    last = _checked_end(at_event, len(events), run_id=run_id)
    there = stored.state(after=last)
    edits = Edits.of(overrides or {}, stored.definition, added=there.steps.keys())
    if from_step is not None and from_step not in there.steps:
        raise _unknown(from_step, there.steps)
    if from_step is None and at_event is None and not overrides:
        raise ForkError(
            "A fork needs a place to begin, or something that is different.", hint="Name a step or an event."
        )

    code = None
    if edits.inputs or edits.outputs:
        code = pipeline or code_of(stored.definition, run_id=run_id, hint="Give it: fork(..., pipeline=...).")
    begun = _beginning(events[0], edits, code, run_id=services.new_id())
    forked = RunForked(run_id, last, services.processes.user(), dict(overrides or {}), services.clock.now())
    added = (*_given_outputs(edits, code, run_id=begun.run_id, at=forked.at), forked)
    seeds = {*edits.again, *((from_step,) if from_step else ())}
    again = with_dependents(there, seeds, given=edits.outputs) | not_inherited(there)
    past = _past_of(begun, events[:last], records, parent=run_id, anew=again | edits.outputs.keys())

    state = StoredRun(stored.definition, (*(event for event, _ in past), *added)).state()
    edited = edits.applied_to(stored.definition)
    effects = await _effects_of(state, outline(edited), services.store, parent=run_id)
    await services.store.create_run(_new_run(state, past, added, forked=forked, definition=edited, effects=effects))
    rest = tuple(name for name, status in state.statuses.items() if not status.is_terminal)
    parts = {name: done for name in rest if (done := parts_done(state, name))}
    return Fork(begun.run_id, run_id, str(edited.spec["name"]), _completed(state), rest, parts)


def _beginning(event: RunEvent, edits: Edits, code: Pipeline | None, *, run_id: str) -> RunStarted:
    """Return how the fork begins: as its parent did, under its own id, and with new inputs if there are some."""
    assert isinstance(event, RunStarted)  # noqa: S101 - `events_in` has checked it
    inputs = event.inputs if code is None else check_inputs(code, {**event.inputs, **edits.inputs})
    return replace(event, run_id=run_id, inputs=inputs)


def _given_outputs(edits: Edits, code: Pipeline | None, *, run_id: str, at: float) -> Iterator[RunEvent]:
    """Yield, for each output that is given, what happens in the fork as if its step had given it."""
    for name, output in edits.outputs.items():
        plain = _checked_output(code, name, output)
        yield StepStarted(name, 1, f"{run_id}/{name}", at)
        yield StepCompleted(name, 1, plain, at)


def _past_of(
    begun: RunStarted, events: Sequence[RunEvent], records: Sequence[Record], *, parent: str, anew: Collection[str]
) -> list[tuple[RunEvent, Record | None]]:
    """Return what a fork takes over of its parent, each event with its record, or with None if it is changed.

    Args:
        begun: How the fork begins.
        events: What happened in the parent, up to the fork point.
        records: The same as they are stored; there may be more of them.
        parent: The parent's id.
        anew: The steps of which nothing is taken over.
    """
    past = [
        (event, record) if record is None else in_own_name(event, record, parent=parent, run_id=begun.run_id)
        for event, record in inherited(events, records, anew=anew)
    ]
    return [(begun, None), *past[1:]]


async def _effects_of(state: PipelineState, outlined: Pipeline, store: Store, *, parent: str) -> Effects:
    """Return what becomes true with a fork: events are awaited, and memory is there, in it and in the runs inside it.

    Args:
        state: How the fork begins.
        outlined: The outline of its pipeline.
        store: Where its parent is.
        parent: The parent's id.
    """
    effects = Effects()
    for run, pipeline in ((state, outlined), *runs_inside(state, outlined)):
        was = f"{parent}{run.run_id.removeprefix(state.run_id)}"
        mail = await listening(_with_added(pipeline, run), run_id=run.run_id, store=store, done=_completed(run))
        memory = await _memory_of(store, was, run.memories, new_id=run.run_id)
        effects = effects.plus(mail).plus(memory)
    return effects


def _new_run(
    state: PipelineState,
    past: Sequence[tuple[RunEvent, Record | None]],
    added: Sequence[RunEvent],
    *,
    forked: RunForked,
    definition: Definition,
    effects: Effects,
) -> NewRun:
    """Return the fork as its store creates it: nobody drives it yet.

    Args:
        state: How it begins.
        past: What it takes over, each event with its record, or with None if it is changed.
        added: What comes behind that.
        forked: That it was forked, and from what.
        definition: Its definition.
        effects: What else becomes true with it.
    """
    copied = [_renumbered(event, record, seq) for seq, (event, record) in enumerate(past, 1)]
    more, blobs = journalled(added, after_seq=len(copied))
    shared = {blob_hash for record in copied if (blob_hash := blob_of(record))} - {blob.hash for blob in blobs}
    return NewRun(
        state.run_id,
        str(definition.spec["name"]),
        definition.payload,
        definition.hash,
        owner="",
        lease_seconds=0.0,
        at=forked.at,
        records=(*copied, *more),
        summary=summary_of(state),
        blobs=(*blobs, *(Blob(blob_hash, None) for blob_hash in sorted(shared))),
        labels=state.labels,
        parent=forked.parent,
        forked_seq=forked.forked_seq,
        effects=effects,
    )


def _completed(state: PipelineState) -> tuple[str, ...]:
    return tuple(name for name, status in state.statuses.items() if status is StepStatus.COMPLETED)


def _unknown(step: str, known: Collection[str]) -> ForkError:
    """Return the error that says so of a step; for one inside a step, what to do instead."""
    outer = next((step[:at] for at, letter in enumerate(step) if letter == "/" and step[:at] in known), "")
    if outer:
        message = f"The step {step!r} is inside the step {outer!r}, and a fork begins with a step of the run itself."
        return ForkError(message, hint=f"Fork from {outer!r}: all inside it runs again.")
    return ForkError(f"The run has no step {step!r}.{nearest(step, known)}")


def _with_added(outlined: Pipeline, state: PipelineState) -> Pipeline:
    """Return the outline of a pipeline with the steps that a run of it has added and still has."""
    added = [outlined_step(spec) for by in state.changes for spec in by.change.added]
    return Pipeline(outlined, steps=[step for step in added if step.name in state.steps])


async def _memory_of(store: Store, run_id: str, memories: Mapping[str, object], *, new_id: str) -> Effects:
    """Return the memory that the steps of a run share, as the steps that are reused had left it.

    Args:
        store: Where it is.
        run_id: The run.
        memories: What those steps have saved, by key: its memory as it is now may be of later steps.
        new_id: Whose memory it becomes.
    """
    puts: list[Put] = []
    after = ""
    while memories and (page := await store.documents(DocumentQuery(run_scope(run_id), after=after))):
        for key in [document.key for document in page if document.key in memories]:
            payload = encoded(memories[key], what=f"The memory {key!r}")
            puts.append(Put(run_scope(new_id), key, payload, searchable([key, memories[key]])))
        after = page[-1].key
    return Effects(tuple(puts))


async def state_at(store: Store, run_id: str, event: int | None = None) -> PipelineState:
    """Return the state that the run had after its first `event` events; None means now.

    Raises:
        UnknownRunError: If no run has this id.
        ForkError: If the run has no such event.
    """
    stored = await stored_run(store, run_id, is_whole=True)
    return stored.state(after=_checked_end(event, len(stored.events), run_id=run_id))


def _checked_end(event: int | None, count: int, *, run_id: str) -> int:
    if event is None:
        return count
    if not 1 <= event <= count:
        raise ForkError(f"Run {run_id} has the events 1 to {count}, not {event}.")
    return event


def _checked_output(code: Pipeline | None, step: str, output: object) -> object:
    """Return the output as JSON values, if it is one that the step could have given."""
    kind = next((output_type(it) for it in (code.steps if code else ()) if it.name == step), None)
    if kind is None:
        raise ForkError(f"The code defines no step {step!r}, so nobody can say what it could give.")
    return kind.dump(output, step=step)


def _renumbered(event: RunEvent, record: Record | None, seq: int) -> Record:
    """Return the record at its new place; its bytes stay, so that what is large stays in its blob."""
    return record_of(event, seq) if record is None else Record(seq, record.kind, record.at, record.payload)
