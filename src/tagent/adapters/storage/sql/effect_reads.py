"""What is read of memory and messages: each function here asks on a cursor of a reader."""

from collections.abc import Sequence

from tagent.adapters.storage.changes import by_time
from tagent.adapters.storage.sql import driver
from tagent.adapters.storage.sql.effect_statements import EffectStatements
from tagent.ports.documents import Document, DocumentQuery, ScopeUsage
from tagent.ports.messages import Cursor, Message, Topic


class EffectReads:
    """The reads of a store that see effects; `tagent.ports.store.Store` says what each returns.

    Args:
        statements: In the words of the database.
    """

    def __init__(self, statements: EffectStatements) -> None:
        self._statements = statements

    def document(self, cursor: driver.Cursor, *, scope: str, key: str) -> Document | None:
        """Return a document; None if there is none, or it has expired."""
        cursor.execute(self._statements.select_document, {"this_scope": scope, "this_key": key})
        for row in cursor.fetchall():
            return Document(*row)
        return None

    def documents(self, cursor: driver.Cursor, *, query: DocumentQuery) -> Sequence[Document]:
        """Return the documents that fit, by key."""
        cursor.execute(*self._statements.select_documents(query))
        return [Document(*row) for row in cursor.fetchall()]

    def scopes(self, cursor: driver.Cursor, *, prefix: str) -> Sequence[ScopeUsage]:
        """Return the scopes that hold something and whose names begin with `prefix`, by name."""
        cursor.execute(*self._statements.select_scopes(prefix))
        return [ScopeUsage(*row) for row in cursor.fetchall()]

    def topics(self, cursor: driver.Cursor, *, prefix: str) -> Sequence[Topic]:
        """Return the topics whose names begin with `prefix`, by name."""
        cursor.execute(*self._statements.select_topics(prefix))
        return [Topic(*row) for row in cursor.fetchall()]

    def messages(self, cursor: driver.Cursor, *, topic: str, after_seq: int, limit: int) -> Sequence[Message]:
        """Return the messages of a topic behind `after_seq`, in order."""
        values = {"this_topic": topic, "after_seq": after_seq, "most": limit}
        cursor.execute(self._statements.select_messages, values)
        return [Message(*row) for row in cursor.fetchall()]

    def unread(self, cursor: driver.Cursor, *, subscriber: str, topics: Sequence[str], limit: int) -> Sequence[Message]:
        """Return what the subscriber has not read of these topics, by time."""
        names = dict.fromkeys(topics)
        rows = self._statements.unread.found(cursor, subscriber, limit, names=names)
        return by_time(Message(*row) for row in rows)

    def cursors(self, cursor: driver.Cursor, *, subscriber: str, topic: str) -> Sequence[Cursor]:
        """Return how far everybody has read; restricted to those named."""
        cursor.execute(*self._statements.select_cursors(subscriber=subscriber, topic=topic))
        return [Cursor(*row) for row in cursor.fetchall()]
