"""How whoever drives several runs asks them to stop: between two steps, so that none is cut off."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StopSignal:
    """Asks the runs that know it to begin no step any more. To be given in the event loop of the runs.

    Attributes:
        is_given: Whether it was given.
    """

    def __init__(self) -> None:
        self.is_given = False
        self._wakes: set[Callable[[], None]] = set()

    def give(self) -> None:
        """Ask them; a second time does nothing."""
        self.is_given = True
        for wake in tuple(self._wakes):
            wake()

    @contextmanager
    def watched(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` when the signal is given during the block."""
        self._wakes.add(wake)
        try:
            yield
        finally:
            self._wakes.discard(wake)
