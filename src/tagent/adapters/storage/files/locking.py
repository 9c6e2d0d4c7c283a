"""The lock that the processes share, in a file that also says which files the log consists of."""

import errno
import fcntl
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tagent.adapters.storage.files.descriptor import Descriptor
from tagent.adapters.storage.files.errors import DamagedLogError
from tagent.exceptions import StoreError
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
        self._first: Descriptor | None = Descriptor(path, is_created=True)  # while it is open, its number is not reused

    def close(self) -> None:
        """Let go of the file; who holds the lock keeps it."""
        self._first = None

    @contextmanager
    def held(self, *, is_exclusive: bool) -> Iterator["LockFile"]:
        """Hold the lock: alone, or together with others who only read.

        Raises:
            StoreUnavailableError: If another process keeps it for too long, or the directory is another by now.
            OSError: If the file is gone.
        """
        file = os.open(self._path, os.O_RDWR)  # closing it lets go of the lock
        try:
            first = self._first
            if first is None:
                raise StoreError("The store is closed.")
            if _identity(file) != _identity(first.number):
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
        if not text.strip(b"\0"):  # zeros: the power failed before it was on the disk
            return 0, 0
        found = _EXTENT.fullmatch(text)
        if found is None:
            raise DamagedLogError(self._path, 1, reason="it does not name the first and the last file of the log")
        return int(found[1]), int(found[2])

    def set_extent(self, extent: Extent) -> None:
        """Say which files the log consists of; durable when this returns. The lock is held alone.

        Raises:
            OSError: If it cannot be written. Then the file says what it said, or nothing.
        """
        text = b"%06d %06d\n" % extent
        if os.pwrite(self._file, text, 0) < len(text):  # a full disk; the bytes of one sector are written together
            os.ftruncate(self._file, 0)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(self._file)


def _identity(file: int) -> tuple[int, int]:
    status = os.fstat(file)
    return status.st_dev, status.st_ino
