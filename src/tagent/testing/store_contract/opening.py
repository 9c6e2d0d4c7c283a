"""How a test module says which store it tests."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tagent.ports.store import Store


class OpenedStore:
    """Opens the store that the tests are given."""

    async def open_store(self, place: Path) -> Store:
        """Return an open store.

        Args:
            place: A directory, empty at first. For a durable store the same one means the same store.

        Raises:
            NotImplementedError: If the test module does not say how.
        """
        raise NotImplementedError(f"{type(self).__name__} must say how its store is opened.")

    async def let_pass(self, seconds: float) -> None:
        """Return when `seconds` have passed by the store's clock; to be overridden where a test can set that clock."""
        await asyncio.sleep(seconds)

    @pytest_asyncio.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        """An empty store."""
        store = await self.open_store(tmp_path)
        try:
            yield store
        finally:
            await store.close()
