"""A run out of its store, as one self-contained JSON document without what belongs to this machine."""

import hashlib

from pydantic_core import from_json, to_json

from tagent.pipeline.events import RunResumed
from tagent.pipeline.journal.blobs import blob_of
from tagent.pipeline.transfer.definitions import portable
from tagent.pipeline.transfer.documents import FORMAT, VERSION
from tagent.pipeline.transfer.portable_events import portable_payload
from tagent.ports.records import Record, RunRecord
from tagent.ports.store import Store


async def export_run(store: Store, run_id: str) -> bytes:
    """Return the run as one JSON document, UTF-8, one event a line.

    It has everything but what belongs to this machine: the pipeline's file and object name, the settings
    `base_url` and `store`, and who holds the run. A tool's NaN is written as Python's `json` writes it.

    Raises:
        UnknownRunError: If no run has this id.
        StoreError: If it cannot be read.
    """
    run = await store.run(run_id)
    definition = await store.definition(run.definition_hash)
    spec = to_json(portable(from_json(definition)))
    hashes = {run.definition_hash: hashlib.sha256(spec).hexdigest()}
    events, blobs = [], {}
    for record in await store.records(run_id):
        payload = _portable_record(record, hashes)
        head = to_json({"seq": record.seq, "kind": record.kind, "at": record.at})
        events.append(head[:-1] + b',"payload":' + payload + b"}")
        if (named := blob_of(record)) and named not in blobs:
            blobs[named] = to_json(named) + b":" + await store.blob(named)
    head = to_json({"format": FORMAT, "version": VERSION, "run": _facts(run)})
    parts = (
        head[:-1],
        b'"definition":' + spec,
        b'"events":[\n' + b",\n".join(events) + b"\n]",
        b'"blobs":{' + b",\n".join(blobs.values()) + b"}",
    )
    return b",\n".join(parts) + b"}\n"


def _facts(run: RunRecord) -> dict[str, object]:
    return {
        "id": run.run_id,
        "pipeline": run.pipeline,
        "status": run.status,
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "finished_at": run.finished_at,
        "labels": dict(run.labels),
        "cost_usd": run.cost_usd,
        "parent": run.parent,
        "forked_seq": run.forked_seq,
    }


def _portable_record(record: Record, hashes: dict[str, str]) -> bytes:
    """Return the record's payload without what belongs to this machine; `hashes` learns what names what now."""
    if record.kind != RunResumed.__name__:
        return portable_payload(record.payload)
    values = from_json(record.payload)
    was = values["definition_hash"]
    if values.get("definition"):
        text = to_json(portable(from_json(values["definition"])))
        values["definition"] = text.decode()
        hashes[was] = hashlib.sha256(text).hexdigest()
    return to_json({**values, "definition_hash": hashes.get(was, was)})
