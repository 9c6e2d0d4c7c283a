"""What goes wrong with a file: our errors, which say what happened, to which store, and what to do."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from tagent.adapters.storage.sql.errors import translated
from tagent.adapters.storage.sql.sqlite import open_sqlite
from tagent.adapters.storage.sql.store import SqlStore
from tagent.exceptions import StoreError
from tagent.ports.records import Batch, NewRun, Record
from tagent.ports.store_errors import StoreUnavailableError

SECRET = b'{"prompt": "do not show this"}'


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    store = open_sqlite(tmp_path / "runs.db")
    await store.create_run(NewRun("r", "p", SECRET, "hash", "me", 60.0, 1.0))
    yield store
    await store.close()


async def pragma(store: SqlStore, text: str) -> None:
    """Set something on the writer's connection."""
    await store._writer.submit(lambda cursor: cursor.execute(f"PRAGMA {text}"))


def batch(first: int = 1, *, size: int = 0) -> Batch:
    return Batch("r", 1, (Record(first, "Happened", 1.0, SECRET + b" " * size),))


def file_in_the_way(path: Path) -> None:
    path.parent.parent.mkdir(exist_ok=True)
    path.parent.write_text("not a directory")


def directory_in_its_place(path: Path) -> None:
    path.mkdir(parents=True)


def dangling_link(path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to("/nowhere/at/all.db")


@pytest.mark.parametrize("prepare", [file_in_the_way, directory_in_its_place, dangling_link])
def test_a_path_that_cannot_be_a_file_is_unavailable(tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    """The path may be put right, or the disk mounted, and the same call then works."""
    path = tmp_path / "inner" / "runs.db"
    prepare(path)
    with pytest.raises(StoreUnavailableError, match="cannot be opened") as raised:
        open_sqlite(path)
    assert str(path) in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize("content", [b"Dear reader, " * 300, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    """It may be somebody's letter."""
    path = tmp_path / "letter.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged, or is not a database") as raised:
        open_sqlite(path)
    assert not isinstance(raised.value, StoreUnavailableError), "trying again does not help"
    assert path.read_bytes() == content


async def test_a_damaged_page_is_reported_by_reads_and_writes(tmp_path: Path) -> None:
    """A bad disk must not end in silence, nor in a traceback of the driver."""
    path = tmp_path / "runs.db"
    store = open_sqlite(path)
    await store.create_run(NewRun("r", "p", SECRET, "hash", "me", 60.0, 1.0))
    for seq in range(1, 50):
        await store.commit(batch(seq, size=1000))
    await store.close()
    pages = path.read_bytes()
    path.write_bytes(pages[:8192] + b"\xff" * (len(pages) - 8192))
    with pytest.raises(StoreError, match="damaged"):
        await read_everything(path)


async def read_everything(path: Path) -> None:
    store = open_sqlite(path)
    try:
        await store.run("r")
        await store.records("r")
        await store.commit(batch(50))
    finally:
        await store.close()


async def test_a_full_disk_acknowledges_nothing_and_recovers(store: SqlStore) -> None:
    """The run waits and tries again; what fits is still written."""
    await store.commit(batch(1))
    await pragma(store, "max_page_count = 20")
    with pytest.raises(StoreUnavailableError, match="no room left"):
        await store.commit(batch(2, size=200_000))
    assert (await store.run("r")).last_seq == 1
    await store.commit(batch(2))
    await pragma(store, "max_page_count = 1000000")
    await store.commit(batch(3, size=200_000))
    assert [record.seq for record in await store.records("r")] == [1, 2, 3]


async def test_a_store_that_may_not_be_written_can_still_be_read(store: SqlStore) -> None:
    """Looking at a run needs no permission to change it."""
    await pragma(store, "query_only = ON")
    with pytest.raises(StoreUnavailableError, match="cannot be written"):
        await store.commit(batch())
    assert (await store.run("r")).last_seq == 0


async def test_a_reader_cannot_write(store: SqlStore) -> None:
    """There is one writer."""
    with pytest.raises(StoreUnavailableError, match="cannot be written"):
        await store._readers.read(lambda cursor: cursor.execute("DELETE FROM run"))


async def test_a_store_that_another_process_keeps_locked_is_unavailable(store: SqlStore, tmp_path: Path) -> None:
    """Nothing is acknowledged; a moment later it may work."""
    await pragma(store, "busy_timeout = 0")
    with closing(sqlite3.connect(tmp_path / "runs.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="locked by another process"):
            await store.commit(batch())
        other.execute("ROLLBACK")
    await store.commit(batch())


async def test_a_file_that_was_removed_does_not_come_back_empty(store: SqlStore, tmp_path: Path) -> None:
    """An empty store in its place would say that the runs never were."""
    (tmp_path / "runs.db").unlink()
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        await store.run("r")
    assert not (tmp_path / "runs.db").exists()


async def test_tables_that_another_program_changed_are_refused_without_showing_the_data(store: SqlStore) -> None:
    """A prompt must not get into a log by way of an error."""
    await store._writer.submit(lambda cursor: cursor.execute("ALTER TABLE event RENAME TO gone"))
    for call in (store.commit(batch()), store.records("r")):
        with pytest.raises(StoreError, match="refused: SQLITE_ERROR") as raised:
            await call
        assert "do not show this" not in str(raised.value)
        assert "INSERT" not in str(raised.value)


async def test_half_a_surrogate_pair_is_refused(store: SqlStore) -> None:
    """It is no text: it cannot be written as UTF-8."""
    with pytest.raises(StoreError, match="surrogate"):
        await store.commit(Batch("r", 1, (Record(1, "\ud800", 1.0, b"{}"),)))
    assert (await store.run("r")).last_seq == 0


async def test_a_batch_that_repeats_a_place_is_refused_whole(store: SqlStore) -> None:
    """All of a batch is there, or nothing of it."""
    record = Record(1, "Happened", 1.0, b"{}")
    with pytest.raises(StoreError, match="SQLITE_CONSTRAINT"):
        await store.commit(Batch("r", 1, (record, record)))
    assert (await store.run("r")).last_seq == 0
    assert list(await store.records("r")) == []


async def test_a_record_that_is_too_large_says_so(store: SqlStore) -> None:
    """The run fails with a reason, and others go on."""

    def lower_the_limit(cursor: object) -> None:
        assert isinstance(cursor, sqlite3.Cursor)
        cursor.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1000)

    await store._writer.submit(lower_the_limit)
    with pytest.raises(StoreError, match="as large as this"):
        await store.commit(batch(1, size=2000))
    await store.commit(batch(1))


def test_an_error_of_ours_stays_what_it_is() -> None:
    """It says already what happened."""
    error = StoreError("ours")
    assert translated(error, store="x") is error
