"""Memory: documents in scopes."""

from dataclasses import replace
from functools import partial

import pytest

from tagent.ports.documents import DocumentQuery, Put, Quota, ScopeUsage
from tagent.ports.effect_errors import DocumentConflictError, QuotaExceededError
from tagent.ports.effects import Effects
from tagent.ports.messages import NewMessage
from tagent.ports.store import Store
from tagent.ports.store_errors import ConflictError
from tagent.testing.store_contract.opening import OpenedStore
from tagent.testing.store_contract.samples import SHORT, at_once, batch, new_run

QUERIES = {
    "all, by key": (DocumentQuery("s"), ["B", "a", "a/1", "a/2", "a_2", "é", "綠"]),
    "a prefix": (DocumentQuery("s", "a/"), ["a/1", "a/2"]),
    "a pattern is no pattern": (DocumentQuery("s", "a_"), ["a_2"]),
    "the next page": (DocumentQuery("s", after="a/1", limit=2), ["a/2", "a_2"]),
    "a prefix and the next page": (DocumentQuery("s", "a/", after="a/1"), ["a/2"]),
    "every word": (DocumentQuery("s", words=("green", "tea")), ["B"]),
    "part of a word": (DocumentQuery("s", words=("ree",)), ["B", "a"]),
    "letter by letter": (DocumentQuery("s", words=("GREEN",)), []),
    "another script": (DocumentQuery("s", words=("綠",)), ["綠"]),
    "another scope": (DocumentQuery("s/t"), ["a"]),
    "no such scope": (DocumentQuery("nowhere"), []),
}


def put(key: str, value: bytes | None = b"1", *, version: int | None = None, scope: str = "s") -> Effects:
    """Return one put."""
    return Effects((Put(scope, key, value, expected_version=version),))


