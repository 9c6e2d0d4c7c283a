"""The file: who may read it, what is set on it, and where it is."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tagent.adapters.storage.sql import sqlite
from tagent.adapters.storage.sql.sqlite import Synchronous, open_sqlite, use_wal
from tagent.ports.records import Batch, NewRun, Record
from tagent.ports.store_errors import StoreUnavailableError

NEW_RUN = NewRun("r", "p", b"{}", "hash", "me", 60.0, 1.0)


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
async def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    """They hold prompts and what tools returned."""
    store = open_sqlite(tmp_path / "new" / "runs.db")
    await store.create_run(NEW_RUN)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "new").iterdir()}
    await store.close()
    assert modes == {"runs.db": "0o600", "runs.db-wal": "0o600", "runs.db-shm": "0o600"}


async def test_a_mode_that_somebody_gave_the_file_is_kept(tmp_path: Path) -> None:
    """A group may share its runs on purpose."""
    path = tmp_path / "runs.db"
    await open_sqlite(path).close()
    path.chmod(0o660)
    await open_sqlite(path).close()
    assert path.stat().st_mode & 0o777 == 0o660


@pytest.mark.parametrize(("synchronous", "level"), [("full", 2), ("normal", 1)])
async def test_commits_are_synchronous_as_asked(tmp_path: Path, synchronous: Synchronous, level: int) -> None:
    """`full` keeps every acknowledged commit when the power fails."""
    store = open_sqlite(tmp_path / "runs.db", synchronous=synchronous)

    def look(cursor: object) -> list[object]:
        assert isinstance(cursor, sqlite3.Cursor)
        return [cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")]

    assert await store._writer.submit(look) == [level, "wal"]
    await store.close()


async def test_a_relative_path_means_the_same_file_after_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections are opened later too."""
    monkeypatch.chdir(tmp_path)
    store = open_sqlite(Path("runs.db"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    await store.create_run(NEW_RUN)
    assert [run.run_id for run in await store.runs()] == ["r"]
    await store.close()
    assert not any((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("name", ["a b.db", "100%.db", "what?.db", "#1.db", "naïve ☂.db", "%41.db"])
async def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    """Behind the scenes the path is a URI."""
    store = open_sqlite(tmp_path / name)
    await store.create_run(NEW_RUN)
    await store.close()
    assert names_in(tmp_path) == [name]


async def test_the_journal_is_in_the_file_when_the_store_is_closed(tmp_path: Path) -> None:
    """A copy of the one file is then a backup."""
    store = open_sqlite(tmp_path / "runs.db")
    await store.create_run(NEW_RUN)
    await store.commit(Batch("r", 1, (Record(1, "Happened", 1.0, b"{}"),)))
    await store.records("r")
    await store.close()
    assert names_in(tmp_path) == ["runs.db"]
    with closing(sqlite3.connect(tmp_path / "runs.db")) as connection:
        assert connection.execute("SELECT epoch, seq FROM event").fetchall() == [(1, 1)]


def test_a_file_system_without_shared_memory_is_named() -> None:
    """Without it processes cannot share the file; a database in memory has none either."""
    with closing(sqlite3.connect(":memory:")) as connection, pytest.raises(StoreUnavailableError, match="local disk"):
        use_wal(connection, store="runs.db")


def test_changing_to_wal_waits_for_another_process(tmp_path: Path) -> None:
    """SQLite itself does not wait for this one change, so two who open a new file at once would fail."""
    path = tmp_path / "runs.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE t (n)")
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO t VALUES (1)")
        ending = threading.Timer(0.1, other.execute, ("COMMIT",))
        ending.start()
        with closing(sqlite3.connect(path, timeout=0)) as connection:
            use_wal(connection, store="runs.db")
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        ending.join()


def test_changing_to_wal_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may hang while it holds the lock."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.0)
    path = tmp_path / "runs.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE t (n)")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="locked by another process"):
            open_sqlite(path)
        other.execute("ROLLBACK")
