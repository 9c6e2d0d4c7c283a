"""Reads at once and one after the other, and those that are under way when the store is closed."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagent.adapters.storage.sql import readers
from tagent.adapters.storage.sql.driver import Cursor
from tagent.adapters.storage.sql.sqlite import open_sqlite
from tagent.exceptions import StoreError
from tagent.ports.store_errors import StoreUnavailableError


class Gate:
    """A read that does not come to its end before it is let."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()

    def __call__(self, cursor: Cursor) -> object:
        self.entered.set()
        self.go_on.wait()
        cursor.execute("SELECT 42")
        return cursor.fetchall()[0][0]


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.go_on.set()


def where(cursor: Cursor) -> int:
    """Return what tells one connection from another."""
    return id(cursor.connection)  # type: ignore[attr-defined]  # both drivers have it


async def test_reads_that_follow_each_other_share_a_connection(tmp_path: Path) -> None:
    """It knows the statements, and has the pages in its memory."""
    store = open_sqlite(tmp_path / "runs.db")
    assert len({await store._readers.read(where) for _ in range(10)}) == 1
    await store.close()


async def test_a_read_that_finds_no_free_connection_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gate: Gate
) -> None:
    """So many reads at once are possible, if unlikely; a server has only so many connections for all."""
    monkeypatch.setattr(readers, "CONNECTIONS", 1)
    monkeypatch.setattr(readers, "WAIT_SECONDS", 0.01)
    store = open_sqlite(tmp_path / "runs.db")
    reading = asyncio.ensure_future(store._readers.read(gate))
    await asyncio.to_thread(gate.entered.wait)
    with pytest.raises(StoreUnavailableError, match=r"runs\.db is too busy"):
        await store.runs()
    gate.go_on.set()
    assert await reading == 42
    assert list(await store.runs()) == []
    await store.close()


async def test_whoever_waits_for_a_connection_when_the_store_is_closed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gate: Gate
) -> None:
    """He must not wait until his time is over."""
    monkeypatch.setattr(readers, "CONNECTIONS", 1)
    store = open_sqlite(tmp_path / "runs.db")
    reading = asyncio.ensure_future(store._readers.read(gate))
    await asyncio.to_thread(gate.entered.wait)
    waiting = asyncio.ensure_future(store.runs())
    await asyncio.sleep(0)
    closing = threading.Thread(target=store._readers.close)
    closing.start()
    while not store._readers._is_closed:
        pass
    gate.go_on.set()
    assert await reading == 42
    with pytest.raises(StoreError, match="closed"):
        await waiting
    await asyncio.to_thread(closing.join)
    await store.close()


async def test_closing_waits_for_the_reads_under_way(tmp_path: Path, gate: Gate) -> None:
    """A connection that comes back late would never be closed."""
    store = open_sqlite(tmp_path / "runs.db")
    reading = asyncio.ensure_future(store._readers.read(gate))
    await asyncio.to_thread(gate.entered.wait)
    closing = threading.Thread(target=store._readers.close)
    closing.start()
    closing.join(timeout=0.05)
    assert closing.is_alive()
    gate.go_on.set()
    assert await reading == 42
    await asyncio.to_thread(closing.join)
    with pytest.raises(StoreError, match="closed"):
        await store.runs()
    await store.close()
