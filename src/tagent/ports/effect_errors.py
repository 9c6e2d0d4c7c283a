"""What a store answers when effects cannot be written. Then nothing of the whole write was."""

from tagent.exceptions import StoreError


class EffectRefusedError(StoreError):
    """An effect cannot be had as things are."""


class DocumentConflictError(EffectRefusedError):
    """A document is not of the version that was expected: somebody else has written it.

    Attributes:
        scope: Whose document.
        key: Its name there.
        expected_version: The version that was expected; 0 for no document.
        found_version: The version it has; 0 for no document.
    """

    code = "store.document_conflict"
    is_retryable = True

    def __init__(self, scope: str, key: str, *, expected_version: int, found_version: int) -> None:
        self.scope = scope
        self.key = key
        self.expected_version = expected_version
        self.found_version = found_version
        found, expected = (f"at version {it}" if it else "not there" for it in (found_version, expected_version))
        super().__init__(
            f"The document {key!r} of {scope!r} is {found}; it was expected to be {expected}: nothing was written.",
            hint="Read it again and decide anew.",
        )


class CursorConflictError(EffectRefusedError):
    """A subscriber has read on in another process: what was received here is done, or being done, there.

    Attributes:
        subscriber: Who reads.
        topic: What.
        expected_seq: Where he was expected to stand.
        found_seq: Where he stands.
    """

    code = "store.cursor_conflict"
    is_retryable = True

    def __init__(self, subscriber: str, topic: str, *, expected_seq: int, found_seq: int) -> None:
        self.subscriber = subscriber
        self.topic = topic
        self.expected_seq = expected_seq
        self.found_seq = found_seq
        super().__init__(
            f"The subscriber {subscriber!r} has read {topic!r} up to {found_seq}, not up to {expected_seq}: "
            "nothing was written.",
            hint="Receive again.",
        )


class QuotaExceededError(EffectRefusedError):
    """A scope would hold more than it may.

    Attributes:
        scope: The scope.
        documents: How many documents it would hold.
        bytes: How many bytes it would hold.
    """

    code = "store.quota_exceeded"

    def __init__(self, scope: str, *, documents: int, bytes: int, allowed: str) -> None:  # noqa: A002 - its unit
        self.scope = scope
        self.documents = documents
        self.bytes = bytes
        super().__init__(
            f"The memory {scope!r} would hold {documents} documents and {bytes} bytes; {allowed} are allowed: "
            "nothing was written.",
            hint="Delete what is not needed any more, or let it expire.",
        )
