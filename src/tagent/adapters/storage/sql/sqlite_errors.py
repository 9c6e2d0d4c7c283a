"""What SQLite reports, as errors of ours."""

import sqlite3
from types import MappingProxyType

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


def of_sqlite(error: Exception, *, store: str) -> StoreError:
    """Return the error of ours that says what an error of `sqlite3` means; see `translated`."""
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
