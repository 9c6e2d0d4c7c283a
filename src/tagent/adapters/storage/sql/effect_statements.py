"""The statements on the tables of memory and messages, as plain SQL.

Parameters are `:named` and come as a dict, except where there is one for each of many rows or names:
then all come in order.
"""

# ruff: noqa: S608 - the texts are put together of words of ours alone; what others say is a parameter

from collections.abc import Iterable, Sequence
from typing import Any

from tagent.adapters.storage.sql.dialects import Dialect
from tagent.adapters.storage.sql.driver import Cursor
from tagent.ports.documents import DocumentQuery

Statement = tuple[str, dict[str, object]]
"""A text and its parameters."""

AT_ONCE = 100
"""How many rows or names one statement takes: with 8 parameters each within what every SQLite takes."""

_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)

_DOCUMENT = "scope, key, version, value, at, expires_at"
_MESSAGE = "message.topic, message.seq, message.at, payload, key, sender, reply_to"


class RowsStatement:
    """Writes many rows, as few times as possible.

    Args:
        dialect: The words of the database.
        table: Where the rows go.
        columns: What they hold.
        key: The columns by which a row that is there already is found; it gets the new values. Without, none is.
    """

    def __init__(self, dialect: Dialect, table: str, columns: Sequence[str], *, key: Sequence[str] = ()) -> None:
        self._dialect = dialect
        self._insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "
        self._row = f"({', '.join('?' * len(columns))})"
        changes = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key)
        self._instead = f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}" if key else ""

    def write(self, cursor: Cursor, rows: Sequence[Sequence[object]]) -> None:
        """Write the rows, of which no two have the same key."""
        for some in _chunks(rows):
            text = self._insert + ", ".join([self._row] * len(some)) + self._instead
            cursor.execute(self._dialect.text(text), [value for row in some for value in row])


class NamesStatement:
    """Does something with the rows that have one of many names.

    Args:
        dialect: The words of the database.
        text: Ends before the names.
    """

    def __init__(self, dialect: Dialect, text: str) -> None:
        self._dialect = dialect
        self._text = text

    def found(self, cursor: Cursor, *owner: object, names: Iterable[str]) -> Iterable[Sequence[Any]]:
        """Return the rows.

        Args:
            cursor: What to ask on.
            owner: The parameters before the names.
            names: Names, each once.
        """
        for some in _chunks(list(names)):
            self._execute(cursor, owner, some)
            yield from cursor.fetchall()

    def change(self, cursor: Cursor, *owner: object, names: Iterable[str]) -> None:
        """Do it, for what finds no rows."""
        for some in _chunks(list(names)):
            self._execute(cursor, owner, some)

    def _execute(self, cursor: Cursor, owner: Sequence[object], names: Sequence[str]) -> None:
        cursor.execute(self._dialect.text(f"{self._text} IN ({', '.join('?' * len(names))})"), [*owner, *names])


