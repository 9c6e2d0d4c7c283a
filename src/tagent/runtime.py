"""The one place that chooses adapters: from settings to open services."""

import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tagent.adapters.clock import SystemClock
from tagent.adapters.models.provider import AdapterModels
from tagent.adapters.processes import MachineProcesses
from tagent.adapters.storage.urls import open_store
from tagent.config import TAgentConfig
from tagent.ports.event_sink import EventSink
from tagent.ports.services import Services, register_services
from tagent.threads import DaemonThreads

_threads = DaemonThreads()
"""One pool for the process: the limit on blocking work is the machine's, not a run's."""


def new_run_id() -> str:
    """Return 16 hexadecimal digits; among a million runs two are alike once in 40 million times."""
    return secrets.token_hex(8)


@asynccontextmanager
async def open_services(config: TAgentConfig, *, sinks: tuple[EventSink, ...] = ()) -> AsyncIterator[Services]:
    """Open what `config` names, and close it at the end.

    Args:
        config: Names the store and the model.
        sinks: Who is shown every committed event.
    """
    store = open_store(config.store)
    async with AdapterModels() as models:
        try:
            yield Services(SystemClock(), store, models, MachineProcesses(), _threads, random.random, new_run_id, sinks)
        finally:
            await store.close()


register_services(open_services)
