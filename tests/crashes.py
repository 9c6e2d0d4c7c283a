"""Crashes in one process: a store at whose commit everything ends, and the process that comes after."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Self

from tagent.adapters.storage.memory import MemoryStore
from tagent.ports import Batch, Services
from tagent.ports.effects import Effects
from tagent.ports.records import NewRun, RunRecord, begun


class Crash(BaseException):
    """The process is gone: nothing after this line happens."""


class CrashingStore(MemoryStore):
    """Ends everything at one of its commits, before or after it is written.

    Attributes:
        on_effects: Told of what else is written, also when nobody lives any more who wrote it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_effects: Callable[[Effects, CrashingStore], None] | None = None
        self._commits = itertools.count(1)
        self._at = 0
        self._is_written = True

    def arm(self, at: int, *, is_written: bool = True) -> Self:
        """Crash at the commit number `at` from now, from 1, and return the store."""
        self._commits = itertools.count(1)
        self._at = at
        self._is_written = is_written
        return self

    async def create_run(self, run: NewRun) -> RunRecord:
        """Create the run, its journal's first commit, unless the crash comes first."""
        async with self._commit() as is_written:
            if not is_written:
                return begun(run)
            created = await super().create_run(run)
            self._announce(run.effects)
            return created

    async def commit(self, batch: Batch) -> None:
        """Write the batch unless the crash comes first."""
        async with self._commit() as is_written:
            if is_written:
                await super().commit(batch)
                self._announce(batch.effects)

    def _announce(self, effects: Effects) -> None:
        if self.on_effects is not None:
            self.on_effects(effects, self)

    @asynccontextmanager
    async def _commit(self) -> AsyncIterator[bool]:
        is_last = next(self._commits) == self._at
        yield not is_last or self._is_written
        if is_last:
            raise Crash

    async def release(self, run_id: str, *, epoch: int) -> None:
        """Do nothing: a dead process releases nothing."""


class EverybodyIsGone:
    """The processes as the one after the crash sees them."""

    def this_process(self) -> str:
        """Return a name."""
        return "another"

    def user(self) -> str:
        """Return a name."""
        return "somebody@after"

    def is_gone(self, name: str) -> bool:
        """Return True: the holder has crashed."""
        return True


def everybody_is_gone(services: Services) -> Services:
    """Return the services of a process that finds all others dead."""
    return replace(services, processes=EverybodyIsGone())
