"""A clock that stands still until a test moves it, or that jumps over every wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tagent.threads import ThreadedCall, calls_waited_for

QUIET_TURNS = 100
"""After so many turns of the event loop in which nobody asks the clock, nothing else can run."""

PATIENCE = 100
"""How many milliseconds each piece of work in a thread is waited for before it counts as waiting."""


class ManualClock:
    """Time in the hands of a test.

    Waiting does not take time: as soon as everything that can run has run, the clock jumps to the
    next moment for which somebody waits. So backoff and timeouts are tested without sleeping.
    A sync step or tool works in a thread: the clock stands still for it for 100 ms; after that it counts as waiting.

    Attributes:
        waits: The seconds of every wait that was begun, in order.

    Example:
        >>> clock = ManualClock(now=100)
        >>> asyncio.run(clock.sleep(50))
        >>> clock.now()
        150.0
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = float(now)
        self.waits: list[float] = []
        self._waiting: list[_Ticket] = []
        self._stuck: frozenset[ThreadedCall] = frozenset()
        self._changes = 0

    def now(self) -> float:
        """Return the seconds since 1970-01-01 UTC."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the time forward by `seconds`, from 0."""
        self._now += seconds

    async def sleep(self, seconds: float) -> None:
        """Return once nothing else can run and nobody waits for an earlier moment, `seconds` later."""
        self.waits.append(seconds)
        await self._reach(self._now + seconds)

    @asynccontextmanager
    async def timeout(self, seconds: float | None) -> AsyncIterator[asyncio.Timeout]:
        """Cancel the body and raise `TimeoutError` if it still waits when the clock jumps to its end."""
        async with asyncio.timeout(None) as limit:
            if seconds is None:
                yield limit
                return
            self.waits.append(seconds)
            due = self._now + seconds

            async def expire() -> None:
                await self._reach(due)
                limit.reschedule(asyncio.get_running_loop().time())

            expiring = asyncio.ensure_future(expire())
            try:
                yield limit
            finally:
                expiring.cancel()

    async def _reach(self, due: float) -> None:
        """Return when the loop is quiet and `due` is the next moment that anybody waits for."""
        self._changes += 1
        ticket = _Ticket(due, self._changes)
        self._waiting.append(ticket)
        try:
            while not await self._is_next_in_quiet(ticket):
                await ticket.turn()
            self._now = max(self._now, due)
        finally:
            self._waiting.remove(ticket)
            self._changes += 1
            if self._waiting:
                min(self._waiting).call()

    async def _is_next_in_quiet(self, ticket: "_Ticket") -> bool:
        """Return whether nobody else waits for an earlier moment, once nothing else can run."""
        seen, quiet_turns = self._changes, 0
        while ticket is min(self._waiting):
            if quiet_turns >= QUIET_TURNS:
                if not await self._works_in_a_thread():
                    return ticket is min(self._waiting)
                quiet_turns = 0  # whoever waited for the thread runs now
            await asyncio.sleep(0)
            quiet_turns = quiet_turns + 1 if seen == self._changes else 0
            seen = self._changes
        return False

    async def _works_in_a_thread(self) -> bool:
        """Return whether a thread has just ended work that somebody waits for; wait for that, but not for ever."""
        working = calls_waited_for()
        for _ in range(PATIENCE):
            if not working - self._stuck:
                return False
            await asyncio.sleep(0.001)
            if working != (working := calls_waited_for()):
                return True
        self._stuck = working
        return False


@dataclass(slots=True, order=True)
class _Ticket:
    """Somebody who waits. Only who is next counts the turns of the event loop; the others wait for their turn."""

    due: float
    number: int
    called: asyncio.Future[None] | None = field(default=None, compare=False)

    async def turn(self) -> None:
        """Return when it is called."""
        self.called = asyncio.get_running_loop().create_future()
        await self.called

    def call(self) -> None:
        """Let it count, in whichever event loop it waits; does nothing if it does not."""
        if self.called is not None:
            with suppress(RuntimeError):  # that loop has closed
                self.called.get_loop().call_soon_threadsafe(_settle, self.called)


def _settle(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
