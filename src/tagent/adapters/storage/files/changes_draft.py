"""What a group of writes changes of memory and messages: seen by the next write of the group, by nobody else yet."""

from collections.abc import Collection
from itertools import chain

from tagent.adapters.storage.changes import Changes
from tagent.adapters.storage.deciding import DocumentState, given_versions, usage_of
from tagent.adapters.storage.files.changes_index import ChangesIndex
from tagent.ports.documents import ScopeUsage
from tagent.ports.effects import Swept
from tagent.ports.messages import Cursor


class ChangesDraft:
    """The index of changes as it will be when the group is written, as far as decisions need it.

    Args:
        index: What is written already; it does not change while there is a draft of it.
    """

    def __init__(self, index: ChangesIndex) -> None:
        self._index = index
        self._forgotten: list[str] = []
        self._states: dict[str, dict[str, DocumentState | None]] = {}
        self._last_versions: dict[str, int] = {}
        self._last_seqs: dict[str, int] = {}
        self._seqs: dict[str, dict[str, int]] = {}
        self._swept: dict[str, int] = {}
        self._cursors: dict[tuple[str, str], Cursor] = {}

    def document_state(self, scope: str, key: str) -> DocumentState | None:
        """Return what is known of a document, None if there is none."""
        drafted = self._states.get(scope, {})
        if key in drafted:
            return drafted[key]
        return None if self._is_forgotten(scope) else self._index.document_state(scope, key)

    def usage(self, scope: str, *, but: Collection[str], now: float) -> ScopeUsage:
        """Return what a scope holds besides these keys, without what has expired."""
        written = {} if self._is_forgotten(scope) else self._index.document_states(scope)
        states = {**written, **self._states.get(scope, {})}
        there = {key: state for key, state in states.items() if state is not None}
        return usage_of(scope, there, but=but, now=now)

    def last_version(self, scope: str) -> int:
        """Return the last version that a scope has given, 0 for none."""
        if scope in self._last_versions:
            return self._last_versions[scope]
        return 0 if self._is_forgotten(scope) else self._index.last_version(scope)

    def last_seq(self, topic: str) -> int:
        """Return the place of the newest message that a topic ever had, 0 for none."""
        if topic in self._last_seqs:
            return self._last_seqs[topic]
        return 0 if self._is_forgotten(topic) else self._index.last_seq(topic)

    def seq_of(self, topic: str, key: str) -> int | None:
        """Return the place of the message with this key, None if none is kept."""
        drafted = self._seqs.get(topic, {}).get(key)
        if drafted is not None or self._is_forgotten(topic):
            return drafted
        seq = self._index.seq_of(topic, key)
        return None if seq is None or seq <= self._swept.get(topic, 0) else seq

    def cursor(self, subscriber: str, topic: str) -> Cursor | None:
        """Return how far a subscriber has read, None if he has not begun."""
        drafted = self._cursors.get((subscriber, topic))
        if drafted is not None or self._is_forgotten(subscriber) or self._is_forgotten(topic):
            return drafted
        return self._index.cursor(subscriber, topic)

    def has(self, prefix: str) -> bool:
        """Return whether there may be a scope, topic or subscriber whose name begins with `prefix`."""
        names = chain(self._states, self._last_seqs, chain.from_iterable(self._cursors))
        return self._index.has(prefix) or any(name.startswith(prefix) for name in names)

    def sweep(self, *, now: float, messages_before: float) -> tuple[Changes, Swept]:
        """Return what it comes to that what has expired and what is old goes, and how much that is.

        What the group itself has written stays until the next sweep.
        """
        removed = tuple(
            (scope, key)
            for scope, key, state in self._index.expired(now=now)
            if self.document_state(scope, key) is state  # else the group has written it, or removed it already
        )
        swept, messages = [], 0
        for topic, old in self._index.old_messages(before=messages_before):
            through = self._swept.get(topic, 0)
            going = [] if self._is_forgotten(topic) else [it.seq for it in old if it.seq > through]
            if going:
                swept.append((topic, going[-1]))
                messages += len(going)
        changes = Changes(removed=removed, versions=given_versions(removed, self, {}), swept=tuple(swept))
        return changes, Swept(len(removed), messages)

    def apply(self, changes: Changes) -> None:
        """Let the next write of the group see these changes."""
        for scope, key in changes.removed:
            self._states.setdefault(scope, {})[key] = None
        for document in (written.document for written in changes.documents):
            state = DocumentState(document.version, len(document.value), document.expires_at)
            self._states.setdefault(document.scope, {})[document.key] = state
            self._last_versions[document.scope] = document.version
        for message in changes.messages:
            self._last_seqs[message.topic] = message.seq
            if message.key:
                self._seqs.setdefault(message.topic, {})[message.key] = message.seq
        self._swept.update(changes.swept)
        self._cursors.update({(it.subscriber, it.topic): it for it in changes.cursors})

    def forget(self, prefix: str) -> None:
        """Let the next write of the group see nothing of what begins with `prefix`."""
        self._forgotten.append(prefix)
        for names in (self._states, self._last_versions, self._last_seqs, self._seqs, self._swept):
            for name in [name for name in names if name.startswith(prefix)]:
                del names[name]
        for reader in [reader for reader in self._cursors if any(name.startswith(prefix) for name in reader)]:
            del self._cursors[reader]

    def _is_forgotten(self, name: str) -> bool:
        return any(map(name.startswith, self._forgotten))
