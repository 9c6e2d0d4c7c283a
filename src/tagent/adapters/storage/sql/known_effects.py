"""What effects are decided on: of all that was written what they name, read in a few statements, and only once.

It stays true until the transaction ends, because nobody else can write effects meanwhile.
"""

from collections.abc import Collection, Iterable, Mapping

from tagent.adapters.storage.deciding import DocumentState
from tagent.adapters.storage.sql import driver
from tagent.adapters.storage.sql.effect_statements import EffectStatements
from tagent.ports.documents import ScopeUsage
from tagent.ports.effects import Effects
from tagent.ports.messages import Cursor
from tagent.values import value


@value
class ScopeState:
    """The row of a scope; what has expired may be counted."""

    last_version: int = 0
    documents: int = 0
    bytes: int = 0


@value
class TopicState:
    """The row of a topic."""

    last_seq: int = 0
    messages: int = 0


class KnownEffects:
    """What all writes so far have come to, as far as somebody had to know it. What is not there is known, too."""

    def __init__(self) -> None:
        self.scopes: dict[str, ScopeState] = {}
        self.documents: dict[tuple[str, str], DocumentState | None] = {}
        self.topics: dict[str, TopicState] = {}
        self.places: dict[tuple[str, str], int | None] = {}
        self.cursors: dict[tuple[str, str], Cursor | None] = {}

    def document_state(self, scope: str, key: str) -> DocumentState | None:
        """Return what is known of a document, None if there is none."""
        return self.documents[scope, key]

    def usage(self, scope: str, *, but: Collection[str], now: float) -> ScopeUsage:  # noqa: ARG002 - counters know no time
        """Return what a scope holds besides these keys, which are known. Its counters count what has expired, too."""
        row, states = self.scopes[scope], [state for key in but if (state := self.documents[scope, key])]
        return ScopeUsage(scope, row.documents - len(states), row.bytes - sum(state.size for state in states))

    def last_version(self, scope: str) -> int:
        """Return the last version that a scope has given, 0 for none."""
        return self.scopes[scope].last_version

    def last_seq(self, topic: str) -> int:
        """Return the place of the newest message that a topic ever had, 0 for none."""
        return self.topics[topic].last_seq

    def seq_of(self, topic: str, key: str) -> int | None:
        """Return the place of the message with this key, None if none is kept."""
        return self.places[topic, key]

    def cursor(self, subscriber: str, topic: str) -> Cursor | None:
        """Return how far a subscriber has read, None if he has not begun."""
        return self.cursors[subscriber, topic]

    def read(self, cursor: driver.Cursor, statements: EffectStatements, effects: Effects) -> None:
        """Read of what `effects` name what is not known yet."""
        if effects.puts:
            self._read_documents(cursor, statements, effects)
        if effects.messages or effects.subscriptions:
            self._read_topics(cursor, statements, effects)
        if effects.receipts or effects.subscriptions:
            self._read_cursors(cursor, statements, effects)

    def _read_documents(self, cursor: driver.Cursor, statements: EffectStatements, effects: Effects) -> None:
        names = ((put.scope, put.key) for put in effects.puts)
        keys_of = _grouped(it for it in names if it not in self.documents)
        scopes = [scope for scope in keys_of if scope not in self.scopes]
        self.scopes |= dict.fromkeys(scopes, ScopeState())
        for scope, *state in statements.known_scopes.found(cursor, names=scopes):
            self.scopes[scope] = ScopeState(*state)
        for scope, keys in keys_of.items():
            self.documents |= {(scope, key): None for key in keys}
            if self.scopes[scope].documents:
                for key, *state in statements.known_documents.found(cursor, scope, names=keys):
                    self.documents[scope, key] = DocumentState(*state)

    def _read_topics(self, cursor: driver.Cursor, statements: EffectStatements, effects: Effects) -> None:
        named = {it.topic for it in effects.messages} | {it.topic for it in effects.subscriptions}
        topics = [topic for topic in named if topic not in self.topics]
        self.topics |= dict.fromkeys(topics, TopicState())
        for topic, *state in statements.known_topics.found(cursor, names=topics):
            self.topics[topic] = TopicState(*state)
        keys = ((it.topic, it.key) for it in effects.messages if it.key)
        for topic, names in _grouped(it for it in keys if it not in self.places).items():
            self.places |= {(topic, key): None for key in names}
            if self.topics[topic].messages:
                for key, seq in statements.known_keys.found(cursor, topic, names=names):
                    self.places[topic, key] = seq

    def _read_cursors(self, cursor: driver.Cursor, statements: EffectStatements, effects: Effects) -> None:
        begun = ((it.subscriber, it.topic) for it in effects.subscriptions)
        read = ((it.subscriber, it.topic) for it in effects.receipts)
        for subscriber, topics in _grouped(it for it in (*begun, *read) if it not in self.cursors).items():
            self.cursors |= {(subscriber, topic): None for topic in topics}
            for row in statements.known_cursors.found(cursor, subscriber, names=topics):
                self.cursors[subscriber, row[1]] = Cursor(*row)


def _grouped(pairs: Iterable[tuple[str, str]]) -> Mapping[str, Collection[str]]:
    """Return for each first name the second ones, each once, in their order."""
    grouped: dict[str, dict[str, None]] = {}
    for first, second in pairs:
        grouped.setdefault(first, {})[second] = None
    return grouped
