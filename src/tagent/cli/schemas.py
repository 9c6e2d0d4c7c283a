"""Which schema the database behind a store's URL has, for the stores that keep one."""

from dataclasses import dataclass
from importlib.util import find_spec

from tagent.adapters.storage.urls import sqlite_path
from tagent.exceptions import MissingExtraError

POSTGRESQL = frozenset({"postgresql", "postgres"})


@dataclass(frozen=True, slots=True)
class Schema:
    """A database's schema beside the one of this tagent.

    Attributes:
        found: The newest migration that the database has seen, "" for none; None if there is no database yet.
        known: All migrations of this tagent, in order.
    """

    found: str | None
    known: tuple[str, ...]

    @property
    def newest(self) -> str:
        """The one that this tagent works with."""
        return self.known[-1]

    @property
    def is_current(self) -> bool:
        """Whether the database has it."""
        return self.found == self.newest

    @property
    def is_newer(self) -> bool:
        """Whether a newer tagent made the database."""
        return bool(self.found) and self.found not in self.known


def schema_of(url: str) -> Schema | None:
    """Return the schema of the database that `url` names, None for a store that keeps none; changes nothing.

    Raises:
        ConfigurationError: If the URL is not understood.
        MissingExtraError: If the database's packages are not installed.
        StoreError: If the database cannot be read.
    """
    path = sqlite_path(url)
    is_postgresql = url.partition("://")[0] in POSTGRESQL
    if path is None and not is_postgresql:
        return None
    needed = ("sqlalchemy", "alembic", "psycopg") if is_postgresql else ("sqlalchemy", "alembic")
    if any(find_spec(package) is None for package in needed):
        raise MissingExtraError("persistence", feature="A store in a database")
    from tagent.adapters.storage.sql.schema import REVISIONS

    if path is None:
        from tagent.adapters.storage.sql import postgresql

        return Schema(postgresql.read_revision(url), REVISIONS)
    if not path.exists():
        return Schema(None, REVISIONS)
    from tagent.adapters.storage.sql import sqlite

    return Schema(sqlite.read_revision(path), REVISIONS)
