"""Large outputs beside the journal: a record names the hash, the store keeps the content, who needs it loads it."""

import hashlib
import re
from typing import Any

from pydantic_core import from_json, to_json

from tagent.pipeline.events import CONDITION
from tagent.ports.records import Blob, Record
from tagent.search import LONGEST_VALUE
from tagent.values import value

LARGEST_INLINE = 16 * 1024
"""Bytes of an output that stays in its record."""

_NAMED = re.compile(rb',"blob":"([0-9a-f]{64})"\}\Z')
"""The last member of a record whose output is in a blob. No value inside can look like it: its braces come after."""


@value
class StoredOutput:
    """Stands for a large output that is in the store and not in memory.

    Attributes:
        hash: Names the blob that holds it.
        excerpt: How its text begins, as far as searches look; empty in the journals of older versions.
    """

    hash: str
    excerpt: str = ""

    def __repr__(self) -> str:
        return "<in the store>"


def split(record: Record) -> tuple[Record, tuple[Blob, ...]]:
    """Return the record with its output, if it is large, replaced by an excerpt and the name of the blob beside it."""
    if len(record.payload) <= LARGEST_INLINE:
        return record, ()
    values = from_json(record.payload)
    holder = _innermost(values)
    if holder.get("part") == CONDITION:  # it decides what becomes of the step, so it is read with the journal
        return record, ()
    output = holder.get("output")
    content = to_json(output)
    if len(content) <= LARGEST_INLINE:
        return record, ()
    holder["output"] = output[:LONGEST_VALUE] if isinstance(output, str) else _beginning(content)
    blob = Blob(hashlib.sha256(content).hexdigest(), content)
    return Record(record.seq, record.kind, record.at, to_json({**values, "blob": blob.hash})), (blob,)


def named(record: Record, stored: StoredOutput) -> tuple[Record, tuple[Blob, ...]]:
    """Return the record with the name of its output, which the store has already, and the blob without its content."""
    values = {**from_json(record.payload), "output": stored.excerpt, "blob": stored.hash}
    return Record(record.seq, record.kind, record.at, to_json(values)), (Blob(stored.hash, None),)


def blob_of(record: Record) -> str:
    """Return the hash of the blob that holds the record's output, empty when it has none."""
    named = _NAMED.search(record.payload, max(0, len(record.payload) - 80))
    return named[1].decode() if named else ""


def stored_output(record: Record) -> StoredOutput | None:
    """Return what stands for the record's output when that is in a blob, else None."""
    blob_hash = blob_of(record)
    if not blob_hash:
        return None
    values = from_json(record.payload)
    return StoredOutput(blob_hash, _innermost(values).get("output") or "")


def _innermost(values: dict[str, Any]) -> dict[str, Any]:
    """Return what a record tells that is in no other event: what an agent did, or what happened in a run inside."""
    while "event" in values and "kind" in values:  # only events that hold another one have both
        values = values["event"]
    return values


def _beginning(content: bytes) -> str:
    # Four bytes are the longest character; one that is cut in two at the end is beyond the excerpt.
    return content[: 4 * LONGEST_VALUE].decode(errors="ignore")[:LONGEST_VALUE]
