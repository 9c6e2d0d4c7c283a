"""`StoreContract`: what every store must do, as tests that the store's own test module inherits."""

import asyncio
import tempfile
from pathlib import Path
from typing import ClassVar

import pytest

from tagent.testing.store_contract.claims import Claims
from tagent.testing.store_contract.contents import Contents
from tagent.testing.store_contract.deletions import Deletions
from tagent.testing.store_contract.documents import Documents
from tagent.testing.store_contract.durability import Durability
from tagent.testing.store_contract.ends import Ends
from tagent.testing.store_contract.journals import Journals
from tagent.testing.store_contract.machine import check_against_a_dict
from tagent.testing.store_contract.messages import Messages
from tagent.testing.store_contract.searches import Searches

__all__ = ["DurableStoreContract", "StoreContract"]


@pytest.mark.asyncio
class StoreContract(Journals, Contents, Claims, Searches, Deletions, Documents, Messages, Ends):
    """The promises of `tagent.ports.Store`, each one a test.

    Inherit it in a test module and say how the store is opened; pytest does the rest. It needs pytest,
    pytest-asyncio and hypothesis.

    Attributes:
        examples: How many histories are drawn for the comparison with a dict.

    Example:
        >>> class TestMemoryStore(StoreContract):
        ...     async def open_store(self, place):
        ...         return MemoryStore()
    """

    examples: ClassVar[int] = 30
    _reopens: ClassVar[bool] = False

    async def test_any_history_leaves_what_it_would_leave_in_a_dict(self, tmp_path: Path) -> None:
        """The promises together, in orders that nobody thought of."""
        await asyncio.to_thread(  # it has an event loop of its own
            check_against_a_dict,
            self.open_store,
            new_place=lambda: Path(tempfile.mkdtemp(dir=tmp_path)),
            reopens=self._reopens,
            examples=self.examples,
        )


class DurableStoreContract(StoreContract, Durability):
    """The same for a store that is still there when the process is not.

    Example:
        >>> from tagent.adapters.storage.sql.sqlite import open_sqlite
        >>> class TestSQLiteStore(DurableStoreContract):
        ...     async def open_store(self, place):
        ...         return open_sqlite(place / "runs.db")
    """

    _reopens: ClassVar[bool] = True
