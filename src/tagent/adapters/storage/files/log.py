"""The log of a store: its files one behind the other, read on by every process, written by one at a time.

What is read has been committed: who reads on asks under the lock, while nobody writes, how far the lines
go. Who writes holds the lock alone, from before it checks what it writes until that is on the disk.
"""

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tagent.adapters.storage.files.cleaning import give_up_tombstones, move, needed_places, worth_cleaning, write_needed
from tagent.adapters.storage.files.descriptor import Descriptor
from tagent.adapters.storage.files.directory import numbers_in, path_of, sync_directory, write_file
from tagent.adapters.storage.files.draft import Draft
from tagent.adapters.storage.files.errors import DamagedLogError
from tagent.adapters.storage.files.format import HEADER
from tagent.adapters.storage.files.index import Index
from tagent.adapters.storage.files.lines import length_of
from tagent.adapters.storage.files.locking import DirectoryLock, LockFile
from tagent.adapters.storage.files.segment import Segment, end_of_lines
from tagent.exceptions import StoreError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Part:
    """A file as it was under the lock: up to `end` its lines are committed and will not change."""

    number: int
    file: Descriptor
    end: int
    size: int


@dataclass(slots=True)
class _View:
    """What has been read.

    Attributes:
        index: What the lines say.
        segments: The files, in order.
        seen: How large the last file was; more than has been read if a line at its end is torn.
    """

    index: Index = field(default_factory=Index)
    segments: list[Segment] = field(default_factory=list)
    seen: int = 0

    @property
    def position(self) -> int:
        """A number that grows with every line."""
        last = self.segments[-1]
        return (last.number << 48) | last.size


