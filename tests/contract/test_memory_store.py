"""The store in memory keeps the contract of all stores."""

from pathlib import Path

from tagent.adapters.storage.memory import MemoryStore
from tagent.ports import Store
from tagent.testing import StoreContract


class TestMemoryStore(StoreContract):
    """Its clock is in our hands."""

    now = 0.0

    async def open_store(self, place: Path) -> Store:
        return MemoryStore(monotonic=lambda: self.now, now=lambda: self.now)

    async def let_pass(self, seconds: float) -> None:
        self.now += seconds
