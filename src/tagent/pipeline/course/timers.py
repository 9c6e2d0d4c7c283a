"""What is due later in a run: the next attempts, and the ends of waits. Pure; the times come from events."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

Key = tuple[str, str]
"""A step and which of its waits: a part's next attempt, `ATTEMPT` or `PATIENCE`."""

ATTEMPT = ""
"""The step's own next attempt."""

PATIENCE = "<patience>"
"""The end of its wait for SOFT dependencies."""


@dataclass(slots=True)
class Timers:
    """Times by key. Setting and clearing take the time of a heap's operation, asking takes none.

    Example:
        >>> timers = Timers()
        >>> timers.set(("search", ATTEMPT), at=20.0)
        >>> timers.set(("read", PATIENCE), at=10.0)
        >>> timers.next_at, timers.due(15.0)
        (10.0, [('read', '<patience>')])
    """

    _at: dict[Key, float] = field(default_factory=dict)
    _heap: list[tuple[float, Key]] = field(default_factory=list)

    @property
    def next_at(self) -> float | None:
        """The earliest time; None when nothing is due ever."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[Key]:
        """Return whose time has come, the earliest first."""
        if not self._heap:
            return []
        found: list[tuple[float, Key]] = []
        places = [0]
        while places:  # a heap's children are never before it, so what is not due need not be looked below
            place = places.pop()
            if place < len(self._heap) and self._heap[place][0] <= now:
                at, key = self._heap[place]
                if self._at.get(key) == at:
                    found.append((at, key))
                places += [2 * place + 1, 2 * place + 2]
        return [key for _, key in sorted(set(found))]

    def next_after(self, now: float) -> float | None:
        """Return the earliest time that is still to come; None when nothing is."""
        if not self._heap:
            return None
        times: list[float] = []
        places = [0]
        while places:
            place = places.pop()
            if place < len(self._heap):
                at, key = self._heap[place]
                if at <= now:
                    places += [2 * place + 1, 2 * place + 2]
                elif self._at.get(key) == at:
                    times.append(at)
                else:
                    places += [2 * place + 1, 2 * place + 2]
        return min(times, default=None)

    def of(self, step: str, wait: str) -> float | None:
        """Return when that is due; None if it is not."""
        return self._at.get((step, wait))

    def set(self, key: Key, *, at: float) -> None:
        """Have `key` due at this time, and at no other."""
        self._at[key] = at
        heappush(self._heap, (at, key))
        self._tidy()

    def clear(self, key: Key) -> bool:
        """Have `key` due no more; return whether it was."""
        if self._at.pop(key, None) is None:
            return False
        self._tidy()
        return True

    def clear_all(self) -> None:
        """Have nothing due any more."""
        self._at.clear()
        self._heap.clear()

    def start_anew(self, *, last: float, now: float) -> None:
        """Let everything wait as long as was left at the time `last`, counted from `now`, but not beyond its time.

        The clock of another process may be behind: nobody waits longer than was left to wait.
        """
        self._at = {key: min(at, now + max(0.0, at - last)) for key, at in self._at.items()}
        self._heap = [(at, key) for key, at in self._at.items()]
        heapify(self._heap)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._at)

    def __len__(self) -> int:
        return len(self._at)

    def _tidy(self) -> None:
        """Drop from the top what was set anew or cleared, so that the top is true."""
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
