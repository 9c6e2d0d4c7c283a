"""The store on a Redis server keeps the contract of all stores."""

import hashlib
from pathlib import Path

from redis_server import redis_server
from tagent.adapters.storage.urls import open_store
from tagent.ports import Store
from tagent.testing import DurableStoreContract


class TestRedisStore(DurableStoreContract):
    """Each place is a prefix of its own."""

    async def open_store(self, place: Path) -> Store:
        return open_store(redis_server().url(hashlib.sha256(str(place).encode()).hexdigest()[:16]))
