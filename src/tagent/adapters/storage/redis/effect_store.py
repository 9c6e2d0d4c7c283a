"""`EffectStore`: the half of the store that keeps memory and messages."""

from collections.abc import Mapping, Sequence

from tagent.adapters.storage.redis import scripts
from tagent.adapters.storage.redis.arguments import number_argument, utf8
from tagent.adapters.storage.redis.effect_values import (
    BEHIND_NAMES,
    cursor_name,
    effect_arguments,
    integers,
    seconds_of,
    stored_cursor,
    stored_document,
    stored_message,
    stored_portion,
    written,
)
from tagent.adapters.storage.redis.link import Reply
from tagent.adapters.storage.redis.readers import Readers
from tagent.adapters.storage.redis.refusals import accepted
from tagent.adapters.storage.redis.scripts import Command, Script
from tagent.adapters.storage.redis.values import FORMAT
from tagent.adapters.storage.redis.writer import Writer
from tagent.ports.documents import Document, DocumentQuery, ScopeUsage
from tagent.ports.effects import Effects, Swept, Written, required_prefix
from tagent.ports.messages import Cursor, Message, Topic

PORTION = 1000
"""So many names, documents or messages the server looks at before it serves others."""


class EffectStore:
    """Documents in scopes, messages in topics, cursors of subscribers.

    Args:
        prefix: What the names of all keys begin with, up to and with the colon.
        writer: Sends what writes.
        readers: Send what reads.
    """

    def __init__(self, prefix: bytes, *, writer: Writer, readers: Readers) -> None:
        self._prefix = prefix  # a key too, of which an ACL says whether it is ours
        self._writer = writer
        self._readers = readers

    async def write(self, effects: Effects) -> Written:
        """Write effects that belong to no run, all or nothing."""
        return written(await self._change(scripts.WRITE, b"%d" % FORMAT, *effect_arguments(effects)))

    async def document(self, scope: str, key: str) -> Document | None:
        """Return a document; None if there is none, or it has expired."""
        kept = (b"HGET", self._key("documents", scope), utf8(key))
        time, stored = await self._readers.read((b"TIME",), kept)
        if not isinstance(stored, bytes):
            return None
        document = stored_document(scope, key, stored)
        return None if document.expires_at is not None and document.expires_at <= seconds_of(time) else document

    async def documents(self, query: DocumentQuery) -> Sequence[Document]:
        """Return the documents that fit, by key."""
        prefix, after = utf8(query.prefix), utf8(query.after)
        first = b"(" + after if after >= prefix else b"[" + prefix
        last = b"(" + prefix + BEHIND_NAMES
        words = [utf8(word) for word in query.words]
        found: list[Document] = []
        while (missing := query.limit - len(found)) > 0:
            portion = PORTION if words else min(missing, PORTION)
            numbers = (b"%d" % missing, b"%d" % portion)
            call = scripts.DOCUMENTS.call(self._prefix, utf8(query.scope), first, last, *numbers, *words)
            (answer,) = await self._readers.read(call)
            documents, seen = stored_portion(query.scope, answer)
            found += documents
            if not seen:
                break
            first = b"(" + seen
        return found

    async def scopes(self, prefix: str = "") -> Sequence[ScopeUsage]:
        """Return the scopes that hold something and whose names begin with `prefix`, by name."""
        names = await self._names("scopes", prefix)
        kept = await self._read_all([(b"HMGET", self._key("scope", name), b"documents", b"bytes") for name in names])
        usages = [ScopeUsage(name, *integers(reply)) for name, reply in zip(names, kept, strict=True) if reply]
        return [usage for usage in usages if usage.documents]

    async def topics(self, prefix: str = "") -> Sequence[Topic]:
        """Return the topics whose names begin with `prefix`, by name."""
        names = await self._names("topics", prefix)
        seqs = await self._read_all([(b"HGET", self._key("topic", name), b"last_seq") for name in names])
        lengths = await self._read_all([(b"XLEN", self._key("messages", name)) for name in names])
        return [Topic(name, *integers([seq, length])) for name, seq, length in zip(names, seqs, lengths, strict=True)]

    async def messages(self, topic: str, *, after_seq: int = 0, limit: int = 100) -> Sequence[Message]:
        """Return the messages of a topic behind `after_seq`, in order."""
        return await self._following({topic: after_seq}, limit)

    async def unread(self, subscriber: str, topics: Sequence[str], *, limit: int = 100) -> Sequence[Message]:
        """Return what the subscriber has not read of these topics, by time."""
        cursors = await self._cursors([(subscriber, topic) for topic in topics])
        found = await self._following(dict.fromkeys(topics, 0) | {it.topic: it.seq for it in cursors}, limit)
        return sorted(found, key=lambda message: (message.at, message.topic, message.seq))

    async def cursors(self, *, subscriber: str = "", topic: str = "") -> Sequence[Cursor]:
        """Return how far everybody has read, by subscriber and topic; restricted to those named."""
        if subscriber and topic:
            readers = [(subscriber, topic)]
        elif topic:
            readers = [(subscriber, topic) for topic, subscriber in await self._pairs("cursors-by-topic", topic)]
        else:
            readers = await self._pairs("cursors-by-subscriber", subscriber)
        return sorted(await self._cursors(readers), key=lambda cursor: (cursor.subscriber, cursor.topic))

    async def forget(self, prefix: str) -> None:
        """Delete every scope, topic and subscriber whose name begins with `prefix`."""
        await self._change(scripts.FORGET, utf8(required_prefix(prefix)))

    async def sweep(self, *, messages_older_than_seconds: float) -> Swept:
        """Delete the documents that have expired, and the messages that are older."""
        (time,) = await self._readers.read((b"TIME",))
        now = seconds_of(time)
        times = number_argument(now), number_argument(now - messages_older_than_seconds)
        documents = messages = is_all = 0
        while not is_all:
            removed = await self._change(scripts.SWEEP, *times, b"%d" % PORTION)
            more_documents, more_messages, is_all = integers(removed)
            documents, messages = documents + more_documents, messages + more_messages
        return Swept(documents, messages)

    async def _change(self, script: Script, *arguments: bytes) -> list[Reply]:
        """Return what the script answers behind its `done`."""
        return accepted(await self._writer.submit(script.call(self._prefix, *arguments)))

    async def _names(self, index: str, prefix: str) -> list[str]:
        """Return the names in an index that begin with `prefix`, in order."""
        first = utf8(prefix)
        return [name.decode() for name in await self._range(index, b"[" + first, b"(" + first + BEHIND_NAMES)]

    async def _pairs(self, index: str, name: str) -> list[tuple[str, str]]:
        """Return the pairs of names in an index of which `name` is the first; all for an empty one."""
        first = utf8(name) + BEHIND_NAMES
        found = (
            await self._range(index, b"[" + first, b"(" + first + BEHIND_NAMES) if name else await self._range(index)
        )
        pairs = (member.split(BEHIND_NAMES) for member in found)
        return [(one.decode(), other.decode()) for one, other in pairs]

    async def _range(self, index: str, first: bytes = b"-", last: bytes = b"+") -> list[bytes]:
        """Return what is in an index, between two ends as ZRANGEBYLEX takes them."""
        found: list[bytes] = []
        while True:
            portion = (b"LIMIT", b"0", b"%d" % PORTION)
            (reply,) = await self._readers.read((b"ZRANGEBYLEX", self._prefix + index.encode(), first, last, *portion))
            members = [it for it in reply if isinstance(it, bytes)] if isinstance(reply, list) else []
            found += members
            if len(members) < PORTION:
                return found
            first = b"(" + members[-1]

    async def _cursors(self, readers: Sequence[tuple[str, str]]) -> list[Cursor]:
        """Return the cursors that there are of these subscribers in these topics."""
        kept = await self._read_all([(b"HGET", self._prefix + b"cursors", cursor_name(*reader)) for reader in readers])
        pairs = zip(readers, kept, strict=True)
        return [stored_cursor(*reader, stored) for reader, stored in pairs if isinstance(stored, bytes)]

    async def _following(self, seen: Mapping[str, int], limit: int) -> list[Message]:
        """Return what follows in each topic behind the message seen there, at most `limit` of each."""
        found: list[Message] = []
        while seen and limit > 0:
            count = min(limit, PORTION)
            ranges = [(self._key("messages", topic), b"%d-0" % (seq + 1)) for topic, seq in seen.items()]
            replies = await self._read_all([(b"XRANGE", *it, b"+", b"COUNT", b"%d" % count) for it in ranges])
            portions = {
                topic: [stored_message(topic, entry) for entry in reply] if isinstance(reply, list) else []
                for topic, reply in zip(seen, replies, strict=True)
            }
            found += [message for portion in portions.values() for message in portion]
            seen = {topic: portion[-1].seq for topic, portion in portions.items() if len(portion) == count}
            limit -= count
        return found

    async def _read_all(self, commands: Sequence[Command]) -> list[Reply]:
        """Return the answers to commands, of which there may be many."""
        found: list[Reply] = []
        for at in range(0, len(commands), PORTION):
            found += await self._readers.read(*commands[at : at + PORTION])
        return found

    def _key(self, kind: str, name: str) -> bytes:
        return b"%s%s:%s" % (self._prefix, kind.encode(), utf8(name))
