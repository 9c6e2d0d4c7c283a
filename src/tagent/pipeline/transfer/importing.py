"""A run from a JSON document into a store.

What comes in is checked as if it came from an enemy: it is data, all of it is looked at before anything
is written, and it never says which code is run, nor where a key is sent.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tagent.exceptions import StoreError, TAgentError
from tagent.pipeline.course.reports import summary_of
from tagent.pipeline.events import RunEvent, RunResumed, RunStarted
from tagent.pipeline.exceptions import PipelineError
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.journal.serialization import event_of
from tagent.pipeline.labels import check_labels
from tagent.pipeline.persistence import journalled
from tagent.pipeline.state import PipelineState, apply
from tagent.pipeline.stored.definition import Definition, outline
from tagent.pipeline.transfer.course_checks import Course
from tagent.pipeline.transfer.definitions import forget_types, read_definition
from tagent.pipeline.transfer.documents import (
    LARGEST_DOCUMENT,
    MAX_VALUES,
    Document,
    EventFacts,
    RunImportError,
    read_document,
    read_json,
    require_name,
    values_in,
    written,
)
from tagent.pipeline.transfer.event_checks import require_sane
from tagent.pipeline.transfer.held_effects import require_own_effects
from tagent.pipeline.transfer.portable_events import portable_event
from tagent.pipeline.transfer.recording import Recording
from tagent.pipeline.transfer.sizes import Sizes
from tagent.ports.records import NewRun, Record, RunRecord
from tagent.ports.store import Store
from tagent.ports.store_errors import ConflictError

WHOLE_TO_DOCUMENT = 4
"""How often, on the whole, the blobs of a document may be named: each naming is read into memory."""


class RunExistsError(PipelineError):
    """The store has a run of this id already. Nothing was written.

    Attributes:
        run_id: The id.
    """

    code = "run.exists"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"The store has a run {run_id} already: nothing was written.",
            hint="Delete that one first, or import into another store.",
        )


async def import_run(
    store: Store, payload: bytes, *, largest: int = LARGEST_DOCUMENT, may_name_code: bool = False
) -> str:
    """Put an exported run into `store` under its own id, held by nobody, and return the id.

    Args:
        store: Where it is put.
        payload: What `export_run` gave, or anything else: it is not trusted.
        largest: How many bytes it may have.
        may_name_code: Whether steps that the run has added itself keep the names of their functions. Whoever resumes
            the run has those called, of the module and the package of the step that added them, whichever the file
            names. Without them a run with such steps cannot go on; it can be looked at, compared and replayed.

    Raises:
        RunImportError: If it is no run, or one that would do harm; nothing was written.
        RunExistsError: If the store has a run of this id; nothing was written.
        StoreError: If the store cannot be written.
    """
    recording = read_recording(payload, largest=largest, may_name_code=may_name_code)
    state = _folded(recording.counts, recording.events, run_id=recording.run_id)
    records, blobs = journalled(recording.events, after_seq=0)
    run = recording.run
    new = NewRun(
        run.run_id,
        run.pipeline,
        recording.definition.payload,
        recording.definition.hash,
        owner="",
        lease_seconds=0.0,
        at=run.created_at,
        records=records,
        summary=summary_of(state),
        blobs=tuple({blob.hash: blob for blob in blobs}.values()),
        labels=run.labels,
        parent=run.parent,
        forked_seq=run.forked_seq,
    )
    try:
        await store.create_run(new)
    except ConflictError:
        raise RunExistsError(run.run_id) from None
    return run.run_id


def read_recording(payload: bytes, *, largest: int = LARGEST_DOCUMENT, may_name_code: bool = False) -> Recording:
    """Return the run that a document holds; what is returned can be written and resumed without harm.

    Args:
        payload: The document.
        largest: How many bytes it may have.
        may_name_code: As for `import_run`.

    Raises:
        RunImportError: If it is no run, or one that would do harm.
    """
    document = read_document(payload, largest=largest)
    facts = document.run
    require_name(facts.pipeline, what="its pipeline")
    definition = read_definition(document.definition)
    if definition.spec["name"] != facts.pipeline:
        raise RunImportError("its definition is of another pipeline.")
    events = tuple([_portable(event, may_name_code=may_name_code) for event in _events(document, largest=largest)])
    begun = events[0] if events else None
    if not isinstance(begun, RunStarted) or any(isinstance(event, RunStarted) for event in events[1:]):
        raise RunImportError("its first event, and no other, must be RunStarted.")
    if begun.run_id != facts.id:
        raise RunImportError("its events are of another run.")
    if begun.pipeline != facts.pipeline:
        raise RunImportError("its events are of another pipeline.")
    _labels(begun.labels)
    was = hashlib.sha256(written(document.definition, what="its definition")).hexdigest()
    events, counts = _with_safe_definitions(events, definition, was=was)
    state = _folded(counts, events, run_id=facts.id)
    run = RunRecord(
        run_id=facts.id,
        pipeline=facts.pipeline,
        definition_hash=definition.hash,
        status=state.status.value,
        epoch=1,
        last_seq=len(events),
        owner="",
        created_at=facts.created_at,
        updated_at=state.last_at,
        finished_at=state.last_at if state.is_finished else None,
        cost_usd=state.cost_usd,
        labels=_labels(facts.labels),
        parent=facts.parent,
        forked_seq=facts.forked_seq,
    )
    return Recording(facts.id, definition, counts, events, run)


def _labels(labels: Mapping[str, object]) -> dict[str, str]:
    try:
        checked = check_labels(labels)
    except TAgentError as error:
        raise RunImportError(f"a label is wrong: {error.message}") from None
    if not all(value.isprintable() for value in checked.values()):
        raise RunImportError("a label has control characters.")
    return checked


def _events(document: Document, *, largest: int) -> Iterator[RunEvent]:
    """Yield the events with their large outputs in them, each checked by itself."""
    contents = {name: written(content, what="a blob") for name, content in document.blobs.items()}
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != name:
            raise RunImportError("the content of a blob does not have the hash that names it.")
    sizes = {name: values_in(content.decode()) for name, content in contents.items()}
    unnamed = set(contents)
    whole_bytes, whole_values = 0, 0
    for number, fact in enumerate(document.events, 1):
        if fact.seq != number:
            raise RunImportError(f"its event number {number} has the place {fact.seq}.")
        values = fact.payload
        if "blob" in values:
            name = _blob_name(fact, contents)
            unnamed.discard(name)
            whole_bytes, whole_values = whole_bytes + len(contents[name]), whole_values + sizes[name]
            if whole_bytes > largest * WHOLE_TO_DOCUMENT or whole_values > MAX_VALUES:
                raise RunImportError("it names large outputs so often that it would fill the memory.")
            values = {key: value for key, value in values.items() if key != "blob"}
            values = _with_output(values, document.blobs[name], seq=fact.seq)
        yield _event(fact, values)
    if unnamed:
        raise RunImportError("it has a blob that no event names.")


def _blob_name(fact: EventFacts, contents: Mapping[str, bytes]) -> str:
    name = fact.payload["blob"]
    if not isinstance(name, str) or name not in contents:
        raise RunImportError(f"its event {fact.seq} names a blob that is not in the file.")
    return name


def _with_output(values: Mapping[str, Any], output: object, *, seq: int) -> dict[str, Any]:
    """Return a record's values with this output in its innermost event: what an agent did, or a run inside a step."""
    inside = values.get("event") if "kind" in values else None
    if isinstance(inside, dict):
        return {**values, "event": _with_output(inside, output, seq=seq)}
    if "output" not in values:
        raise RunImportError(f"its event {seq} names a blob and has no output.")
    return {**values, "output": output}


