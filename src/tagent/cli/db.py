"""`tagent db`: the schema of the database that runs are kept in."""

import asyncio
from pathlib import Path

import click

from tagent.adapters.storage.urls import open_store, sqlite_path
from tagent.cli.stores import with_store
from tagent.config import TAgentConfig

store_option = click.option("--store", metavar="URL", help="The store, else sqlite:///.tagent/runs.db.")


@click.group()
def db() -> None:
    """Look at and upgrade the database of runs."""


@db.command()
@store_option
def current(store: str | None) -> None:
    """Print the schema of the database, and the one of this tagent."""
    path = _path(store)
    if path is None:
        return
    from tagent.adapters.storage.sql.schema import REVISIONS
    from tagent.adapters.storage.sql.sqlite import read_revision

    if not path.exists():
        click.echo(f"{path}: no database yet; it will have the schema {REVISIONS[-1]}")
        return
    found = read_revision(path)
    state = "up to date" if found == REVISIONS[-1] else f"tagent db upgrade brings it to {REVISIONS[-1]}"
    click.echo(f"{path}: schema {found or 'none'}, {state}")


@db.command()
@store_option
def upgrade(store: str | None) -> None:
    """Bring the database to the schema of this tagent; creates it if there is none."""
    path = _path(store)
    if path is None:
        return
    opened = open_store(with_store(TAgentConfig.load(), store).store)  # opening brings it up to date
    asyncio.run(opened.close())
    click.echo(f"{path}: up to date")


def _path(store: str | None) -> Path | None:
    """Return the database's file; None, and say so, for a store that is none."""
    url = with_store(TAgentConfig.load(), store).store
    path = sqlite_path(url)
    if path is None:
        click.echo(f"{url} keeps no database.")
    return path
