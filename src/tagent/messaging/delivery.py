"""`Delivery`: a message in the hands of a handler, and what it may do about it."""

from tagent.bridge import Bridge
from tagent.effects import EffectBuffer
from tagent.memory import MemoryScope
from tagent.messaging.received import ReceivedMessage
from tagent.messaging.sending import address_of, broadcast_topic, new_message, reply_to
from tagent.names import checked_name, mailbox, pipeline_scope, space_scope
from tagent.ports.store import Store


class Delivery:
    """A message that is handled. Everything done here is written together with the fact that it was handled.

    Args:
        message: The message.
        store: Where memory is.
        pipeline: The name of the pipeline for which it is handled.
        bridge: The way to the store's event loop.
        buffer: Gathers what is done.

    Attributes:
        message: The message.
        memory: What the pipeline remembers.

    Example:
        >>> from tagent.pipeline import PipelineCommunicator
        >>> def answer(delivery: Delivery) -> None:
        ...     delivery.memory.put("last_asked", delivery.message.data)
        ...     delivery.reply(3)
        >>> with PipelineCommunicator("prices", store="memory://") as communicator:
        ...     subscribed = communicator.subscribe("pipeline:prices", answer)
        ...     communicator.request("prices", "tea", timeout=5)
        3
    """

    def __init__(
        self, message: ReceivedMessage, *, store: Store, pipeline: str, bridge: Bridge, buffer: EffectBuffer
    ) -> None:
        self.message = message
        self.memory = MemoryScope(store, pipeline_scope(pipeline), bridge=bridge, buffer=buffer)
        self._store = store
        self._sender = address_of(pipeline)
        self._bridge = bridge
        self._buffer = buffer

    def space(self, name: str) -> MemoryScope:
        """Return a memory space that several pipelines share.

        Raises:
            InvalidNameError: If it is no name.
        """
        return MemoryScope(self._store, space_scope(checked_name(name)), bridge=self._bridge, buffer=self._buffer)

    def send(self, to: str, data: object, *, key: str | None = None) -> None:
        """Send a message.

        Args:
            to: The name of a pipeline, `pipeline:NAME`, `run:ID` or `topic:NAME`.
            data: A Pydantic model, dataclass, dict, list or scalar.
            key: Names the message where it goes: a second one with the same key is not sent.

        Raises:
            InvalidNameError: If `to` is no address.
            PayloadError: If the data cannot be written as JSON, or are too large.
        """
        self._buffer.send(new_message(mailbox(to), data, key=key or "", sender=self._sender))

    def broadcast(self, topic: str, data: object, *, key: str | None = None) -> None:
        """Send a message to everybody who listens to a topic, like `orders.created`; otherwise like `send`.

        Raises:
            InvalidNameError: If it is no topic.
            PayloadError: If the data cannot be written as JSON, or are too large.
        """
        self._buffer.send(new_message(broadcast_topic(topic), data, key=key or "", sender=self._sender))

    def reply(self, data: object) -> None:
        """Answer the message.

        Raises:
            NoReplyWantedError: If its sender does not wait for an answer.
            PayloadError: If the data cannot be written as JSON, or are too large.
        """
        self._buffer.send(reply_to(self.message, data, sender=self._sender))
