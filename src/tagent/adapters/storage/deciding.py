"""Whether effects can be written, and what they come to. Pure: it is told what is known, and changes nothing."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from tagent.adapters.storage.changes import Changes, WrittenDocument, is_over
from tagent.ports.documents import Document, Put, ScopeUsage
from tagent.ports.effect_errors import CursorConflictError, DocumentConflictError, QuotaExceededError
from tagent.ports.effects import Effects, Written
from tagent.ports.messages import Cursor, Message, NewMessage
from tagent.values import value


@value
class DocumentState:
    """What a decision needs to know of a document. It may have expired."""

    version: int
    size: int
    expires_at: float | None


class Known(Protocol):
    """What all writes so far have come to, as far as a decision needs it."""

    def document_state(self, scope: str, key: str) -> DocumentState | None:
        """Return what is known of a document, None if there is none."""
        ...

    def usage(self, scope: str, *, but: Collection[str], now: float) -> ScopeUsage:
        """Return what a scope holds besides these keys. What has expired need not be counted, but may be."""
        ...

    def last_version(self, scope: str) -> int:
        """Return the last version that a scope has given, 0 for none."""
        ...

    def last_seq(self, topic: str) -> int:
        """Return the place of the newest message that a topic ever had, 0 for none."""
        ...

    def seq_of(self, topic: str, key: str) -> int | None:
        """Return the place of the message with this key, None if none is kept."""
        ...

    def cursor(self, subscriber: str, topic: str) -> Cursor | None:
        """Return how far a subscriber has read, None if he has not begun."""
        ...


def decided(effects: Effects, known: Known, *, now: float) -> tuple[Changes, Written]:
    """Return what `effects` come to, and what is answered.

    Args:
        effects: What is to be written.
        known: What it is decided on.
        now: In seconds since 1970-01-01 UTC.

    Raises:
        DocumentConflictError: If a document is not of the version that is expected.
        CursorConflictError: If a subscriber does not stand where he is expected to.
        QuotaExceededError: If a scope would hold more than it may.
    """
    cursors = _moved_cursors(effects, known)
    _check_versions(effects.puts, known, now)
    _check_quotas(effects.puts, known, now)
    put, versions = _put(effects.puts, known, now)
    messages, seqs = _appended(effects.messages, known, now)
    changes = Changes(put.documents, put.removed, put.versions, messages, cursors=cursors)
    return changes, Written(versions, seqs)


def _moved_cursors(effects: Effects, known: Known) -> tuple[Cursor, ...]:
    moved: dict[tuple[str, str], Cursor] = {}
    for begun in effects.subscriptions:
        if known.cursor(begun.subscriber, begun.topic) is None:
            seq = known.last_seq(begun.topic)
            moved[begun.subscriber, begun.topic] = Cursor(begun.subscriber, begun.topic, seq)
    for receipt in effects.receipts:
        reader = receipt.subscriber, receipt.topic
        cursor = moved.get(reader) or known.cursor(*reader)
        found = 0 if cursor is None else cursor.seq
        if found != receipt.expected_seq:
            raise CursorConflictError(*reader, expected_seq=receipt.expected_seq, found_seq=found)
        moved[reader] = Cursor(*reader, receipt.seq, receipt.failures)
    return tuple(moved.values())


def _check_versions(puts: Iterable[Put], known: Known, now: float) -> None:
    for put in puts:
        if put.expected_version is None:
            continue
        state = known.document_state(put.scope, put.key)
        found = 0 if state is None or is_over(state.expires_at, now) else state.version
        if put.expected_version != found:
            raise DocumentConflictError(put.scope, put.key, expected_version=put.expected_version, found_version=found)


def _check_quotas(puts: Sequence[Put], known: Known, now: float) -> None:
    """Refuse puts after which a scope would hold more than it may. A deletion is never refused."""
    for scope in dict.fromkeys(put.scope for put in puts if put.quota is not None and put.value is not None):
        sizes = {put.key: None if put.value is None else len(put.value) for put in puts if put.scope == scope}
        new = [size for size in sizes.values() if size is not None]
        others = known.usage(scope, but=sizes.keys(), now=now)
        documents, total = others.documents + len(new), others.bytes + sum(new)
        quotas = (put.quota for put in puts if put.scope == scope and put.value is not None)
        for quota in quotas:
            if quota is not None and (documents > quota.documents or total > quota.bytes):
                allowed = f"{quota.documents} documents and {quota.bytes} bytes"
                raise QuotaExceededError(scope, documents=documents, bytes=total, allowed=allowed)


def usage_of(scope: str, states: Mapping[str, DocumentState], *, but: Collection[str], now: float) -> ScopeUsage:
    """Return what these documents of a scope take, by key, besides some and without those that have expired."""
    sizes = [state.size for key, state in states.items() if key not in but and not is_over(state.expires_at, now)]
    return ScopeUsage(scope, len(sizes), sum(sizes))


def _put(puts: Iterable[Put], known: Known, now: float) -> tuple[Changes, tuple[int, ...]]:
    documents: list[WrittenDocument] = []
    removed: list[tuple[str, str]] = []
    last_versions: dict[str, int] = {}
    versions: list[int] = []
    for put in puts:
        scope, key = put.scope, put.key
        if put.value is None:
            versions.append(0)
            if known.document_state(scope, key) is not None:
                removed.append((scope, key))
            continue
        version = (last_versions.get(scope) or known.last_version(scope)) + 1
        last_versions[scope] = version
        versions.append(version)
        expires_at = None if put.ttl_seconds is None else now + put.ttl_seconds
        documents.append(WrittenDocument(Document(scope, key, version, put.value, now, expires_at), put.text))
    return Changes(tuple(documents), tuple(removed), given_versions(removed, known, last_versions)), tuple(versions)


def given_versions(
    removed: Iterable[tuple[str, str]], known: Known, newer: Mapping[str, int]
) -> tuple[tuple[str, int], ...]:
    """Return for each scope that loses a document the last version that it has given.

    Args:
        removed: The scope and the key of each document that goes.
        known: What is known of the scopes.
        newer: Scope -> the last version, where it is not known yet.
    """
    scopes = dict.fromkeys(scope for scope, _ in removed)
    return tuple((scope, newer.get(scope) or known.last_version(scope)) for scope in scopes)


def _appended(new: Iterable[NewMessage], known: Known, now: float) -> tuple[tuple[Message, ...], tuple[int, ...]]:
    messages: list[Message] = []
    last_seqs: dict[str, int] = {}
    named: dict[tuple[str, str], int] = {}
    seqs: list[int] = []
    for it in new:
        if it.key:
            seq = named.get((it.topic, it.key)) or known.seq_of(it.topic, it.key)
            if seq is not None:
                seqs.append(seq)
                continue
        seq = (last_seqs.get(it.topic) or known.last_seq(it.topic)) + 1
        last_seqs[it.topic] = seq
        if it.key:
            named[it.topic, it.key] = seq
        seqs.append(seq)
        messages.append(Message(it.topic, seq, now, it.payload, it.key, it.sender, it.reply_to))
    return tuple(messages), tuple(seqs)
