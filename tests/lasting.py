"""A store in memory that can be opened again while a test lasts, as one on disk could: runs release their outputs."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

from builders import services
from tagent.config import TAgentConfig
from tagent.ports import Services
from tagent.ports.services import register_services
from tagent.ports.store import Store
from tagent.runtime import open_services

URL = "lasting://"


@contextmanager
def lasting(store: Store) -> Iterator[Services]:
    """Give services on `store`, which is what is opened meanwhile under their URL."""
    given = replace(services(store=store), store_url=URL)

    @asynccontextmanager
    async def opener(config: TAgentConfig) -> AsyncIterator[Services]:
        assert config.store == URL
        yield given

    register_services(opener)
    try:
        yield given
    finally:
        register_services(open_services)
