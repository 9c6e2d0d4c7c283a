"""What PostgreSQL and psycopg report, as errors of ours.

A statement that fails has a SQLSTATE. A connection that cannot be made has none, only a text, which
libpq makes of the server's; it names the host and the user and never holds the password.
"""

import re
from types import MappingProxyType

from tagent.exceptions import StoreError
from tagent.ports.store_errors import StoreUnavailableError

_LOST = ("lost its connection", "Nobody knows whether the last write was kept; the next try finds out.")
_BUSY = ("is busy: another process writes the same rows", "Try again.")
_TOO_MANY = ("has no connection left", "Raise its `max_connections`, or open fewer stores.")
_NOT_OURS = (
    "has other tables than those of tagent",
    "Choose another database, or a schema for it alone: `?options=-csearch_path%3DNAME`.",
)

_UNAVAILABLE = MappingProxyType(
    {
        "08": _LOST,
        "25006": (
            "cannot be written: it is read-only",
            "If it is a standby, use the primary server; `?target_session_attrs=read-write` finds it among several.",
        ),
        "25P03": _LOST,
        "25P04": _LOST,
        "40": _BUSY,
        "53": ("is out of memory", "Try again, or give the server more."),
        "53100": ("has no room left", "Free some space on the server's disk."),
        "53300": _TOO_MANY,
        "55P03": _BUSY,
        "57014": ("was told to cancel the statement", "Try again, or raise its `statement_timeout`."),
        "57P": _LOST,
        "58": ("cannot be read or written", "Check the server's disk."),
    }
)
"""The longest beginning of a SQLSTATE that is known -> what happened, what to do when it can be tried again."""

_REFUSED = MappingProxyType(
    {
        "22021": ("cannot keep a text that holds a NUL character", "Take it out."),
        "22P05": (
            "cannot keep one of the characters of a text",
            "A NUL has no place in a text. For every other one the database must have the encoding UTF8.",
        ),
        "42501": (
            "does not allow this user to do that",
            "The user needs to read and write the tables, and at the first time to create them in the schema.",
        ),
        "42P01": _NOT_OURS,
        "42P07": _NOT_OURS,
        "42703": _NOT_OURS,
        "42804": _NOT_OURS,
        "54": ("cannot hold a record or a name as large as this", "PostgreSQL takes records of up to 1 GB."),
        "XX": ("is damaged", "See the server's log; put a backup in its place."),
    }
)
"""The same for what stays refused however often it is tried."""

_CONNECTING = re.compile(r"^(connection failed|connection is bad|connection timeout|failed to resolve|multiple)", re.I)
"""How the texts begin that tell that no connection could be made."""

_UNWELCOME = (
    (
        re.compile(r"password authentication failed|no password supplied|role .* does not exist", re.I),
        "does not accept the user or the password",
        "Check both in the URL: postgresql://user:password@host/database.",
    ),
    (
        re.compile(r"database .* does not exist", re.I),
        "does not exist",
        "Create the database first: `createdb NAME`; tagent makes its tables then.",
    ),
    (re.compile(r"pg_hba\.conf|permission denied", re.I), "does not let this user in", "Ask whoever runs the server."),
)
"""What the text of a connection refused for good says, what happened, what to do."""


def of_postgresql(error: Exception, *, store: str) -> StoreError:
    """Return the error of ours that says what an error of psycopg means; see `translated`."""
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return _of_state(state, type(error).__name__, store=store)
    text = str(error)
    if _CONNECTING.match(text):
        return _of_connecting(text, store=store)
    if "NUL" in text:  # psycopg's own check
        return StoreError(f"The store {store} cannot keep a text that holds a NUL character.", hint="Take it out.")
    name = type(error).__name__
    if name in ("OperationalError", "InterfaceError"):
        return StoreUnavailableError(f"The store {store} {_LOST[0]}.", hint=_LOST[1])
    return StoreError(f"The store {store} refused: {name}.")


def _of_state(state: str, name: str, *, store: str) -> StoreError:
    for length in (5, 3, 2):
        if known := _UNAVAILABLE.get(state[:length]):
            return StoreUnavailableError(f"The store {store} {known[0]}.", hint=known[1])
        if known := _REFUSED.get(state[:length]):
            return StoreError(f"The store {store} {known[0]}.", hint=known[1])
    return StoreError(
        f"The store {store} refused: {name} ({state}).",
        hint="If another program changed its tables, choose another database.",
    )


def _of_connecting(text: str, *, store: str) -> StoreError:
    for pattern, what, hint in _UNWELCOME:
        if pattern.search(text):
            return StoreError(f"The store {store} {what}.", hint=hint)
    if re.search(r"too many clients|connection slots|too many connections", text, re.I):
        return StoreUnavailableError(f"The store {store} {_TOO_MANY[0]}.", hint=_TOO_MANY[1])
    reason = text.splitlines()[0].rpartition("failed: ")[2].removeprefix("FATAL:").strip().rstrip(".")
    return StoreUnavailableError(
        f"The store {store} cannot be reached: {reason}.", hint="Check the address, and that the server runs."
    )
