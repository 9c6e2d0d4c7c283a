"""What every thread and event loop of the process has in common for a provider."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Kept = TypeVar("Kept")


class PerProvider(Generic[Kept]):
    """One of a kind for each provider, made when it is first asked for.

    Args:
        make: Makes one.

    Example:
        >>> kept = PerProvider(list)
        >>> kept.of("openai") is kept.of("openai"), kept.of("openai") is kept.of("groq")
        (True, False)
    """

    def __init__(self, make: Callable[[], Kept]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._kept: dict[str, Kept] = {}

    def of(self, provider: str) -> Kept:
        """Return the provider's, the same for every caller."""
        with self._lock:
            if provider not in self._kept:
                self._kept[provider] = self._make()
            return self._kept[provider]
