"""The runs of this process that nobody else can reach: their store is in its memory.

Such a store belongs to the event loop of its runs, so whoever wants something of it from elsewhere asks there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from tagent.exceptions import nearest
from tagent.ports.services import Services
from tagent.ports.store_errors import UnknownRunError
from tagent.threads import stands_still

Result = TypeVar("Result")

_live: dict[str, "LiveRun"] = {}


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run that is driven in this process.

    Attributes:
        services: What it runs with; its store is in memory.
        loop: The event loop that drives it.
    """

    services: Services
    loop: asyncio.AbstractEventLoop

    async def ask(self, work: Callable[[Services], Awaitable[Result]]) -> Result:
        """Return what `work` returns, done where the run is driven, so that both never happen at once."""
        if self.loop is asyncio.get_running_loop() or stands_still(self.loop):
            return await work(self.services)

        async def there() -> Result:
            return await work(self.services)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there(), self.loop))


@contextmanager
def reachable(run_id: str, services: Services) -> Iterator[None]:
    """Let `live_run` find the run during the block, if its store cannot be opened once more."""
    if services.store_url:
        yield
        return
    _live[run_id] = LiveRun(services, asyncio.get_running_loop())
    try:
        yield
    finally:
        _live.pop(run_id, None)


def live_run(run_id: str) -> LiveRun | None:
    """Return the run if it is driven here and its store is in memory; else None."""
    return _live.get(run_id)


def nearest_live_run(run_id: str) -> str:
    """Return " Did you mean 'x'?" for the live run whose id is most like `run_id`, or ""."""
    return nearest(run_id, tuple(_live))


async def done_at_home(run_id: str, services: Services, work: Callable[[Services], Awaitable[Result]]) -> Result:
    """Return what `work` returns, done where the run is kept: in the store of `services`, or in one in memory.

    Raises:
        UnknownRunError: If no run has this id.
    """
    live = None if services.store_url else live_run(run_id)
    if live is not None and live.services.store is not services.store:
        return await live.ask(work)
    try:
        return await work(services)
    except UnknownRunError:
        if services.store_url:
            raise
        suggestion = f"{nearest_live_run(run_id)} A run in memory is known only in the process that drives it."
        raise UnknownRunError(run_id, suggestion=suggestion) from None


async def done_in_every_live_store(services: Services, work: Callable[[Services], Awaitable[Result]]) -> list[Result]:
    """Return what `work` returns in each store in memory of this process, the one of `services` apart; each once."""
    if services.store_url:
        return []
    homes = {id(live.services.store): live for live in tuple(_live.values())}
    return [await live.ask(work) for live in homes.values() if live.services.store is not services.store]
