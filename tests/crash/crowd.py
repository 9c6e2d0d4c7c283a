"""Processes that write, read and count in one store at the same time; some of them are killed.

Each is started as `python -m crash.crowd ROLE URL ...` and ends when its work is done.
"""

import asyncio
import hashlib
import json
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tagent.bridge import Bridge
from tagent.config import TAgentConfig
from tagent.memory import MemoryScope
from tagent.messaging import Delivery
from tagent.names import space_scope
from tagent.payloads import decoded
from tagent.pipeline.communication import PipelineCommunicator
from tagent.ports.effect_errors import DocumentConflictError
from tagent.ports.services import Services
from tagent.runtime import open_services

TOPIC = "crowd.talk"
AT_ONCE = 25
"""Messages that a writer has on their way at the same time."""


def extended(chain: str, sender: str, number: int) -> str:
    """Return the hash of everything read so far: equal only for the same messages in the same order."""
    return hashlib.sha256(f"{chain}/{sender}/{number}".encode()).hexdigest()


async def write(services: Services, name: str, messages: int) -> None:
    """Send messages. Whoever was killed begins anew: what is there already is there once."""
    async with PipelineCommunicator(name, services=services) as communicator:
        for first in range(0, messages, AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for number in range(first, min(first + AT_ONCE, messages)):
                    data = {"by": name, "n": number, "at": time.time()}
                    group.create_task(communicator.abroadcast(TOPIC, data, key=f"{name}-{number}"))


async def read(services: Services, name: str, messages: int, report: Path) -> None:
    """Read until all messages are read; what is read is counted in memory, with the receipts."""
    seconds: list[float] = []

    async def handle(delivery: Delivery) -> None:
        space = delivery.space(name)
        state: dict[str, Any] = await space.aget("state", {"count": 0, "chain": ""})
        data: Mapping[str, Any] = delivery.message.data
        seconds.append(time.time() - data["at"])
        chain = extended(state["chain"], data["by"], data["n"])
        space.put("state", {"count": state["count"] + 1, "chain": chain})

    async with PipelineCommunicator(name, services=services) as communicator:
        await communicator.asubscribe(TOPIC, handle, subscriber=name)
        while await counted(services, name) < messages:  # noqa: ASYNC110 - what is written counts, not what was handled
            await asyncio.sleep(0.05)
    found = sorted(seconds) or [0.0]
    figures = {"median": statistics.median(found), "p95": found[int(len(found) * 0.95)]}
    report.write_text(json.dumps(figures))  # noqa: ASYNC240 - nothing else is going on any more


async def counted(services: Services, name: str) -> int:
    """Return how many messages a reader has read for good."""
    document = await services.store.document(space_scope(name), "state")
    return 0 if document is None else int(decoded(document.value, what="it")["count"])


async def count(services: Services, times: int) -> None:
    """Raise one number by compare-and-set, so many times."""
    space = MemoryScope(services.store, space_scope("crowd"), bridge=Bridge(asyncio.get_running_loop()))
    for _ in range(times):
        while True:
            entry = await space.aentry("n")
            version, value = (0, 0) if entry is None else (entry.version, entry.value)
            try:
                await space.aput("n", value + 1, expected_version=version)
            except DocumentConflictError:
                continue
            break


async def main(role: str, url: str, *arguments: str) -> None:
    """Do the work of a role."""
    async with open_services(TAgentConfig(store=url)) as services:
        if role == "write":
            await write(services, arguments[0], int(arguments[1]))
        elif role == "read":
            await read(services, arguments[0], int(arguments[1]), Path(arguments[2]))
        else:
            await count(services, int(arguments[0]))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
