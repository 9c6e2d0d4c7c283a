"""The store in a PostgreSQL database keeps the contract of all stores."""

from pathlib import Path

from postgres import server
from tagent.adapters.storage.urls import open_store
from tagent.ports import Store
from tagent.testing import DurableStoreContract


class TestPostgreSQLStore(DurableStoreContract):
    """The place has a schema of its own."""

    async def open_store(self, place: Path) -> Store:
        return open_store(server().place(place))
