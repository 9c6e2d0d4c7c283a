"""What a line of the log says has happened: as values, and as JSON. Pure.

An operation is one line and happens whole or not at all. The contents it names by their hashes stand
in lines of their own before it; contents that no run names do not count.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, Literal, assert_never

from tagent.adapters.storage.changes import Changes
from tagent.adapters.storage.files.changes_json import changes_of, json_of_changes
from tagent.adapters.storage.files.json_bytes import bytes_of, json_of_bytes
from tagent.ports.records import Record, RunRecord, RunSummary
from tagent.values import value

ContentKind = Literal["definition", "blob"]


@value
class ContentWritten:
    """A definition or a blob, for the runs that name it from now on."""

    kind: ContentKind
    hash: str
    content: bytes


@value
class RunCreated:
    """A run has begun: what is known of it after its first records, and these.

    `lease_ends` is in seconds since 1970-01-01 UTC, here and below.
    """

    run: RunRecord
    lease_ends: float
    text: str
    records: tuple[Record, ...]
    blobs: tuple[str, ...]


@value
class BatchCommitted:
    """A run's journal has grown."""

    run_id: str
    records: tuple[Record, ...]
    summary: RunSummary | None
    blobs: tuple[str, ...]


@value
class RunHeld:
    """Somebody holds the run from now on; nobody, if `owner` is empty. Replaces what was said of it before."""

    run_id: str
    epoch: int
    owner: str
    lease_ends: float


@value
class RunDeleted:
    """The run is gone; its id is free."""

    run_id: str


@value
class ChangesWritten:
    """Memory and messages have changed, and with them a run, if one is named.

    A run that begins or grows alone is not wrapped so: a tagent that has never heard of changes goes on reading
    what holds none, and refuses the rest.
    """

    changes: Changes
    run: RunCreated | BatchCommitted | None = None


@value
class Forgotten:
    """Every scope, topic and subscriber whose name begins with `prefix` is gone."""

    prefix: str


Operation = ContentWritten | RunCreated | BatchCommitted | RunHeld | RunDeleted | ChangesWritten | Forgotten

_RUN_FIELDS = tuple(field.name for field in fields(RunRecord))
_SUMMARY_FIELDS = tuple(field.name for field in fields(RunSummary))
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)


class UnknownOperationError(ValueError):
    """The JSON names an operation that this tagent does not know."""


def encoded(operation: Operation) -> bytes:
    """Return the operation as JSON on one line.

    Raises:
        UnicodeEncodeError: If a text holds half of a surrogate pair.
    """
    return _ENCODER.encode(_json_of(operation)).encode()


def decoded(body: bytes) -> Operation:
    """Return the operation that `encoded` made JSON of.

    Raises:
        UnknownOperationError: If no operation is called so.
        ValueError: If it is no such JSON; KeyError and TypeError alike.
    """
    data = json.loads(body)
    decode = _DECODERS.get(data["op"])
    if decode is None:
        raise UnknownOperationError(data["op"])
    return decode(data)


def run_part(operation: Operation) -> RunCreated | BatchCommitted | None:
    """Return what an operation says of the beginning or the growth of a run, None if it says nothing of that."""
    match operation:
        case RunCreated() | BatchCommitted():
            return operation
        case ChangesWritten(_, run):
            return run
        case _:
            return None


def _json_of(operation: Operation) -> Mapping[str, object]:
    match operation:
        case ContentWritten(kind, hash_, content):
            return {"op": "content", "kind": kind, "hash": hash_} | json_of_bytes("content", content)
        case RunCreated(run, lease_ends, text, records, blobs):
            known = {name: getattr(run, name) for name in _RUN_FIELDS} | {"labels": dict(run.labels)}
            return {"op": "create", "run": known, "lease_ends": lease_ends, "text": text} | _growth(records, blobs)
        case BatchCommitted(run_id, records, summary, blobs):
            change = {} if summary is None else {"summary": {name: getattr(summary, name) for name in _SUMMARY_FIELDS}}
            return {"op": "commit", "run_id": run_id} | change | _growth(records, blobs)
        case RunHeld(run_id, epoch, owner, lease_ends):
            return {"op": "hold", "run_id": run_id, "epoch": epoch, "owner": owner, "lease_ends": lease_ends}
        case RunDeleted(run_id):
            return {"op": "delete", "run_id": run_id}
        case ChangesWritten(changes, run):
            return {"op": "change"} | json_of_changes(changes) | ({} if run is None else {"run": _json_of(run)})
        case Forgotten(prefix):
            return {"op": "forget", "prefix": prefix}
        case _:
            assert_never(operation)


def _growth(records: Iterable[Record], blobs: Iterable[str]) -> dict[str, object]:
    rows = [{"seq": it.seq, "kind": it.kind, "at": it.at} | json_of_bytes("payload", it.payload) for it in records]
    names = list(blobs)
    return {"records": rows, "blobs": names} if names else {"records": rows}


# What json.loads returns is Any: a field that is missing or of a wrong type is an error when it is used.


def _records_of(data: Mapping[str, Any]) -> tuple[Record, ...]:
    return tuple(Record(it["seq"], it["kind"], it["at"], bytes_of("payload", it)) for it in data["records"])


def _content_of(data: Mapping[str, Any]) -> Operation:
    return ContentWritten(data["kind"], data["hash"], bytes_of("content", data))


def _creation_of(data: Mapping[str, Any]) -> RunCreated:
    blobs = tuple(data.get("blobs", ()))
    return RunCreated(RunRecord(**data["run"]), data["lease_ends"], data["text"], _records_of(data), blobs)


def _commit_of(data: Mapping[str, Any]) -> BatchCommitted:
    summary = RunSummary(**data["summary"]) if "summary" in data else None
    return BatchCommitted(data["run_id"], _records_of(data), summary, tuple(data.get("blobs", ())))


def _hold_of(data: Mapping[str, Any]) -> Operation:
    return RunHeld(data["run_id"], data["epoch"], data["owner"], data["lease_ends"])


def _deletion_of(data: Mapping[str, Any]) -> Operation:
    return RunDeleted(data["run_id"])


def _change_of(data: Mapping[str, Any]) -> Operation:
    run = data.get("run")
    return ChangesWritten(changes_of(data), None if run is None else _GROWTHS[run["op"]](run))


def _forgetting_of(data: Mapping[str, Any]) -> Operation:
    return Forgotten(data["prefix"])


_GROWTHS: Mapping[object, Callable[[Mapping[str, Any]], RunCreated | BatchCommitted]] = {
    "create": _creation_of,
    "commit": _commit_of,
}

_DECODERS: Mapping[object, Callable[[Mapping[str, Any]], Operation]] = {
    "content": _content_of,
    **_GROWTHS,
    "hold": _hold_of,
    "delete": _deletion_of,
    "change": _change_of,
    "forget": _forgetting_of,
}
