"""`Worker`: the loop of a living process. Several of them on one store are safe: the store decides who is first."""

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence

from tagent.config import TAgentConfig
from tagent.exceptions import ConfigurationError, ungrouped
from tagent.pipeline.models import Pipeline
from tagent.pipeline.stored.definition import Origin
from tagent.pipeline.triggers import ScheduleTrigger
from tagent.pipeline.validation import require_valid
from tagent.ports.clock import Clock
from tagent.ports.services import Services, open_services
from tagent.ports.store_errors import StoreUnavailableError
from tagent.worker.crew import Crew
from tagent.worker.events import EventSource
from tagent.worker.leftovers import Leftovers
from tagent.worker.presence import Presence
from tagent.worker.schedules import ScheduleSource
from tagent.worker.status import Status, WorkerStatus, note

LOOK_SECONDS = 2.0
"""How long a worker waits for a hint before it looks anyway."""

LEFTOVERS_SECONDS = 1.0
"""How often it looks for runs that were left, at most."""

ROUND_SECONDS = 0.05
"""How often it looks for anything, at most: in a busy store most changes are its own."""

SWEEP_SECONDS = 3600.0
FIRST_OUTAGE_WAIT_SECONDS = 0.5
LONGEST_OUTAGE_WAIT_SECONDS = 30.0
SECONDS_OF_A_DAY = 86_400.0


