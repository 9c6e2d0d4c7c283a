"""A store for programs that are no run: opened in an event loop of its own, or one that is open already."""

import asyncio
import weakref
from collections.abc import Callable

from tagent.bridge import Bridge, LoopThread
from tagent.config import TAgentConfig
from tagent.ports.services import Services, open_services


class Connection:
    """Open services, and the way to their event loop. Closed at the latest when nobody holds it any more.

    Args:
        store: The URL of the store; None takes that of the settings.
        services: Open services to use instead, in the loop that is running; they stay open.

    Attributes:
        services: The services.
        bridge: The way to their loop.

    Raises:
        StoreError: If the store cannot be opened.
        ConfigurationError: If there is no such store.
    """

    def __init__(self, *, store: str | None = None, services: Services | None = None) -> None:
        self.bridge: Bridge
        if services is not None:
            self.services = services
            self.bridge = Bridge(asyncio.get_running_loop())
            self.close: Callable[[], object] = weakref.finalize(self, bool)
            return
        config = TAgentConfig.load()
        opening = open_services(config if store is None else config.merged(TAgentConfig(store=store)))
        thread = LoopThread()
        try:
            self.services = thread.wait(opening.__aenter__())
        except BaseException:
            thread.close()
            raise
        self.bridge = thread

        def close(*_: object) -> None:
            thread.wait(opening.__aexit__(None, None, None))
            thread.close()

        self.close = finalizer = weakref.finalize(self, close)
        finalizer.atexit = False  # what is written is written, and the threads end with the process
        """Closes what was opened here; a second time does nothing."""