class Documents(OpenedStore):
    """A document is whole or not there, and no write is lost without somebody being told."""

    async def test_a_document_comes_back_as_it_was_written(self, store: Store) -> None:
        """It is somebody's memory."""
        value = '{"naïve": "☂"}'.encode()
        written = await store.write(Effects((Put("s", "k", value), Put("other", "k", b"2"))))
        found = await store.document("s", "k")
        assert found is not None
        assert (found.scope, found.key, found.version, found.value) == ("s", "k", written.versions[0], value)
        assert found.expires_at is None
        assert await store.document("s", "another") is None
        assert await store.document("nowhere", "k") is None

    async def test_no_two_contents_of_a_key_have_the_same_version(self, store: Store) -> None:
        """Else a compare-and-set could not see that a document was deleted and written anew."""
        versions = [(await store.write(put("k", b"1"))).versions[0]]
        versions.append((await store.write(put("k", b"2"))).versions[0])
        assert (await store.write(put("k", None))).versions == (0,)
        assert await store.document("s", "k") is None
        versions.append((await store.write(put("k", b"3"))).versions[0])
        assert 0 < versions[0] < versions[1] < versions[2]

    async def test_a_write_with_another_version_than_expected_writes_nothing(self, store: Store) -> None:
        """Whoever decided on what he read must hear that it has changed."""
        (first,) = (await store.write(put("k", b"1", version=0))).versions
        both = Effects((Put("s", "other", b"9"), Put("s", "k", b"9", expected_version=0)), (NewMessage("t", b"9"),))
        with pytest.raises(DocumentConflictError, match="nothing was written") as raised:
            await store.write(both)
        error = raised.value
        assert (error.scope, error.key, error.expected_version, error.found_version) == ("s", "k", 0, first)
        assert await store.document("s", "other") is None
        assert list(await store.messages("t")) == []
        (second,) = (await store.write(put("k", b"2", version=first))).versions
        with pytest.raises(DocumentConflictError):
            await store.write(put("k", None, version=first))
        assert (await store.write(put("k", None, version=second))).versions == (0,)
        with pytest.raises(DocumentConflictError):
            await store.write(put("k", b"3", version=second))
        await store.write(put("k", b"3", version=0))

    async def test_of_many_who_expect_the_same_version_one_writes(self, store: Store) -> None:
        """A counter that several raise must come out right."""
        outcomes = await at_once([partial(store.write, put("k", str(n).encode(), version=0)) for n in range(10)])
        assert sorted(outcomes) == ["DocumentConflictError"] * 9 + ["done"]
        found = await store.document("s", "k")
        assert found is not None
        assert found.value == str(outcomes.index("done")).encode()

    async def test_a_deletion_of_nothing_does_nothing(self, store: Store) -> None:
        """Who deletes wants it gone."""
        assert (await store.write(put("k", None))).versions == (0,)
        assert list(await store.scopes()) == []

    async def test_a_document_is_there_until_it_expires(self, store: Store) -> None:
        """What is remembered for an hour must not be believed the next day."""
        await store.write(
            Effects((Put("s", "k", b"1", ttl_seconds=3600.0), Put("s", "short", b"1", ttl_seconds=SHORT)))
        )
        kept = await store.document("s", "k")
        assert kept is not None
        assert kept.expires_at == pytest.approx(kept.at + 3600.0)
        await self.let_pass(2 * SHORT)
        assert await store.document("s", "short") is None
        assert [it.key for it in await store.documents(DocumentQuery("s"))] == ["k"]
        (version,) = (await store.write(put("short", b"2", version=0))).versions
        assert version > 2
        found = await store.document("s", "short")
        assert found is not None
        assert (found.value, found.expires_at) == (b"2", None)

    async def test_a_sweep_removes_what_has_expired(self, store: Store) -> None:
        """Memory that nobody can read must not fill the disk."""
        puts = (Put("s", "kept", b"1"), Put("s", "short", b"12", ttl_seconds=SHORT))
        await store.write(Effects(puts))
        await self.let_pass(2 * SHORT)
        swept = await store.sweep(messages_older_than_seconds=3600)
        assert (swept.documents, swept.messages) == (1, 0)
        assert list(await store.scopes()) == [ScopeUsage("s", 1, 1)]
        assert (await store.sweep(messages_older_than_seconds=3600)).documents == 0

    @pytest.mark.parametrize(("query", "found"), QUERIES.values(), ids=QUERIES)
    async def test_documents_are_found(self, store: Store, query: DocumentQuery, found: list[str]) -> None:
        """Somebody looks for one of many memories."""
        texts = {"B": "green tea", "a": "green", "a/1": "tea", "a/2": "", "a_2": "", "é": "", "綠": "綠"}
        puts = [Put("s", key, b"1", text) for key, text in texts.items()]
        await store.write(Effects((*puts, Put("s/t", "a", b"1", "green tea"))))
        documents = await store.documents(query)
        assert [document.key for document in documents] == found
        assert list(documents) == [await store.document(query.scope, key) for key in found]

    async def test_the_text_is_that_of_the_last_write(self, store: Store) -> None:
        """What was overwritten must not be found."""
        await store.write(Effects((Put("s", "k", b"1", "first"),)))
        await store.write(Effects((Put("s", "k", b"1", "second"),)))
        assert list(await store.documents(DocumentQuery("s", words=("first",)))) == []
        assert len(await store.documents(DocumentQuery("s", words=("second",)))) == 1

    async def test_scopes_say_what_they_hold(self, store: Store) -> None:
        """Somebody asks what takes the room."""
        await store.write(Effects((Put("b", "x", b"12"), Put("a", "x", b"1"), Put("a", "y", b"123"))))
        await store.write(Effects((Put("a", "x", b"12345"), Put("b", "x", None))))
        assert list(await store.scopes()) == [ScopeUsage("a", 2, 8)]
        await store.write(put("x", b"1", scope="b"))
        assert list(await store.scopes()) == [ScopeUsage("a", 2, 8), ScopeUsage("b", 1, 1)]
        assert list(await store.scopes("b")) == [ScopeUsage("b", 1, 1)]
        assert list(await store.scopes("_")) == []

    async def test_a_scope_holds_no_more_than_its_quota(self, store: Store) -> None:
        """One pipeline must not fill the store of all."""
        quota = Quota(documents=2, bytes=10)

        def limited(key: str, value: bytes | None) -> Effects:
            return Effects((Put("s", key, value, quota=quota),))

        await store.write(limited("a", b"12345"))
        await store.write(limited("b", b"12345"))
        for refused in (limited("c", b"1"), limited("a", b"123456")):
            with pytest.raises(QuotaExceededError, match="2 documents and 10 bytes are allowed") as raised:
                await store.write(refused)
        assert (raised.value.scope, raised.value.documents, raised.value.bytes) == ("s", 2, 11)
        assert await store.document("s", "c") is None
        await store.write(limited("a", b"1234"))
        await store.write(limited("b", None))
        await store.write(limited("c", b"123456"))
        exchange = (Put("s", "a", None, quota=quota), Put("s", "d", b"1234", quota=quota))
        await store.write(Effects(exchange))
        assert list(await store.scopes()) == [ScopeUsage("s", 2, 10)]

    async def test_what_has_expired_does_not_count_against_a_quota(self, store: Store) -> None:
        """Nobody can delete what he cannot see."""
        quota = Quota(documents=1, bytes=10)
        await store.write(Effects((Put("s", "a", b"1", ttl_seconds=SHORT, quota=quota),)))
        await self.let_pass(2 * SHORT)
        await store.write(Effects((Put("s", "b", b"1", quota=quota),)))

    async def test_documents_are_committed_with_the_records(self, store: Store) -> None:
        """A step's memory must not be there without its outcome, nor the other way round."""
        await store.create_run(replace(new_run("r"), effects=put("k", b"1")))
        assert await store.document("s", "k") is not None
        await store.commit(replace(batch("r", 1, 1), effects=put("k", b"2")))
        for refused in (batch("r", 1, 1), batch("r", 2, 2, epoch=9)):
            with pytest.raises(ConflictError):
                await store.commit(replace(refused, effects=put("k", b"3", version=0)))
        with pytest.raises(DocumentConflictError):
            await store.commit(replace(batch("r", 2, 2), effects=put("k", b"3", version=0)))
        found = await store.document("s", "k")
        assert found is not None
        assert (found.value, (await store.run("r")).last_seq) == (b"2", 1)
        with pytest.raises(DocumentConflictError):
            await store.create_run(replace(new_run("q"), effects=put("k", b"3", version=0)))
        assert [run.run_id for run in await store.runs()] == ["r"]

    async def test_forgetting_takes_all_that_begins_so(self, store: Store) -> None:
        """A deleted run leaves nothing behind, and takes nothing of its neighbours."""
        scopes = ("run/a/memory", "run/a/step", "run/ab/memory", "run%")
        await store.write(Effects(tuple(Put(scope, "k", b"1") for scope in scopes)))
        await store.forget("run/a/")
        assert [usage.scope for usage in await store.scopes()] == ["run%", "run/ab/memory"]
        assert await store.document("run/a/memory", "k") is None
        with pytest.raises(ValueError, match="nothing was deleted"):
            await store.forget("")
        assert len(await store.scopes()) == 2
