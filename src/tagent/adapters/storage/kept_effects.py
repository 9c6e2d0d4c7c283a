"""Documents, topics and cursors in dicts."""

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tagent.adapters.storage.changes import Changes, WrittenDocument, by_time, is_over
from tagent.adapters.storage.deciding import DocumentState, usage_of
from tagent.ports.documents import Document, DocumentQuery, ScopeUsage
from tagent.ports.effects import Swept
from tagent.ports.messages import Cursor, Message, Topic


@dataclass(slots=True)
class _Scope:
    last_version: int = 0
    documents: dict[str, WrittenDocument] = field(default_factory=dict)


@dataclass(slots=True)
class _Topic:
    last_seq: int = 0
    messages: list[Message] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    """The key of a message that is kept -> its place."""


class KeptEffects:
    """What the effects of all writes have come to."""

    def __init__(self) -> None:
        self._scopes: dict[str, _Scope] = {}
        self._topics: dict[str, _Topic] = {}
        self._cursors: dict[tuple[str, str], Cursor] = {}

    def document_state(self, scope: str, key: str) -> DocumentState | None:
        """Return what is known of a document, None if there is none."""
        kept = self._documents(scope).get(key)
        return None if kept is None else _state_of(kept.document)

    def usage(self, scope: str, *, but: Collection[str], now: float) -> ScopeUsage:
        """Return what a scope holds besides these keys, without what has expired."""
        states = {key: _state_of(kept.document) for key, kept in self._documents(scope).items()}
        return usage_of(scope, states, but=but, now=now)

    def last_version(self, scope: str) -> int:
        """Return the last version that a scope has given, 0 for none."""
        return self._scopes[scope].last_version if scope in self._scopes else 0

    def last_seq(self, topic: str) -> int:
        """Return the place of the newest message that a topic ever had, 0 for none."""
        return self._topics[topic].last_seq if topic in self._topics else 0

    def seq_of(self, topic: str, key: str) -> int | None:
        """Return the place of the message with this key, None if none is kept."""
        return self._topics[topic].places.get(key) if topic in self._topics else None

    def cursor(self, subscriber: str, topic: str) -> Cursor | None:
        """Return how far a subscriber has read, None if he has not begun."""
        return self._cursors.get((subscriber, topic))

    def apply(self, changes: Changes) -> None:
        """Keep what effects have come to."""
        for scope, key in changes.removed:
            del self._scopes[scope].documents[key]
        for written in changes.documents:
            document = written.document
            scope_kept = self._scopes.setdefault(document.scope, _Scope())
            scope_kept.last_version = document.version
            scope_kept.documents[document.key] = written
        for message in changes.messages:
            topic = self._topics.setdefault(message.topic, _Topic())
            topic.last_seq = message.seq
            topic.messages.append(message)
            if message.key:
                topic.places[message.key] = message.seq
        for cursor in changes.cursors:
            self._cursors[cursor.subscriber, cursor.topic] = cursor

    def document(self, scope: str, key: str, *, now: float) -> Document | None:
        """Return a document; None if there is none, or it has expired."""
        kept = self._documents(scope).get(key)
        return None if kept is None or is_over(kept.document.expires_at, now) else kept.document

    def documents(self, query: DocumentQuery, *, now: float) -> Sequence[Document]:
        """Return the documents that fit, by key."""
        fitting = [
            kept.document
            for key, kept in self._documents(query.scope).items()
            if key.startswith(query.prefix)
            and key > query.after
            and not is_over(kept.document.expires_at, now)
            and all(word in kept.text for word in query.words)
        ]
        return sorted(fitting, key=lambda document: document.key)[: query.limit]

    def scopes(self, prefix: str) -> Sequence[ScopeUsage]:
        """Return the scopes that hold something and whose names begin with `prefix`, by name."""
        found = ((name, it.documents.values()) for name, it in self._scopes.items() if name.startswith(prefix))
        usages = (
            ScopeUsage(name, len(kept), sum(len(it.document.value) for it in kept)) for name, kept in found if kept
        )
        return sorted(usages, key=lambda usage: usage.scope)

    def topics(self, prefix: str) -> Sequence[Topic]:
        """Return the topics whose names begin with `prefix`, by name."""
        found = (Topic(name, it.last_seq, len(it.messages)) for name, it in self._topics.items())
        return sorted((it for it in found if it.name.startswith(prefix)), key=lambda topic: topic.name)

    def messages(self, topic: str, *, after_seq: int, limit: int) -> Sequence[Message]:
        """Return the messages of a topic behind `after_seq`, in order."""
        kept = self._topics[topic].messages if topic in self._topics else []
        first = bisect_right(kept, after_seq, key=lambda message: message.seq)
        return kept[first : first + limit]

    def unread(self, subscriber: str, topics: Sequence[str], *, limit: int) -> Sequence[Message]:
        """Return what the subscriber has not read of these topics, by time."""
        found: list[Message] = []
        for topic in topics:
            cursor = self._cursors.get((subscriber, topic))
            found += self.messages(topic, after_seq=cursor.seq if cursor else 0, limit=limit)
        return by_time(found)

    def cursors(self, *, subscriber: str, topic: str) -> Sequence[Cursor]:
        """Return how far everybody has read, by subscriber and topic; restricted to those named."""
        found = (it for it in self._cursors.values() if subscriber in ("", it.subscriber) and topic in ("", it.topic))
        return sorted(found, key=lambda cursor: (cursor.subscriber, cursor.topic))

    def forget(self, prefix: str) -> None:
        """Delete every scope, topic and subscriber whose name begins with `prefix`."""
        self._scopes = {name: it for name, it in self._scopes.items() if not name.startswith(prefix)}
        self._topics = {name: it for name, it in self._topics.items() if not name.startswith(prefix)}
        self._cursors = {
            reader: it for reader, it in self._cursors.items() if not any(map(str.startswith, reader, [prefix] * 2))
        }

    def sweep(self, *, now: float, messages_before: float) -> Swept:
        """Delete the documents that have expired, and the messages from before that time."""
        documents = messages = 0
        for scope in self._scopes.values():
            expired = [key for key, kept in scope.documents.items() if is_over(kept.document.expires_at, now)]
            for key in expired:
                del scope.documents[key]
            documents += len(expired)
        for topic in self._topics.values():
            old = sum(message.at < messages_before for message in topic.messages)
            for message in topic.messages[:old]:
                topic.places.pop(message.key, None)
            del topic.messages[:old]
            messages += old
        return Swept(documents, messages)

    def _documents(self, scope: str) -> Mapping[str, WrittenDocument]:
        return self._scopes[scope].documents if scope in self._scopes else {}


def _state_of(document: Document) -> DocumentState:
    return DocumentState(document.version, len(document.value), document.expires_at)
