"""The store in a SQLite file keeps the contract of all stores."""

from pathlib import Path

from tagent.adapters.storage.urls import open_store
from tagent.ports import Store
from tagent.testing import DurableStoreContract


class TestSQLiteStore(DurableStoreContract):
    """The file is in the place."""

    async def open_store(self, place: Path) -> Store:
        return open_store(f"sqlite:///{place}/runs.db")
