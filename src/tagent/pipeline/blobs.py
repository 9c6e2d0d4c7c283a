"""Large outputs beside the journal: a record names the hash, the store keeps the content, who needs it loads it."""

import hashlib
import re

from pydantic_core import from_json, to_json

from tagent.ports.records import Blob, Record

LARGEST_INLINE = 16 * 1024
"""Bytes of an output that stays in its record."""

_NAMED = re.compile(rb',"blob":"([0-9a-f]{64})"\}\Z')
"""The last member of a record whose output is in a blob. No value inside can look like it: its braces come after."""


def split(record: Record) -> tuple[Record, tuple[Blob, ...]]:
    """Return the record with its output, if it is large, replaced by the name of the blob beside it."""
    if len(record.payload) <= LARGEST_INLINE:
        return record, ()
    values = from_json(record.payload)
    holder = values.get("event", values)
    content = to_json(holder.get("output"))
    if len(content) <= LARGEST_INLINE:
        return record, ()
    holder["output"] = None
    blob = Blob(hashlib.sha256(content).hexdigest(), content)
    return Record(record.seq, record.kind, record.at, to_json({**values, "blob": blob.hash})), (blob,)


def blob_of(record: Record) -> str:
    """Return the hash of the blob that holds the record's output, empty when it has none."""
    named = _NAMED.search(record.payload, max(0, len(record.payload) - 80))
    return named[1].decode() if named else ""


def joined(record: Record, content: bytes) -> Record:
    """Return the record as it was before `split`, given its blob's content."""
    values = from_json(record.payload)
    del values["blob"]
    values.get("event", values)["output"] = from_json(content)
    return Record(record.seq, record.kind, record.at, to_json(values))
