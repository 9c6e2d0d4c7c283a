"""What the server or the way to it reports, as errors of ours: what happened, to which store, and what to do."""

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tagent.exceptions import StoreError
from tagent.ports.store_errors import StoreUnavailableError

_IN_DOUBT = "What was being written may be there or not; the next try finds out."

_Row = tuple[type[StoreError], str, str]
"""The class, what happened, and what to do."""

_LOADING: _Row = (StoreUnavailableError, "is still reading its files", "Wait until it has.")
_LOGIN: _Row = (StoreError, "refuses the name or the password", "Check both in the store's URL.")
_ACL: _Row = (StoreError, "does not allow this user what a store needs", "Extend its ACL; see ACL LOG.")
_CLUSTER: _Row = (StoreError, "belongs to a cluster", "A store needs a single server.")
_SILENT: _Row = (StoreUnavailableError, "does not answer", _IN_DOUBT)
_GONE: _Row = (StoreUnavailableError, "cannot be reached", f"Check that it runs. {_IN_DOUBT}")
_FULL: _Row = (StoreUnavailableError, "has no memory left", "Raise its maxmemory, or delete old runs.")
_REPLICA: _Row = (StoreUnavailableError, "is a replica", "Use the URL of the server that can be written.")
_DISK: _Row = (StoreUnavailableError, "cannot write its files", "Check the server's disk and its log.")
_REPLICAS: _Row = (StoreUnavailableError, "has too few replicas", "Check its min-replicas-to-write.")
_BUSY: _Row = (StoreUnavailableError, "is busy with somebody's script", "Wait, or see SCRIPT KILL.")
_FOREIGN: _Row = (StoreError, "holds keys of another program under our names", "Choose another ?prefix=.")

_KINDS: tuple[tuple[type[Exception], _Row], ...] = (
    (BusyLoadingError, _LOADING),
    (AuthenticationError, _LOGIN),
    (AuthorizationError, _LOGIN),
    (NoPermissionError, _ACL),
    (ClusterDownError, _CLUSTER),
    (ClusterCrossSlotError, _CLUSTER),
    (AskError, _CLUSTER),
    (RedisTimeoutError, _SILENT),
    (RedisConnectionError, _GONE),
    (OSError, _GONE),
    (OutOfMemoryError, _FULL),
    (ReadOnlyError, _REPLICA),
)
"""redis-py's error -> ours. The first that fits."""

_WORDS: tuple[tuple[str, _Row], ...] = (
    ("OOM command not allowed", _FULL),
    ("READONLY You can't write", _REPLICA),
    ("MISCONF ", _DISK),
    ("NOREPLICAS ", _REPLICAS),
    ("BUSY Redis is busy", _BUSY),
    ("can't access", _ACL),
    ("can't run this command", _ACL),
    ("WRONGTYPE ", _FOREIGN),
)
"""The same for what is told from inside a script, of which redis-py knows only that it is an error."""


def translated(error: Exception, *, store: str) -> StoreError:
    """Return the error of ours that says what `error` means.

    Args:
        error: What redis-py or the operating system raised, or the server answered.
        store: What the store is called: its URL without user and password. The message never holds a value.
    """
    if isinstance(error, StoreError):
        return error
    found = next((row for kind, row in _KINDS if isinstance(error, kind)), None)
    if found is None and isinstance(error, ResponseError):
        text = str(error)
        code = text.split(" ", 1)[0]
        refused: _Row = (StoreError, f"refused: {code}", "See the server's version and its log.")
        found = next((row for words, row in _WORDS if words in text), refused)
    if found is None:
        found = (StoreError, f"failed: {type(error).__name__}", "Check that it is a Redis server.")
    ours, what, hint = found
    return ours(f"The store {store} {what}.", hint=hint)
