"""The log goes on in another file when one is full, and gives back what deleted runs took."""

import asyncio
import errno
import logging
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from tagent.adapters.storage.files import cleaning
from tagent.adapters.storage.files.log import Log
from tagent.adapters.storage.files.store import FileStore, open_files
from tagent.ports.records import Batch, Blob, Record
from tagent.ports.store_errors import UnknownRunError
from tagent.testing.store_contract.samples import at_once, batch, claim, end, new_run, seqs

SEGMENT_BYTES = 20_000


def opened(directory: Path) -> FileStore:
    return open_files(directory, segment_bytes=SEGMENT_BYTES)


def size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def sizes_of_logs(directory: Path) -> list[int]:
    return [path.stat().st_size for path in sorted(directory.glob("log-*"))]


def text_in(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir())


def open_in(directory: Path) -> list[Path]:
    """Return which files of the directory this process has open."""
    links = [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return [link.readlink() for link in links if link.exists() and link.readlink().is_relative_to(directory)]


async def finished_run(store: FileStore, run_id: str, *, size: int = 5000, blobs: tuple[Blob, ...] = ()) -> None:
    await store.create_run(new_run(run_id, definition_hash=f"of {run_id}"))
    large = Record(1, "Large", 1.0, run_id.encode() + b"x" * size)
    await store.commit(Batch(run_id, 1, (large,), blobs=blobs))
    await store.commit(end(run_id, 2))


async def test_a_full_file_is_followed_by_the_next(tmp_path: Path) -> None:
    """A log in one file could only be cleaned up all at once."""
    store = opened(tmp_path)
    for number in range(10):
        await finished_run(store, f"r{number}")
    assert names_in(tmp_path) == ["lock", "log-000001.jsonl", "log-000002.jsonl", "log-000003.jsonl"]
    assert all(size < SEGMENT_BYTES + 6000 for size in sizes_of_logs(tmp_path))
    await store.close()
    store = opened(tmp_path)
    for number in range(10):
        assert await seqs(store, f"r{number}") == [1, 2]
    await store.close()


async def test_deleted_runs_give_their_room_back(tmp_path: Path) -> None:
    """A store that only ever grows fills every disk; and what somebody deleted should be gone."""
    store = opened(tmp_path)
    for number in range(100):
        await finished_run(store, f"r{number}")
        if number >= 5:
            await store.delete(f"r{number - 5}")
    await store.close()
    assert size_of(tmp_path) < 4 * SEGMENT_BYTES
    assert b"r10x" not in text_in(tmp_path)
    store = opened(tmp_path)
    assert [run.run_id for run in await store.runs()] == [f"r{number}" for number in (99, 98, 97, 96, 95)]
    for number in range(95, 100):
        assert (await store.records(f"r{number}"))[0].payload[:3] == f"r{number}".encode()
    await store.close()


async def test_renewals_give_their_room_back(tmp_path: Path) -> None:
    """A run may wait for a month and renew its lease all the time."""
    store = open_files(tmp_path, segment_bytes=2000)
    await store.create_run(new_run("r"))
    for _ in range(300):
        await asyncio.to_thread(store.renew, "r", epoch=1, lease_seconds=60.0)
    await store.close()
    assert size_of(tmp_path) < 8000
    store = open_files(tmp_path)
    assert (await store.run("r")).owner == "me"
    await store.close()


async def test_a_small_store_gives_room_back_as_well(tmp_path: Path) -> None:
    """Its only file is ended for that."""
    store = opened(tmp_path)
    await finished_run(store, "r", size=15_000)
    await store.delete("r")
    await store.close()
    assert size_of(tmp_path) < 1000
    assert "log-000001.jsonl" not in names_in(tmp_path)


async def test_what_lives_stays_when_its_file_is_cleaned(tmp_path: Path) -> None:
    """Journals, who holds them, blobs that several share, definitions."""
    store = opened(tmp_path)
    shared, own = Blob("shared", b"\xff" * 500), Blob("own", b"y" * 500)
    await finished_run(store, "parent", size=12_000, blobs=(shared, own))
    await store.create_run(new_run("fork", begins=batch("fork", 1, 2, blobs=(Blob("shared", None),))))
    await store.release("fork", epoch=1)
    claimed = await claim(store, "fork", owner="you")
    await finished_run(store, "other", size=9000)
    before = names_in(tmp_path)
    first = (tmp_path / "log-000001.jsonl").stat().st_size
    await store.delete("parent")
    await store.commit(batch("fork", 3, 3, epoch=2))
    await store.close()
    assert names_in(tmp_path) == before
    assert (tmp_path / "log-000001.jsonl").stat().st_size < first - 12_000
    for _reopened in (False, True):
        store = opened(tmp_path)
        assert await store.blob("shared") == shared.content
        assert await store.definition("hash")
        assert await seqs(store, "fork") == [1, 2, 3]
        assert (await store.run("fork")).epoch == claimed.epoch
        assert (await store.run("fork")).owner == "you"
        assert (await store.records("other"))[0].payload[:6] == b"otherx"
        with pytest.raises(UnknownRunError):
            await store.run("parent")
        await store.close()


async def test_a_deleted_run_does_not_come_back_when_only_a_part_of_the_log_is_cleaned(tmp_path: Path) -> None:
    """The line that says that it is gone stays as long as lines of the run may be there."""
    store = opened(tmp_path)
    await store.create_run(new_run("r"))  # in the first file, among much that lives
    await finished_run(store, "a", size=25_000)
    await store.commit(end("r", 1))  # in the second
    await finished_run(store, "b", size=25_000)
    await finished_run(store, "c", size=25_000)
    await store.delete("r")
    await finished_run(store, "d", size=25_000)
    for run_id in ("b", "c", "d"):
        await store.delete(run_id)
        await store.close()
        store = opened(tmp_path)
        with pytest.raises(UnknownRunError):
            await store.run("r")
    assert [run.run_id for run in await store.runs()] == ["a"]
    await store.create_run(new_run("r", begins=batch("r", 1, 3)))
    await store.close()
    store = opened(tmp_path)
    assert await seqs(store, "r") == [1, 2, 3]
    await store.close()


async def test_who_has_a_replaced_file_open_goes_on_reading(tmp_path: Path) -> None:
    """Another process cleans up without asking."""
    reader, cleaner = opened(tmp_path), opened(tmp_path)
    for run_id in ("a", "b", "c", "d", "e", "f"):
        await finished_run(cleaner, run_id)
    assert len(await reader.runs()) == 6
    for run_id in ("a", "b", "c"):
        await cleaner.delete(run_id)
    for store in (reader, cleaner):
        assert sorted(run.run_id for run in await store.runs()) == ["d", "e", "f"]
        for run_id in ("d", "e", "f"):
            assert (await store.records(run_id))[0].payload == run_id.encode() + b"x" * 5000
    await reader.commit(Batch("d", 1, (), None))
    await reader.close()
    await cleaner.close()


async def test_who_reads_anew_does_not_pull_the_index_from_under_who_writes(tmp_path: Path) -> None:
    """What a write was checked against is what it is written behind."""
    log = Log(tmp_path, segment_bytes=SEGMENT_BYTES)
    with log._lock.held(is_exclusive=False) as lock_file:
        everything = log._parts(lock_file, None)
    with log.writing() as draft, log._mutex:
        view = log._view
        assert log._take_in(everything)
        assert log._view is view
        assert draft.entries == []
    log.close()


async def test_what_a_group_deletes_is_gone_for_who_comes_next_in_it(tmp_path: Path) -> None:
    """A fork of a run that is deleted in the same moment would name a blob that is not there."""
    store = opened(tmp_path)
    await finished_run(store, "r", blobs=(Blob("tea", b"green"),))
    fork = new_run("s", begins=batch("s", 1, 1, blobs=(Blob("tea", None),)))
    assert await at_once([partial(store.delete, "r"), partial(store.create_run, fork)]) == ["done", "MissingBlobError"]
    await store.close()


async def test_who_has_mostly_replaced_files_open_lets_go_of_them(tmp_path: Path) -> None:
    """Else the disk would get nothing back as long as that process lives."""
    reader, cleaner = opened(tmp_path), opened(tmp_path)
    for number in range(40):
        await finished_run(cleaner, f"r{number}")
        if number >= 2:
            await cleaner.delete(f"r{number - 2}")
        await reader.runs()
    kept = [segment for segment in reader._log._view.segments if not segment.is_current()]
    assert sum(segment.size for segment in kept) < 3 * SEGMENT_BYTES
    assert await seqs(reader, "r39") == [1, 2]
    await reader.close()
    await cleaner.close()


async def test_two_who_clean_up_bring_nothing_back(tmp_path: Path) -> None:
    """One removes a file that the other still has open, and would clean next."""
    one, other = opened(tmp_path), opened(tmp_path)
    for run_id in ("a", "b", "c"):
        await finished_run(one, run_id, size=25_000)
    assert len(await other.runs()) == 3
    for run_id in ("a", "b"):
        await one.delete(run_id)
    await other.release("c", epoch=1)
    await finished_run(other, "d", size=25_000)
    for store in (one, other):
        assert sorted(run.run_id for run in await store.runs()) == ["c", "d"]
        await store.close()
    assert names_in(tmp_path) == ["lock", *(f"log-00000{number}.jsonl" for number in (3, 4, 5))]


async def test_who_is_far_behind_reads_the_log_anew(tmp_path: Path) -> None:
    """The file in which he stopped may not exist any more."""
    reader, cleaner = opened(tmp_path), opened(tmp_path)
    for number in range(30):
        await finished_run(cleaner, f"r{number}")
        if number >= 2:
            await cleaner.delete(f"r{number - 2}")
    assert "log-000001.jsonl" not in names_in(tmp_path)
    assert sorted(run.run_id for run in await reader.runs()) == ["r28", "r29"]
    await finished_run(reader, "mine")
    assert await seqs(cleaner, "mine") == [1, 2]
    await reader.close()
    await cleaner.close()


async def test_reading_while_others_clean_up_finds_everything(tmp_path: Path) -> None:
    """Lines move under the reader's eyes."""
    store = open_files(tmp_path, segment_bytes=3000)
    await finished_run(store, "kept")

    async def churn(name: str) -> None:
        for number in range(20):
            await finished_run(store, f"{name}{number}", size=1000)
            await store.delete(f"{name}{number}")

    async def read() -> None:
        for _ in range(100):
            assert await seqs(store, "kept") == [1, 2]
            assert await store.definition("of kept")

    assert await at_once([partial(churn, "a"), partial(churn, "b"), read]) == ["done"] * 3
    await store.close()


async def test_a_clean_up_that_fails_loses_nothing_and_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """To clean up a full disk there must be some room; nobody who writes is to suffer from it."""

    def full(*args: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = opened(tmp_path)
    for run_id in ("a", "b", "c", "d", "e", "f"):
        await finished_run(store, run_id)
    monkeypatch.setattr(cleaning, "write_file", full)
    for run_id in ("a", "b", "c"):
        await store.delete(run_id)
    await store.close()
    assert [(record.levelno, "no room left" in record.message) for record in caplog.records] == [
        (logging.WARNING, True)
    ]
    monkeypatch.undo()
    store = opened(tmp_path)
    assert sorted(run.run_id for run in await store.runs()) == ["d", "e", "f"]
    await store.release("d", epoch=1)
    await finished_run(store, "g")
    await store.close()
    assert size_of(tmp_path) < SEGMENT_BYTES + 6000


async def test_what_a_crash_left_of_a_clean_up_is_in_nobodys_way(tmp_path: Path) -> None:
    """A file comes into the log whole or not at all."""
    store = opened(tmp_path)
    for run_id in ("a", "b", "c", "d", "e"):
        await finished_run(store, run_id)
    (tmp_path / "unfinished.tmp").write_bytes(b"torn" * 10_000)
    for run_id in ("a", "b", "c"):
        await store.delete(run_id)
    await store.close()
    assert "unfinished.tmp" not in names_in(tmp_path)
    store = opened(tmp_path)
    assert await seqs(store, "e") == [1, 2]
    await store.close()


async def test_a_file_begun_by_a_process_that_then_was_killed_is_used(tmp_path: Path) -> None:
    """It was killed before it could say that the log goes on there."""
    store = opened(tmp_path)
    await finished_run(store, "a", size=25_000)
    await store.create_run(new_run("b"))
    assert names_in(tmp_path)[-1] == "log-000002.jsonl"
    (tmp_path / "lock").write_bytes(b"000001 000001\n")
    fresh = opened(tmp_path)
    assert len(await fresh.runs()) == 2
    await finished_run(fresh, "c", size=25_000)
    await fresh.create_run(new_run("d"))
    assert (tmp_path / "lock").read_bytes() == b"000001 000003\n"
    assert len(await store.runs()) == 4
    await fresh.close()
    await store.close()
    store = opened(tmp_path)
    assert len(await store.runs()) == 4
    assert await seqs(store, "c") == [1, 2]
    await store.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no list of open files")
async def test_a_file_of_which_nothing_is_left_is_not_kept_open(tmp_path: Path) -> None:
    """One old run keeps its file, and with it the numbers behind; there may be thousands of them."""
    store = opened(tmp_path)
    await finished_run(store, "old", size=100)
    for number in range(30):
        await finished_run(store, f"r{number}", size=12_000)
        await store.delete(f"r{number}")
    await store.close()
    store = opened(tmp_path)
    assert (len(open_in(tmp_path)), len(sizes_of_logs(tmp_path))) == (2 + 1, 31), "the lock is one"
    assert await seqs(store, "old") == [1, 2]
    await store.delete("old")
    await finished_run(store, "new", size=25_000)
    await finished_run(store, "newer")
    await store.close()
    assert len(sizes_of_logs(tmp_path)) == 2
    store = opened(tmp_path)
    assert sorted(run.run_id for run in await store.runs()) == ["new", "newer"]
    await store.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no list of open files")
async def test_files_are_closed_with_the_store(tmp_path: Path) -> None:
    """A long process opens and closes many."""
    store = open_files(tmp_path, segment_bytes=1000)
    for number in range(10):
        await finished_run(store, f"r{number}")
    assert len(open_in(tmp_path)) == len(sizes_of_logs(tmp_path)) + 1 > 5
    await store.close()
    assert open_in(tmp_path) == []
