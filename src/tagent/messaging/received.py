"""`ReceivedMessage`: a message as its reader sees it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from tagent.exceptions import DataPathError
from tagent.names import shown
from tagent.paths import DataPath
from tagent.payloads import decoded
from tagent.ports.messages import Message


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message.

    Attributes:
        topic: Where it was sent: a topic, `pipeline:NAME` or `run:ID`.
        data: What it says.
        sender: Who sent it, as an address that can be answered; empty if unknown.
        sent_at: When it was sent, in seconds since 1970-01-01 UTC.
        seq: Its place in its topic, from 1.
        kept: The message as it is kept.

    Example:
        >>> from tagent.pipeline import PipelineCommunicator
        >>> with PipelineCommunicator("report", store="memory://") as communicator:
        ...     communicator.send("report", {"city": "Porto"})
        ...     message = communicator.receive(timeout=5)
        >>> message.topic, message.sender, message.data, message.wants_reply
        ('pipeline:report', 'pipeline:report', {'city': 'Porto'}, False)
    """

    topic: str
    data: Any
    sender: str
    sent_at: float
    seq: int
    kept: Message = field(repr=False)

    @classmethod
    def of(cls, kept: Message, schema: object = None) -> Self:
        """Return a message that is kept, with its data as JSON values or as `schema`.

        Raises:
            PayloadError: If the data do not fit the schema.
        """
        topic = shown(kept.topic)
        data = decoded(kept.payload, what=f"The message {kept.seq} of {topic!r}", schema=schema)
        return cls(topic, data, kept.sender, kept.at, kept.seq, kept)

    @property
    def wants_reply(self) -> bool:
        """Whether its sender waits for an answer."""
        return bool(self.kept.reply_to)

    def read(self, schema: object) -> Any:
        """Return the data as `schema`, a Pydantic model or anything that Pydantic can check.

        Raises:
            PayloadError: If they do not fit.

        Example:
            >>> message = ReceivedMessage.of(Message("topic/prices", 1, 0.0, b'{"v":1,"data":{"tea":3}}'))
            >>> message.topic, message.read(dict[str, float])
            ('prices', {'tea': 3.0})
        """
        return decoded(self.kept.payload, what=f"The message {self.seq} of {self.topic!r}", schema=schema)


Where = Callable[[ReceivedMessage], bool] | Mapping[str, object]
"""Which messages are meant: a test, or what fields of their data, or paths into it, must be equal to."""


def fits(where: Where | None, message: ReceivedMessage) -> bool:
    """Return whether `message` is one of those that are meant.

    Example:
        >>> message = ReceivedMessage.of(Message("topic/t", 1, 0.0, b'{"v":1,"data":{"order":{"id":7}}}'))
        >>> fits({"order.id": 7}, message), fits({"id": 7}, message), fits(lambda it: it.seq == 1, message)
        (True, False, True)
    """
    if where is None:
        return True
    if callable(where):
        return bool(where(message))
    return all(_has(message.data, path, expected) for path, expected in where.items())


def _has(data: object, path: str, expected: object) -> bool:
    try:
        return bool(DataPath.parse(f"data.{path}").look_up({"data": data}) == expected)
    except DataPathError:
        return False
