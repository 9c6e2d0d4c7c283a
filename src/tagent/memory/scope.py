"""`MemoryScope`: one scope of memory, as people read and write it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tagent.bridge import Bridge
from tagent.effects import EffectBuffer, Merge
from tagent.names import checked_name
from tagent.payloads import decoded, encoded
from tagent.ports.documents import Document, DocumentQuery, Put, Quota
from tagent.ports.store import Store
from tagent.search import searchable, words_of

QUOTA = Quota(documents=10_000, bytes=64 * 1024 * 1024)
"""What a scope may hold unless another quota is given."""


@dataclass(frozen=True, slots=True)
class MemoryEntry:
    """Something remembered.

    Attributes:
        key: Its name in its scope.
        value: What is remembered.
        version: Its version, from 1; 0 for what this attempt has written and nobody else can see yet.
        at: When it was written, in seconds since 1970-01-01 UTC; 0 for the same.
        expires_at: From when on it is not there any more; None for never.

    Example:
        >>> from tagent.pipeline import PipelineMemory
        >>> with PipelineMemory("report", store="memory://") as memory:
        ...     memory.pipeline.put("city", "Lisbon")
        ...     entry = memory.pipeline.entry("city")
        >>> entry.value, entry.version, entry.expires_at
        ('Lisbon', 1, None)
    """

    key: str
    value: Any
    version: int
    at: float
    expires_at: float | None = None


class MemoryScope:
    """Documents by key. In a step, writes are gathered, can be read by the step, and are written with its success.

    Each method blocks and has an async twin, whose name begins with an `a`. In the store's own event loop a blocking
    one raises `BlockingCallError`, and behind the end of its store each raises `ClosedBridgeError`.

    Args:
        store: Where they are kept.
        name: The store's name of the scope.
        bridge: The way to the store's event loop.
        buffer: Gathers the writes; None writes at once.
        quota: What the scope may hold.

    Attributes:
        name: The store's name of the scope.

    Example:
        >>> from tagent.pipeline import PipelineMemory
        >>> with PipelineMemory("report", store="memory://") as memory:
        ...     memory.pipeline.put("cities/lisbon", {"hills": 7, "river": "Tejo"})
        ...     memory.pipeline.put("cities/porto", {"river": "Douro"})
        ...     [entry.key for entry in memory.pipeline.search("tejo")], memory.pipeline.get("cities/porto")
        (['cities/lisbon'], {'river': 'Douro'})
    """

    def __init__(
        self, store: Store, name: str, *, bridge: Bridge, buffer: EffectBuffer | None = None, quota: Quota = QUOTA
    ) -> None:
        self.name = name
        self._store = store
        self._bridge = bridge
        self._buffer = buffer
        self._quota = quota

    def get(self, key: str, default: Any = None, *, schema: object = None) -> Any:
        """Return what is remembered under `key`.

        Args:
            key: Its name.
            default: What is returned if there is nothing, or it has expired.
            schema: The type to read it as, a Pydantic model or anything that Pydantic can check.

        Raises:
            PayloadError: If it does not fit the schema.
            StoreError: If the store cannot be read.
        """
        return self._bridge.wait(self._get(key, default, schema))

    async def aget(self, key: str, default: Any = None, *, schema: object = None) -> Any:
        """Return what is remembered under `key`."""
        return await self._bridge.carry(self._get(key, default, schema))

    def entry(self, key: str, *, schema: object = None) -> MemoryEntry | None:
        """Return what is remembered under `key` with its version and times; None if there is nothing.

        Raises:
            PayloadError: If it does not fit the schema.
            StoreError: If the store cannot be read.
        """
        return self._bridge.wait(self._entry(key, schema))

    async def aentry(self, key: str, *, schema: object = None) -> MemoryEntry | None:
        """Return what is remembered under `key` with its version and times; None if there is nothing."""
        return await self._bridge.carry(self._entry(key, schema))

    def put(
        self,
        key: str,
        value: object,
        *,
        ttl_seconds: float | None = None,
        expected_version: int | None = None,
        merge: Callable[[Any, Any], object] | None = None,
    ) -> None:
        """Remember `value` under `key`. Unless told otherwise the last one who writes wins.

        Args:
            key: Its name.
            value: A Pydantic model, dataclass, dict, list or scalar.
            ttl_seconds: How long it is remembered; None for ever.
            expected_version: Write only if it is at this version, 0 if there is nothing: a compare-and-set.
            merge: Makes the value from the one that is there and the new one, both JSON values; called again
                when somebody else has written meanwhile.

        Raises:
            PayloadError: If the value cannot be written as JSON, or is too large.
            InvalidNameError: If the key is no name.
            DocumentConflictError: If it is at another version. In a step the attempt fails, and may be tried again.
            QuotaExceededError: If the scope would hold more than it may; in a step likewise.
            StoreError: If the store cannot be written.

        Example:
            >>> from tagent.pipeline import PipelineMemory
            >>> with PipelineMemory("report", store="memory://") as memory:
            ...     memory.pipeline.put("runs", 1, expected_version=0)  # only if there is nothing
            ...     memory.pipeline.put("runs", 1, merge=lambda old, new: old + new)
            ...     memory.pipeline.get("runs")
            2
        """
        put = self._put(key, value, ttl_seconds, expected_version)
        if not self._is_gathered(put, merge):
            self._bridge.wait(self._write(put, merge))

    async def aput(
        self,
        key: str,
        value: object,
        *,
        ttl_seconds: float | None = None,
        expected_version: int | None = None,
        merge: Callable[[Any, Any], object] | None = None,
    ) -> None:
        """Remember `value` under `key`."""
        put = self._put(key, value, ttl_seconds, expected_version)
        if not self._is_gathered(put, merge):
            await self._bridge.carry(self._write(put, merge))

    def delete(self, key: str, *, expected_version: int | None = None) -> None:
        """Forget what is remembered under `key`; does nothing if there is nothing.

        Raises:
            InvalidNameError: If the key is no name.
            DocumentConflictError: If it is at another version. In a step the attempt fails, and may be tried again.
            StoreError: If the store cannot be written.
        """
        put = Put(self.name, checked_name(key), None, expected_version=expected_version)
        if not self._is_gathered(put):
            self._bridge.wait(self._write(put))

    async def adelete(self, key: str, *, expected_version: int | None = None) -> None:
        """Forget what is remembered under `key`; does nothing if there is nothing."""
        put = Put(self.name, checked_name(key), None, expected_version=expected_version)
        if not self._is_gathered(put):
            await self._bridge.carry(self._write(put))

    def entries(self, prefix: str = "", *, limit: int = 100, after: str = "") -> Sequence[MemoryEntry]:
        """Return what is remembered under keys that begin with `prefix`, by key.

        Args:
            prefix: What the keys begin with.
            limit: How many at most.
            after: Only keys behind this one.

        Raises:
            StoreError: If the store cannot be read.
        """
        return self._bridge.wait(self._entries(DocumentQuery(self.name, prefix, after=after, limit=limit)))

    async def aentries(self, prefix: str = "", *, limit: int = 100, after: str = "") -> Sequence[MemoryEntry]:
        """Return what is remembered under keys that begin with `prefix`, by key."""
        return await self._bridge.carry(self._entries(DocumentQuery(self.name, prefix, after=after, limit=limit)))

    def search(self, text: str, *, limit: int = 100) -> Sequence[MemoryEntry]:
        """Return what holds every word of `text` in its key or value, by key; upper and lower case are the same.

        Raises:
            StoreError: If the store cannot be read.
        """
        return self._bridge.wait(self._entries(DocumentQuery(self.name, words=words_of(text), limit=limit)))

    async def asearch(self, text: str, *, limit: int = 100) -> Sequence[MemoryEntry]:
        """Return what holds every word of `text` in its key or value, by key."""
        return await self._bridge.carry(self._entries(DocumentQuery(self.name, words=words_of(text), limit=limit)))

    def _put(self, key: str, value: object, ttl_seconds: float | None, expected_version: int | None) -> Put:
        key = checked_name(key)
        payload = encoded(value, what=_what(key))
        text = searchable([key, decoded(payload, what=_what(key))])
        return Put(self.name, key, payload, text, expected_version, ttl_seconds, self._quota)

    def _is_gathered(self, put: Put, merge: Merge | None = None) -> bool:
        """Return whether the put waits for the success of a step, and not for us."""
        if self._buffer is None:
            return False
        self._buffer.put(put, merge=merge)
        return True

    async def _write(self, put: Put, merge: Merge | None = None) -> None:
        buffer = EffectBuffer()
        buffer.put(put, merge=merge)
        await buffer.write(self._store, self._store.write)

    async def _get(self, key: str, default: Any, schema: object) -> Any:
        found = await self._entry(key, schema)
        return default if found is None else found.value

    async def _entry(self, key: str, schema: object) -> MemoryEntry | None:
        pending = None if self._buffer is None else self._buffer.written(self.name, key)
        if pending is not None:
            return _pending_entry(pending.put, schema)
        found = await self._store.document(self.name, key)
        return None if found is None else _entry(found, schema)

    async def _entries(self, query: DocumentQuery) -> Sequence[MemoryEntry]:
        pending = {} if self._buffer is None else self._buffer.written_in(self.name)
        # As many more as may be found and then turn out to be overwritten.
        documents = await self._store.documents(replace(query, limit=query.limit + len(pending)))
        found = {document.key: _entry(document) for document in documents if document.key not in pending}
        for key, it in pending.items():
            entry = _pending_entry(it.put)
            fits = (
                key.startswith(query.prefix) and key > query.after and all(word in it.put.text for word in query.words)
            )
            if entry is not None and fits:
                found[key] = entry
        return [found[key] for key in sorted(found)][: query.limit]


def _entry(document: Document, schema: object = None) -> MemoryEntry:
    value = decoded(document.value, what=_what(document.key), schema=schema)
    return MemoryEntry(document.key, value, document.version, document.at, document.expires_at)


def _pending_entry(put: Put, schema: object = None) -> MemoryEntry | None:
    if put.value is None:
        return None
    return MemoryEntry(put.key, decoded(put.value, what=_what(put.key), schema=schema), version=0, at=0.0)


def _what(key: str) -> str:
    return f"The memory {key!r}"