def _event(fact: EventFacts, values: Mapping[str, Any]) -> RunEvent:
    payload = written(values, what=f"its event {fact.seq}")
    try:
        event = event_of(Record(fact.seq, fact.kind, fact.at, payload))
    except StoreError as error:
        raise RunImportError(f"{error.message[:300]}", hint=error.hint) from None
    if type(event.at) not in (float, int) or event.at != fact.at:
        raise RunImportError(f"the times of its event {fact.seq} do not agree.")
    require_sane(event, seq=fact.seq)
    return event


def _portable(event: RunEvent, *, may_name_code: bool) -> RunEvent:
    try:
        return portable_event(event, may_name_code=may_name_code)
    except (KeyError, TypeError, AttributeError):
        raise RunImportError("one of its events adds a step that is none.") from None


def _with_safe_definitions(
    events: tuple[RunEvent, ...], definition: Definition, *, was: str
) -> tuple[tuple[RunEvent, ...], Definition]:
    """Return the events with every definition that they hold checked and made portable; and the one that counts."""
    hashes = {was: definition.hash}
    counts = definition
    safe: list[RunEvent] = []
    for event in events:
        kept = event
        if isinstance(event, RunResumed):
            if event.definition:
                values = read_json(event.definition.encode("utf-8", "surrogatepass"))
                if not isinstance(values, dict):
                    raise RunImportError("a definition in its events is no object.")
                counts = read_definition(values)
                hashes[event.definition_hash] = counts.hash
                event = replace(event, definition=counts.payload.decode())  # noqa: PLW2901
            kept = replace(event, definition_hash=hashes.get(event.definition_hash, event.definition_hash))
        safe.append(kept)
    return tuple(safe), counts


def _folded(definition: Definition, events: tuple[RunEvent, ...], *, run_id: str) -> PipelineState:
    """Return the state that the events lead to, with that of the agents and of the runs inside looked at."""
    pipeline = outline(definition)
    state = PipelineState(ExecutionGraph.build(pipeline))
    forget_types(pipeline)
    course = Course(pipeline, state, key=run_id, sizes=Sizes())
    for seq, event in enumerate(events, 1):
        try:
            course.require_possible(event, seq=seq)
            apply(state, event)
        except RunImportError:
            raise
        except TAgentError as error:
            raise RunImportError(f"its event {seq} cannot happen there: {error.message[:300]}") from None
    require_own_effects(state, run_id=run_id)
    return state
