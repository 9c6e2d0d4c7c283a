"""All ways out that a run needs, in one value, and where their defaults come from.

`PipelineExecutor(pipeline, config).execute()` must work although `pipeline` may not import an
adapter. So whoever sits on top registers how services are opened, and the lower layers ask here.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from tagent.ports.clock import Clock
from tagent.ports.event_sink import EventSink
from tagent.ports.language_model import ModelProvider
from tagent.ports.process import ProcessTable
from tagent.ports.store import Store
from tagent.ports.toolsets import NoToolsets, ToolsetProvider
from tagent.threads import DaemonThreads

if TYPE_CHECKING:
    from tagent.config import TAgentConfig  # takes longer to import than all else here


@dataclass(frozen=True, slots=True)
class Services:
    """What the outside world offers to a run.

    Attributes:
        clock: Time.
        store: Journals.
        models: Language models.
        processes: Who this process is, and whether another is gone.
        threads: Where blocking work of users runs.
        sinks: Who is shown every committed event.
        random: Draws from [0, 1), for jitter.
        new_id: Makes ids that do not repeat.
        store_url: The URL under which the store can be opened once more; empty when it cannot.
        toolsets: Servers of tools.

    Example:
        >>> import asyncio
        >>> from tagent.config import TAgentConfig
        >>> async def counted() -> int:
        ...     async with open_services(TAgentConfig(store="memory://")) as services:
        ...         return len(await services.store.runs())
        >>> asyncio.run(counted())
        0
    """

    clock: Clock
    store: Store
    models: ModelProvider
    processes: ProcessTable
    threads: DaemonThreads
    random: Callable[[], float]
    new_id: Callable[[], str]
    sinks: tuple[EventSink, ...] = ()
    store_url: str = field(default="", repr=False)  # it may hold a password
    toolsets: ToolsetProvider = field(default_factory=NoToolsets)


OpenServices = Callable[["TAgentConfig"], AbstractAsyncContextManager[Services]]

_registered: list[OpenServices] = []


def register_services(opener: OpenServices) -> None:
    """Make `opener` the way in which `open_services` opens the defaults."""
    _registered[:] = [opener]


def open_services(config: "TAgentConfig") -> AbstractAsyncContextManager[Services]:
    """Return the default services for `config`, to be entered with `async with`.

    The runtime registers them when it is imported. It lies above every layer that asks here, so it
    is imported by name, and only now: nothing below may depend on it, or pay for it earlier.
    """
    if not _registered:
        import_module("tagent.runtime")
    return _registered[0](config)
