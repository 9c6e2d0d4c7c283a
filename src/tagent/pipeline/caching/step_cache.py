"""The outputs that the steps of one run use again: looked up before an attempt, kept with its success.

A cache can be done without: a store that cannot be read, a full scope or a damaged entry is no failure of a step.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import partial

from tagent.config import TAgentConfig
from tagent.effects import EffectBuffer
from tagent.exceptions import StoreError, ungrouped
from tagent.names import CACHE
from tagent.payloads import PayloadError
from tagent.pipeline.approval import approval_of
from tagent.pipeline.caching.claims import LEASE_SECONDS, Claim
from tagent.pipeline.caching.definitions import pipeline_made
from tagent.pipeline.caching.entries import WorkResult, is_fresh, kept_in, key_of, put_of, scope_of
from tagent.pipeline.caching.errors import UnkeyableError
from tagent.pipeline.caching.flights import Flight, Flights
from tagent.pipeline.caching.keyed import Keyed
from tagent.pipeline.exceptions import StepOutputError
from tagent.pipeline.models import CacheUse, PipelineStep
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.settings import inner_settings
from tagent.pipeline.stored.steps import fingerprint
from tagent.ports.documents import Document
from tagent.ports.services import Services
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.events import TaskCompleted
from tagent.threads import stands_still

LOOK_SECONDS = 1.0
"""How long it is at most from one look at what another process has worked out to the next."""

logger = logging.getLogger("tagent")

_flights: Flights[WorkResult] = Flights()
"""What is being worked out in this process."""

_inside: ContextVar["tuple[CachedWork, ...]"] = ContextVar("_inside", default=())
"""The work that this context is part of, the outermost first."""


class StepCache:
    """Makes the attempts of one run at work whose output may be used again.

    Args:
        config: Settings below those of the steps.
        services: Store, models and so on.
    """

    def __init__(self, config: TAgentConfig, services: Services) -> None:
        self._config = config
        self.services = services
        self._told: set[tuple[str, str]] = set()

    def work(
        self, step: PipelineStep, use: CacheUse, work: Keyed, attempt: Attempt, output: OutputType
    ) -> "CachedWork":
        """Return an attempt at `step`, or at a part, whose output may be used again. Whoever has it must leave it.

        Args:
            step: The step.
            use: How long its output may be used again.
            work: What the attempt does.
            attempt: The attempt.
            output: The type of what it gives.
        """
        return CachedWork(self, step, use, work, attempt, output)

    async def made_of(self, step: PipelineStep, work: Keyed) -> object:
        """Return what work is made of, with the pipeline that it runs.

        Raises:
            UnkeyableError: If it depends on more than can be looked at.
            ModelError: If a model cannot be had.
        """
        own = await work.made_of()
        if step.pipeline is None:
            return own
        inside = inner_settings(step, step.pipeline, config=self._config)
        return [own, await pipeline_made(step.pipeline, inside, self.services)]

    def warn(self, step: str, why: str) -> None:
        """Log once in this run why the output of a step is not used again."""
        if (step, why) not in self._told:
            self._told.add((step, why))
            logger.warning("The output of the step %r is not kept to be used again: %s.", step, why.rstrip("."))


class CachedWork:
    """One attempt at work whose output may be used again: it finds that, or works it out for all who want it."""

    def __init__(
        self,
        cache: StepCache,
        step: PipelineStep,
        use: CacheUse,
        work: Keyed,
        attempt: Attempt,
        output: OutputType,
    ) -> None:
        self._cache = cache
        self._step = step
        self._use = use
        self._work = work
        self._attempt = attempt
        self._output = output
        self._scope = scope_of(use, attempt.idempotency_key.partition("/")[0])
        self._store, self._clock = cache.services.store, cache.services.clock
        self._key = ""
        self._made: object = None
        self._before: Document | None = None
        self._flight: Flight[WorkResult] | None = None
        self._claim: Claim | None = None
        self._kept: WorkResult | None = None
        self._is_spoilt = False

    async def look(self) -> WorkResult | None:
        """Return what the work gave before, as soon as whoever works it out right now has done so; None to do it.

        Raises:
            TAgentError: If what the work is to be given is not there, or a model cannot be had.
        """
        try:
            self._made = await self._cache.made_of(self._step, self._work)
            reads = await self._work.reads(self._attempt)
            self._key = key_of(self._made, reads, output=fingerprint(self._output.declared))
        except UnkeyableError as error:
            self._cache.warn(self._step.name, error.problem)
            return None
        try:
            return await self._found()
        except StoreError as error:
            self._cache.warn(self._step.name, f"the store failed: {error.message}")
            return None

    async def _found(self) -> WorkResult | None:
        stale: Flight[WorkResult] | None = None
        while True:
            if (kept := await self._entry()) is not None:
                return kept
            flight, is_mine = _flights.board(self._name, but=stale)
            if is_mine:
                self._flight = flight
                return await self._claimed()
            if self._waits_for_itself(flight):
                return None  # whoever has it keeps it
            result = await flight.landed()
            is_usable = is_fresh(flight.landed_at, self._use, now=self._clock.now())
            if result is not None and is_usable and (kept := self._fitting(result)) is not None:
                return kept
            stale = flight

    @property
    def _name(self) -> Hashable:
        services = self._cache.services
        return services.store_url or id(services.store), self._scope, self._key

    def _waits_for_itself(self, flight: Flight[WorkResult]) -> bool:
        """Return whether a flight cannot land while it is waited for: this is part of it, or stops its event loop."""
        return stands_still(flight.loop) or any(work.is_waited_for_by(flight) for work in _inside.get())

    def is_waited_for_by(self, flight: Flight[WorkResult]) -> bool:
        """Return whether others wait for this work by that flight."""
        return self._flight is flight

    async def _claimed(self) -> WorkResult | None:
        """Return what another process has worked out; None once the right to do it is ours.

        What belongs to one run, or is in the memory of this process, no other process works out.
        """
        if self._scope != CACHE or not self._cache.services.store_url:
            return await self._entry()
        self._claim = claim = Claim(self._store, self._key, self._cache.services.processes)
        seen = 0
        while not await claim.take():
            seen = await self._store.wait_for_change(seen, seconds=LOOK_SECONDS)
            if (kept := await self._entry()) is not None:
                return kept
        return await self._entry()  # it may have been written just before the claim ended

    async def _entry(self) -> WorkResult | None:
        """Return what the store keeps of the work, if it is fresh and fits."""
        self._before = found = await self._store.document(self._scope, self._key)
        if found is None or not is_fresh(found.at, self._use, now=self._clock.now()):
            return None
        kept = kept_in(found)
        return None if kept is None else self._fitting(kept)

    def _fitting(self, kept: WorkResult) -> WorkResult | None:
        try:
            self._output.load(kept.output, step=self._step.name)
        except StepOutputError:
            return None
        return kept

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Have others wait while the work is done in the block, in whichever process they are."""
        with self._entered():
            if self._claim is None or not self._claim.is_held:
                yield
                return
            with ungrouped():
                async with asyncio.TaskGroup() as group:
                    renewing = group.create_task(self._renew(self._claim), name=f"cache:{self._step.name}")
                    try:
                        yield
                    finally:
                        renewing.cancel()

    @contextmanager
    def _entered(self) -> Iterator[None]:
        token = _inside.set((*_inside.get(), self))
        try:
            yield
        finally:
            _inside.reset(token)

    async def _renew(self, claim: Claim) -> None:
        """Renew the claim until this is cancelled; without it the work goes on, and others may do it too."""
        try:
            while claim.is_held:
                await self._clock.sleep(LEASE_SECONDS / 3)
                await claim.renew()
        except StoreError as error:
            logger.info("The claim on work of the step %r could not be renewed: %s", self._step.name, error)

    def spoil(self) -> None:
        """Note that the work did, or read, more than its output says."""
        self._is_spoilt = True

    async def keep(self, kept: WorkResult) -> None:
        """Have what the work gave be used again, once `write_with` is told with what it is committed.

        Nothing is kept of work that wrote, read or sent more, or that changes what it is made of.

        Args:
            kept: What it gave.
        """
        if self._flight is None or not self._is_its_own():
            return
        try:
            is_as_before = await self._cache.made_of(self._step, self._work) == self._made
        except UnkeyableError as error:  # it has opened meanwhile what cannot be looked at
            self._cache.warn(self._step.name, error.problem)
            return
        if not is_as_before:
            self._cache.warn(self._step.name, "what its function is bound to changes while it works")
            return
        self._kept = kept

    def _is_its_own(self) -> bool:
        """Return whether the output says all that the work did, and depends on nothing but what it was given."""
        attempt = self._attempt
        has_used_tools = any(
            isinstance(event, TaskCompleted) for event in attempt.history
        )  # what these read, nobody knows
        is_whole = not has_used_tools and self._work.is_whole
        if self._is_spoilt or attempt.effects or attempt.effects.has_reached_out or not is_whole:
            self._cache.warn(self._step.name, "it reads or writes memory or messages")
            return False
        return True

    def write_with(self, effects: EffectBuffer) -> bool:
        """Have what was kept be written with the effects of the success; return whether there is something."""
        if self._kept is None:
            return False
        now = self._clock.now()
        try:
            put = put_of(self._kept, self._use, scope=self._scope, key=self._key, before=self._before, now=now)
        except PayloadError as error:
            self._cache.warn(self._step.name, error.message)
            self._kept = None
            return False
        effects.put(put)
        if self._flight is not None:  # until it is committed it can be found nowhere else
            effects.when_written(partial(_flights.forget, self._flight))
        if self._claim is not None and self._claim.is_held and not self._is_held_back:
            effects.put(self._claim.end)
            self._claim.passed_on()
        return True

    @property
    def _is_held_back(self) -> bool:
        """Whether what the work gave counts only once somebody approves it, which others need not wait for."""
        approval = approval_of(self._step.approval)
        return approval is not None and approval.of == "output"

    async def leave(self) -> None:
        """Let others have what the work gave, or do it themselves."""
        if self._flight is not None:
            self._flight.land(None if self._is_held_back else self._kept, at=self._clock.now())
        if self._claim is not None:
            await self._claim.give_up()


def note_effects(effects: EffectBuffer) -> None:
    """Tell the work that an attempt is part of that it did more than its output says, if it did."""
    if effects or effects.has_reached_out:
        for work in _inside.get():
            work.spoil()