class Log:
    """The log in a directory.

    Args:
        directory: An existing directory.
        segment_bytes: How large a file grows before the next one is begun.

    Raises:
        OSError: If the directory cannot be used.
        StoreError: If the log is damaged, or a newer tagent wrote it.
    """

    def __init__(self, directory: Path, *, segment_bytes: int) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._lock = DirectoryLock(directory / "lock")
        self._mutex = threading.Lock()
        self._is_writing = False
        with self._lock.held(is_exclusive=True) as lock_file:
            self._begin(lock_file)
            parts = self._parts(lock_file, None).parts
        self._view = _View()
        self._extend(self._view, parts)

    @property
    def position(self) -> int:
        """A number that is another one after every commit."""
        return self._open_view().position

    @property
    def directory(self) -> Path:
        """Where the log is."""
        return self._directory

    @contextmanager
    def reading(self) -> Iterator[Index]:
        """Give the index, which does not change meanwhile. No file is to be read in it."""
        with self._mutex:
            yield self._open_view().index

    def is_behind(self) -> bool:
        """Return whether somebody has written what has not been read.

        Raises:
            OSError: If the log is gone.
        """
        view = self._open_view()
        last = view.segments[-1]
        if last.next_path.exists():
            return True
        try:
            return last.path.stat().st_size != view.seen
        except FileNotFoundError:
            return True

    def refresh(self) -> None:
        """Read what other processes have committed.

        Raises:
            OSError: If the log cannot be read.
            StoreError: If it is damaged or locked, or a newer tagent wrote it.
        """
        has_read = not self.is_behind()
        while not has_read and not self._is_writing:  # while we write, nobody else does
            view = self._open_view()
            with self._lock.held(is_exclusive=False) as lock_file:
                parts = self._parts(lock_file, None if _keeps_too_much(view) else view)
            with self._mutex:
                has_read = self._take_in(parts)

    @contextmanager
    def writing(self) -> Iterator[Draft]:
        """Hold the lock alone, and give a draft of what to append; see `append`.

        Raises:
            OSError: If the log cannot be read or written.
            StoreError: If it is damaged or locked, or a newer tagent wrote it.
        """
        with self._alone() as lock_file:
            self._cut_torn_line()
            if self._view.segments[-1].size >= self._segment_bytes:
                self._begin_file(lock_file)
            yield Draft(self._view.index, store=self._directory)

    def append(self, draft: Draft) -> None:
        """Write a draft at the end; it is on the disk when this returns. To be called while `writing`.

        Raises:
            OSError: If it could not be written. Then nothing of it is there, unless even that failed.
        """
        if not draft.entries:
            return
        last = self._view.segments[-1]
        lines = last.lines_of([body for _, body in draft.entries])
        try:
            _write(last.file.number, lines, last.size)
            os.fsync(last.file.number)
        except OSError:
            self._take_back(last)
            raise
        with self._mutex:
            for operation, body in draft.entries:
                self._view.index.apply(operation, last.extend(body))
            self._view.seen = last.size

    def clean(self) -> bool:
        """Give the disk back what one file holds that is needed no longer; return False if no file is worth it.

        Raises:
            OSError: If the log cannot be read or written.
            StoreError: If it is damaged or locked.
        """
        if worth_cleaning(self._view.segments, segment_bytes=self._segment_bytes) is None:
            return False
        with self._alone() as lock_file:
            return self._clean(lock_file)

    def close(self) -> None:
        """Let go of the files. Nobody writes any more; who reads at this moment may be refused."""
        with self._mutex:
            self._replace(_View())
        self._lock.close()

    def _replace(self, view: _View) -> None:
        """Go on with another view; called with the mutex."""
        before, self._view = self._view, view
        for segment in before.segments:
            segment.let_go()

    def _open_view(self) -> _View:
        view = self._view
        if not view.segments:
            raise StoreError("The store is closed.")
        return view

    @contextmanager
    def _alone(self) -> Iterator[LockFile]:
        """Hold the lock alone, with everything read."""
        self.refresh()  # much is read without keeping others waiting
        with self._lock.held(is_exclusive=True) as lock_file:
            with self._mutex:
                self._take_in(self._parts(lock_file, self._view))
                self._is_writing = True
            try:
                yield lock_file
            finally:
                self._is_writing = False

    def _begin(self, lock_file: LockFile) -> None:
        """Create the first file, if the store is new."""
        if lock_file.extent() != (0, 0):
            return
        numbers = numbers_in(self._directory)  # there are some if they were copied here, or if this was cut off
        if not numbers:
            numbers = (1,)
            write_file(path_of(self._directory, 1), ())
        lock_file.set_extent((numbers[0], numbers[-1]))
        sync_directory(self._directory)

    def _begin_file(self, lock_file: LockFile) -> None:
        """Begin the next file; called while nobody else reads on or writes."""
        last = self._view.segments[-1]  # the lock's file may not name it: who began it may have been killed just then
        write_file(last.next_path, ())
        lock_file.set_extent((lock_file.extent()[0], last.number + 1))
        with self._mutex:
            self._extend(self._view, self._parts(lock_file, self._view).parts)

    def _parts(self, lock_file: LockFile, view: _View | None) -> "_Parts":
        """Return what `view` has not read: the rest of its last file and those behind, or everything.

        Called with the lock, and quick, whatever there is to read.
        """
        first, last = lock_file.extent()
        parts: list[_Part] = []
        if view is None or view.segments[-1].number < first:
            view, number, path = None, first, path_of(self._directory, first)
        else:
            segment = view.segments[-1]
            parts.append(_rest_of(segment))
            number, path = segment.number + 1, segment.next_path
        while number <= last or path.exists():
            if number >= last or not self._is_empty(path):
                file = self._opened(path)
                parts.append(_Part(number, file, *end_of_lines(file, start=0)))
            number += 1
            path = path_of(self._directory, number)
        return _Parts(view, parts)

    def _is_empty(self, path: Path) -> bool:
        """Return whether a file was cleaned of all its lines; it stays until those before it are gone too."""
        try:
            return path.stat().st_size == length_of(HEADER)
        except FileNotFoundError:
            return False  # the next who opens it says so

    def _opened(self, path: Path) -> Descriptor:
        try:
            return Descriptor(path)
        except FileNotFoundError as error:
            if not self._directory.exists():
                raise
            raise DamagedLogError(path, 1, reason="the file is missing") from error

    def _take_in(self, parts: "_Parts") -> bool:
        """Read these parts; called with the mutex. Return False if they do not fit what has been read by now."""
        if self._is_writing:
            return True
        if parts.behind is None:
            view = _View()
            self._extend(view, parts.parts)
            if view.position >= self._open_view().position:
                self._replace(view)
            return True
        if parts.behind is not self._view:
            return False
        self._extend(self._view, parts.parts)
        return True

    def _extend(self, view: _View, parts: Sequence[_Part]) -> None:
        for part in parts:
            if not view.segments or part.number > view.segments[-1].number:
                path, next_path = (path_of(self._directory, number) for number in (part.number, part.number + 1))
                view.segments.append(Segment(part.number, path, next_path, part.file))
            segment = view.segments[-1]
            if part.number < segment.number or part.end < segment.size:
                continue  # another thread has read it
            for operation, place in segment.read_on(part.end):
                view.index.apply(operation, place)
            if not segment.lines or (part is not parts[-1] and segment.size < part.size):
                raise DamagedLogError(segment.path, segment.lines + 1, reason="it is cut off")
            view.seen = part.size

    def _cut_torn_line(self) -> None:
        view = self._view
        last = view.segments[-1]
        if view.seen > last.size:
            logger.warning(
                "%s: the last line was torn, and nobody was told that it was written: %d bytes behind line %d are cut.",
                last.path,
                view.seen - last.size,
                last.lines,
            )
            os.ftruncate(last.file.number, last.size)
            view.seen = last.size

    def _take_back(self, last: Segment) -> None:
        """Cut off what was written in part, or not made durable."""
        try:
            os.ftruncate(last.file.number, last.size)
        except OSError as error:
            # Whole lines may be there: whoever comes next reads them, and cuts a torn one off.
            logger.warning("%s: a write failed, and cannot be taken back: %s.", last.path, error.strerror)

    def _clean(self, lock_file: LockFile) -> bool:
        view = self._view
        at = worth_cleaning(view.segments, segment_bytes=self._segment_bytes)
        if at is None:
            return False
        self._cut_torn_line()
        if at == len(view.segments) - 1:
            self._begin_file(lock_file)
        first, _ = lock_file.extent()
        old = view.segments[at]
        give_up_tombstones(view.segments, at)
        needed = needed_places(old)
        is_kept = bool(needed) or old.number > first  # else it is removed below, or another process has removed it
        new = write_needed(old, needed, view.index) if is_kept else old
        with self._mutex:
            move(needed, old, new)
            view.segments[at : at + 1] = [new] if needed else []
        if first < view.segments[0].number:
            lock_file.set_extent((view.segments[0].number, view.segments[-1].number))
            for number in range(first, view.segments[0].number):
                path_of(self._directory, number).unlink(missing_ok=True)
        return True


@dataclass(frozen=True, slots=True)
class _Parts:
    """Files to read on, behind what a view has read; `behind` is None if everything is to be read anew."""

    behind: _View | None
    parts: Sequence[_Part]


def _keeps_too_much(view: _View) -> bool:
    """Return whether most of what is open was replaced by other processes: it still takes room on the disk."""
    if not view.segments[-1].next_path.exists():
        return False  # asked now and then is enough
    replaced = sum(segment.size for segment in view.segments if not segment.is_current())
    return 2 * replaced > sum(segment.size for segment in view.segments)


def _rest_of(segment: Segment) -> _Part:
    end, size = end_of_lines(segment.file, start=segment.size)
    if size < segment.size:
        raise DamagedLogError(segment.path, segment.lines, reason="somebody has cut it off")
    return _Part(segment.number, segment.file, end, size)


def _write(file: int, content: bytes, offset: int) -> None:
    rest = memoryview(content)
    while rest:
        written = os.pwrite(file, rest, offset)
        offset += written
        rest = rest[written:]
