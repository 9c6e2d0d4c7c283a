"""The runs of this process that nobody else can reach: their store is in its memory.

Such a store belongs to the event loop of its runs, so whoever wants something of it from elsewhere asks there.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from tagent.exceptions import nearest
from tagent.ports.services import Services
from tagent.ports.store_errors import UnknownRunError
from tagent.threads import stands_still

Result = TypeVar("Result")

LONGEST_FAREWELL_SECONDS = 5.0
"""So long a run that has ended waits for what was asked of it before."""

_live: dict[str, "LiveRun"] = {}


class LiveRun:
    """A run that is driven in this process.

    Args:
        run_id: The run.
        services: What it runs with; its store is in memory.
        loop: The event loop that drives it.
    """

    def __init__(self, run_id: str, services: Services, loop: asyncio.AbstractEventLoop) -> None:
        self.services = services
        self._run_id = run_id
        self._loop = loop
        self._lock = threading.Lock()
        self._asked: set[Future[Any]] = set()
        self._has_ended = False

    async def ask(self, work: Callable[[Services], Awaitable[Result]]) -> Result:
        """Return what `work` returns, done where the run is driven, so that both never happen at once.

        Raises:
            UnknownRunError: If the run has ended, and its store with it.
        """
        if self._loop is asyncio.get_running_loop() or stands_still(self._loop):
            return await work(self.services)

        async def there() -> Result:
            return await work(self.services)

        with self._lock:  # whoever is let in is waited for
            if self._has_ended:
                raise UnknownRunError(self._run_id, suggestion=_ENDED)
            asked = asyncio.run_coroutine_threadsafe(there(), self._loop)
            self._asked.add(asked)
        try:
            return await asyncio.wrap_future(asked)
        except asyncio.CancelledError:
            if asked.cancelled() and not _is_cancelled():  # by the end of the event loop there
                raise UnknownRunError(self._run_id, suggestion=_ENDED) from None
            raise
        finally:
            with self._lock:
                self._asked.discard(asked)

    async def say_farewell(self) -> None:
        """Let nobody ask any more, and return when all who have asked are answered, or after some seconds."""
        with self._lock:
            self._has_ended = True
            asked = [asyncio.wrap_future(it) for it in self._asked]
        if not asked:
            return
        for answer in asked:
            answer.add_done_callback(_noted)
        with suppress(TimeoutError):
            async with self.services.clock.timeout(LONGEST_FAREWELL_SECONDS):
                await asyncio.wait(asked)


_ENDED = " It was kept in memory, and has ended."


def _noted(answer: asyncio.Future[Any]) -> None:
    """Note how an answer went: what it raises is raised where it was asked for."""
    if not answer.cancelled():
        answer.exception()


def _is_cancelled() -> bool:
    """Return whether somebody wants this task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@asynccontextmanager
async def reachable(run_id: str, services: Services) -> AsyncIterator[None]:
    """Let `live_run` find the run during the block, if its store cannot be opened once more.

    Whoever asks something of it before the block ends is answered.
    """
    if services.store_url:
        yield
        return
    live = _live[run_id] = LiveRun(run_id, services, asyncio.get_running_loop())
    try:
        yield
    finally:
        _live.pop(run_id, None)
        await live.say_farewell()


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
    found: list[Result] = []
    for live in homes.values():
        if live.services.store is not services.store:
            with suppress(UnknownRunError):  # it ends right now
                found.append(await live.ask(work))
    return found
