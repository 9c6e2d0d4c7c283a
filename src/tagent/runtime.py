"""The one place that chooses adapters: from settings to open services."""

import random
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from tagent.adapters.clock import SystemClock
from tagent.adapters.models.provider import AdapterModels
from tagent.adapters.processes import MachineProcesses
from tagent.adapters.storage.urls import lasting_url, open_store
from tagent.adapters.toolsets.provider import AdapterToolsets
from tagent.ports.event_sink import EventSink
from tagent.ports.services import Services, register_services
from tagent.threads import DaemonThreads

if TYPE_CHECKING:
    from tagent.config import TAgentConfig

_threads = DaemonThreads()
"""One pool for the process: the limit on blocking work is the machine's, not a run's."""


def new_run_id() -> str:
    """Return 16 hexadecimal digits; among a million runs two are alike once in 40 million times."""
    return secrets.token_hex(8)


def open_services(
    config: "TAgentConfig", *, sinks: tuple[EventSink, ...] = ()
) -> AbstractAsyncContextManager[Services]:
    """Open what `config` names, and close it at the end.

    Args:
        config: Names the store.
        sinks: Who is shown every committed event.
    """
    return open_services_on(config.store, sinks=sinks)


@asynccontextmanager
async def open_services_on(store_url: str, *, sinks: tuple[EventSink, ...] = ()) -> AsyncIterator[Services]:
    """Open the store that `store_url` names and what goes with it, and close all at the end.

    Whoever only looks at a store need not have settings; Pydantic, which checks them, takes long to import.
    """
    store = open_store(store_url)
    async with AdapterModels() as models, AdapterToolsets() as toolsets:
        try:
            yield Services(
                SystemClock(),
                store,
                models,
                MachineProcesses(),
                _threads,
                random.random,
                new_run_id,
                sinks,
                lasting_url(store_url),
                toolsets,
            )
        finally:
            await store.close()


register_services(open_services)
