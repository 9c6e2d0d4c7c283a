"""What the attempts of a run have to say to its loop: how they ended, and how far they have come."""

import asyncio
from collections import deque
from collections.abc import Sequence

from tagent.pipeline.attempts import AttemptOutcome
from tagent.pipeline.driving.deciding import AttemptStart
from tagent.pipeline.events import RunEvent
from tagent.ports.clock import Clock
from tagent.ports.effects import NO_EFFECTS, Effects
from tagent.task_agent.events import AgentEvent
from tagent.values import value


@value
class Progress:
    """An agent has come further."""

    event: AgentEvent


@value
class Inside:
    """The pipeline that is an attempt's work has come further.

    Attributes:
        events: What happened inside.
        effects: What else becomes true with it.
    """

    events: Sequence[RunEvent]
    effects: Effects = NO_EFFECTS


@value
class Report:
    """What an attempt has to say.

    Attributes:
        start: The attempt.
        content: How it ended, or how far it has come.
        committed: Told when that is committed; None if nobody waits for it.
    """

    start: AttemptStart
    content: AttemptOutcome | Progress | Inside
    committed: asyncio.Future[None] | None = None


class Inbox:
    """Reports in the order in which they came. For one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reports: deque[Report] = deque()
        self._woken: asyncio.Future[None] | None = None

    @property
    def first(self) -> Report | None:
        """The report that waits longest; None if none does."""
        return self._reports[0] if self._reports else None

    def take(self) -> Report:
        """Take the first report out, and return it."""
        return self._reports.popleft()

    def put(self, report: Report) -> None:
        """Add a report, and wake who waits for one."""
        self._reports.append(report)
        self.wake()

    async def put_and_wait(self, start: AttemptStart, content: AttemptOutcome | Progress | Inside) -> None:
        """Add a report, and return when it is committed.

        Raises:
            EffectRefusedError: If an effect cannot be had of what happened inside; nothing was written.
        """
        committed = asyncio.get_running_loop().create_future()
        self.put(Report(start, content, committed))
        await committed

    def wake(self) -> None:
        """Let `wait` return."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def wait(self, *, until: float | None) -> None:
        """Return when there is a report, when something else wakes, or at this time; None is never."""
        self._woken = asyncio.get_running_loop().create_future()
        try:
            await asyncio.sleep(0)  # what does not wait has reported by then, one turn of the loop earlier
            if self._reports or self._woken.done():
                return
            if until is None:
                await self._woken
                return
            async with self._clock.timeout(max(0.0, until - self._clock.now())) as limit:
                await self._woken
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            self._woken = None
