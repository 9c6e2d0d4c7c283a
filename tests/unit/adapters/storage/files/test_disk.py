"""What the operating system refuses: nothing is half acknowledged, and the message says what to do."""

import asyncio
import errno
import fcntl
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from tagent.adapters.storage.files import locking
from tagent.adapters.storage.files.store import FileStore, open_files
from tagent.exceptions import StoreError
from tagent.ports.records import Batch, Blob, Record
from tagent.ports.store import Store
from tagent.ports.store_errors import StoreUnavailableError, UnknownRunError
from tagent.testing.store_contract.samples import at_once, batch, claim, new_run, seqs

SECRET = b'{"prompt": "do not show this"}'


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FileStore]:
    store = open_files(tmp_path / "runs")
    await store.create_run(new_run("r"))
    yield store
    await store.close()


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def files_in(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def full(*args: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


class Disk:
    """Has room for some more bytes, then is full."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._write = os.pwrite
        self._cut = os.ftruncate

    def pwrite(self, file: int, content: bytes, offset: int) -> int:
        if not self.room:
            full()
        written = self._write(file, content[: self.room], offset)
        self.room -= written
        return written

    def ftruncate(self, file: int, size: int) -> None:
        self.room += os.fstat(file).st_size - size
        self._cut(file, size)


@pytest.mark.usefixtures("open_umask")
async def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    """They hold prompts and what tools returned."""
    store = open_files(tmp_path / "new" / "runs", segment_bytes=300)
    await store.create_run(new_run("r"))
    await store.commit(batch("r", 1, 1))
    await store.close()
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "new" / "runs").iterdir()}
    assert modes == {"lock": "0o600", "log-000001.jsonl": "0o600", "log-000002.jsonl": "0o600"}
    assert (tmp_path / "new" / "runs").stat().st_mode & 0o777 == 0o700


async def test_a_mode_that_somebody_gave_the_directory_is_kept(tmp_path: Path) -> None:
    """A group may share its runs on purpose."""
    await open_files(tmp_path / "runs").close()
    (tmp_path / "runs").chmod(0o770)
    await open_files(tmp_path / "runs").close()
    assert (tmp_path / "runs").stat().st_mode & 0o777 == 0o770


async def test_what_is_new_is_made_durable_before_anybody_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is on the disk is lost all the same if its directory, or the one above that, does not name it."""
    synced: list[int] = []

    def noted(file: int, sync: Callable[[int], None] = os.fsync) -> None:
        synced.append(os.fstat(file).st_ino)
        sync(file)

    monkeypatch.setattr(os, "fsync", noted)
    store = open_files(tmp_path / "a" / "runs", segment_bytes=300)
    await store.create_run(new_run("r"))
    before = len(synced)
    await store.commit(batch("r", 1, 1))
    await store.close()
    lock, first, second = (
        (tmp_path / "a" / "runs" / name).stat().st_ino for name in ("lock", "log-000001.jsonl", "log-000002.jsonl")
    )
    runs, above, top = ((tmp_path / name).stat().st_ino for name in ("a/runs", "a", "."))
    assert synced[:before] == [above, top, first, runs, lock, runs, first]
    assert synced[before:] == [second, runs, lock, second]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..", "a/b", "log-000001.jsonl", "lock", "x" * 300]
)
async def test_no_name_becomes_a_path(tmp_path: Path, name: str) -> None:
    """Whoever names a run, a pipeline, a blob or an owner must not choose where something is written."""
    store = open_files(tmp_path / "a" / "b" / "runs")
    begins = batch(name, 1, 1, kind=name, blobs=(Blob(name, b"content"),))
    await store.create_run(
        new_run(name, pipeline=name, owner=name, definition_hash=name, labels={name: name}, begins=begins)
    )
    assert await store.blob(name) == b"content"
    assert await seqs(store, name) == [1]
    await store.close()
    assert files_in(tmp_path) == ["a/b/runs/lock", "a/b/runs/log-000001.jsonl"]


async def test_a_relative_path_means_the_same_directory_after_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are opened later too."""
    monkeypatch.chdir(tmp_path)
    store = open_files(Path("runs"), segment_bytes=1)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    await store.create_run(new_run("r"))
    assert await seqs(store, "r") == []
    await store.close()
    assert not any((tmp_path / "elsewhere").iterdir())


def a_file(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("somebody's letter")


def a_file_above(path: Path) -> None:
    path.parent.write_text("somebody's letter")


def a_dangling_link(path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to("/nowhere/at/all")


@pytest.mark.parametrize("prepare", [a_file, a_file_above, a_dangling_link])
def test_a_path_that_cannot_be_a_directory_is_unavailable(tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    """The path may be put right, or the disk mounted, and the same call then works."""
    path = tmp_path / "inner" / "runs"
    prepare(path)
    with pytest.raises(StoreUnavailableError, match="is no directory") as raised:
        open_files(path)
    assert str(path) in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    ("number", "text"), [(errno.EROFS, "read-only"), (errno.EACCES, "permissions"), (errno.EBUSY, "Check the path")]
)
def test_a_directory_that_may_not_be_written_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, text: str
) -> None:
    """Permissions do not bind whoever runs these tests as root, so the system's refusal is played."""

    def refuse(*args: object, **settings: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreUnavailableError, match=text) as raised:
        open_files(tmp_path)
    assert str(tmp_path) in raised.value.message


@pytest.mark.parametrize("room", [0, 1, 200])
async def test_a_full_disk_acknowledges_nothing_and_leaves_nothing(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """The run waits and tries again."""
    log = tmp_path / "runs" / "log-000001.jsonl"
    before = log.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", Disk(room).pwrite)
        with pytest.raises(StoreUnavailableError, match="no room left") as raised:
            await store.commit(batch("r", 1, 2))
    assert str(tmp_path / "runs") in raised.value.message
    assert log.read_bytes() == before
    assert (await store.run("r")).last_seq == 0
    await store.commit(batch("r", 1, 2))
    assert await seqs(store, "r") == [1, 2]


async def test_who_needs_little_is_not_refused_with_who_needs_much(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fits is still written."""
    await store.create_run(new_run("s"))
    large = Batch("r", 1, (Record(1, "Large", 1.0, b"x" * 10_000),))
    disk = Disk(5000)
    monkeypatch.setattr(os, "pwrite", disk.pwrite)
    monkeypatch.setattr(os, "ftruncate", disk.ftruncate)
    outcomes = await at_once([partial(store.commit, large), partial(store.commit, batch("s", 1, 1))])
    assert outcomes == ["StoreUnavailableError", "done"]
    monkeypatch.undo()
    assert (await seqs(store, "r"), await seqs(store, "s")) == ([], [1])


async def test_a_write_that_is_not_durable_is_taken_back(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not acknowledged must not turn up later."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreUnavailableError):
            await store.commit(batch("r", 1, 2))
    other = open_files(tmp_path / "runs")
    assert await seqs(other, "r") == await seqs(store, "r") == []
    await other.commit(batch("r", 1, 1))
    assert await seqs(store, "r") == [1]
    await other.close()


async def test_what_cannot_be_taken_back_is_cut_off_by_the_next_who_writes(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk may refuse even that."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", Disk(100).pwrite)
        patch.setattr(os, "ftruncate", full)
        with pytest.raises(StoreUnavailableError):
            await store.commit(batch("r", 1, 2))
    assert await seqs(store, "r") == []
    await store.commit(batch("r", 1, 1))
    assert await seqs(store, "r") == [1]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


async def test_a_next_file_that_cannot_be_begun_leaves_the_last_one_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk may fill up just then."""
    store = open_files(tmp_path, segment_bytes=300)
    await store.create_run(new_run("r"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreUnavailableError, match="no room left"):
            await store.commit(batch("r", 1, 1))
    assert files_in(tmp_path) == ["lock", "log-000001.jsonl"]
    await store.commit(batch("r", 1, 1))
    assert files_in(tmp_path) == ["lock", "log-000001.jsonl", "log-000002.jsonl"]
    assert await seqs(store, "r") == [1]
    await store.close()


async def everything(store: Store) -> list[str]:
    """Call what reads and what writes; return the errors' names and check that they are of use."""
    calls = (
        lambda: store.run("r"),
        store.runs,
        lambda: store.records("r"),
        lambda: store.definition("hash"),
        lambda: store.wait_for_change(0, seconds=0),
        lambda: store.commit(batch("r", 1, 1)),
        lambda: claim(store, "r", gone="me"),
        lambda: asyncio.to_thread(store.renew, "r", epoch=1, lease_seconds=1),
    )
    return [outcome for call in calls for outcome in await at_once([call])]


async def test_a_directory_that_was_removed_does_not_come_back_empty(store: FileStore, tmp_path: Path) -> None:
    """An empty store in its place would say that the runs never were."""
    shutil.rmtree(tmp_path / "runs")
    assert await everything(store) == ["StoreUnavailableError"] * 8
    with pytest.raises(StoreUnavailableError, match=r"runs is gone\. Put its directory back"):
        await store.run("r")
    assert not (tmp_path / "runs").exists()


async def test_a_directory_that_was_replaced_is_not_taken_for_the_old_one(store: FileStore, tmp_path: Path) -> None:
    """What has been read says nothing about it."""
    shutil.rmtree(tmp_path / "runs")
    other = open_files(tmp_path / "runs")
    await other.create_run(new_run("s"))
    with pytest.raises(StoreUnavailableError, match="was replaced"):
        await store.commit(batch("r", 1, 1))
    with pytest.raises(UnknownRunError):
        await other.run("r")
    await other.close()


async def test_a_store_that_another_process_keeps_locked_is_unavailable(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is acknowledged; a moment later it may work."""
    monkeypatch.setattr(locking, "BUSY_SECONDS", 0.0)
    with (tmp_path / "runs" / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        outcomes = await at_once([partial(store.commit, batch("r", 1, 1)), partial(claim, store, "r", gone="me")])
        assert outcomes == ["StoreUnavailableError"] * 2
        with pytest.raises(StoreUnavailableError, match="locked by another process"):
            await store.commit(batch("r", 1, 1))
        assert (await store.run("r")).last_seq == 0, "who reads what he has read already need not wait"
    await store.commit(batch("r", 1, 1))


async def test_half_of_a_surrogate_pair_is_refused_and_spoils_nothing(store: FileStore) -> None:
    """No store can keep it; who writes at the same moment is not to blame."""
    broken = Batch("r", 1, (Record(1, "\ud800", 1.0, SECRET),))
    await store.create_run(new_run("s"))
    outcomes = await at_once([partial(store.commit, broken), partial(store.commit, batch("s", 1, 1))])
    assert outcomes == ["StoreError", "done"]
    with pytest.raises(StoreError, match="surrogate") as raised:
        await store.commit(broken)
    assert not isinstance(raised.value, StoreUnavailableError)
    assert "do not show this" not in str(raised.value)
    assert (await store.run("r")).last_seq == 0


async def test_what_is_no_json_is_refused_and_spoils_nothing(store: FileStore) -> None:
    """A mistake in the program must not stop the writer."""
    broken = Batch("r", 1, (Record(1, SECRET, 1.0, b"{}"),))  # type: ignore[arg-type]  # the mistake
    with pytest.raises(StoreError, match="cannot keep this: TypeError") as raised:
        await store.commit(broken)
    assert "do not show this" not in str(raised.value)
    await store.commit(batch("r", 1, 1))
