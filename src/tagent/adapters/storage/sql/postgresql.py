"""Opens a PostgreSQL database as a store: its connections, and what is set on them."""

from contextlib import closing
from functools import partial
from typing import TypeAlias, cast

import psycopg

from tagent.adapters.storage.sql.dialects import POSTGRESQL
from tagent.adapters.storage.sql.driver import DriverConnection
from tagent.adapters.storage.sql.errors import translated
from tagent.adapters.storage.sql.notifications import NOTIFY, Notifications
from tagent.adapters.storage.sql.postgresql_address import Address, address_of
from tagent.adapters.storage.sql.readers import Readers
from tagent.adapters.storage.sql.schema import bring_up_to_date, revision_of
from tagent.adapters.storage.sql.statements import Statements
from tagent.adapters.storage.sql.store import SqlStore
from tagent.adapters.storage.sql.writer import GroupWriter
from tagent.adapters.storage.sql.writes import JournalWrites

Connection: TypeAlias = "psycopg.Connection[tuple[object, ...]]"

BUSY_SECONDS = 5
"""How long a write waits for the locks of other processes: well within a lease."""

MIGRATION_SECONDS = 60
"""How long opening waits for another process that makes the tables."""

STALLED_SECONDS = 30
"""When the server ends a transaction whose process has stopped in the middle, so that its locks become free."""


def open_postgresql(url: str) -> SqlStore:
    """Return the store in the database that `url` names; makes the tables in its default schema.

    Args:
        url: `postgresql://user:password@host:port/database`, behind a `?` the options of libpq.

    Raises:
        ConfigurationError: If it is not such a URL.
        StoreUnavailableError: If the server cannot be reached, or the database cannot be written now.
        StoreVersionError: If a newer tagent made the tables.
        StoreError: If the database does not exist, or does not let the user in.
    """
    address = address_of(url)
    ours = partial(translated, store=address.name)
    try:
        with closing(connect(address, wait_seconds=MIGRATION_SECONDS)) as connection:
            bring_up_to_date(_driven(connection), POSTGRESQL, store=address.name, translated=ours)
    except psycopg.Error as error:
        raise ours(error) from error
    statements = Statements(POSTGRESQL)
    writes = JournalWrites(statements)
    writer = GroupWriter(
        partial(_connect_writer, address),
        begin=POSTGRESQL.begin,
        translated=ours,
        before_commit=writes.finish,
        after_commit=NOTIFY,
        is_lost=_is_lost,
        is_undone=_is_undone,
    )
    readers = Readers(partial(_connect_reader, address), error=psycopg.Error, translated=ours, is_lost=_is_lost)
    changes = Notifications(partial(connect, address, may_write=False), translated=ours)
    return SqlStore(statements, writes=writes, writer=writer, readers=readers, changes=changes)


def read_revision(url: str) -> str:
    """Return the newest migration that the database has seen, "" for none; changes nothing.

    Raises:
        ConfigurationError: If the URL does not name a PostgreSQL database.
        StoreError: If it cannot be read.
    """
    address = address_of(url)
    try:
        with closing(connect(address, may_write=False)) as connection:
            return revision_of(_driven(connection), POSTGRESQL)
    except psycopg.Error as error:
        raise translated(error, store=address.name) from error


def connect(address: Address, *, may_write: bool = True, wait_seconds: int = BUSY_SECONDS) -> Connection:
    """Return a connection that commits each statement unless it is told to begin.

    Args:
        address: The database.
        may_write: Whether the server is to allow writes on it.
        wait_seconds: How long a statement waits for a lock.

    Raises:
        psycopg.Error: If the server cannot be reached, or does not want us.
    """
    connection = psycopg.connect(autocommit=True, **dict(address.parameters))  # type: ignore[arg-type]  # libpq's own
    settings = (
        f"SET lock_timeout = '{wait_seconds}s'; "
        f"SET idle_in_transaction_session_timeout = '{STALLED_SECONDS}s'; "
        "SET client_min_messages = warning"
    )
    try:
        connection.execute((settings if may_write else f"{settings}; SET default_transaction_read_only = on").encode())
    except psycopg.Error:
        connection.close()
        raise
    return connection


def _connect_writer(address: Address) -> DriverConnection:
    return _driven(connect(address))


def _connect_reader(address: Address) -> DriverConnection:
    return _driven(connect(address, may_write=False))


def _driven(connection: Connection) -> DriverConnection:
    return cast("DriverConnection", connection)  # psycopg's statements are typed as literals, ours are put together


def _is_lost(connection: DriverConnection) -> bool:
    return bool(cast("Connection", connection).closed)  # the only connections that it is asked about


def _is_undone(error: Exception) -> bool:
    return isinstance(error, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure)
