"""The effects of a transaction: decided one write after the other, and written together.

A group of a thousand writes to one topic so takes a few statements instead of thousands.
"""

from tagent.adapters.storage.changes import Changes, WrittenDocument
from tagent.adapters.storage.deciding import DocumentState, decided
from tagent.adapters.storage.sql import driver
from tagent.adapters.storage.sql.effect_statements import EffectStatements
from tagent.adapters.storage.sql.known_effects import KnownEffects, ScopeState, TopicState
from tagent.ports.effect_errors import QuotaExceededError
from tagent.ports.effects import Effects, Written
from tagent.ports.messages import Cursor, Message
from tagent.values import value


@value
class Decision:
    """What effects come to.

    Attributes:
        changes: What is different then.
        scopes: The rows of the scopes that change, as they are then.
        written: What is answered.
    """

    changes: Changes
    scopes: dict[str, ScopeState]
    written: Written


class EffectDraft:
    """What a transaction's writes have changed so far; from its beginning to its end nobody else writes effects.

    Args:
        cursor: A cursor in the transaction.
        statements: In the words of the database.
    """

    def __init__(self, cursor: driver.Cursor, statements: EffectStatements) -> None:
        cursor.execute(statements.begin)
        ((now,),) = cursor.fetchall()
        self.cursor = cursor
        self.now = float(now)
        self._statements = statements
        self._known = KnownEffects()
        self._begin_anew()

    def decide(self, effects: Effects) -> Decision:
        """Return what the effects come to.

        Raises:
            EffectRefusedError: As `tagent.ports.store.Store.write` says.
        """
        try:
            return self._decide(effects)
        except QuotaExceededError:
            if not self.delete_expired():
                raise
            return self._decide(effects)

    def apply(self, decision: Decision) -> None:
        """Let it be so, for the next decision and for `write`."""
        known, changes = self._known, decision.changes
        known.scopes |= decision.scopes
        self._scopes |= decision.scopes
        for name in changes.removed:
            known.documents[name] = None
            self._documents[name] = None
        for it in changes.documents:
            name = it.document.scope, it.document.key
            known.documents[name] = _state_of(it)
            self._documents[name] = it
        for message in changes.messages:
            topic = TopicState(message.seq, known.topics[message.topic].messages + 1)
            known.topics[message.topic] = self._topics[message.topic] = topic
            if message.key:
                known.places[message.topic, message.key] = message.seq
        self._messages += changes.messages
        for cursor in changes.cursors:
            reader = cursor.subscriber, cursor.topic
            known.cursors[reader] = self._cursors[reader] = cursor

    def write(self) -> None:
        """Execute what is outstanding."""
        statements, cursor = self._statements, self.cursor
        kept = [(it.document, it.text) for it in self._documents.values() if it]
        for scope in {scope for (scope, _), it in self._documents.items() if it is None}:
            removed = [key for (of_scope, key), it in self._documents.items() if it is None and of_scope == scope]
            statements.delete_documents.change(cursor, scope, names=removed)
        statements.documents.write(
            cursor, [(it.scope, it.key, it.version, it.value, text, it.at, it.expires_at) for it, text in kept]
        )
        statements.scopes.write(
            cursor, [(name, it.last_version, it.documents, it.bytes) for name, it in self._scopes.items()]
        )
        statements.messages.write(
            cursor, [(it.topic, it.seq, it.at, it.payload, it.key, it.sender, it.reply_to) for it in self._messages]
        )
        statements.topics.write(cursor, [(name, it.last_seq, it.messages) for name, it in self._topics.items()])
        statements.cursors.write(
            cursor, [(it.subscriber, it.topic, it.seq, it.failures) for it in self._cursors.values()]
        )
        self._begin_anew()

    def rewrite(self) -> driver.Cursor:
        """Return the cursor for statements that change what is known, which is read again afterwards."""
        self.write()
        self._known = KnownEffects()
        return self.cursor

    def delete_expired(self) -> int:
        """Delete the documents that have expired, of all scopes; return how many those were."""
        cursor = self.rewrite()
        cursor.execute(self._statements.select_expired, {"now": self.now})
        expired = cursor.fetchall()
        if expired:
            cursor.execute(self._statements.delete_expired, {"now": self.now})
        for scope, documents, size in expired:
            values = {"this_scope": scope, "documents": documents, "bytes": size}
            cursor.execute(self._statements.shrink_scope, values)
        return sum(documents for _, documents, _ in expired)

    def _begin_anew(self) -> None:
        self._scopes: dict[str, ScopeState] = {}
        self._documents: dict[tuple[str, str], WrittenDocument | None] = {}
        self._topics: dict[str, TopicState] = {}
        self._messages: list[Message] = []
        self._cursors: dict[tuple[str, str], Cursor] = {}

    def _decide(self, effects: Effects) -> Decision:
        self._known.read(self.cursor, self._statements, effects)
        changes, written = decided(effects, self._known, now=self.now)
        return Decision(changes, _scopes_after(changes, self._known), written)


def _scopes_after(changes: Changes, known: KnownEffects) -> dict[str, ScopeState]:
    """Return the rows of the scopes that change, as they are then."""
    removed = ((name, None, 0) for name in changes.removed)
    written = (((it.document.scope, it.document.key), _state_of(it), it.document.version) for it in changes.documents)
    scopes: dict[str, ScopeState] = {}
    for (scope, key), after, version in (*removed, *written):
        before, state = known.documents[scope, key], scopes.get(scope) or known.scopes[scope]
        scopes[scope] = ScopeState(
            max(state.last_version, version),
            state.documents + (after is not None) - (before is not None),
            state.bytes + (after.size if after else 0) - (before.size if before else 0),
        )
    return scopes


def _state_of(written: WrittenDocument) -> DocumentState:
    document = written.document
    return DocumentState(document.version, len(document.value), document.expires_at)
