"""Brings a database to the tables of this version, or says that a newer version made it."""

import threading
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from tagent.ports.store_errors import StoreVersionError

REVISIONS = ("0001", "0002")
"""The migrations in order. Known by heart, so that opening a store need not import Alembic; a test compares."""

_migrating = threading.Lock()
"""Alembic keeps the migration under way in globals."""


def revision_of(connection: Connection) -> str:
    """Return the newest migration that the database has seen; "" when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.execute(text("SELECT max(version_num) FROM alembic_version")).scalar_one() or "")


def bring_up_to_date(engine: Engine, *, begin: str, store: str) -> None:
    """Create the tables or migrate them to this version; safe when several processes do so at once.

    Args:
        engine: Whose connections may write.
        begin: Begins a transaction that keeps other writers out.
        store: What the store is called in messages.

    Raises:
        StoreVersionError: If a newer tagent made the database.
    """
    with engine.connect() as connection:
        if revision_of(connection) == REVISIONS[-1]:
            return
    with _migrating, engine.connect() as connection:
        connection.exec_driver_sql(begin)
        found = revision_of(connection)  # again: another process may have been here meanwhile
        if found and found not in REVISIONS:
            raise StoreVersionError(
                f"The store {store} has the schema {found}; this tagent knows up to {REVISIONS[-1]}.",
                hint="Upgrade tagent, or choose another store.",
            )
        if found != REVISIONS[-1]:
            _migrate(connection)
        connection.commit()


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    here = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(here).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
