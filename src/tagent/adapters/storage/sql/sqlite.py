"""Opens a SQLite file as a store: the file, its mode, its connections."""

import os
import sqlite3
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal

from tagent.adapters.storage.sql.changes import DataVersion
from tagent.adapters.storage.sql.dialects import SQLITE
from tagent.adapters.storage.sql.errors import translated
from tagent.adapters.storage.sql.readers import Readers
from tagent.adapters.storage.sql.schema import bring_up_to_date, revision_of
from tagent.adapters.storage.sql.statements import Statements
from tagent.adapters.storage.sql.store import SqlStore
from tagent.adapters.storage.sql.writer import GroupWriter
from tagent.adapters.storage.sql.writes import JournalWrites
from tagent.ports.store_errors import StoreUnavailableError

Synchronous = Literal["full", "normal"]

BUSY_SECONDS = 5.0
"""How long a write waits for other processes: well within a lease."""

_creating = threading.Lock()


def open_sqlite(path: Path, *, synchronous: Synchronous = "full") -> SqlStore:
    """Return the store in the file at `path`; creates the file, readable by its owner only, and its directory.

    Args:
        path: The file.
        synchronous: `full` keeps every acknowledged commit even if the power fails; `normal` may then
            lose the last ones, never the file.

    Raises:
        StoreUnavailableError: If the file cannot be opened, created or written now.
        StoreVersionError: If a newer tagent wrote it.
        StoreError: If it is damaged, or no database.
    """
    path = path.absolute()  # the process may change its directory
    ours = partial(translated, store=str(path))
    try:
        _create(path)
        with closing(connect(path)) as connection:
            use_wal(connection, store=str(path))
            bring_up_to_date(connection, SQLITE, store=str(path), translated=ours)
    except (OSError, sqlite3.Error) as error:
        raise ours(error) from error
    statements = Statements(SQLITE)
    writes = JournalWrites(statements)
    writer = GroupWriter(
        partial(connect, path, synchronous=synchronous),
        begin=SQLITE.begin,
        translated=ours,
        before_commit=writes.finish,
    )
    readers = Readers(partial(_connect_reader, path), error=sqlite3.Error, translated=ours)
    changes = DataVersion(partial(_connect_reader, path), translated=ours)
    return SqlStore(statements, writes=writes, writer=writer, readers=readers, changes=changes)


def read_revision(path: Path) -> str:
    """Return the newest migration that the existing file at `path` has seen, "" for none; changes nothing.

    Raises:
        StoreError: If the file cannot be read, or is no database.
    """
    try:
        with closing(_connect_reader(path.absolute())) as connection:
            return revision_of(connection, SQLITE)
    except sqlite3.Error as error:
        raise translated(error, store=str(path)) from error


def connect(path: Path, *, synchronous: Synchronous = "full") -> sqlite3.Connection:
    """Return a connection to the existing file at `path` that leaves transactions to us."""
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",  # a file that was removed must not come back empty
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    return connection


def _connect_reader(path: Path) -> sqlite3.Connection:
    connection = connect(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _create(path: Path) -> None:
    """Create the file if it is missing, before SQLite would, with its own idea of the mode.

    A file that exists is not touched: closing any handle of ours would drop the locks that another
    connection of this process holds on it (https://www.sqlite.org/howtocorrupt.html, 2.2).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _creating:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            if path.is_dir():
                raise IsADirectoryError(None, "It is a directory") from None


def use_wal(connection: sqlite3.Connection, *, store: str) -> None:
    """Let readers read while the writer writes; the file remembers it.

    Raises:
        StoreUnavailableError: If the file system cannot do it.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            # For this one change SQLite does not wait for others itself, not even for its own other processes.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            threading.Event().wait(0.01)
        else:
            break
    if mode != "wal":
        raise StoreUnavailableError(
            f"The file system of the store {store} has no shared memory (its journal mode stays {mode!r}).",
            hint="Put the store on a local disk.",
        )
