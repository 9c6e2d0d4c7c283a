"""`Presence`: says in the store that a worker lives, so that others know who goes on with a run."""

import itertools

from tagent.pipeline.answering.workers import LivingWorker, announcement, farewell
from tagent.ports.documents import Put
from tagent.ports.effects import Effects
from tagent.ports.services import Services
from tagent.ports.store_errors import StoreUnavailableError

TTL_SECONDS = 15.0
"""How long it is believed that a worker lives which says nothing more."""

RENEW_SECONDS = 5.0

_numbers = itertools.count(1)
"""There may be several workers in a process."""


class Presence:
    """Announces one worker.

    Args:
        services: Where.
        pipelines: The pipelines whose runs it goes on with.

    Attributes:
        is_announced: Whether the store has it, as far as this process knows.
    """

    def __init__(self, services: Services, pipelines: tuple[str, ...]) -> None:
        self._services = services
        process = services.processes.this_process()
        self._key = f"{process} {next(_numbers)}"
        self._worker = LivingWorker(process, pipelines, services.clock.now())
        self.is_announced = False

    async def keep(self) -> None:
        """Say that it lives, again and again, until this is cancelled; then say that it takes up nothing more."""
        put = announcement(self._key, self._worker, ttl_seconds=TTL_SECONDS)
        try:
            while True:
                await self._say(put)
                await self._services.clock.sleep(RENEW_SECONDS)
        finally:
            await self._say(farewell(self._key))
            self.is_announced = False

    async def _say(self, put: Put) -> None:
        """Write it; while the store cannot be reached, others may think that this worker is gone."""
        try:
            await self._services.store.write(Effects(puts=(put,)))
        except StoreUnavailableError:  # whoever works here says so
            self.is_announced = False
        else:
            self.is_announced = True
