"""The parts of a step on their way: which wait, which run, whether enough can still succeed. Pure."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice


@dataclass(slots=True)
class PartQueue:
    """The parts of one step that are to be done now: its items, its condition or its compensation.

    Attributes:
        waiting: Those that may start, in order.
        limit: How many run at once.
        allowed_failures: How many may fail; with one more no other part starts.
        running: Those with a started attempt.
        resting: Those whose next attempt is due later.
        failures: How many have failed for good.
        is_ordered: Whether each waits for the one before it to be done, not only to have begun.

    Example:
        >>> queue = PartQueue.of(["0", "1", "2"], limit=2, allowed_failures=0)
        >>> queue.startable
        ('0', '1')
        >>> queue.started("0")
        >>> queue.ended("0", has_failed=True)
        >>> queue.startable, queue.is_over
        ((), True)
    """

    waiting: deque[str]
    limit: int
    allowed_failures: int
    running: set[str] = field(default_factory=set)
    resting: set[str] = field(default_factory=set)
    failures: int = 0
    is_ordered: bool = False

    @classmethod
    def of(
        cls, parts: Sequence[str], *, limit: int = 1, allowed_failures: int = 0, is_ordered: bool = False
    ) -> "PartQueue":
        """Return the queue of these parts, none of which has begun."""
        return cls(deque(parts), limit, allowed_failures, is_ordered=is_ordered)

    @property
    def is_hopeless(self) -> bool:
        """Whether too many have failed."""
        return self.failures > self.allowed_failures

    @property
    def is_over(self) -> bool:
        """Whether no part runs, and none is to start any more."""
        return not self.running and (self.is_hopeless or not (self.waiting or self.resting))

    @property
    def may_start(self) -> bool:
        """Whether any part may start now."""
        if self.is_ordered and self.resting:
            return False
        return bool(self.waiting) and not self.is_hopeless and len(self.running) < self.limit

    @property
    def startable(self) -> tuple[str, ...]:
        """The parts that may start now, in order."""
        return tuple(islice(self.waiting, self.limit - len(self.running))) if self.may_start else ()

    def started(self, part: str) -> None:
        """Note that an attempt at `part` began; those that never have begin in their order."""
        if part in self.resting:
            self.resting.discard(part)
        elif self.waiting and self.waiting[0] == part:
            self.waiting.popleft()
        elif part in self.waiting:
            self.waiting.remove(part)
        self.running.add(part)

    def rests(self, part: str) -> None:
        """Note that an attempt failed and the next one is due later."""
        self.running.discard(part)
        self.resting.add(part)

    def ended(self, part: str, *, has_failed: bool, is_last: bool = False) -> None:
        """Note that `part` is done for good, and whether none is to follow."""
        self.running.discard(part)
        self.resting.discard(part)
        self.failures += has_failed
        if is_last:
            self.waiting.clear()