class Worker:
    """Resumes runs that nobody drives, starts runs on events and at times, and cleans up the store.

    Args:
        pipelines: Whose triggers it carries out, and whose runs it goes on with. Runs of others it takes up if the
            file that they remember can be loaded.
        config: Settings, a mapping will do; over those of file and environment unless `services` are given.
        services: Open services to use; None opens those of the settings, and closes them at the end.
        origins: Pipeline name -> where its code is, so that others can take its runs up.
        concurrency: The most runs at once, from 1.
        grace_seconds: How long a stop lets running steps go on, from 0.
        messages_days: How many days messages are kept.

    Raises:
        PipelineValidationError: If a pipeline has mistakes.
        ConfigurationError: If a number is out of range, two pipelines have one name, or a setting is wrong.

    Example:
        >>> worker = Worker([], {"store": "memory://"})
        >>> worker.stop()
        >>> asyncio.run(worker.run())
    """

    def __init__(
        self,
        pipelines: Sequence[Pipeline] = (),
        config: TAgentConfig | Mapping[str, object] | None = None,
        *,
        services: Services | None = None,
        origins: Mapping[str, Origin] | None = None,
        concurrency: int = 10,
        grace_seconds: float = 30.0,
        messages_days: float = 7.0,
    ) -> None:
        self._pipelines: dict[str, Pipeline] = {}
        for pipeline in pipelines:
            require_valid(pipeline)
            if pipeline.name in self._pipelines:
                raise ConfigurationError(f"Two pipelines are called {pipeline.name!r}.", hint="Rename one of them.")
            self._pipelines[pipeline.name] = pipeline
        for name, number, least in (
            ("concurrency", concurrency, 1),
            ("grace_seconds", grace_seconds, 0),
            ("messages_days", messages_days, 0),
        ):
            if not number >= least:
                raise ConfigurationError(f"`{name}` is {number}; it must be a number from {least}.")
        surroundings = TAgentConfig.load() if services is None else TAgentConfig()
        self._config = surroundings.merged(TAgentConfig.of(config))
        self._services = services
        self._origins = origins or {}
        self._concurrency = concurrency
        self._grace_seconds = grace_seconds
        self._messages_seconds = messages_days * SECONDS_OF_A_DAY
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._crew: Crew | None = None
        self._presence: Presence | None = None
        self._outages = 0
        self._is_ready = False
        self._since = 0.0

    @property
    def status(self) -> WorkerStatus:
        """How it is now."""
        is_reachable = self._outages == 0
        if self._stopping.is_set():
            status: Status = "stopping"
        elif not is_reachable:
            status = "store_unavailable"
        else:
            status = "working" if self._is_ready else "starting"
        crew = self._crew
        runs, started, resumed = (0, 0, 0) if crew is None else (len(crew), crew.started, crew.resumed)
        is_announced = self._presence is not None and self._presence.is_announced
        names = tuple(self._pipelines)
        return WorkerStatus(status, runs, started, resumed, is_reachable, self._since, names, is_announced)

    async def run(self) -> None:
        """Work until `stop`; when this returns every claim is given up.

        Raises:
            StoreError: If the store fails for good; one that cannot be reached for a while is waited for.
        """
        if self._services is not None:
            await self._run(self._services)
            return
        async with open_services(self._config) as services:
            await self._run(services)

    def stop(self) -> None:
        """Take up nothing more and end; a second time: at once. To be called in the event loop of `run`."""
        if self._stopping.is_set() and self._crew is not None:
            self._crew.cut_off()
        self._stopping.set()

    async def _run(self, services: Services) -> None:
        self._since = services.clock.now()
        presence = self._presence = Presence(services, tuple(self._pipelines))
        with ungrouped():
            async with asyncio.TaskGroup() as group:
                crew = self._crew = Crew(
                    group, services, self._config, concurrency=self._concurrency, on_room=self._wake.set
                )
                living = (
                    group.create_task(self._work(services, crew), name="worker:work"),
                    group.create_task(self._listen(services), name="worker:listen"),
                    group.create_task(self._sweep(services), name="worker:sweep"),
                    group.create_task(presence.keep(), name="worker:presence"),
                )
                await self._stopping.wait()
                for task in living:
                    task.cancel()
                note("stopping", f"Stopping; {len(crew)} runs are going on", runs=len(crew))
                await crew.finish(self._grace_seconds)

    async def _work(self, services: Services, crew: Crew) -> None:
        clock = services.clock
        leftovers = Leftovers(services, crew, self._pipelines)
        sources = self._sources(services, crew)
        looked_at = -math.inf
        while True:
            self._wake.clear()
            began_at = clock.now()
            try:
                if not self._is_ready:
                    await self._begin(sources)
                if began_at - looked_at >= LEFTOVERS_SECONDS:
                    looked_at = began_at
                    await leftovers.take_up()
                for source in sources:
                    await source.take()
                self._reached()
            except StoreUnavailableError as error:
                await clock.sleep(self._wait_seconds(error))
                continue
            due = min((it.due_at() for it in (leftovers, *sources)), default=math.inf) if crew.has_room else math.inf
            if looked_at < began_at:  # what woke it may be about what was left: it is looked at as soon as may be
                due = min(due, looked_at + LEFTOVERS_SECONDS)
            await self._pause(clock, until=min(due, began_at + LOOK_SECONDS), began_at=began_at)

    async def _begin(self, sources: Sequence[EventSource | ScheduleSource]) -> None:
        """Let every trigger begin: from then on nothing is missed."""
        for source in sources:
            await source.begin()
        self._is_ready = True
        note("ready", f"Ready; {len(sources)} trigger{'s' * (len(sources) != 1)}", triggers=len(sources))

    def _sources(self, services: Services, crew: Crew) -> list[EventSource | ScheduleSource]:
        sources: list[EventSource | ScheduleSource] = []
        for pipeline in self._pipelines.values():
            origin = self._origins.get(pipeline.name, Origin())
            for trigger in pipeline.triggers:
                if isinstance(trigger, ScheduleTrigger):
                    sources.append(ScheduleSource(trigger, pipeline, origin, services=services, crew=crew))
                else:
                    sources.append(EventSource(trigger, pipeline, origin, services=services, crew=crew))
        return sources

    async def _pause(self, clock: Clock, *, until: float, began_at: float) -> None:
        """Return when there may be something to do: a change, room, or the time `until`."""
        try:
            async with clock.timeout(max(0.0, until - clock.now())) as limit:
                await self._wake.wait()
        except TimeoutError:
            if not limit.expired():
                raise
        if (rest := began_at + ROUND_SECONDS - clock.now()) > 0:
            await clock.sleep(rest)

    async def _listen(self, services: Services) -> None:
        """Wake the work whenever the store has changed."""
        seen = 0
        while True:
            try:
                seen = await services.store.wait_for_change(seen, seconds=LOOK_SECONDS)
            except StoreUnavailableError:
                await services.clock.sleep(LOOK_SECONDS)
            self._wake.set()

    async def _sweep(self, services: Services) -> None:
        """Delete what has expired and what is old, from time to time."""
        while True:
            try:
                swept = await services.store.sweep(messages_older_than_seconds=self._messages_seconds)
            except StoreUnavailableError as error:
                note("not_swept", f"The store could not be swept: {error}", level=logging.WARNING)
            else:
                if swept.documents or swept.messages:
                    note(
                        "swept",
                        f"Swept {swept.documents} documents and {swept.messages} messages",
                        documents=swept.documents,
                        messages=swept.messages,
                    )
            await services.clock.sleep(SWEEP_SECONDS)

    def _reached(self) -> None:
        if self._outages:
            note("store_is_back", "The store is back")
        self._outages = 0

    def _wait_seconds(self, error: StoreUnavailableError) -> float:
        """Return how long to wait for a store that cannot be reached; say so the first time."""
        self._outages += 1
        if self._outages == 1:
            note("store_unavailable", f"Waiting for the store: {error}", level=logging.WARNING)
        doublings = min(self._outages - 1, 10)  # an outage may last for days
        return min(FIRST_OUTAGE_WAIT_SECONDS * 2.0**doublings, LONGEST_OUTAGE_WAIT_SECONDS)
