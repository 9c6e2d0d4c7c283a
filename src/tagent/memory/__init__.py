"""Memory: documents in scopes, typed, versioned and searchable."""

from tagent.memory.scope import MemoryEntry, MemoryScope
from tagent.memory.step_memory import MemoryNotAllowedError, StepMemory

__all__ = ["MemoryEntry", "MemoryNotAllowedError", "MemoryScope", "StepMemory"]
