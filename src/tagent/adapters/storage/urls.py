"""From a URL to a store. What a store needs beyond tagent's core is imported only when it is chosen."""

from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qsl

from tagent.exceptions import ConfigurationError, MissingExtraError, nearest
from tagent.ports.store import Store

FORMS = ("memory://", "sqlite:///relative/path", "sqlite:////absolute/path")
_KNOWN = f"Known: {', '.join(FORMS)}."


def open_store(url: str) -> Store:
    """Return the store that `url` names, open; close it with `await store.close()`.

    Args:
        url: `memory://`, or `sqlite:///` and a path. `?synchronous=normal` behind the path makes commits
            cheaper; the last ones may then be lost if the power fails.

    Raises:
        ConfigurationError: If the URL has none of these forms.
        MissingExtraError: If the store's packages are not installed.
        StoreError: If the store cannot be opened, or was written by a newer tagent.
    """
    scheme, separator, rest = url.partition("://")
    if scheme == "memory" and separator:
        if rest:
            raise ConfigurationError("No store is called 'memory' with a name behind it.", hint=_KNOWN)
        from tagent.adapters.storage.memory import MemoryStore

        return MemoryStore()
    if scheme == "sqlite" and separator:
        return _open_sqlite(rest)
    if not separator:  # the URL itself stays out of the message: it may hold a password
        raise ConfigurationError("The store is not a URL.", hint=_KNOWN)
    raise ConfigurationError(f"No store is called {scheme!r}.{nearest(scheme, ('memory', 'sqlite'))}", hint=_KNOWN)


def _open_sqlite(rest: str) -> Store:
    location, _, query = rest.partition("?")
    if not location.startswith("/") or location.strip("/") in ("", ":memory:"):
        raise ConfigurationError(
            f"'sqlite://{location}' does not name a file: three slashes, then its path.", hint=_KNOWN
        )
    options = dict(parse_qsl(query, keep_blank_values=True))
    synchronous = options.pop("synchronous", "full")
    if options or synchronous not in ("full", "normal"):
        raise ConfigurationError(
            f"'?{query}' is not an option of a SQLite store.", hint="Known: ?synchronous=full, ?synchronous=normal."
        )
    if find_spec("sqlalchemy") is None or find_spec("alembic") is None:
        raise MissingExtraError("persistence", feature="A SQLite store")
    from tagent.adapters.storage.sql.sqlite import open_sqlite

    return open_sqlite(Path(location[1:]), synchronous="normal" if synchronous == "normal" else "full")


def sqlite_path(url: str) -> Path | None:
    """Return the file of a SQLite store's URL, None for the URL of any other store."""
    scheme, _, rest = url.partition("://")
    return Path(rest.partition("?")[0][1:]) if scheme == "sqlite" and rest.startswith("/") else None
