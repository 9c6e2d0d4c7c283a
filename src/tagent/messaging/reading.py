"""`Reader`: what one subscriber has not read yet."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from tagent.messaging.received import ReceivedMessage, Where, fits
from tagent.names import is_pattern_of_topics, literal_beginning, matches
from tagent.ports.messages import Cursor, Message, Receipt
from tagent.ports.store import Store

PAGE = 100
"""Messages of a topic that are read at a time."""

ReadUpTo = Callable[[str, int], int]
"""A topic, and up to where its subscriber has read it in the store -> up to where he has read it."""


async def topics_of(source: str, store: Store) -> Mapping[str, int | None]:
    """Return the topics that a reader's source stands for, with the place of the newest message where that is known."""
    if not is_pattern_of_topics(source):
        return {source: None}
    topics = await store.topics(literal_beginning(source))
    return {topic.name: topic.last_seq for topic in topics if is_one_of(topic.name, source)}


def is_one_of(topic: str, source: str) -> bool:
    """Return whether a topic of the store is one of those that a pattern stands for."""
    kind, _, name = topic.partition("/")
    wanted, _, pattern = source.partition("/")
    return kind == wanted and matches(pattern, name)


def by_time(messages: Iterable[Message]) -> Sequence[Message]:
    """Return messages by time, those of a topic in its order, also where a clock was set back meanwhile."""
    latest: dict[str, float] = {}
    dated = []
    for message in sorted(messages, key=lambda message: message.seq):
        at = latest[message.topic] = max(message.at, latest.get(message.topic, 0.0))
        dated.append((at, message.topic, message.seq, message))
    return [message for *_, message in sorted(dated)]


class Reader:
    """Reads on for a subscriber. What it has looked at is behind it, before that is written down, too.

    Args:
        store: Where the messages are.
        subscriber: Who reads.
        sources: Topics of the store, and patterns of them.
        read_up_to: Tells of what was read and is not written down yet, if there is such a thing.
    """

    def __init__(
        self,
        store: Store,
        subscriber: str,
        *sources: str,
        read_up_to: ReadUpTo = lambda topic, seq: seq,  # noqa: ARG005 - nothing but what is written down
    ) -> None:
        self._store = store
        self._subscriber = subscriber
        self._sources = sources
        self._read_up_to = read_up_to
        self._cursors: dict[str, Cursor] = {}
        self._seen: dict[str, int] = {}

    async def unread(self, *, but: Collection[str] = ()) -> Sequence[Message]:
        """Return the next messages, by time, those of a topic in its order; none if there are none.

        Args:
            but: Topics to leave out.
        """
        newest: dict[str, int | None] = {}
        for source in self._sources:
            newest.update(await topics_of(source, self._store))
        await self._look_up_cursors(newest)
        places = {topic: self._place(topic) for topic in newest if topic not in but}
        open_topics = [topic for topic, seq in places.items() if (last := newest[topic]) is None or last > seq]
        written = [topic for topic in open_topics if places[topic] == self.done(topic)]
        found = list(await self._store.unread(self._subscriber, written, limit=PAGE)) if written else []
        for topic in open_topics:
            if topic not in written:
                found += await self._store.messages(topic, after_seq=places[topic], limit=PAGE)
        return by_time(found)

    async def next(self, where: Where | None = None) -> Message | None:
        """Return the next message that is meant, None if there is none; those before it are passed over.

        Raises:
            PayloadError: If a message cannot be read, of which that must be known.
        """
        while page := await self.unread():
            for message in page:
                is_meant = where is None or fits(where, ReceivedMessage.of(message))
                self._seen[message.topic] = message.seq
                if is_meant:
                    return message
        return None

    def receipts(self) -> tuple[Receipt, ...]:
        """Return what writes down that everything looked at is read."""
        return tuple(
            Receipt(self._subscriber, topic, self.done(topic), seq)
            for topic, seq in self._seen.items()
            if seq > self.done(topic)
        )

    def receipt(self, message: Message) -> Receipt:
        """Return what writes down that a message is done, and all before it in its topic."""
        return Receipt(self._subscriber, message.topic, self.done(message.topic), message.seq)

    def failure(self, topic: str) -> Receipt:
        """Return what writes down one more failure at the next message of a topic."""
        cursor = self._cursors.get(topic) or Cursor(self._subscriber, topic)
        return Receipt(self._subscriber, topic, cursor.seq, cursor.seq, cursor.failures + 1)

    def written(self, receipts: Sequence[Receipt]) -> None:
        """Note that receipts are written down."""
        for it in receipts:
            self._cursors[it.topic] = Cursor(it.subscriber, it.topic, it.seq, it.failures)

    def start_again(self) -> None:
        """Look again at what is not written down."""
        self._seen.clear()

    def done(self, topic: str) -> int:
        """Return up to where the subscriber has read a topic, as it is written down."""
        return self._cursors[topic].seq if topic in self._cursors else 0

    def _place(self, topic: str) -> int:
        return max(self._seen.get(topic, 0), self._read_up_to(topic, self.done(topic)))

    async def _look_up_cursors(self, topics: Collection[str]) -> None:
        only = next(iter(topics)) if len(topics) == 1 else ""
        found = await self._store.cursors(subscriber=self._subscriber, topic=only)
        self._cursors = {cursor.topic: cursor for cursor in found}
