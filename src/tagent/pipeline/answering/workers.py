"""The workers that live: each says so in the store, again and again, until it ends."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from tagent.ports.documents import Document, DocumentQuery, Put
from tagent.ports.services import Services
from tagent.values import value

SCOPE = "workers"
"""Where workers announce themselves."""

MOST = 1000
"""So many workers are looked at."""


@value
class LivingWorker:
    """A worker that said a moment ago that it lives.

    Attributes:
        process: The name of its process.
        pipelines: The pipelines whose runs it goes on with; of others it loads the file, if it can.
        since: When it began, in seconds since 1970-01-01 UTC.
    """

    process: str
    pipelines: tuple[str, ...]
    since: Annotated[float, Field(ge=0, le=1e11)]


_reader = TypeAdapter(LivingWorker)


def announcement(key: str, worker: LivingWorker, *, ttl_seconds: float) -> Put:
    """Return what says for so long that a worker lives; `key` is its own among all workers of the store."""
    return Put(SCOPE, key, to_json(worker), ttl_seconds=ttl_seconds)


def farewell(key: str) -> Put:
    """Return what says that a worker takes up nothing more."""
    return Put(SCOPE, key, None)


async def living_workers(services: Services) -> tuple[LivingWorker, ...]:
    """Return the workers that live, as far as anybody can tell.

    Raises:
        StoreError: If the store fails.
    """
    found = [_read(document) for document in await _documents(services)]
    return tuple([it for it in found if it is not None and not services.processes.is_gone(it.process)])


async def _documents(services: Services) -> Sequence[Document]:
    return await services.store.documents(DocumentQuery(SCOPE, limit=MOST))


def _read(document: Document) -> LivingWorker | None:
    try:
        return _reader.validate_json(document.value)
    except ValidationError:  # anybody can write there
        return None
