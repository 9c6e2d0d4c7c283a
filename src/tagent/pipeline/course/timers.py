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
        >>> timers.due(15.0), timers.next_after(15.0)
        ([('read', '<patience>')], 20.0)
    """

    _at: dict[Key, float] = field(default_factory=dict)
    _heap: list[tuple[float, Key]] = field(default_factory=list)

    def due(self, now: float) -> list[Key]:
        """Return whose time has come, the earliest first."""
        return self._split(now)[0] if self._heap else []

    def next_after(self, now: float) -> float | None:
        """Return the earliest time that is still to come; None when nothing is."""
        return self._split(now)[1] if self._heap else None

    def _split(self, now: float) -> tuple[list[Key], float | None]:
        """Return who is due, and when the next one is. It looks no further than that."""
        due: set[tuple[float, Key]] = set()
        later: list[float] = []
        places = [0]
        while places:
            place = places.pop()
            if place >= len(self._heap):
                continue
            at, key = self._heap[place]
            is_true = self._at.get(key) == at
            if is_true and at > now:  # a heap's children are never before it
                later.append(at)
                continue
            if is_true:
                due.add((at, key))
            places += [2 * place + 1, 2 * place + 2]
        return [key for _, key in sorted(due)], min(later, default=None)

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
