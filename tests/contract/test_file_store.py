"""The store in a directory keeps the contract of all stores."""

from pathlib import Path

from tagent.adapters.storage.files.store import open_files
from tagent.adapters.storage.urls import open_store
from tagent.ports import Store
from tagent.testing import DurableStoreContract


class TestFileStore(DurableStoreContract):
    """The directory is in the place."""

    async def open_store(self, place: Path) -> Store:
        return open_store(f"file:///{place}/runs")


class TestFileStoreOfManyFiles(DurableStoreContract):
    """The same when the log goes on in another file again and again, and is cleaned up all the time."""

    async def open_store(self, place: Path) -> Store:
        return open_files(place / "runs", segment_bytes=500)
