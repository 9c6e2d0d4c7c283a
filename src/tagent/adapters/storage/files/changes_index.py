"""What the log says of memory and messages, without values and payloads: they are read where their lines are."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, takewhile

from tagent.adapters.storage.changes import Changes, WrittenDocument, is_over
from tagent.adapters.storage.deciding import DocumentState
from tagent.adapters.storage.files.segment import Place, parts_of
from tagent.ports.documents import DocumentQuery, ScopeUsage
from tagent.ports.messages import Cursor, Message, Topic


@dataclass(slots=True)
class KeptDocument:
    """A document without its value.

    Attributes:
        state: What decisions need.
        text: What words are looked for in.
        place: Where it is.
        since: The number of the first file that may hold an older one with its key.
    """

    state: DocumentState
    text: str
    place: Place
    since: int

    def give_up(self) -> None:
        """Say that it is needed no longer."""
        self.place.give_up(parts_of(self.state.size + len(self.text)))


@dataclass(slots=True)
class KeptMessage:
    """A message without its payload."""

    seq: int
    at: float
    key: str
    size: int
    place: Place

    def give_up(self) -> None:
        """Say that it is needed no longer."""
        self.place.give_up(parts_of(self.size))


@dataclass(slots=True)
class _Scope:
    last_version: int = 0
    mark: Place | None = None
    """Where the log says which version was the last: the document that had it may be gone."""
    documents: dict[str, KeptDocument] = field(default_factory=dict)

    def give_up(self) -> None:
        """Say that nothing of this is needed any more."""
        for document in self.documents.values():
            document.give_up()
        if self.mark is not None:
            self.mark.give_up()


@dataclass(slots=True)
class _Topic:
    last_seq: int = 0
    mark: Place | None = None
    """Where the log says up to where messages are gone, and with that which place was the last."""
    messages: list[KeptMessage] = field(default_factory=list)
    seqs: dict[str, int] = field(default_factory=dict)
    """The key of a message that is kept -> its place in the topic."""

    def give_up(self) -> None:
        """Say that nothing of this is needed any more."""
        for message in self.messages:
            message.give_up()
        if self.mark is not None:
            self.mark.give_up()


class ChangesIndex:
    """The fold of all changes.

    Some lines that are needed no longer may have been cleaned away and others not. What one of those
    brings back, a line further on that is kept takes away again.
    """

    def __init__(self) -> None:
        self._scopes: dict[str, _Scope] = {}
        self._topics: dict[str, _Topic] = {}
        self._cursors: dict[tuple[str, str], tuple[Cursor, Place]] = {}

    def document(self, scope: str, key: str) -> KeptDocument | None:
        """Return a document, None if there is none; it may have expired."""
        return self._documents(scope).get(key)

    def document_state(self, scope: str, key: str) -> DocumentState | None:
        """Return what is known of a document, None if there is none."""
        document = self.document(scope, key)
        return None if document is None else document.state

    def document_states(self, scope: str) -> Mapping[str, DocumentState]:
        """Return what is known of the documents of a scope, by key."""
        return {key: document.state for key, document in self._documents(scope).items()}

    def last_version(self, scope: str) -> int:
        """Return the last version that a scope has given, 0 for none."""
        return self._scopes[scope].last_version if scope in self._scopes else 0

    def last_seq(self, topic: str) -> int:
        """Return the place of the newest message that a topic ever had, 0 for none."""
        return self._topics[topic].last_seq if topic in self._topics else 0

    def seq_of(self, topic: str, key: str) -> int | None:
        """Return the place of the message with this key, None if none is kept."""
        return self._topics[topic].seqs.get(key) if topic in self._topics else None

    def cursor(self, subscriber: str, topic: str) -> Cursor | None:
        """Return how far a subscriber has read, None if he has not begun."""
        found = self._cursors.get((subscriber, topic))
        return None if found is None else found[0]

    def documents(self, query: DocumentQuery, *, now: float) -> Sequence[tuple[str, KeptDocument]]:
        """Return the keys and the documents that fit, by key."""
        fitting = [
            (key, document)
            for key, document in self._documents(query.scope).items()
            if key.startswith(query.prefix)
            and key > query.after
            and not is_over(document.state.expires_at, now)
            and all(word in document.text for word in query.words)
        ]
        return sorted(fitting, key=lambda found: found[0])[: query.limit]

    def scopes(self, prefix: str) -> Sequence[ScopeUsage]:
        """Return the scopes that hold something and whose names begin with `prefix`, by name."""
        found = ((name, it.documents.values()) for name, it in self._scopes.items() if name.startswith(prefix))
        usages = (ScopeUsage(name, len(kept), sum(it.state.size for it in kept)) for name, kept in found if kept)
        return sorted(usages, key=lambda usage: usage.scope)

    def topics(self, prefix: str) -> Sequence[Topic]:
        """Return the topics whose names begin with `prefix`, by name."""
        found = (Topic(name, it.last_seq, len(it.messages)) for name, it in self._topics.items())
        return sorted((it for it in found if it.name.startswith(prefix)), key=lambda topic: topic.name)

    def messages(self, topic: str, *, after_seq: int, limit: int) -> Sequence[KeptMessage]:
        """Return the messages of a topic behind `after_seq`, in order."""
        kept = self._topics[topic].messages if topic in self._topics else []
        first = bisect_right(kept, after_seq, key=lambda message: message.seq)
        return kept[first : first + limit]

    def cursors(self, *, subscriber: str, topic: str) -> Sequence[Cursor]:
        """Return how far everybody has read, by subscriber and topic; restricted to those named."""
        kept = (cursor for cursor, _ in self._cursors.values())
        found = (it for it in kept if subscriber in ("", it.subscriber) and topic in ("", it.topic))
        return sorted(found, key=lambda cursor: (cursor.subscriber, cursor.topic))

    def expired(self, *, now: float) -> Iterator[tuple[str, str, DocumentState]]:
        """Yield the scope, the key and the state of each document that has expired."""
        for name, scope in self._scopes.items():
            for key, document in scope.documents.items():
                if is_over(document.state.expires_at, now):
                    yield name, key, document.state

    def old_messages(self, *, before: float) -> Iterator[tuple[str, Sequence[KeptMessage]]]:
        """Yield each topic that has messages from before that time, and those: its first ones."""
        for name, topic in self._topics.items():
            old = list(takewhile(lambda message: message.at < before, topic.messages))
            if old:
                yield name, old

    def has(self, prefix: str) -> bool:
        """Return whether the name of a scope, topic or subscriber begins with `prefix`."""
        names = chain(self._scopes, self._topics, chain.from_iterable(self._cursors))
        return any(name.startswith(prefix) for name in names)

    def apply(self, changes: Changes, place: Place) -> None:
        """Take in what a line says, each part of which counts as needed."""
        for scope, key in changes.removed:
            self._remove(scope, key, place)
        for written in changes.documents:
            self._put(written, place)
        for scope, version in changes.versions:
            self._mark_version(scope, version, place)
        for message in changes.messages:
            self._append(message, place)
        for topic, seq in changes.swept:
            self._sweep(topic, seq, place)
        for cursor in changes.cursors:
            reader = cursor.subscriber, cursor.topic
            if reader in self._cursors:
                self._cursors[reader][1].give_up()
            self._cursors[reader] = cursor, place

    def forget(self, prefix: str, place: Place) -> None:
        """Take in that everything whose name begins with `prefix` is gone."""
        if not self.has(prefix):
            place.give_up()
            return
        place.bury(hides_from=0)
        for kept in (self._scopes, self._topics):
            for name in [name for name in kept if name.startswith(prefix)]:
                kept.pop(name).give_up()
        for reader in [reader for reader in self._cursors if any(name.startswith(prefix) for name in reader)]:
            self._cursors.pop(reader)[1].give_up()

    def needed_of(self, changes: Changes, place: Place) -> Changes:
        """Return what still matters of the changes in a line."""
        return Changes(
            documents=tuple(it for it in changes.documents if self._needs_document(it, place)),
            removed=changes.removed if place.tombstones else (),
            versions=tuple(it for it in changes.versions if _is_at(self._scopes.get(it[0]), place)),
            messages=tuple(it for it in changes.messages if self._needs_message(it, place)),
            swept=tuple(it for it in changes.swept if _is_at(self._topics.get(it[0]), place)),
            cursors=tuple(it for it in changes.cursors if self._needs_cursor(it, place)),
        )

    def _documents(self, scope: str) -> Mapping[str, KeptDocument]:
        return self._scopes[scope].documents if scope in self._scopes else {}

    def _put(self, written: WrittenDocument, place: Place) -> None:
        document = written.document
        scope = self._scopes.setdefault(document.scope, _Scope())
        scope.last_version = max(scope.last_version, document.version)
        since, before = place.segment.number, scope.documents.get(document.key)
        if before is not None:
            before.give_up()
            since = before.since
        state = DocumentState(document.version, len(document.value), document.expires_at)
        scope.documents[document.key] = KeptDocument(state, written.text, place, since)

    def _remove(self, scope: str, key: str, place: Place) -> None:
        document = self._scopes[scope].documents.pop(key, None) if scope in self._scopes else None
        if document is None:  # its lines have been cleaned away
            place.give_up()
            return
        document.give_up()
        place.bury(hides_from=document.since)

    def _mark_version(self, name: str, version: int, place: Place) -> None:
        scope = self._scopes.setdefault(name, _Scope())
        scope.last_version = max(scope.last_version, version)
        if scope.mark is not None:
            scope.mark.give_up()
        scope.mark = place

    def _append(self, message: Message, place: Place) -> None:
        topic = self._topics.setdefault(message.topic, _Topic())
        topic.last_seq = max(topic.last_seq, message.seq)
        topic.messages.append(KeptMessage(message.seq, message.at, message.key, len(message.payload), place))
        if message.key:
            topic.seqs[message.key] = message.seq

    def _sweep(self, name: str, seq: int, place: Place) -> None:
        topic = self._topics.setdefault(name, _Topic())
        topic.last_seq = max(topic.last_seq, seq)
        gone = bisect_right(topic.messages, seq, key=lambda message: message.seq)
        for message in topic.messages[:gone]:
            message.give_up()
            if topic.seqs.get(message.key) == message.seq:  # a newer one may have its key by now
                del topic.seqs[message.key]
        del topic.messages[:gone]
        if topic.mark is not None:
            topic.mark.give_up()
        topic.mark = place

    def _needs_document(self, written: WrittenDocument, place: Place) -> bool:
        found = self.document(written.document.scope, written.document.key)
        return found is not None and found.place is place

    def _needs_message(self, message: Message, place: Place) -> bool:
        found = self.messages(message.topic, after_seq=message.seq - 1, limit=1)
        return bool(found) and found[0].seq == message.seq and found[0].place is place

    def _needs_cursor(self, cursor: Cursor, place: Place) -> bool:
        found = self._cursors.get((cursor.subscriber, cursor.topic))
        return found is not None and found[1] is place


def parts_of_changes(changes: Changes) -> int:
    """Return of how many parts a line consists that holds these changes."""
    documents = sum(parts_of(len(it.document.value) + len(it.text)) for it in changes.documents)
    messages = sum(parts_of(len(it.payload)) for it in changes.messages)
    return documents + messages + sum(map(len, (changes.removed, changes.versions, changes.swept, changes.cursors)))


def _is_at(kept: _Scope | _Topic | None, place: Place) -> bool:
    return kept is not None and kept.mark is place
