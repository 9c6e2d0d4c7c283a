"""Our values as the arguments of scripts, and answers as our values. Texts are UTF-8, floats keep every digit."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields

from tagent.adapters.storage.redis.arguments import NO, YES, Arguments, number_argument, utf8
from tagent.adapters.storage.redis.effect_values import effect_arguments
from tagent.adapters.storage.redis.link import Reply
from tagent.exceptions import StoreError
from tagent.ports.records import Batch, Blob, NewRun, Record, RunQuery, RunRecord, RunSummary, begun

FORMAT = 1
"""The version of everything that is stored; a store of a newer one is not touched.

Memory and messages did not change it: they are keys that an older tagent leaves alone.
"""


def new_run_arguments(run: NewRun) -> Arguments:
    """Return the arguments of `create_run.lua` behind the run.

    Raises:
        StoreError: If the records do not follow each other, or a text is not Unicode.
    """
    record = begun(run)
    stored: list[str] = []
    for field in fields(record):
        if field.name != "run_id":
            stored += (field.name, _stored(getattr(record, field.name)))
    return (
        b"%d" % FORMAT,
        number_argument(run.at),
        number_argument(run.lease_seconds),
        utf8(run.definition_hash),
        run.definition,
        utf8((run.summary and run.summary.text) or ""),
        utf8(json.dumps(stored, ensure_ascii=False)),
        *_batch_arguments(run.records, run.blobs, first_seq=1),
        *(effect_arguments(run.effects) if run.effects else ()),
    )


def commit_arguments(batch: Batch) -> Arguments:
    """Return the arguments of `commit.lua` behind the run.

    Raises:
        StoreError: If the records do not follow each other, or a text is not Unicode.
    """
    first = batch.records[0].seq if batch.records else 0
    return (
        b"%d" % batch.epoch,
        b"%d" % first,
        *_batch_arguments(batch.records, batch.blobs, first_seq=first),
        *(effect_arguments(batch.effects) if batch.effects else ()),
        *_summary_arguments(batch.summary),
    )


def query_arguments(query: RunQuery) -> Arguments:
    """Return the arguments of `search.lua` behind the portion: what to look for.

    Raises:
        StoreError: If a text is not Unicode.
    """
    labels = tuple(text for pair in query.labels.items() for text in pair)
    lists = (query.statuses, query.pipelines, labels, query.words)
    times = (b"" if at is None else number_argument(at) for at in (query.since, query.until))
    return (*times, *(b"%d" % len(it) for it in lists), *(utf8(text) for it in lists for text in it))


def stored_run(run_id: str, pairs: Sequence[str]) -> RunRecord:
    """Return the run of which the hash holds `pairs`: a name, its value, the next name ..."""
    found: Mapping[str, str] = dict(zip(pairs[::2], pairs[1::2], strict=True))
    return RunRecord(
        run_id=run_id,
        pipeline=found["pipeline"],
        definition_hash=found["definition_hash"],
        status=found["status"],
        epoch=int(found["epoch"]),
        last_seq=int(found["last_seq"]),
        owner=found["owner"],
        created_at=float(found["created_at"]),
        updated_at=float(found["updated_at"]),
        finished_at=float(found["finished_at"]) if found["finished_at"] else None,
        cost_usd=float(found["cost_usd"]),
        labels=json.loads(found["labels"]),
        parent=found["parent"],
        forked_seq=int(found["forked_seq"]),
    )


def stored_record(entry: Reply) -> Record:
    """Return the record that an entry of a journal's Stream holds.

    Raises:
        StoreError: If another program wrote the entry.
    """
    match entry:
        case [bytes(entry_id), [b"kind", bytes(kind), b"at", bytes(at), b"payload", bytes(payload)]]:
            return Record(int(entry_id.partition(b"-")[0]), kind.decode(), float(at), payload)
        case _:
            raise StoreError("A journal holds an entry that tagent has not written.")


def stored_portion(answer: Reply) -> tuple[Sequence[RunRecord], tuple[bytes, bytes]]:
    """Return what `search.lua` found, and behind which run and which time to go on; no time at the end.

    Raises:
        StoreError: If the answer is none of `search.lua`.
    """
    match answer:
        case [bytes(found), bytes(run_id), bytes(at)]:
            return [stored_run(name, pairs) for name, *pairs in json.loads(found)], (run_id, at)
        case _:
            raise StoreError("A search was answered by what is no list of runs.")


def texts(reply: Reply) -> list[str]:
    """Return the texts that a list holds; none if the answer is no list."""
    return [value.decode() for value in reply if isinstance(value, bytes)] if isinstance(reply, list) else []


def _batch_arguments(records: Sequence[Record], blobs: Sequence[Blob], *, first_seq: int) -> Arguments:
    """Return records and blobs as `journals.lua` reads them."""
    arguments = [b"%d" % len(records), b"%d" % len(blobs)]
    for seq, record in enumerate(records, first_seq):
        if record.seq != seq:
            raise StoreError(f"Record {record.seq} stands where {seq} belongs: nothing was written.")
        arguments += (utf8(record.kind), number_argument(record.at), record.payload)
    for blob in blobs:
        arguments += (utf8(blob.hash), NO if blob.content is None else YES, blob.content or b"")
    return tuple(arguments)


def _summary_arguments(summary: RunSummary | None) -> Arguments:
    """Return a summary as `commit.lua` reads it: nothing for none."""
    if summary is None:
        return ()
    return (
        utf8(summary.status),
        number_argument(summary.at),
        number_argument(summary.cost_usd),
        YES if summary.is_finished else NO,
        NO if summary.text is None else YES,
        utf8(summary.text or ""),
    )


def _stored(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return json.dumps(dict(value), ensure_ascii=False)
    return repr(value) if isinstance(value, float) else str(value)
