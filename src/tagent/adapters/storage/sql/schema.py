"""Brings a database to the tables of this version, or says that a newer version made it.

Whether there is anything to do is asked with plain SQL. SQLAlchemy and Alembic, which take a third of a
second to import, come only when there is.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tagent.adapters.storage.sql.dialects import Dialect
from tagent.adapters.storage.sql.driver import DriverConnection
from tagent.exceptions import StoreError
from tagent.ports.store_errors import StoreVersionError

if TYPE_CHECKING:
    from sqlalchemy import Connection

REVISIONS = ("0001", "0002", "0003")
"""The migrations in order. Known by heart, so that opening a store need not import Alembic; a test compares."""

_migrating = threading.Lock()
"""Alembic keeps the migration under way in globals."""


def revision_of(connection: DriverConnection, dialect: Dialect) -> str:
    """Return the newest migration that the database has seen; "" when it is empty."""
    cursor = connection.cursor()
    cursor.execute(dialect.has_version)
    if not cursor.fetchall():
        return ""
    cursor.execute("SELECT max(version_num) FROM alembic_version")
    ((found,),) = cursor.fetchall()
    return str(found or "")


def bring_up_to_date(
    connection: DriverConnection, dialect: Dialect, *, store: str, translated: Callable[[Exception], StoreError]
) -> None:
    """Create the tables or migrate them to this version; safe when several processes do so at once.

    Args:
        connection: One that may write.
        dialect: The words of the database.
        store: What the store is called in messages.
        translated: Makes our error of one of the driver's.

    Raises:
        StoreVersionError: If a newer tagent made the database.
        StoreError: If a migration fails.
    """
    if revision_of(connection, dialect) == REVISIONS[-1]:
        return
    from sqlalchemy import StaticPool, create_engine
    from sqlalchemy.exc import SQLAlchemyError

    engine = create_engine(f"{dialect.name}://", creator=lambda: connection, poolclass=StaticPool)
    try:
        with _migrating, engine.begin() as migrating:
            connection.cursor().execute(dialect.begin_migration)
            found = revision_of(connection, dialect)  # again: another process may have been here meanwhile
            if found and found not in REVISIONS:
                raise StoreVersionError(
                    f"The store {store} has the schema {found}; this tagent knows up to {REVISIONS[-1]}.",
                    hint="Upgrade tagent, or choose another store.",
                )
            if found != REVISIONS[-1]:
                _migrate(migrating)
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None)
        raise translated(cause if isinstance(cause, Exception) else error) from error


def _migrate(connection: "Connection") -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    here = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(here).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
