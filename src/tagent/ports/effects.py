"""Everything besides a journal that one write may change, all of it or nothing."""

from tagent.ports.documents import Put
from tagent.ports.messages import NewMessage, Receipt, Subscription
from tagent.values import value


@value
class Effects:
    """What is written together, in this order: subscriptions, receipts, documents, messages.

    It names each document once, and each subscriber once for a topic.

    Attributes:
        puts: Documents to write or delete.
        messages: Messages to append.
        receipts: What was read.
        subscriptions: Who begins behind the newest message.
    """

    puts: tuple[Put, ...] = ()
    messages: tuple[NewMessage, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.puts or self.messages or self.receipts or self.subscriptions)

    def plus(self, other: "Effects") -> "Effects":
        """Return the effects of both, those of `other` behind."""
        return Effects(
            self.puts + other.puts,
            self.messages + other.messages,
            self.receipts + other.receipts,
            self.subscriptions + other.subscriptions,
        )


NO_EFFECTS = Effects()


@value
class Written:
    """What a write came to.

    Attributes:
        versions: The version of each put, in order; 0 for a deletion.
        seqs: The place of each message in its topic, in order; of one whose key was there, that of the first.
    """

    versions: tuple[int, ...] = ()
    seqs: tuple[int, ...] = ()


@value
class Swept:
    """What a sweep removed.

    Attributes:
        documents: How many documents that had expired.
        messages: How many messages that were old.
    """

    documents: int
    messages: int


def required_prefix(prefix: str) -> str:
    """Return `prefix`, of which everything is to be forgotten.

    Raises:
        ValueError: If it is empty: everything there is begins with that.
    """
    if not prefix:
        raise ValueError("Everything begins with an empty prefix: nothing was deleted.")
    return prefix
