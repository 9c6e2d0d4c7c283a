"""What effects come to: facts, decided once when they are written. Pure."""

from collections.abc import Iterable
from heapq import merge
from itertools import groupby

from tagent.ports.documents import Document
from tagent.ports.messages import Cursor, Message
from tagent.values import value


@value
class WrittenDocument:
    """A document, and the text that words are looked for in."""

    document: Document
    text: str


@value
class Changes:
    """What is different from now on, all of it at once.

    Attributes:
        documents: Documents as they are now.
        removed: The scope and the key of documents that are gone.
        versions: For each scope that loses a document the last version that it has given.
        messages: Messages that are new.
        swept: For each topic that loses messages the place of the last of them; those before are gone, too.
        cursors: How far subscribers have read now.
    """

    documents: tuple[WrittenDocument, ...] = ()
    removed: tuple[tuple[str, str], ...] = ()
    versions: tuple[tuple[str, int], ...] = ()
    messages: tuple[Message, ...] = ()
    swept: tuple[tuple[str, int], ...] = ()
    cursors: tuple[Cursor, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is different."""
        return any((self.documents, self.removed, self.versions, self.messages, self.swept, self.cursors))


NO_CHANGES = Changes()


def is_over(expires_at: float | None, now: float) -> bool:
    """Return whether what is kept until `expires_at` is not there any more."""
    return expires_at is not None and expires_at <= now


def by_time(messages: Iterable[Message]) -> list[Message]:
    """Return messages of several topics by time, but those of a topic in its order, even if a clock was put back."""
    in_order = sorted(messages, key=lambda message: (message.topic, message.seq))
    topics = [list(of_topic) for _, of_topic in groupby(in_order, key=lambda message: message.topic)]
    return list(merge(*topics, key=lambda message: message.at))
