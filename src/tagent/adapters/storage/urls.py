"""From a URL to a store. What a store needs beyond tagent's core is imported only when it is chosen."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qsl

from tagent.exceptions import ConfigurationError, MissingExtraError, nearest
from tagent.ports.store import Store

FORMS = (
    "memory://",
    "sqlite:///path/to/file.db",
    "file:///path/to/directory",
    "postgresql://user@host/database",
    "redis://host:6379/0",
)
"""A path with three slashes is relative, with four absolute."""

_KNOWN = f"Known: {', '.join(FORMS)}."


def open_store(url: str) -> Store:
    """Return the store that `url` names, open; close it with `await store.close()`.

    Args:
        url: `memory://`; `sqlite:///` and a file; `file:///` and a directory; or the URL of a PostgreSQL
            (`postgresql://`) or Redis (`redis://`, `rediss://`) server. `?synchronous=normal` behind a
            SQLite file makes commits cheaper; the last ones may then be lost if the power fails.

    Raises:
        ConfigurationError: If the URL has none of these forms.
        MissingExtraError: If the store's packages are not installed.
        StoreError: If the store cannot be opened, or was written by a newer tagent.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:  # the URL itself stays out of the message: it may hold a password
        raise ConfigurationError("The store is not a URL.", hint=_KNOWN)
    if scheme not in _OPENERS:
        raise ConfigurationError(f"No store is called {scheme!r}.{nearest(scheme, _OPENERS)}", hint=_KNOWN)
    return _OPENERS[scheme](scheme, rest)


def lasting_url(url: str) -> str:
    """Return the URL under which the same store can be opened again, from any folder; empty if it cannot."""
    scheme, _, rest = url.partition("://")
    if scheme == "memory":
        return ""
    if scheme not in {"sqlite", "file"}:
        return url
    location, mark, options = rest.partition("?")
    return f"{scheme}:///{Path(location[1:]).absolute()}{mark}{options}"


def sqlite_path(url: str) -> Path | None:
    """Return the file of a SQLite store's URL, None for the URL of any other store."""
    scheme, _, rest = url.partition("://")
    return Path(rest.partition("?")[0][1:]) if scheme == "sqlite" and rest.startswith("/") else None


def _open_memory(scheme: str, rest: str) -> Store:
    if rest:
        raise ConfigurationError(f"No store is called {scheme!r} with a name behind it.", hint=_KNOWN)
    from tagent.adapters.storage.memory import MemoryStore

    return MemoryStore()


def _open_sqlite(scheme: str, rest: str) -> Store:
    path, options = _path(scheme, rest, kind="a file", known={"synchronous": ("full", "normal")})
    _require("sqlalchemy", "alembic", feature="A SQLite store")
    from tagent.adapters.storage.sql.sqlite import open_sqlite

    return open_sqlite(path, synchronous="normal" if options.get("synchronous") == "normal" else "full")


def _open_files(scheme: str, rest: str) -> Store:
    path, _ = _path(scheme, rest, kind="a directory", known={})
    from tagent.adapters.storage.files.store import open_files

    return open_files(path)


def _open_postgresql(scheme: str, rest: str) -> Store:
    _require("sqlalchemy", "alembic", "psycopg", feature="A PostgreSQL store")
    from tagent.adapters.storage.sql.postgresql import open_postgresql

    return open_postgresql(f"{scheme}://{rest}")


def _open_redis(scheme: str, rest: str) -> Store:
    _require("redis", feature="A Redis store")
    from tagent.adapters.storage.redis.store import open_redis

    return open_redis(f"{scheme}://{rest}")


_OPENERS: Mapping[str, Callable[[str, str], Store]] = {
    "memory": _open_memory,
    "sqlite": _open_sqlite,
    "file": _open_files,
    "postgresql": _open_postgresql,
    "postgres": _open_postgresql,
    "redis": _open_redis,
    "rediss": _open_redis,
}


def _path(scheme: str, rest: str, *, kind: str, known: Mapping[str, tuple[str, ...]]) -> tuple[Path, Mapping[str, str]]:
    """Return the path that follows three slashes, and the options behind it."""
    location, _, query = rest.partition("?")
    if not location.startswith("/") or location.strip("/") in ("", ":memory:"):
        raise ConfigurationError(
            f"'{scheme}://{location}' does not name {kind}: three slashes, then its path.", hint=_KNOWN
        )
    options = dict(parse_qsl(query, keep_blank_values=True))
    if any(value not in known.get(name, ()) for name, value in options.items()) or (query and not options):
        choices = [f"?{name}={value}" for name, values in known.items() for value in values]
        raise ConfigurationError(
            f"'?{query}' is not an option of a {scheme!r} store.",
            hint=f"Known: {', '.join(choices)}." if choices else "It has none.",
        )
    return Path(location[1:]), options


def _require(*packages: str, feature: str) -> None:
    if any(find_spec(package) is None for package in packages):
        raise MissingExtraError("persistence", feature=feature)
