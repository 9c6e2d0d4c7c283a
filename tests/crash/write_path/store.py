"""The crash points that every store has: before and behind each call that writes."""

from collections.abc import Callable, Sequence

from crash import effects
from crash.effects import points
from tagent.ports import Batch, NewRun, Record, RunRecord, Store
from tagent.ports.documents import Document, DocumentQuery, ScopeUsage
from tagent.ports.effects import Effects, Swept, Written
from tagent.ports.messages import Cursor, Message, Topic
from tagent.ports.records import NEWEST, RunQuery
from tagent.ports.store_errors import StoreUnavailableError


class PointedStore:
    """A store with a crash point before and behind each call that writes.

    The file `refused` says that a commit found it unavailable.
    """

    def __init__(self, store: Store, *, loses_reply_of: int) -> None:
        self._store = store
        self._loses_reply_of = loses_reply_of
        self._commits = 0

    async def create_run(self, run: NewRun) -> RunRecord:
        with points.around("store.create_run"):
            return await self._store.create_run(run)

    async def claim(
        self, run_id: str, *, owner: str, lease_seconds: float, is_gone: Callable[[str], bool]
    ) -> RunRecord:
        with points.around("store.claim"):
            return await self._store.claim(run_id, owner=owner, lease_seconds=lease_seconds, is_gone=is_gone)

    def renew(self, run_id: str, *, epoch: int, lease_seconds: float) -> None:
        with points.around("store.renew"):
            self._store.renew(run_id, epoch=epoch, lease_seconds=lease_seconds)

    async def release(self, run_id: str, *, epoch: int) -> None:
        with points.around("store.release"):
            await self._store.release(run_id, epoch=epoch)

    async def commit(self, batch: Batch) -> None:
        with points.around("store.commit"):
            try:
                await self._store.commit(batch)
            except StoreUnavailableError:
                (effects.folder() / "refused").touch()
                raise
        self._commits += 1
        if self._commits == self._loses_reply_of:
            raise StoreUnavailableError("The answer was lost on its way.")

    async def run(self, run_id: str) -> RunRecord:
        return await self._store.run(run_id)

    async def runs(self, query: RunQuery = NEWEST) -> Sequence[RunRecord]:
        return await self._store.runs(query)

    async def records(self, run_id: str, *, after_seq: int = 0) -> Sequence[Record]:
        return await self._store.records(run_id, after_seq=after_seq)

    async def blob(self, blob_hash: str) -> bytes:
        return await self._store.blob(blob_hash)

    async def delete(self, run_id: str) -> None:
        await self._store.delete(run_id)

    async def wait_for_change(self, seen: int, *, seconds: float) -> int:
        return await self._store.wait_for_change(seen, seconds=seconds)

    async def definition(self, definition_hash: str) -> bytes:
        return await self._store.definition(definition_hash)

    async def write(self, effects: Effects) -> Written:
        with points.around("store.write"):
            return await self._store.write(effects)

    async def document(self, scope: str, key: str) -> Document | None:
        return await self._store.document(scope, key)

    async def documents(self, query: DocumentQuery) -> Sequence[Document]:
        return await self._store.documents(query)

    async def scopes(self, prefix: str = "") -> Sequence[ScopeUsage]:
        return await self._store.scopes(prefix)

    async def topics(self, prefix: str = "") -> Sequence[Topic]:
        return await self._store.topics(prefix)

    async def messages(self, topic: str, *, after_seq: int = 0, limit: int = 100) -> Sequence[Message]:
        return await self._store.messages(topic, after_seq=after_seq, limit=limit)

    async def unread(self, subscriber: str, topics: Sequence[str], *, limit: int = 100) -> Sequence[Message]:
        return await self._store.unread(subscriber, topics, limit=limit)

    async def cursors(self, *, subscriber: str = "", topic: str = "") -> Sequence[Cursor]:
        return await self._store.cursors(subscriber=subscriber, topic=topic)

    async def forget(self, prefix: str) -> None:
        await self._store.forget(prefix)

    async def sweep(self, *, messages_older_than_seconds: float) -> Swept:
        return await self._store.sweep(messages_older_than_seconds=messages_older_than_seconds)

    async def close(self) -> None:
        await self._store.close()
