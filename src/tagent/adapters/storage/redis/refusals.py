"""What a script answers that wrote nothing, as our errors."""

from tagent.adapters.storage.redis.link import Reply
from tagent.exceptions import StoreError
from tagent.ports.effect_errors import CursorConflictError, DocumentConflictError, QuotaExceededError
from tagent.ports.store_errors import ConflictError, MissingBlobError, RunHeldError, RunUnfinishedError


def is_unknown(answer: Reply) -> bool:
    """Return whether the run does not exist; which one may have been meant, reading tells."""
    return answer == [b"unknown"]


def accepted(answer: Reply, run_id: str = "") -> list[Reply]:
    """Return what the script answers behind its `done`.

    Args:
        answer: The whole answer.
        run_id: The run that was written, if it is one.

    Raises:
        StoreError: The error that the script's refusal means.
    """
    match answer:
        case [b"done", *rest]:
            return rest
        case [b"conflict", bytes(expected), bytes(found)]:
            raise ConflictError(run_id, expected=expected.decode(), found=found.decode())
        case [b"held", bytes(owner), bytes(seconds_left)]:
            raise RunHeldError(run_id, owner=owner.decode(), seconds_left=float(seconds_left))
        case [b"missing", bytes(blob_hash)]:
            raise MissingBlobError(blob_hash.decode())
        case [b"unfinished"]:
            raise RunUnfinishedError(run_id)
        case [b"document", bytes(scope), bytes(key), bytes(expected), bytes(found)]:
            raise DocumentConflictError(
                scope.decode(), key.decode(), expected_version=int(expected), found_version=int(found)
            )
        case [b"cursor", bytes(subscriber), bytes(topic), bytes(expected), bytes(found)]:
            raise CursorConflictError(
                subscriber.decode(), topic.decode(), expected_seq=int(expected), found_seq=int(found)
            )
        case [b"quota", bytes(scope), int(documents), int(size), int(allowed), int(allowed_bytes)]:
            raise QuotaExceededError(
                scope.decode(),
                documents=documents,
                bytes=size,
                allowed=f"{allowed} documents and {allowed_bytes} bytes",
            )
        case _:
            raise StoreError("A script was answered by what none of ours answers.")
