"""The crash points of the store in files: in the middle of a write, before and behind each fsync. And a full disk."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from crash import effects
from crash.effects import points
from crash.orders import Orders
from crash.write_path.replacing import replace_all
from tagent.adapters.storage.files import directory, locking, log, store
from tagent.adapters.storage.files.draft import Draft

SEGMENT_BYTES = 8_000
"""So a run begins several files of the log."""


def put_points_in(orders: Orders) -> None:
    """Put the points into this process's stores in files."""

    class PointedLog(log.Log):
        def __init__(self, directory: Path, *, segment_bytes: int) -> None:
            del segment_bytes
            super().__init__(directory, segment_bytes=SEGMENT_BYTES)

        def append(self, draft: Draft) -> None:
            super().append(draft)
            points.passed("log.append.after")  # on disk, and nobody knows yet

    write, write_file, set_extent = log._write, directory.write_file, locking.LockFile.set_extent
    writes = 0

    def pointed_write(file: int, lines: bytes, offset: int) -> None:
        nonlocal writes
        writes += 1
        half = len(lines) // 2
        points.passed("log.write.before")
        write(file, lines[:half], offset)
        points.passed("log.write.torn")
        if 0 < orders.full_after < writes and not (effects.folder() / "room").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(file, lines[half:], offset + half)
        points.passed("log.write.after")  # not on disk yet, which a kill does not show

    def pointed_write_file(path: Path, bodies: Iterable[bytes]) -> None:
        with points.around("log.new_file"):
            write_file(path, bodies)

    def pointed_set_extent(lock_file: locking.LockFile, extent: locking.Extent) -> None:
        with points.around("log.extent"):
            set_extent(lock_file, extent)

    replace_all(
        (store, "Log", PointedLog),
        (log, "_write", pointed_write),
        (log, "write_file", pointed_write_file),
        (locking.LockFile, "set_extent", pointed_set_extent),
        (locking, "BUSY_SECONDS", orders.busy_seconds),
    )
