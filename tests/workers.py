"""Several workers on one store in one process: each is stopped or dies for itself."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from builders import services
from tagent.adapters.storage.memory import MemoryStore
from tagent.messaging.sending import new_message
from tagent.names import mailbox
from tagent.pipeline import Pipeline
from tagent.ports import Services
from tagent.ports.effects import Effects
from tagent.ports.language_model import ModelProvider
from tagent.ports.records import NEWEST, RunRecord
from tagent.ports.store_errors import StoreUnavailableError
from tagent.testing import ManualClock
from tagent.worker import Worker

WRITES = ("create_run", "commit", "write")


class Connection:
    """A worker's way to the store. It takes time, and may break: in between, or so that only an answer is lost."""

    def __init__(self, store: MemoryStore, take_time: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._take_time = take_time
        self._writes_left = -1
        self._is_answer_lost = False
        self.is_broken = False

    def break_at(self, write: int, *, is_answer_lost: bool) -> None:
        """Break at the write with this number from now, from 1, before it or behind it."""
        self._writes_left = write
        self._is_answer_lost = is_answer_lost

    def __getattr__(self, name: str) -> object:
        method = getattr(self._store, name)
        if name == "renew":
            return method

        async def call(*arguments: object, **options: object) -> object:
            await self._take_time()
            if name in WRITES:
                self._writes_left -= 1
                is_last = self._writes_left == 0
                if is_last and self._is_answer_lost:
                    await method(*arguments, **options)
                self.is_broken = self.is_broken or is_last
            if self.is_broken:
                raise StoreUnavailableError("It is away.")
            answer = await method(*arguments, **options)
            await self._take_time()
            return answer

        return call


class Shop:
    """Where workers come and go. Time is in the hands of the clock, leases excepted.

    Args:
        pipelines: Those of every worker.
        now: The time.
        slowness: Draws the seconds that a call of the store takes; None for none.
        store_url: Where the store seems to be, so that runs may wait in it without a process; empty for nowhere.
    """

    def __init__(
        self,
        *pipelines: Pipeline,
        now: float = 0.0,
        slowness: Callable[[], float] | None = None,
        store_url: str = "",
    ) -> None:
        self.pipelines = pipelines
        self.store_url = store_url
        self._slowness = slowness
        self.clock = ManualClock(now)
        self.store = MemoryStore(now=self.clock.now)
        self.dead: set[str] = set()
        self._numbers = itertools.count(1)

    def hire(self, *pipelines: Pipeline, models: ModelProvider | None = None, **options: object) -> "Hired":
        """Return a worker that has begun to work; for the pipelines of the shop unless others are named."""
        return Hired(self, f"worker-{next(self._numbers)}", pipelines or self.pipelines, models, **options)

    async def take_time(self) -> None:
        """Return when a call of the store would have gone its way."""
        if self._slowness is not None:
            await self.clock.sleep(self._slowness())

    async def send(self, to: str, *data: object) -> None:
        """Send messages."""
        messages = tuple(new_message(mailbox(to), it, key="", sender="") for it in data)
        await self.store.write(Effects(messages=messages))

    async def runs(self) -> Sequence[RunRecord]:
        """Return the runs, the oldest first."""
        return tuple(reversed(await self.store.runs(replace(NEWEST, limit=1000))))

    async def finished(self, count: int) -> Sequence[RunRecord]:
        """Return the runs once so many are finished, and nothing else happens for a minute."""

        async def are_there() -> bool:
            return sum(run.finished_at is not None for run in await self.runs()) >= count

        await until(are_there)
        await self.clock.sleep(60)
        return await self.runs()


class Hired:
    """A worker as a process of its own."""

    def __init__(
        self, shop: Shop, name: str, pipelines: Sequence[Pipeline], models: ModelProvider | None, **options: object
    ) -> None:
        self._shop = shop
        self.name = name
        self.connection = Connection(shop.store, shop.take_time)
        ids = itertools.count(1)
        opened: Services = replace(
            services(clock=shop.clock, store=self.connection),  # type: ignore[arg-type]  # it passes everything on
            processes=_Processes(name, shop.dead),
            new_id=lambda: f"{name}-run-{next(ids)}",
            store_url=shop.store_url,
        )
        if models is not None:
            opened = replace(opened, models=models)
        self.worker = Worker(pipelines, services=opened, **options)  # type: ignore[arg-type]  # a worker's
        self.task = asyncio.ensure_future(self.worker.run())

    async def looks(self) -> None:
        """Return when it has looked around at least once."""
        await self._shop.clock.sleep(2)

    async def stop(self) -> None:
        """Stop it and return when it has ended."""
        self.worker.stop()
        await self.task

    async def die(self) -> None:
        """End it as a crash does: it writes and gives up nothing."""
        self.connection.is_broken = True
        self._shop.dead.add(self.name)
        self.task.cancel()
        await asyncio.wait([self.task])


class _Processes:
    def __init__(self, name: str, dead: set[str]) -> None:
        self._name = name
        self._dead = dead

    def this_process(self) -> str:
        return self._name

    def user(self) -> str:
        return f"{self._name}@shop"

    def is_gone(self, name: str) -> bool:
        return name in self._dead


async def until(condition: Callable[[], object], *, turns: int = 100_000) -> None:
    """Return once `condition`, sync or async, holds."""
    for _ in range(turns):
        holds = condition()
        if await holds if asyncio.iscoroutine(holds) else holds:
            return
        await asyncio.sleep(0)
    raise AssertionError("It never came to that.")
