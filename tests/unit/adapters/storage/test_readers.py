"""Reads under way when the store is closed."""

import asyncio
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from tagent.adapters.storage.sql.sqlite import open_sqlite
from tagent.exceptions import StoreError


async def test_closing_waits_for_the_reads_under_way(tmp_path: Path) -> None:
    """A connection that comes back late would never be closed."""
    store = open_sqlite(tmp_path / "runs.db")
    entered, go_on = threading.Event(), threading.Event()

    def read_slowly(connection: Connection) -> object:
        entered.set()
        go_on.wait()
        return connection.execute(text("SELECT 42")).scalar()

    reading = asyncio.ensure_future(store._readers.read(read_slowly))
    await asyncio.to_thread(entered.wait)
    closing = threading.Thread(target=store._readers.close)
    closing.start()
    closing.join(timeout=0.05)
    assert closing.is_alive()
    go_on.set()
    assert await reading == 42
    await asyncio.to_thread(closing.join)
    with pytest.raises(StoreError, match="closed"):
        await store.runs()
    await store.close()