class EffectStatements:
    """The statements in the words of a database.

    Args:
        dialect: Those words.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        text = dialect.text
        self._is_there = f"(expires_at IS NULL OR expires_at > {dialect.now})"

        self.begin = dialect.begin_effects

        self.known_scopes = NamesStatement(
            dialect, "SELECT scope, last_version, documents, bytes FROM scope WHERE scope"
        )
        self.known_documents = NamesStatement(
            dialect, "SELECT key, version, length(value), expires_at FROM document WHERE scope = ? AND key"
        )
        self.known_topics = NamesStatement(dialect, "SELECT topic, last_seq, messages FROM topic WHERE topic")
        self.known_keys = NamesStatement(
            dialect,
            "SELECT key, seq FROM message WHERE topic = ? AND key <> '' AND key",  # as the index has it
        )
        self.known_cursors = NamesStatement(
            dialect, "SELECT subscriber, topic, seq, failures FROM cursor WHERE subscriber = ? AND topic"
        )

        self.scopes = RowsStatement(dialect, "scope", ("scope", "last_version", "documents", "bytes"), key=("scope",))
        self.documents = RowsStatement(
            dialect,
            "document",
            ("scope", "key", "version", "value", "text", "at", "expires_at"),
            key=("scope", "key"),
        )
        self.delete_documents = NamesStatement(dialect, "DELETE FROM document WHERE scope = ? AND key")
        self.topics = RowsStatement(dialect, "topic", ("topic", "last_seq", "messages"), key=("topic",))
        self.messages = RowsStatement(
            dialect, "message", ("topic", "seq", "at", "payload", "key", "sender", "reply_to")
        )
        self.cursors = RowsStatement(
            dialect, "cursor", ("subscriber", "topic", "seq", "failures"), key=("subscriber", "topic")
        )

        self.select_expired = text(
            "SELECT scope, count(*), sum(length(value)) FROM document WHERE expires_at <= :now GROUP BY scope"
        )
        self.delete_expired = text("DELETE FROM document WHERE expires_at <= :now")
        self.shrink_scope = text(
            "UPDATE scope SET documents = documents - :documents, bytes = bytes - :bytes WHERE scope = :this_scope"
        )
        # Walks along the messages of each topic, from the oldest to the first that is not old.
        self.select_swept = text(
            "SELECT topic, last_seq - messages, coalesce((SELECT seq FROM message WHERE message.topic = topic.topic"
            " AND message.at >= :before ORDER BY seq LIMIT 1), last_seq + 1) - 1 "
            "FROM topic WHERE messages > 0"
        )
        self.delete_messages = text("DELETE FROM message WHERE topic = :this_topic AND seq <= :through")
        self.shrink_topic = text("UPDATE topic SET messages = last_seq - :through WHERE topic = :this_topic")

        self.select_document = text(
            f"SELECT {_DOCUMENT} FROM document WHERE scope = :this_scope AND key = :this_key AND {self._is_there}"
        )
        self.select_messages = text(
            f"SELECT {_MESSAGE} FROM message WHERE topic = :this_topic AND seq > :after_seq ORDER BY seq LIMIT :most"
        )
        # Places have no gaps, so what comes behind a place is a range, and its end is known.
        begins = (
            "CASE WHEN cursor.seq > topic.last_seq - topic.messages THEN cursor.seq"
            " ELSE topic.last_seq - topic.messages END"
        )
        unread = f"message.topic = topic.topic AND message.seq > {begins} AND message.seq <= {begins} + ?"
        self.unread = NamesStatement(
            dialect,
            f"SELECT {_MESSAGE} FROM topic"
            " LEFT JOIN cursor ON cursor.topic = topic.topic AND cursor.subscriber = ?"
            f" {dialect.join_messages % unread} WHERE topic.topic",
        )

    def select_documents(self, query: DocumentQuery) -> Statement:
        """Return the statement that finds the documents that fit, by key."""
        conditions, values = _begins_with("key", query.prefix, after=query.after)
        for number, word in enumerate(query.words):
            conditions.append(f"{self.dialect.position}(text, :word_{number}) > 0")
            values[f"word_{number}"] = word
        return self._text(
            f"SELECT {_DOCUMENT} FROM document WHERE scope = :this_scope"
            f" AND {self._is_there} AND {' AND '.join(conditions)} ORDER BY key LIMIT :most"
        ), values | {"this_scope": query.scope, "most": query.limit}

    def select_scopes(self, prefix: str) -> Statement:
        """Return the statement that finds the scopes that hold something, by name."""
        conditions, values = _begins_with("scope", prefix)
        found = f"SELECT scope, documents, bytes FROM scope WHERE documents > 0 AND {' AND '.join(conditions)}"
        return self._text(f"{found} ORDER BY scope"), values

    def select_topics(self, prefix: str) -> Statement:
        """Return the statement that finds the topics, by name."""
        conditions, values = _begins_with("topic", prefix)
        found = f"SELECT topic, last_seq, messages FROM topic WHERE {' AND '.join(conditions)}"
        return self._text(f"{found} ORDER BY topic"), values

    def select_cursors(self, *, subscriber: str, topic: str) -> Statement:
        """Return the statement that finds how far everybody has read; restricted to those named."""
        named = {name: value for name, value in (("subscriber", subscriber), ("topic", topic)) if value}
        conditions = ["true", *(f"{name} = :{name}" for name in named)]
        found = f"SELECT subscriber, topic, seq, failures FROM cursor WHERE {' AND '.join(conditions)}"
        return self._text(f"{found} ORDER BY subscriber, topic"), dict(named)

    def deletions(self, prefix: str) -> Iterable[Statement]:
        """Return the statements that delete what has a name that begins with `prefix`."""
        tables = ("scope", "scope"), ("document", "scope"), ("topic", "topic"), ("message", "topic")
        for table, column in (*tables, ("cursor", "subscriber"), ("cursor", "topic")):
            conditions, values = _begins_with(column, prefix)
            yield self._text(f"DELETE FROM {table} WHERE {' AND '.join(conditions)}"), values

    def _text(self, statement: str) -> str:
        return self.dialect.text(statement)


def _begins_with(column: str, prefix: str, *, after: str | None = None) -> tuple[list[str], dict[str, object]]:
    """Return the conditions that make a range of what begins with `prefix` and is behind `after`, and their parameters.

    The range has one beginning, the later one: SQLite would walk from either.
    """
    conditions, values = [f"{column} >= :first"], dict[str, object](first=prefix)
    if after is not None and after >= prefix:
        conditions, values = [f"{column} > :after"], {"after": after}
    if end := end_of_prefix(prefix):
        conditions.append(f"{column} < :end")
        values["end"] = end
    return conditions, values


def end_of_prefix(prefix: str) -> str:
    """Return the first text behind all that begin with `prefix`, by code point; "" if there is none."""
    kept = prefix.rstrip(chr(_LAST_CHARACTER))
    if not kept:
        return ""
    following = ord(kept[-1]) + 1
    if following in _SURROGATES:  # which are no characters
        following = _SURROGATES.stop
    return kept[:-1] + chr(following)


def _chunks(names: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (names[first : first + AT_ONCE] for first in range(0, len(names), AT_ONCE))
