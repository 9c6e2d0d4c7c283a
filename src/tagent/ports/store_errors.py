"""What a store answers when it cannot do what is asked."""

from typing import Self

from tagent.exceptions import StoreError


class ConflictError(StoreError):
    """A write does not continue the journal: another writer was there, or has taken the run over.

    Attributes:
        run_id: The run.
    """

    code = "store.conflict"

    def __init__(self, run_id: str, *, expected: str, found: str) -> None:
        self.run_id = run_id
        super().__init__(f"The journal of run {run_id} is at {found}, not at {expected}: nothing was written.")


class RunHeldError(StoreError):
    """Another process holds the run.

    Attributes:
        run_id: The run.
        owner: Who holds it.
        seconds_left: When its lease ends unless it renews it.
    """

    code = "store.run_held"

    def __init__(self, run_id: str, *, owner: str, seconds_left: float) -> None:
        self.run_id = run_id
        self.owner = owner
        self.seconds_left = seconds_left
        super().__init__(
            f"Run {run_id} is held by another process ({owner}).",
            hint=f"Its lease ends in {max(0.0, seconds_left):.0f} s unless it lives and renews it.",
        )


class UnknownRunError(StoreError):
    """No run has this id.

    Attributes:
        run_id: The id asked for.
        suggestion: Which one may have been meant; empty if none is like it.

    Example:
        >>> UnknownRunError("1f2e").looked_for_in("sqlite:///runs.db").hint
        'It was looked for in sqlite:///runs.db.'
    """

    code = "store.unknown_run"

    def __init__(self, run_id: str, *, suggestion: str = "", hint: str = "") -> None:
        self.run_id = run_id
        self.suggestion = suggestion
        super().__init__(f"No run has the id {run_id!r}.{suggestion}", hint=hint)

    def looked_for_in(self, store: str) -> Self:
        """Return the error that also says which store has no such run.

        Args:
            store: Its URL, without a password.
        """
        return type(self)(self.run_id, suggestion=self.suggestion, hint=f"It was looked for in {store}.")


class MissingBlobError(StoreError):
    """A blob is not in the store, so nothing can refer to it.

    Attributes:
        blob_hash: Its hash.
    """

    code = "store.missing_blob"

    def __init__(self, blob_hash: str) -> None:
        self.blob_hash = blob_hash
        super().__init__(f"No blob has the hash {blob_hash!r}.")


class RunUnfinishedError(StoreError):
    """The run has not come to its end, so it cannot be deleted.

    Attributes:
        run_id: The run.
    """

    code = "store.run_unfinished"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"Run {run_id} has not come to its end: nothing was deleted.",
            hint="Resume it, and delete it once it has ended.",
        )


class StoreUnavailableError(StoreError):
    """The store cannot be reached or cannot write now: locked, full, read-only, gone."""

    code = "store.unavailable"
    is_retryable = True


class StoreVersionError(StoreError):
    """The store was written by a newer tagent than this one."""

    code = "store.version"
