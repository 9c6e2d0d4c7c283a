"""Mistakes, and the end of a store."""

import asyncio

import pytest

from tagent.exceptions import StoreError
from tagent.ports.documents import DocumentQuery
from tagent.ports.effects import NO_EFFECTS
from tagent.ports.store import Store
from tagent.ports.store_errors import UnknownRunError
from tagent.testing.store_contract.opening import OpenedStore
from tagent.testing.store_contract.samples import Call, batch, claim, new_run


class Ends(OpenedStore):
    """A mistake is answered by an error that helps."""

    async def test_an_unknown_run_comes_with_the_nearest_id(self, store: Store) -> None:
        """Ids are typed by hand."""
        await store.create_run(new_run("run-12"))
        await store.create_run(new_run("unlike"))
        calls: dict[str, Call] = {
            "run": lambda: store.run("run-1"),
            "records": lambda: store.records("run-1"),
            "claim": lambda: claim(store, "run-1"),
            "commit": lambda: store.commit(batch("run-1", 1, 1)),
            "release": lambda: store.release("run-1", epoch=1),
            "delete": lambda: store.delete("run-1"),
            "renew": lambda: asyncio.to_thread(store.renew, "run-1", epoch=1, lease_seconds=1),
        }
        for call in calls.values():
            with pytest.raises(UnknownRunError, match=r"'run-1'\. Did you mean 'run-12'\?") as raised:
                await call()
            assert raised.value.run_id == "run-1"

    async def test_a_closed_store_refuses_every_call(self, store: Store) -> None:
        """A write into a closed store would be lost."""
        await store.create_run(new_run("r"))
        await store.close()
        await store.close()
        calls: dict[str, Call] = {
            "create_run": lambda: store.create_run(new_run("s")),
            "claim": lambda: claim(store, "r"),
            "renew": lambda: asyncio.to_thread(store.renew, "r", epoch=1, lease_seconds=1),
            "release": lambda: store.release("r", epoch=1),
            "commit": lambda: store.commit(batch("r", 1, 1)),
            "run": lambda: store.run("r"),
            "runs": store.runs,
            "records": lambda: store.records("r"),
            "blob": lambda: store.blob("tea"),
            "delete": lambda: store.delete("r"),
            "wait_for_change": lambda: store.wait_for_change(0, seconds=0),
            "definition": lambda: store.definition("hash"),
            "write": lambda: store.write(NO_EFFECTS),
            "document": lambda: store.document("s", "k"),
            "documents": lambda: store.documents(DocumentQuery("s")),
            "scopes": store.scopes,
            "topics": store.topics,
            "messages": lambda: store.messages("t"),
            "unread": lambda: store.unread("me", ["t"]),
            "cursors": store.cursors,
            "forget": lambda: store.forget("s"),
            "sweep": lambda: store.sweep(messages_older_than_seconds=1),
        }
        for call in calls.values():
            with pytest.raises(StoreError, match="closed"):
                await call()
