"""Messages that a subscriber could not handle: kept with what went wrong, until somebody decides about them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from tagent.exceptions import TAgentError, text_of
from tagent.messaging.received import ReceivedMessage
from tagent.names import dead_letters, redelivered
from tagent.payloads import LARGEST_MESSAGE, PayloadError, decoded, encoded
from tagent.ports.documents import DocumentQuery, Put
from tagent.ports.effect_errors import DocumentConflictError
from tagent.ports.effects import Effects
from tagent.ports.messages import Message, NewMessage
from tagent.ports.store import Store
from tagent.values import value

LONGEST_ERROR = 2_000
"""Characters of what went wrong that are kept."""


@value
class _Letter:
    """A dead letter as JSON. `payload` is that of the message, as it was."""

    topic: str
    seq: int
    at: float
    key: str
    sender: str
    reply_to: str
    payload: str
    code: str
    error: str
    failures: int

    @classmethod
    def read(cls, kept: Message) -> Self:
        what = f"The dead letter {kept.seq} in {kept.topic!r}"
        letter: Self = decoded(kept.payload, what=what, schema=cls)
        return letter

    def message(self) -> Message:
        """Return the message that could not be handled."""
        payload = self.payload.encode()
        return Message(self.topic, self.seq, self.at, payload, self.key, self.sender, self.reply_to)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that a subscriber could not handle.

    Attributes:
        id: Its number among the subscriber's dead letters.
        code: The error's code, or its class.
        error: What the error says.
        failures: How often it was tried.
        failed_at: When it was given up, in seconds since 1970-01-01 UTC.
        kept: The message as it was kept.

    Example:
        >>> from tagent.pipeline import Delivery, PipelineCommunicator
        >>> def half(delivery: Delivery) -> None:
        ...     delivery.reply(delivery.message.data / 2)
        >>> with PipelineCommunicator("halves", store="memory://") as communicator:
        ...     communicator.send("halves", "seven")
        ...     subscribed = communicator.subscribe("pipeline:halves", half, max_failures=1)
        ...     answer = communicator.request("halves", 8, timeout=5)
        ...     answer, [(letter.message.data, letter.code) for letter in communicator.dead_letters()]
        (4.0, [('seven', 'TypeError')])
    """

    id: int
    code: str
    error: str
    failures: int
    failed_at: float
    kept: Message = field(repr=False)

    @property
    def message(self) -> ReceivedMessage:
        """The message.

        Raises:
            PayloadError: If it cannot be read at all.
        """
        return ReceivedMessage.of(self.kept)


def original(message: Message, subscriber: str) -> Message:
    """Return the message that is meant: of a dead letter that is tried again the one that could not be handled.

    Raises:
        PayloadError: If the dead letter cannot be read.
    """
    return _Letter.read(message).message() if message.topic == redelivered(subscriber) else message


def dead_letter(subscriber: str, message: Message, error: Exception, *, failures: int) -> NewMessage:
    """Return what is kept of a message that cannot be handled."""
    with suppress(PayloadError):  # then what is kept is the dead letter that could not be read
        message = original(message, subscriber)
    letter = _Letter(
        message.topic,
        message.seq,
        message.at,
        message.key,
        message.sender,
        message.reply_to,
        message.payload.decode(errors="backslashreplace"),
        error.code if isinstance(error, TAgentError) else type(error).__name__,
        text_of(error)[:LONGEST_ERROR],
        failures,
    )
    payload = encoded(letter, what="The dead letter", largest=8 * LARGEST_MESSAGE)  # its payload is a text in a text
    return NewMessage(dead_letters(subscriber), payload)


async def open_dead_letters(store: Store, subscriber: str, *, after: int = 0, limit: int = 100) -> Sequence[DeadLetter]:
    """Return the dead letters about which nobody has decided yet, the oldest first.

    Args:
        store: Where they are.
        subscriber: Who could not handle them.
        after: Only those behind this one, by number.
        limit: How many to look at.
    """
    box = dead_letters(subscriber)
    kept = await store.messages(box, after_seq=after, limit=limit)
    if not kept:
        return ()
    first, last = kept[0].seq, kept[-1].seq
    query = DocumentQuery(box, after=_mark(first - 1), limit=last - first + 1)
    decided = {document.key for document in await store.documents(query)}
    return tuple([read_letter(it) for it in kept if _mark(it.seq) not in decided])


def read_letter(kept: Message) -> DeadLetter:
    """Return the dead letter that is kept as this message.

    Raises:
        PayloadError: If it cannot be read.
    """
    letter = _Letter.read(kept)
    return DeadLetter(kept.seq, letter.code, letter.error, letter.failures, kept.at, letter.message())


async def redeliver(store: Store, subscriber: str, letter: DeadLetter) -> bool:
    """Give a message to its subscriber once more, behind what he has not read yet; False if it was decided already."""
    kept = await store.messages(dead_letters(subscriber), after_seq=letter.id - 1, limit=1)
    if not kept or kept[0].seq != letter.id:
        return False
    again = NewMessage(redelivered(subscriber), kept[0].payload)
    return await _decide(store, subscriber, letter, Effects(messages=(again,)))


async def discard(store: Store, subscriber: str, letter: DeadLetter) -> bool:
    """Give a message up for good; False if it was decided already."""
    return await _decide(store, subscriber, letter, Effects())


async def _decide(store: Store, subscriber: str, letter: DeadLetter, effects: Effects) -> bool:
    mark = Put(dead_letters(subscriber), _mark(letter.id), encoded("decided", what="A mark"), expected_version=0)
    try:
        await store.write(effects.plus(Effects(puts=(mark,))))
    except DocumentConflictError:
        return False
    return True


def _mark(number: int) -> str:
    """Return the key of what was decided about a dead letter; keys are in the order of the letters."""
    return f"{number:016}"
