"""What effects have come to, as JSON in a line of the log. Pure. What is empty is left out."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from tagent.adapters.storage.changes import Changes, WrittenDocument
from tagent.adapters.storage.files.json_bytes import bytes_of, json_of_bytes
from tagent.ports.documents import Document
from tagent.ports.messages import Cursor, Message

Row = TypeVar("Row")


def json_of_changes(changes: Changes) -> dict[str, object]:
    """Return what is different, under the names of the fields of `Changes`."""
    found: dict[str, list[object]] = {
        "documents": [_json_of_document(it) for it in changes.documents],
        "removed": [{"scope": scope, "key": key} for scope, key in changes.removed],
        "versions": [{"scope": scope, "version": version} for scope, version in changes.versions],
        "messages": [_json_of_message(it) for it in changes.messages],
        "swept": [{"topic": topic, "seq": seq} for topic, seq in changes.swept],
        "cursors": [_json_of_cursor(it) for it in changes.cursors],
    }
    return {name: rows for name, rows in found.items() if rows}


def changes_of(data: Mapping[str, Any]) -> Changes:
    """Return the changes that `json_of_changes` made JSON of.

    Raises:
        ValueError: If it is no such JSON; KeyError and TypeError alike.
    """
    return Changes(
        documents=_rows("documents", data, _document_of),
        removed=_rows("removed", data, lambda row: (row["scope"], row["key"])),
        versions=_rows("versions", data, lambda row: (row["scope"], row["version"])),
        messages=_rows("messages", data, _message_of),
        swept=_rows("swept", data, lambda row: (row["topic"], row["seq"])),
        cursors=_rows("cursors", data, lambda row: Cursor(**row)),
    )


def _json_of_document(written: WrittenDocument) -> dict[str, object]:
    document = written.document
    row: dict[str, object] = {"scope": document.scope, "key": document.key, "version": document.version}
    row["at"] = document.at
    if document.expires_at is not None:
        row["expires_at"] = document.expires_at
    if written.text:
        row["text"] = written.text
    return row | json_of_bytes("value", document.value)


def _json_of_message(message: Message) -> dict[str, object]:
    row: dict[str, object] = {"topic": message.topic, "seq": message.seq, "at": message.at}
    names = {"key": message.key, "sender": message.sender, "reply_to": message.reply_to}
    return row | {name: text for name, text in names.items() if text} | json_of_bytes("payload", message.payload)


def _json_of_cursor(cursor: Cursor) -> dict[str, object]:
    return {field.name: getattr(cursor, field.name) for field in fields(Cursor)}


# What json.loads returns is Any: a field that is missing or of a wrong type is an error when it is used.


def _rows(name: str, data: Mapping[str, Any], decode: Callable[[Mapping[str, Any]], Row]) -> tuple[Row, ...]:
    return tuple(map(decode, data.get(name, ())))


def _document_of(row: Mapping[str, Any]) -> WrittenDocument:
    document = Document(
        row["scope"], row["key"], row["version"], bytes_of("value", row), row["at"], row.get("expires_at")
    )
    return WrittenDocument(document, row.get("text", ""))


def _message_of(row: Mapping[str, Any]) -> Message:
    names = row.get("key", ""), row.get("sender", ""), row.get("reply_to", "")
    return Message(row["topic"], row["seq"], row["at"], bytes_of("payload", row), *names)
