"""What a script answers that wrote nothing, as our errors."""

from tagent.adapters.storage.redis.link import Reply
from tagent.exceptions import StoreError
from tagent.ports.store_errors import ConflictError, MissingBlobError, RunHeldError, RunUnfinishedError


def is_unknown(answer: Reply) -> bool:
    """Return whether the run does not exist; which one may have been meant, reading tells."""
    return answer == [b"unknown"]


def accepted(answer: Reply, run_id: str) -> list[Reply]:
    """Return what the script answers behind its `done`.

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
        case _:
            raise StoreError("A script was answered by what none of ours answers.")
