"""The SQL as text: what a statement is made of, and values that mean something in SQL or JSON."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postgres import server
from tagent.adapters.storage.sql.dialects import POSTGRESQL, SQLITE
from tagent.adapters.storage.urls import open_store
from tagent.ports import Store
from tagent.ports.records import RunQuery, RunSummary
from tagent.testing.store_contract.samples import batch, new_run

AWKWARD = ['a"b', "a'b", "a.b", "$", "$.a", "[0]", "0", "a:b", ":a", "?", "%s", "%(a)s", "{a}", "a\\b", "", "茶"]
"""Texts that would mean something if they were ever taken for SQL, for the path of a JSON value or for a format."""


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store = open_store(f"sqlite:///{tmp_path}/runs.db" if request.param == "sqlite" else server().place(tmp_path))
    yield store
    await store.close()


def test_a_parameter_is_written_as_the_driver_takes_it() -> None:
    """Statements are written once."""
    statement = "SELECT ?, CAST(:a AS TEXT) FROM t WHERE b = :b_2"
    assert SQLITE.text(statement) == statement
    assert POSTGRESQL.text(statement) == "SELECT %s, CAST(%(a)s AS TEXT) FROM t WHERE b = %(b_2)s"


@pytest.mark.parametrize("text", AWKWARD)
async def test_values_are_never_taken_for_anything_else(store: Store, text: str) -> None:
    """Whoever may name a run must not be able to say what the database does."""
    await store.create_run(new_run("other", labels={"team": "red"}))
    await store.create_run(new_run(f"run {text}", pipeline=text, labels={text: text, "team": "blue"}))
    summary = RunSummary(text, 2.0, text=f"found {text}")
    await store.commit(batch(f"run {text}", 1, 1, summary=summary))
    queries = [
        RunQuery(statuses=(text, "none")),
        RunQuery(pipelines=(text,)),
        RunQuery(labels={text: text}),
        RunQuery(labels={"team": "blue", text: text}),
        RunQuery(words=("found", text)),
    ]
    for query in queries:
        assert [run.labels for run in await store.runs(query)] == [{text: text, "team": "blue"}]
    assert list(await store.runs(RunQuery(labels={text: "else"}))) == []
