"""What a store keeps of messages: ordered topics, and how far each subscriber has read, as plain values."""

from tagent.values import value


@value
class NewMessage:
    """A message to append to a topic.

    Attributes:
        topic: Where it goes; a topic begins with its first message.
        payload: UTF-8 JSON.
        key: Names the message in its topic: a second one with the same key is not appended, as long as the
            first is kept. Empty for none.
        sender: Who sends it.
        reply_to: The topic in which an answer is awaited; empty for none.
    """

    topic: str
    payload: bytes
    key: str = ""
    sender: str = ""
    reply_to: str = ""


@value
class Message:
    """A message in its topic.

    Attributes:
        topic: The topic.
        seq: Its place there, from 1, without gaps.
        at: When it was appended, by the store's clock, in seconds since 1970-01-01 UTC.
        payload: UTF-8 JSON.
        key: Names the message in its topic; empty for none.
        sender: Who sent it.
        reply_to: The topic in which an answer is awaited; empty for none.
    """

    topic: str
    seq: int
    at: float
    payload: bytes
    key: str = ""
    sender: str = ""
    reply_to: str = ""


@value
class Subscription:
    """Lets a subscriber begin behind the newest message of a topic; who has read there already stays where he is.

    Without one, a subscriber begins with the oldest message.

    Attributes:
        subscriber: Who reads.
        topic: What.
    """

    subscriber: str
    topic: str


@value
class Receipt:
    """Moves on how far a subscriber has read a topic, if nobody else has done so meanwhile.

    Attributes:
        subscriber: Who read.
        topic: What.
        expected_seq: Where he stands now: the place of the last message that is done; 0 for none.
        seq: Where he stands from now on; the same when he has failed at the next one.
        failures: How often he has failed at the next message so far.
    """

    subscriber: str
    topic: str
    expected_seq: int
    seq: int
    failures: int = 0


@value
class Cursor:
    """How far a subscriber has read a topic.

    Attributes:
        subscriber: Who.
        topic: What.
        seq: The place of the last message that is done; 0 for none.
        failures: How often he has failed at the next one.
    """

    subscriber: str
    topic: str
    seq: int = 0
    failures: int = 0


@value
class Topic:
    """What is known of a topic.

    Attributes:
        name: Its name.
        last_seq: The place of the newest message it ever had.
        messages: How many are kept.
    """

    name: str
    last_seq: int
    messages: int
