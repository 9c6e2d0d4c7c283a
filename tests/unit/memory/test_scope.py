"""A scope of memory, as people read and write it."""

import asyncio
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from tagent.adapters.storage.memory import MemoryStore
from tagent.bridge import BlockingCallError, Bridge, LoopThread
from tagent.effects import EffectBuffer
from tagent.exceptions import TAgentError
from tagent.memory import MemoryScope
from tagent.names import InvalidNameError
from tagent.payloads import LARGEST_VALUE, PayloadError, PayloadTooLargeError
from tagent.ports.documents import Quota
from tagent.ports.effect_errors import DocumentConflictError, QuotaExceededError


class Price(BaseModel):
    amount: float
    currency: str = "EUR"


@pytest.fixture
def memory() -> Iterator[MemoryScope]:
    """A scope whose store lives in a loop of its own."""
    thread = LoopThread()
    yield MemoryScope(MemoryStore(), "s", bridge=thread)
    thread.close()


def test_models_go_in_and_come_out(memory: MemoryScope) -> None:
    """What was put as a type is read as one."""
    memory.put("tea", Price(amount=3.5))
    assert memory.get("tea") == {"amount": 3.5, "currency": "EUR"}
    assert memory.get("tea", schema=Price) == Price(amount=3.5)
    assert memory.get("coffee") is None
    assert memory.get("coffee", 7) == 7
    memory.delete("tea")
    memory.delete("tea")
    assert memory.entry("tea") is None


def test_what_does_not_fit_the_schema_is_told(memory: MemoryScope) -> None:
    """Never a guess, and never the value in a message."""
    memory.put("tea", {"amount": "secret"})
    with pytest.raises(PayloadError, match="The memory 'tea' does not fit Price") as raised:
        memory.get("tea", schema=Price)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1: object()}, "\ud800"])
def test_what_is_not_json_is_refused(memory: MemoryScope, value: object) -> None:
    """It would not come back."""
    with pytest.raises(PayloadError, match="cannot be written as JSON"):
        memory.put("k", value)
    assert memory.entry("k") is None


@pytest.mark.parametrize("key", ["", " k", "k\n", "k" * 201, 7])
def test_a_key_must_be_a_name(memory: MemoryScope, key: str) -> None:
    """Keys are listed, typed and searched."""
    with pytest.raises(InvalidNameError):
        memory.put(key, 1)


def test_what_is_too_large_is_refused(memory: MemoryScope) -> None:
    """Memory is for what is read often."""
    with pytest.raises(PayloadTooLargeError, match="at most 1048576 are allowed") as raised:
        memory.put("k", "x" * LARGEST_VALUE)
    assert raised.value.size > raised.value.largest == LARGEST_VALUE


def test_compare_and_set(memory: MemoryScope) -> None:
    """Whoever decided on what he read hears that it has changed."""
    memory.put("k", 1, expected_version=0)
    entry = memory.entry("k")
    assert entry is not None
    memory.put("k", 2, expected_version=entry.version)
    with pytest.raises(DocumentConflictError):
        memory.put("k", 3, expected_version=entry.version)
    with pytest.raises(DocumentConflictError):
        memory.delete("k", expected_version=0)
    assert memory.get("k") == 2


def test_entries_and_search(memory: MemoryScope) -> None:
    """By key, page by page; by words in keys and values, whatever their case and form."""
    for key, value in {"tea/green": "Sencha from Kyōto", "tea/black": {"Ceylon": 3}, "coffee": "綠"}.items():
        memory.put(key, value)
    assert [entry.key for entry in memory.entries()] == ["coffee", "tea/black", "tea/green"]
    assert [entry.key for entry in memory.entries("tea/", limit=1)] == ["tea/black"]
    assert [entry.key for entry in memory.entries("tea/", after="tea/black")] == ["tea/green"]
    assert [entry.key for entry in memory.search("SENCHA green")] == ["tea/green"]
    assert [entry.key for entry in memory.search("ceylon")] == ["tea/black"]
    assert [entry.key for entry in memory.search("綠")] == ["coffee"]
    assert list(memory.search("sencha ceylon")) == []


def test_a_quota_is_kept() -> None:
    """One pipeline must not fill the store of all."""
    thread = LoopThread()
    memory = MemoryScope(MemoryStore(), "s", bridge=thread, quota=Quota(documents=1, bytes=1000))
    memory.put("k", 1)
    with pytest.raises(QuotaExceededError):
        memory.put("l", 1)
    thread.close()


async def test_a_blocking_method_in_an_async_function_says_what_to_do() -> None:
    """It would wait for the loop that it keeps from going on."""
    memory = MemoryScope(MemoryStore(), "s", bridge=Bridge(asyncio.get_running_loop()))
    with pytest.raises(BlockingCallError, match="aget"):
        memory.get("k")
    await memory.aput("k", 1)
    assert await memory.aget("k") == 1
    assert (await memory.aentries())[0].key == "k"
    assert (await memory.asearch("k"))[0].value == 1
    await memory.adelete("k")
    assert await memory.aentry("k") is None


async def test_another_loop_reaches_the_store_too() -> None:
    """A program may have several."""
    thread = LoopThread()
    memory = MemoryScope(MemoryStore(), "s", bridge=thread)
    await memory.aput("k", 1)
    assert await memory.aget("k") == 1
    await asyncio.to_thread(thread.close)


async def test_a_merge_says_what_it_takes() -> None:
    """Whoever annotates it with what is there need not take `object`; the type check of this file is the test."""

    def added(old: int, new: int) -> int:
        return old + new

    store, bridge = MemoryStore(), Bridge(asyncio.get_running_loop())
    memory = MemoryScope(store, "s", bridge=bridge)
    await memory.aput("n", 1)
    await memory.aput("n", 2, merge=added)
    assert await memory.aget("n") == 3


async def test_what_is_gathered_is_seen_by_its_writer_alone() -> None:
    """Nothing half-written is ever read."""
    store, buffer = MemoryStore(), EffectBuffer()
    bridge = Bridge(asyncio.get_running_loop())
    mine = MemoryScope(store, "s", bridge=bridge, buffer=buffer)
    theirs = MemoryScope(store, "s", bridge=bridge)
    for key in ("a", "b", "c"):
        await theirs.aput(key, "old")
    mine.put("b", "new")
    mine.delete("c")
    mine.put("d", "new")
    assert [(entry.key, entry.value) for entry in await mine.aentries()] == [("a", "old"), ("b", "new"), ("d", "new")]
    assert [entry.key for entry in await mine.aentries(limit=2)] == ["a", "b"]
    assert [entry.key for entry in await mine.asearch("new")] == ["b", "d"]
    assert [entry.key for entry in await mine.asearch("old")] == ["a"]
    assert await mine.aget("c") is None
    assert [entry.value for entry in await theirs.aentries()] == ["old"] * 3
    await buffer.write(store, store.write)
    assert [entry.key for entry in await theirs.aentries()] == ["a", "b", "d"]


def test_every_error_has_a_code_of_its_own() -> None:
    """Programs tell them apart by it."""
    kinds: tuple[type[TAgentError], ...] = (PayloadError, PayloadTooLargeError, InvalidNameError, BlockingCallError)
    assert len({kind.code for kind in kinds}) == len(kinds)
