"""Places for requests at the same time, for all threads and event loops of the process: first come, first served."""

import asyncio
import threading
from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A place, taken or waited for.

    Attributes:
        limit: How many may be taken for this one to be given.
        loop: The event loop of who asked.
        given: Done when the place is given; belongs to that loop.
    """

    limit: int
    loop: asyncio.AbstractEventLoop = field(repr=False)
    given: "asyncio.Future[None]" = field(repr=False)


class Slots:
    """A queue for places, with a limit that each caller brings along.

    An event loop that ends without giving its places back, as when a program closes it by force, loses them with
    the next call from another one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: set[Slot] = set()
        self._waiting: deque[Slot] = deque()

    @property
    def taken(self) -> int:
        """How many places are taken."""
        with self._lock:
            return len(self._taken)

    async def take(self, limit: int, *, seconds: float) -> Slot:
        """Return a place once fewer than `limit` are taken and everybody who came before has theirs.

        Raises:
            TimeoutError: If that takes longer than `seconds`.
        """
        loop = asyncio.get_running_loop()
        slot = Slot(limit, loop, loop.create_future())
        with self._lock:
            self._waiting.append(slot)
            self._give()
            if slot in self._taken:  # nobody needs to be woken
                return slot
        try:
            async with asyncio.timeout(seconds):
                await slot.given
        except BaseException:
            self.give_back(slot)
            raise
        return slot

    def give_back(self, slot: Slot) -> None:
        """Let the next one have the place, or stop waiting for it."""
        with self._lock:
            if slot in self._taken:
                self._taken.remove(slot)
            elif slot in self._waiting:
                self._waiting.remove(slot)
            self._give()

    def _give(self) -> None:
        """Give free places to those in front; call it with the lock held."""
        if self._waiting and len(self._taken) >= self._waiting[0].limit:
            self._taken = {slot for slot in self._taken if not slot.loop.is_closed()}
        while self._waiting and len(self._taken) < self._waiting[0].limit:
            slot = self._waiting.popleft()
            try:
                slot.loop.call_soon_threadsafe(_wake, slot.given)
            except RuntimeError:  # its loop is closed: nobody waits there
                continue
            self._taken.add(slot)


def _wake(given: "asyncio.Future[None]") -> None:
    if not given.done():  # the waiter may have been cancelled meanwhile
        given.set_result(None)
