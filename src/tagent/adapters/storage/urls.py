"""Placeholder until the store is there."""

from tagent.adapters.storage.memory import MemoryStore


def open_store(url: str) -> MemoryStore:
    return MemoryStore()
