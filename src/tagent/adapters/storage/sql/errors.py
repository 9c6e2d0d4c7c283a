"""What the database reports, as errors of ours: what happened, to which store, and what to do."""

import sqlite3
from types import MappingProxyType

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tagent.exceptions import StoreError
from tagent.ports.store_errors import StoreUnavailableError

_UNAVAILABLE = MappingProxyType(
    {
        sqlite3.SQLITE_BUSY: ("is locked by another process", "Wait for that process, or end it."),
        sqlite3.SQLITE_LOCKED: ("is locked by another connection", "Try again."),
        sqlite3.SQLITE_FULL: ("has no room left", "Free some space on its disk."),
        sqlite3.SQLITE_READONLY: ("cannot be written", "Check the permissions of the file and of its directory."),
        sqlite3.SQLITE_PERM: ("cannot be used", "Check the permissions of the file and of its directory."),
        sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "Check that the file exists and that you may use its directory."),
        sqlite3.SQLITE_IOERR: ("cannot be read or written", "Check its disk."),
    }
)
"""SQLite's primary result code -> what happened, what to do."""

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def translated(error: Exception, *, store: str) -> StoreError:
    """Return the error of ours that says what `error` means.

    Args:
        error: What SQLAlchemy, the driver or the operating system raised.
        store: What the store is called: its path. The message never holds a statement or its values.
    """
    if isinstance(error, DBAPIError) and isinstance(error.orig, Exception):
        error = error.orig
    if isinstance(error, StoreError):
        return error
    if isinstance(error, PoolTimeoutError):
        return StoreUnavailableError(f"The store {store} is too busy to be read.", hint="Try again.")
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        return StoreUnavailableError(
            f"The store {store} cannot be opened: {reason}.", hint="Check the path and its permissions."
        )
    if isinstance(error, UnicodeEncodeError):
        return StoreError("A text holds half of a surrogate pair: it is not Unicode, and no store can keep it.")
    return _of_sqlite(error, store=store)


def _of_sqlite(error: Exception, *, store: str) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the higher bits say more than we need
    if code in _UNAVAILABLE:
        what, hint = _UNAVAILABLE[code]
        return StoreUnavailableError(f"The store {store} {what}.", hint=hint)
    if code in _DAMAGED:
        return StoreError(
            f"The store {store} is damaged, or is not a database.",
            hint="Put a backup in its place, save what can be read with `sqlite3 FILE .recover`, or choose another.",
        )
    if code == sqlite3.SQLITE_TOOBIG:
        return StoreError(f"The store {store} cannot hold a record as large as this.", hint="SQLite takes up to 1 GB.")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreError(
        f"The store {store} refused: {name}.", hint="If another program changed its tables, choose another store."
    )
