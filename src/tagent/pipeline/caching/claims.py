"""Who of several processes works out what all of them may use again: a document that must be renewed to stay."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from tagent.exceptions import StoreError
from tagent.names import CLAIMS
from tagent.payloads import PayloadError, decoded, encoded
from tagent.ports.documents import Put, version_of
from tagent.ports.effect_errors import DocumentConflictError
from tagent.ports.effects import Effects
from tagent.ports.process import ProcessTable
from tagent.ports.store import Store

LEASE_SECONDS = 15.0
"""How long a claim lasts unless it is renewed: so long others wait for a process that has died."""

_WHAT = "A claim"


class Claim:
    """The right to work something out, among the processes that share a store.

    Args:
        store: What they share.
        key: What is worked out.
        processes: Who this process is, and whether another is gone.
    """

    def __init__(self, store: Store, key: str, processes: ProcessTable) -> None:
        self._store = store
        self._processes = processes
        self._put = Put(
            CLAIMS, key, encoded({"owner": processes.this_process()}, what=_WHAT), ttl_seconds=LEASE_SECONDS
        )
        self._version = 0

    @property
    def is_held(self) -> bool:
        """Whether it is ours."""
        return self._version > 0

    @property
    def end(self) -> Put:
        """What ends it, for whoever writes that with what was worked out."""
        return replace(self._put, value=None, ttl_seconds=None)

    async def take(self) -> bool:
        """Take it if nobody has it, or only a process that is gone, and return whether it is ours now.

        Raises:
            StoreError: If the store fails.
        """
        found = await self._store.document(CLAIMS, self._put.key)
        if found is not None and not self._is_left(found.value):
            return False
        return await self._write(version_of(found))

    def _is_left(self, payload: bytes) -> bool:
        try:
            owner = decoded(payload, what=_WHAT)["owner"]
        except (PayloadError, KeyError, TypeError):
            return False  # it ends by itself
        return isinstance(owner, str) and self._processes.is_gone(owner)

    async def renew(self) -> bool:
        """Have it last from now on, and return whether it still is ours.

        Raises:
            StoreError: If the store fails.
        """
        return await self._write(self._version)

    async def _write(self, version: int) -> bool:
        try:
            written = await self._store.write(Effects((replace(self._put, expected_version=version),)))
        except DocumentConflictError:
            self._version = 0
            return False
        (self._version,) = written.versions
        return True

    async def give_up(self) -> None:
        """Let others have it; does nothing if it is not ours, or the store fails: it ends by itself."""
        version, self._version = self._version, 0
        if version:
            await _quietly(lambda: self._store.write(Effects((replace(self.end, expected_version=version),))))

    def passed_on(self) -> None:
        """Note that somebody else ends it, with what was worked out."""
        self._version = 0


async def _quietly(work: Callable[[], Awaitable[object]]) -> None:
    try:
        await work()
    except StoreError:
        return
