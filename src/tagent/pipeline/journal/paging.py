"""Reads every run or document that fits a query, a page at a time, although a store tells only so many at once."""

import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Protocol

from tagent.ports.documents import Document, DocumentQuery
from tagent.ports.records import RunQuery, RunRecord
from tagent.ports.store import Store

PAGE = 500
"""Runs read at once."""


async def every_run(store: Store, query: RunQuery, *, page: int = PAGE) -> AsyncGenerator[RunRecord, None]:
    """Yield each run that fits, the newest first, however many they are; the query's limit does not count.

    A page begins again at the time at which the last one ended, for others may have been created at the very
    same time. No run comes twice; one that is created or deleted meanwhile may come or not.

    Args:
        store: Where the runs are.
        query: Which of them.
        page: How many to read at once, from 1.
    """
    at_the_end: set[str] = set()
    """The runs already told that were created at the time at which the next page begins."""
    while True:
        limit = page + len(at_the_end)
        found = await store.runs(replace(query, limit=limit))
        for run in found:
            if run.run_id not in at_the_end:
                yield run
        if len(found) < limit:
            return
        oldest = found[-1].created_at
        at_the_end = {run.run_id for run in found if run.created_at == oldest}
        query = replace(query, until=math.nextafter(oldest, math.inf))


class Documents(Protocol):
    """Where documents are found: a store, or one that is asked patiently."""

    async def documents(self, query: DocumentQuery) -> Sequence[Document]:
        """Return the documents that fit."""
        ...


async def every_document(store: Documents, query: DocumentQuery, *, page: int = PAGE) -> AsyncGenerator[Document, None]:
    """Yield each document that fits, by key, however many they are; the query's limit does not count.

    Args:
        store: Where the documents are.
        query: Which of them.
        page: How many to read at once, from 1.
    """
    while True:
        found = await store.documents(replace(query, limit=page))
        for document in found:
            yield document
        if len(found) < page:
            return
        query = replace(query, after=found[-1].key)
