"""Effects as the arguments of scripts, and what is kept of memory and messages as our values."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from tagent.adapters.storage.redis.arguments import NO, YES, Arguments, number_argument, utf8
from tagent.adapters.storage.redis.link import Reply
from tagent.exceptions import StoreError
from tagent.ports.documents import Document, Put
from tagent.ports.effects import Effects, Written
from tagent.ports.messages import Cursor, Message, NewMessage, Receipt, Subscription

BEHIND_NAMES = b"\xff"
"""No byte of UTF-8: it parts the two names of a cursor, and ends the range of the names that begin alike."""

It = TypeVar("It")


def effect_arguments(effects: Effects) -> Arguments:
    """Return effects as `effects.lua` reads them.

    Raises:
        StoreError: If a text is not Unicode, or a time is no number.
    """
    parts = (
        _listed(effects.subscriptions, _subscription_arguments),
        _listed(effects.receipts, _receipt_arguments),
        _listed(effects.puts, _put_arguments),
        _listed(effects.messages, _message_arguments),
    )
    return (*(b"%d" % count for count, _ in parts), *(it for _, arguments in parts for it in arguments))


def written(answer: Sequence[Reply]) -> Written:
    """Return what `write.lua` says that it has written."""
    versions, seqs = answer
    return Written(tuple(integers(versions)), tuple(integers(seqs)))


def integers(reply: Reply) -> list[int]:
    """Return the integers that a list holds, as numbers or as texts; none if the answer is no list."""
    return [int(it) for it in reply if isinstance(it, int | bytes)] if isinstance(reply, list) else []


def seconds_of(time: Reply) -> float:
    """Return what the server answers to TIME, in seconds, as `shared.lua` reckons it."""
    seconds, microseconds = integers(time)
    return seconds + microseconds / 1000000


def stored_portion(scope: str, answer: Reply) -> tuple[Sequence[Document], bytes]:
    """Return what `documents.lua` found, and behind which key to go on; none at the end.

    Raises:
        StoreError: If the answer is none of `documents.lua`.
    """
    match answer:
        case [[*found], bytes(last)]:
            pairs = zip(found[::2], found[1::2], strict=True)
            documents = [
                stored_document(scope, key.decode(), stored)
                for key, stored in pairs
                if isinstance(key, bytes) and isinstance(stored, bytes)
            ]
            return documents, last
        case _:
            raise StoreError("A search was answered by what is no list of documents.")


def stored_document(scope: str, key: str, stored: bytes) -> Document:
    """Return the document that `memory.lua` keeps under this key."""
    version, at, expires_at, value = stored.split(b" ", 3)
    return Document(scope, key, int(version), value, float(at), float(expires_at) if expires_at else None)


def stored_message(topic: str, entry: Reply) -> Message:
    """Return the message that an entry of a topic's Stream holds.

    Raises:
        StoreError: If another program wrote the entry.
    """
    match entry:
        case [
            bytes(entry_id),
            [b"at", bytes(at), b"payload", bytes(payload), _, bytes(key), _, bytes(sender), _, bytes(reply_to)],
        ]:
            seq = int(entry_id.partition(b"-")[0])
            return Message(topic, seq, float(at), payload, key.decode(), sender.decode(), reply_to.decode())
        case _:
            raise StoreError("A topic holds an entry that tagent has not written.")


def cursor_name(subscriber: str, topic: str) -> bytes:
    """Return what `messages.lua` calls the place of a subscriber in a topic."""
    return utf8(subscriber) + BEHIND_NAMES + utf8(topic)


def stored_cursor(subscriber: str, topic: str, stored: bytes) -> Cursor:
    """Return the cursor that `messages.lua` keeps."""
    seq, failures = stored.split(b" ")
    return Cursor(subscriber, topic, int(seq), int(failures))


def _listed(them: Sequence[It], arguments_of: Callable[[It], Arguments]) -> tuple[int, Arguments]:
    return len(them), tuple(argument for it in them for argument in arguments_of(it))


def _subscription_arguments(it: Subscription) -> Arguments:
    return utf8(it.subscriber), utf8(it.topic)


def _receipt_arguments(it: Receipt) -> Arguments:
    return utf8(it.subscriber), utf8(it.topic), b"%d" % it.expected_seq, b"%d" % it.seq, b"%d" % it.failures


def _put_arguments(it: Put) -> Arguments:
    if it.ttl_seconds is not None and math.isnan(it.ttl_seconds):  # Redis would notice half-way through a script
        raise StoreError(f"How long the document {it.key!r} of {it.scope!r} is kept is no number.")
    return (
        utf8(it.scope),
        utf8(it.key),
        YES if it.value is None else NO,
        it.value or b"",
        utf8(it.text),
        b"" if it.expected_version is None else b"%d" % it.expected_version,
        b"" if it.ttl_seconds is None else number_argument(it.ttl_seconds),
        b"" if it.quota is None else b"%d" % it.quota.documents,
        b"" if it.quota is None else b"%d" % it.quota.bytes,
    )


def _message_arguments(it: NewMessage) -> Arguments:
    return utf8(it.topic), it.payload, utf8(it.key), utf8(it.sender), utf8(it.reply_to)
