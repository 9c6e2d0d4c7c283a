"""Effects are gathered while an attempt works, and written with its success."""

import asyncio
from dataclasses import replace

import pytest

from tagent.adapters.storage.memory import MemoryStore
from tagent.effects import MOST_MERGES, EffectBuffer
from tagent.payloads import decoded, encoded
from tagent.ports.documents import Put
from tagent.ports.effect_errors import DocumentConflictError
from tagent.ports.effects import Effects, Written
from tagent.ports.messages import NewMessage, Receipt


def put(key: str, data: object, *, version: int | None = None) -> Put:
    return Put("s", key, encoded(data, what="it"), expected_version=version)


async def read(store: MemoryStore, key: str) -> object:
    document = await store.document("s", key)
    return None if document is None else decoded(document.value, what="it")


def added(there: object, mine: object) -> object:
    assert isinstance(there, int)
    assert isinstance(mine, int)
    return there + mine


def test_the_last_put_of_a_key_counts_and_expects_what_the_first_one_did() -> None:
    """The second one has found the first one there, which nobody else has seen."""
    buffer = EffectBuffer()
    assert not buffer
    buffer.put(put("k", 1, version=4))
    buffer.put(put("k", 2, version=0))
    buffer.put(put("l", 3))
    assert buffer
    assert buffer.effects.puts == (put("k", 2, version=4), put("l", 3))


def test_receipts_of_one_subscriber_become_one() -> None:
    """Several messages that a step has received are done together."""
    buffer = EffectBuffer()
    buffer.receive(Receipt("me", "t", 3, 4))
    buffer.receive(Receipt("me", "t", 4, 7))
    buffer.receive(Receipt("me", "u", 0, 1))
    assert buffer.effects.receipts == (Receipt("me", "t", 3, 7), Receipt("me", "u", 0, 1))
    assert buffer.read_up_to("me", "t", seq=3) == 7
    assert buffer.read_up_to("you", "t", seq=3) == 3


def test_what_was_gathered_before_can_be_read_and_is_not_written_twice() -> None:
    """A tool sees what an earlier tool of its agent has remembered."""
    before = EffectBuffer()
    before.put(put("k", 1))
    before.receive(Receipt("me", "t", 0, 2))
    buffer = EffectBuffer(before)
    found = buffer.written("s", "k")
    assert found is not None
    assert found.put == put("k", 1)
    buffer.put(put("l", 2))
    assert list(buffer.written_in("s")) == ["k", "l"]
    assert buffer.read_up_to("me", "t", seq=0) == 2
    assert buffer.effects == Effects((put("l", 2),))


def test_effects_are_taken_in_whole() -> None:
    """What a finished call has done counts after a crash as well."""
    effects = Effects((put("k", 1),), (NewMessage("t", b"1"),), (Receipt("me", "t", 0, 1),))
    buffer = EffectBuffer()
    buffer.absorb(effects)
    assert buffer.effects == effects


async def test_a_merge_makes_the_value_from_the_one_that_is_there() -> None:
    """Several steps count together."""
    store = MemoryStore()
    for expected in (1, 2, 3):
        buffer = EffectBuffer()
        buffer.put(put("k", 1), merge=added)
        await buffer.write(store, store.write)
        assert await read(store, "k") == expected


async def test_a_merge_is_done_anew_when_somebody_else_was_faster() -> None:
    """Nothing that anybody has written is lost."""
    store = MemoryStore()
    others = iter([10, 20])

    async def write(effects: Effects) -> Written:
        other = next(others, None)
        if other is not None:
            await store.write(Effects((put("k", other),)))
        return await store.write(effects)

    buffer = EffectBuffer()
    buffer.put(put("k", 1), merge=added)
    await buffer.write(store, write)
    assert await read(store, "k") == 21


async def test_a_merge_is_given_up_when_others_are_always_faster() -> None:
    """Nobody tries for ever."""
    store = MemoryStore()
    tries = []

    async def write(effects: Effects) -> Written:
        tries.append(effects)
        raise DocumentConflictError("s", "k", expected_version=0, found_version=1)

    buffer = EffectBuffer()
    buffer.put(put("k", 1), merge=added)
    with pytest.raises(DocumentConflictError):
        await buffer.write(store, write)
    assert len(tries) == MOST_MERGES


async def test_a_conflict_of_what_is_not_to_be_merged_is_told_at_once() -> None:
    """Whoever expected a version decides himself."""
    store = MemoryStore()
    await store.write(Effects((put("k", 1),)))
    buffer = EffectBuffer()
    buffer.put(put("l", 1), merge=added)
    buffer.put(put("k", 2, version=0))
    with pytest.raises(DocumentConflictError):
        await buffer.write(store, store.write)
    assert await read(store, "l") is None


async def test_many_who_merge_at_once_lose_nothing() -> None:
    """The sum is right."""
    store = MemoryStore()

    async def raise_by_one() -> None:
        buffer = EffectBuffer()
        buffer.put(put("k", 1), merge=added)
        await buffer.write(store, slow)

    async def slow(effects: Effects) -> Written:
        await asyncio.sleep(0)
        return await store.write(effects)

    async with asyncio.TaskGroup() as group:
        for _ in range(MOST_MERGES):
            group.create_task(raise_by_one())
    assert await read(store, "k") == MOST_MERGES


async def test_a_merge_with_a_deletion_deletes() -> None:
    """There is nothing to merge it with."""
    store = MemoryStore()
    await store.write(Effects((put("k", 1),)))
    buffer = EffectBuffer()
    buffer.put(replace(put("k", 1), value=None), merge=added)
    await buffer.write(store, store.write)
    assert await read(store, "k") is None
