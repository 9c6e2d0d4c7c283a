"""The lock that the processes share, in a file that also says which files the log consists of."""

import fcntl
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tagent.adapters.storage.files.errors import DamagedLogError
from tagent.ports.store_errors import StoreUnavailableError

BUSY_SECONDS = 5.0
"""How long one process waits for another: well within a lease."""

LONGEST_PAUSE_SECONDS = 0.005
"""How long a process that waits sleeps at most before it looks again; at first it looks more often."""

Extent = tuple[int, int]
"""The numbers of the first and the last file of the log; (0, 0) before there is one."""

_EXTENT = re.compile(rb"(\d{6,}) (\d{6,})\n")


class DirectoryLock:
    """The lock of a store's directory. It is opened anew each time, so threads lock each other out too.

    Args:
        path: The file; created if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            self._identity = _identity(file)
        finally:
            os.close(file)

    @contextmanager
    def held(self, *, is_exclusive: bool) -> Iterator["LockFile"]:
        """Hold the lock: alone, or together with others who only read.

        Raises:
            StoreUnavailableError: If another process keeps it for too long, or the directory is another by now.
            OSError: If the file is gone.
        """
        file = os.open(self._path, os.O_RDWR)  # closing it lets go of the lock
        try:
            if _identity(file) != self._identity:
                raise StoreUnavailableError(
                    f"The directory of the store {self._path.parent} was replaced.", hint="Open the store anew."
                )
            self._wait_for(file, fcntl.LOCK_EX if is_exclusive else fcntl.LOCK_SH)
            yield LockFile(file, self._path)
        finally:
            os.close(file)

    def _wait_for(self, file: int, kind: int) -> None:
        pause = 0.00005
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StoreUnavailableError(
                        f"The store {self._path.parent} is locked by another process.",
                        hint="Wait for that process, or end it.",
                    ) from None
                threading.Event().wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                return


class LockFile:
    """What the lock's file says, to be used while the lock is held."""

    def __init__(self, file: int, path: Path) -> None:
        self._file = file
        self._path = path

    def extent(self) -> Extent:
        """Return which files the log consists of; behind the last there may be one that is empty still.

        Raises:
            DamagedLogError: If the file does not say.
        """
        text = os.pread(self._file, 64, 0)
        if not text:
            return 0, 0
        found = _EXTENT.fullmatch(text)
        if found is None:
            raise DamagedLogError(self._path, 1, reason="it does not name the first and the last file of the log")
        return int(found[1]), int(found[2])

    def set_extent(self, extent: Extent) -> None:
        """Say which files the log consists of; durable when this returns. The lock is held alone."""
        os.pwrite(self._file, b"%06d %06d\n" % extent, 0)
        os.fsync(self._file)


def _identity(file: int) -> tuple[int, int]:
    status = os.fstat(file)
    return status.st_dev, status.st_ino
