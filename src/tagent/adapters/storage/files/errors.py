"""What goes wrong with the directory, as errors of ours: what happened, to which store, and what to do."""

import errno
from pathlib import Path
from types import MappingProxyType

from tagent.exceptions import StoreError
from tagent.ports.store_errors import StoreUnavailableError

_UNAVAILABLE = MappingProxyType(
    {
        errno.ENOSPC: ("has no room left", "Free some space on its disk."),
        errno.EDQUOT: ("has no room left", "Free some space, or ask for a larger quota."),
        errno.EFBIG: ("may not grow any further", "Raise the limit for the size of files."),
        errno.EROFS: ("cannot be written", "Its file system is read-only: mount it for writing, or choose another."),
        errno.EACCES: ("cannot be used", "Check the permissions of the directory and of its files."),
        errno.EPERM: ("cannot be used", "Check the permissions of the directory and of its files."),
        errno.ENOENT: ("is gone", "Put its directory back, or check whether its disk is mounted."),
        errno.ENOTDIR: ("is no directory", "Choose a directory, or move what stands in its place."),
        errno.EEXIST: ("is no directory", "Choose a directory, or move what stands in its place."),
        errno.EIO: ("cannot be read or written", "Check its disk."),
        errno.EMFILE: ("cannot be opened: too many files are open", "Raise the limit of open files (`ulimit -n`)."),
    }
)
"""What the operating system reports -> what happened, what to do."""


class DamagedLogError(StoreError):
    """A line that had been written whole is not what was written. Nothing is read past it, and nothing is written.

    Attributes:
        file: The file of the log.
        line: The line's number in it, from 1.
    """

    code = "store.damaged"

    def __init__(self, file: Path, line: int, *, reason: str) -> None:
        self.file = file
        self.line = line
        super().__init__(
            f"The store is damaged in {file}, line {line}: {reason}.",
            hint=f"Put a backup of {file.parent} in its place, or choose another directory.",
        )


def translated(error: Exception, *, store: Path) -> StoreError:
    """Return the error of ours that says what `error` means.

    Args:
        error: What the operating system or the encoder raised.
        store: The store's directory. The message never holds what was to be written.
    """
    if isinstance(error, StoreError):
        return error
    if isinstance(error, UnicodeEncodeError):
        return StoreError("A text holds half of a surrogate pair: it is not Unicode, and no store can keep it.")
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        what, hint = _UNAVAILABLE.get(error.errno or 0, (f"cannot be used: {reason}", "Check the path and its disk."))
        return StoreUnavailableError(f"The store {store} {what}.", hint=hint)
    return StoreError(f"The store {store} cannot keep this: {type(error).__name__}.")
