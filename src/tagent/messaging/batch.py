"""What a quick handler has done with several messages, so that it is written once and not for each of them."""

from tagent.effects import EffectBuffer
from tagent.ports.messages import Message, Receipt
from tagent.ports.store import Store

MOST_MESSAGES = 100
BATCH_SECONDS = 0.05


class Batch:
    """Messages that are handled and not written down yet.

    Attributes:
        buffer: All of what was done with them. What handles the next one reads through it.
        messages: The messages, in order.
        due_at: When it is to be written at the latest, in seconds since 1970-01-01 UTC.
    """

    def __init__(self, now: float) -> None:
        self.buffer = EffectBuffer()
        self.messages: list[Message] = []
        self.due_at = now + BATCH_SECONDS

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.messages)

    def is_due(self, now: float) -> bool:
        """Return whether it has been gathered long enough."""
        return len(self.messages) >= MOST_MESSAGES or now >= self.due_at

    def takes(self, done: EffectBuffer) -> bool:
        """Return whether `done` comes to the same written together with what is here.

        A document that is merged, or must be at a certain version, is written each time.
        """
        for put in done.effects.puts:
            pending = done.written(put.scope, put.key)
            is_special = put.expected_version is not None or (pending is not None and pending.merge is not None)
            if is_special and self.buffer.written(put.scope, put.key) is not None:
                return False
        return True

    def add(self, message: Message, done: EffectBuffer, receipt: Receipt) -> None:
        """Add a message that is handled."""
        self.messages.append(message)
        effects = done.effects
        for put in effects.puts:
            pending = done.written(put.scope, put.key)
            self.buffer.put(put, merge=None if pending is None else pending.merge)
        for new in effects.messages:
            self.buffer.send(new)
        self.buffer.receive(receipt)

    async def write(self, store: Store) -> None:
        """Write all of it, or nothing."""
        await self.buffer.write(store, store.write)
