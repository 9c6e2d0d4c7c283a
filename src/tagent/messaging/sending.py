"""What is sent, as the store keeps it. Pure."""

from tagent.messaging.errors import NoReplyWantedError
from tagent.messaging.received import ReceivedMessage
from tagent.names import checked_topic, shown, topic_of
from tagent.payloads import LARGEST_MESSAGE, encoded
from tagent.ports.messages import NewMessage


def new_message(topic: str, data: object, *, key: str = "", sender: str = "", reply_to: str = "") -> NewMessage:
    """Return a message to a topic of the store.

    Raises:
        PayloadError: If the data cannot be written as JSON, or are too large.
    """
    payload = encoded(data, what=f"The message to {shown(topic)!r}", largest=LARGEST_MESSAGE)
    return NewMessage(topic, payload, key, sender, reply_to)


def reply_to(message: ReceivedMessage, data: object, *, sender: str = "") -> NewMessage:
    """Return the answer to a message. Only the first answer counts.

    Raises:
        NoReplyWantedError: If its sender does not wait for one.
        PayloadError: If the data cannot be written as JSON, or are too large.
    """
    if not message.wants_reply:
        raise NoReplyWantedError(message.topic, message.seq)
    return new_message(message.kept.reply_to, data, key="reply", sender=sender)


def broadcast_topic(topic: str) -> str:
    """Return the store's name of a topic.

    Raises:
        InvalidNameError: If it cannot name a topic.
    """
    return topic_of(checked_topic(topic))


def address_of(pipeline: str) -> str:
    """Return the address of a pipeline, as its messages name their sender."""
    return f"pipeline:{pipeline}"
